//! The library as its users see it: real nodes on threads of their own, within this process.

mod calls;
mod changes;
mod cluster;
mod errors;
mod life;
mod members;
mod once;

use std::time::Duration;

use crate::{Builder, Node};

/// For whatever takes an election or two on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn run<F: Future>(future: F) -> F::Output {
    crate::blocking::run(future)
}

async fn alone() -> Node {
    Builder::new("n1").start().await.expect("a node on its own starts")
}

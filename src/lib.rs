//! Quorate: a distributed, fault-tolerant, durable, linearizable key-value store, as a library.
//!
//! A [`Server`] is one member with its listeners: Redis protocol, HTTP and peers on one port. It runs
//! on the thread that starts it, inside of any executor which its [`Env`] knows; the binary `quorate`
//! is this crate with flags around it.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = quorate::ServerConfig::new("n1", "data/n1");
//! config.node.entrance = quorate::Entrance::Bootstrap;
//! config.listeners = vec![quorate::Listen::all("127.0.0.1:7400")];
//! let server = quorate::Server::start(&quorate::env::real::env(), config)?;
//! let handle = server.handle(); // for any thread
//! let stop = server.run(std::future::pending()).await;
//! # let _ = (handle, stop);
//! # Ok(())
//! # }
//! ```

mod listen;
mod server;

pub use listen::Listen;
pub use quorate_api as api;
pub use quorate_env as env;
pub use quorate_env::Env;
pub use quorate_node::recover;
pub use quorate_node::{
    Config as NodeConfig, Entrance, FORMATS, Formats, Pace, Secret, StartError,
};
pub use server::{End, ServeError, Server, ServerConfig};

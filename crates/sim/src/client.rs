//! Clients: sessions that ask, note when they asked and what they heard, and never guess.
//!
//! A connection that breaks leaves every operation under way *unknown*; so does a client that loses its
//! patience. Only `-TRYAGAIN`, `-CLUSTERDOWN` and their like say that nothing was changed.

pub mod connection;
pub mod operator;
pub mod probe;
pub mod web;
pub mod workload;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quorate_env::Env;

use crate::history::{Asker, Command, History, OperationId, Outcome};
use crate::world::Now;

/// Words of a failure by which it is counted.
const REASON_WORDS: usize = 8;

/// Whom a session trusts for its reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A majority: the default.
    Quorum,
    /// The leader's lease.
    Lease,
    /// Its node, whatever that has.
    Nobody,
}

impl Trust {
    /// Who asks on a connection.
    fn asker(self, session: u32, connection: u64) -> Asker {
        Asker { session, connection, stale: self == Self::Nobody, lease: self == Self::Lease }
    }
}

/// What all clients of a run share: the book, and the word to stop.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The world's time, which no clock of a host shows.
    pub now: Now,
    /// What was done and heard.
    pub history: Rc<RefCell<History>>,
    /// The sessions stop when it turns true.
    pub stopping: Rc<Cell<bool>>,
    /// The nodes' client addresses.
    pub nodes: Rc<[String]>,
    /// What stands in front of every value, to make it longer.
    pub padding: Rc<str>,
    /// Some writes over HTTP have names, and are repeated.
    pub names: bool,
}

impl Clients {
    /// An empty book.
    pub fn new(now: Now, nodes: Vec<String>) -> Self {
        Self {
            now,
            history: Rc::default(),
            stopping: Rc::default(),
            nodes: nodes.into(),
            padding: "".into(),
            names: true,
        }
    }

    fn call(&self, asker: Asker, commands: Vec<Command>) -> OperationId {
        self.history.borrow_mut().call(self.now.get(), asker, commands)
    }

    fn finish(&self, id: OperationId, outcome: Outcome) {
        let mut history = self.history.borrow_mut();
        history.finish(self.now.get(), id, outcome);
        if let Some(operation) = history.operations.get(id) {
            if let Outcome::NotApplied(why) | Outcome::Unknown(why) = &operation.outcome {
                let words: Vec<&str> = why.split_whitespace().take(REASON_WORDS).collect();
                self.now.count(&words.join(" "));
            }
            self.now.tell(&operation.to_string());
        }
    }
}

/// Waits for `future`, but no longer than `limit`.
pub async fn within<T>(env: &Env, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = env.clock.sleep(limit);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        sleep.as_mut().poll(cx).map(|()| None)
    })
    .await
}

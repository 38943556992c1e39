//! Quorate: a distributed, fault-tolerant, durable, linearizable key-value store, inside of your program.
//!
//! A [`Node`] is one member of a cluster, on a thread of its own. A [`Store`] is a handle on it for any
//! thread and any async runtime ([`blocking::Store`] for none).
//!
//! ```
//! # quorate::blocking::run(async {
//! use quorate::{Builder, Network};
//!
//! // Three nodes in one process, without ports. Between machines: `.data_dir(..)`, `.listen("host:port")`
//! // and `.join(["host:port"])` in place of `.network(..)`.
//! let network = Network::new();
//! let n1 = Builder::new("n1").network(&network).bootstrap().start().await?;
//! let n2 = Builder::new("n2").network(&network).join(["n1"]).start().await?;
//! let n3 = Builder::new("n3").network(&network).join(["n1"]).start().await?;
//!
//! n2.store().set("greeting", "hello").await?;
//! assert_eq!(n3.store().get("greeting").await?.as_deref(), Some(&b"hello"[..]));
//! assert_eq!(n1.store().increment("visits", 1).await?, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! # What a call promises
//!
//! A call returns when it is done; nothing needs to be waited for. A write has taken effect on a majority,
//! durably where nodes have a directory, and exactly once: what goes wrong on the way (a leader dies, an
//! answer is lost) is tried again under the same name, which the cluster recognises. A read is
//! linearizable unless [`Store::consistency`] says otherwise. What remains is an [`Error`] whose
//! [`ErrorKind`] says what to do. `docs/LIBRARY.md` is the guide, `docs/GUARANTEES.md` the fine print,
//! `examples/` has a lock, a leader election and a job queue, [`testkit`] clusters for your tests.
//!
//! # Threads
//!
//! Each node has one thread with a tokio `current_thread` runtime, and a few for disk work. Handles send
//! it messages; futures of this crate need no runtime of the caller's, and never block.
//!
//! # Without a thread
//!
//! The binary `quorate` runs a [`Server`] in an executor of its own; so can you, see there.

pub mod address;
pub mod blocking;
mod builder;
mod end;
mod errand;
mod error;
pub mod guard;
mod kv;
mod listen;
mod members;
mod node;
mod scan;
mod server;
mod store;
pub mod testkit;
#[cfg(test)]
mod tests;
mod transaction;

pub use builder::{Builder, Engine};
pub use bytes::Bytes;
pub use error::{Error, ErrorKind, OpenError};
pub use kv::{Entry, Expected, Put, Revision, Swap};
pub use listen::Listen;
pub use node::Node;
pub use quorate_api as api;
pub use quorate_api::{Consistency, Reply, ReplyError, Status};
pub use quorate_env as env;
pub use quorate_env::Env;
pub use quorate_env::local::{MemoryDisk, Network};
pub use quorate_env::mux::Protocol;
pub use quorate_node::recover;
pub use quorate_node::{
    Config as NodeConfig, Entrance, FORMATS, Formats, IdentityError, Pace, Secret, StartError,
};
pub use scan::Scan;
pub use server::{End, ServeError, Server, ServerConfig};
pub use store::Store;
pub use transaction::{Transaction, Watched};

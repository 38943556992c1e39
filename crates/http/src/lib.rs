//! Front-end: HTTP and JSON on the node's own port.
//!
//! A request passes the guards (Host, password, Origin), then the router finds its handler, and the
//! handler asks the node through [`quorate_api::Handle`]. Nothing here knows what a key means, nor
//! that there is consensus; status codes are chosen in `error.rs` and nowhere else. No runtime, no
//! clock and no chance of its own: the futures run on any executor, time comes from
//! [`quorate_env::Clock`]. The reference for users is `docs/HTTP.md`.

mod answer;
mod backup;
mod body;
mod budget;
mod cluster;
mod condition;
mod connection;
mod dialect;
mod door;
mod duration;
mod error;
mod events;
mod guard;
mod health;
mod idempotency;
mod index;
mod json;
mod member;
mod metrics;
mod options;
mod path;
mod query;
mod server;
mod status;
mod v1;

#[cfg(test)]
mod tests;

pub use connection::serve;
pub use options::Options;
pub use server::Server;

//! Front-end: the Redis protocol, and a client for it.
//!
//! [`Server`] and [`serve`] speak for a member behind [`quorate_api::Api`]; [`Client`] is the other
//! side, for the command line and the simulator. Nothing here knows what a key holds, that there is
//! consensus, or how a socket is opened. The street of a command: `connection` reads, `decode` finds
//! its arguments, `session` decides who answers, `replies` keeps the order, `encode` writes.

mod blocked;
pub mod client;
mod commands;
mod connection;
pub mod decode;
pub mod documentation;
pub mod encode;
pub mod error;
mod family;
mod glob;
mod inline;
mod input;
pub mod options;
mod registry;
mod replies;
pub mod server;
mod session;
pub mod stats;
mod transaction;
mod unread;
pub mod value;
mod watches;

pub use client::{Client, ClientError};
pub use documentation::commands_markdown;
pub use options::{Options, Setting};
pub use server::{Server, serve};
pub use stats::Stats;
pub use value::Value;

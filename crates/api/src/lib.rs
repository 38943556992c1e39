//! The contract: what a front-end may ask of a node, and what it gets back.
//!
//! Nothing here does anything: commands, replies, errors, limits and the command table are data, and
//! [`Api`] and [`Session`] are the only doors between speech (resp, http) and a member (node).

pub mod admin;
pub mod api;
pub mod args;
pub mod backup;
pub mod call;
pub mod command;
pub mod error;
pub mod event;
pub mod handle;
pub mod limits;
pub mod reply;
pub mod status;

pub use admin::{AdminReply, AdminRequest, Caution, Place};
pub use api::{Answer, Api, Session};
pub use args::{Args, OwnedArgs, Span};
pub use backup::Backup;
pub use call::{Call, Consistency, Idempotency, OwnedCall, Transaction, Watch};
pub use command::{CommandId, Spec};
pub use error::Error;
pub use event::{Event, EventKind, EventPlace};
pub use handle::{Handle, Request};
pub use reply::{ErrorCode, Reply, ReplyError};
pub use status::Status;

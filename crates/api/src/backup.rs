//! A backup on its way out of a node, piece by piece.

use std::pin::Pin;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{Consistency, Error};

/// A backup file that is being made: its pieces, in order, as fast as they are taken.
#[derive(Debug)]
pub struct Backup {
    /// The log index whose state it holds.
    pub index: u64,
    /// The bytes of the file. It is whole when its own end says so, never because nothing more comes.
    pub pieces: mpsc::Receiver<Result<Bytes, Error>>,
}

/// What a backup may miss: [`Consistency::Linearizable`] has all that was acknowledged before the call;
/// [`Consistency::Stale`] is this node's own state, and needs no majority.
pub type Backing = Pin<Box<dyn Future<Output = Result<Backup, Error>>>>;

/// The answer of a member that makes none.
pub(crate) fn none(_: Consistency) -> Backing {
    Box::pin(std::future::ready(Err(Error::not_applied("this member makes no backups"))))
}

//! Errors of the log: each names the file and the byte, and says what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::id::{GroupId, Index};

/// What an operator does about damage; one text, so that all of it gives the same advice.
const REFETCH: &str = "Acknowledged entries may be missing, so this log is not used. In a cluster: \
    move the directory away and let this node fetch its state from its peers, without a vote until \
    then. A node that is alone: restore a backup";

/// Why the log can't be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The device failed.
    #[error("{}: {action}: {source}. Check the device and the permissions", .file.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the device said.
        source: io::Error,
    },
    /// Bytes that were durable once are wrong now.
    #[error("{} is damaged at byte {offset}: {what}. {REFETCH}", .file.display())]
    Damage {
        /// The damaged file.
        file: PathBuf,
        /// The first bad byte.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file that the manifest names does not exist.
    #[error("{} is gone, but the manifest names it. {REFETCH}", .file.display())]
    Vanished {
        /// The file.
        file: PathBuf,
    },
    /// Written by another version of Quorate.
    #[error("{} has format {found}, this binary reads {known}. Use the version that wrote it", .file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// Our format.
        known: u32,
    },
    /// Another process has the log open.
    #[error("{} is held by another process. Stop that one first", .file.display())]
    Locked {
        /// The lock file.
        file: PathBuf,
    },
    /// The settings contradict each other.
    #[error("log settings: {0}")]
    Config(String),
    /// An entry below the first one: send a snapshot instead.
    #[error("group {group}: entry {index} was purged")]
    Purged {
        /// The group.
        group: GroupId,
        /// The entry.
        index: Index,
    },
    /// An entry that isn't durable yet (the caller has it in memory), or that never was in the log.
    #[error("group {group}: entry {index} is not in the durable log")]
    NotDurable {
        /// The group.
        group: GroupId,
        /// The entry.
        index: Index,
    },
}

impl LogError {
    pub(super) fn damage(file: &Path, offset: impl Into<u64>, what: impl Into<String>) -> Self {
        Self::Damage { file: file.to_owned(), offset: offset.into(), what: what.into() }
    }

    /// True when bytes that were durable once are wrong or gone: the node may refetch from its peers.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damage { .. } | Self::Vanished { .. })
    }
}

/// Puts the file and the action to an [`io::Error`].
pub(super) trait Context<T> {
    /// The same result, with `action` and `file`.
    fn at(self, action: &'static str, file: &Path) -> Result<T, LogError>;
}

impl<T> Context<T> for io::Result<T> {
    fn at(self, action: &'static str, file: &Path) -> Result<T, LogError> {
        self.map_err(|source| LogError::Io { action, file: file.to_owned(), source })
    }
}

/// Why a batch wasn't taken. Nothing has changed: it is as if it had not been submitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Larger than [`super::Log::batch_bytes_max`]: it will never fit.
    #[error("a batch of {bytes} bytes, {max} are allowed")]
    TooLarge {
        /// What the batch needs.
        bytes: u64,
        /// What is possible.
        max: u64,
    },
    /// Entries that don't continue the log: a bug of the caller.
    #[error("group {group}: entry {index} does not continue the log")]
    Order {
        /// The group.
        group: GroupId,
        /// The first entry out of order.
        index: Index,
    },
    /// A write or an fsync has failed; stop and restart.
    #[error("the log is closed until a restart: {0}")]
    Poisoned(WriteFailure),
}

/// A write or an fsync that failed, for good: only a restart finds out what the disk holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {action}: {message}", .file.display())]
pub struct WriteFailure {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub file: Arc<Path>,
    /// What the device said.
    pub message: Arc<str>,
}

impl WriteFailure {
    pub(super) fn new(action: &'static str, file: &Path, message: &str) -> Self {
        Self { action, file: file.into(), message: message.into() }
    }
}

impl From<LogError> for WriteFailure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { action, file, source } => Self::new(action, &file, &source.to_string()),
            other => Self::new("write", Path::new(""), &other.to_string()),
        }
    }
}

/// True for a full disk: not a failure, but a state that passes.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

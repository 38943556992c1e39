//! What an engine wants done on another thread: the engine has none of its own, its owner decides where.

use std::fmt;

use bytes::Bytes;

use crate::engine::EngineError;

/// Which of an engine's works may not overlap: those of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// Writes what is applied to the device.
    Flush,
    /// Rewrites what is on the device.
    Compact,
}

/// A work that waits for a device. Dropping it undone is fine: the engine is as good as without it.
pub struct Work {
    /// Its kind.
    pub kind: WorkKind,
    job: Box<dyn FnOnce() + Send>,
}

impl Work {
    /// A work that does `job`.
    pub fn new(kind: WorkKind, job: impl FnOnce() + Send + 'static) -> Self {
        Self { kind, job: Box::new(job) }
    }

    /// Does it. Then the engine wants to be told, with [`crate::Engine::settle`].
    pub fn run(self) {
        (self.job)();
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({:?})", self.kind)
    }
}

/// A record that a batch will look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Its key.
    pub key: Vec<u8>,
    /// The batch will only replace or remove it, with [`crate::Engine::replaced`], and never get it.
    pub only_replaced: bool,
}

impl From<Vec<u8>> for Need {
    /// A record that is read.
    fn from(key: Vec<u8>) -> Self {
        Self { key, only_replaced: false }
    }
}

/// Reads that wait for a device.
pub struct Fetch(Box<dyn FnOnce() -> Fetched + Send>);

impl Fetch {
    /// Reads with `job`.
    pub fn new(job: impl FnOnce() -> Fetched + Send + 'static) -> Self {
        Self(Box::new(job))
    }

    /// Reads; the result is for [`crate::Engine::admit`].
    #[must_use]
    pub fn run(self) -> Fetched {
        (self.0)()
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}

/// A key and its value; `None`: absent.
pub type FetchedRecord = (Box<[u8]>, Option<Bytes>);

/// Neighbours that were read: all that the device has from `from` to the last of them, or to `to`.
#[derive(Debug)]
pub struct FetchedRange {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
    pub(crate) records: Vec<(Vec<u8>, Bytes)>,
    /// There are no more of them before `to`.
    pub(crate) ended: bool,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Tells whether the device's state may have been replaced since it was read.
    pub(crate) epoch: u64,
    pub(crate) records: Vec<FetchedRecord>,
    /// What was looked through, where that was asked for ([`crate::View::remember_ranges`]).
    pub(crate) ranges: Vec<FetchedRange>,
    /// The device failed, or its bytes are wrong.
    pub(crate) failed: Option<EngineError>,
}

impl Fetched {
    /// Records that were read in `epoch`, which means what the engine makes of it.
    #[must_use]
    pub fn new(epoch: u64, records: Vec<FetchedRecord>) -> Self {
        Self { epoch, records, ..Self::default() }
    }

    /// Nothing was read, for this reason.
    #[must_use]
    pub fn failed(error: EngineError) -> Self {
        Self { failed: Some(error), ..Self::default() }
    }

    /// When it was read, and what.
    #[must_use]
    pub fn into_parts(self) -> (u64, Vec<FetchedRecord>) {
        (self.epoch, self.records)
    }

    /// Why not everything was read.
    pub fn take_failed(&mut self) -> Option<EngineError> {
        self.failed.take()
    }
}

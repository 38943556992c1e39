//! The contract of an engine. The executable form of every "Must:" is in [`crate::suite`].

use std::ops::{ControlFlow, Deref};

use bytes::Bytes;

/// Why an engine cannot go on. None of these is a reply to a client: the replica stops.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A checksum or a structure is wrong: the replica must refetch its state from its peers.
    #[error("engine damaged: {0}")]
    Damage(String),
    /// The device failed.
    #[error("engine i/o: {0}")]
    Io(#[from] std::io::Error),
}

/// Receives records in order; `Break` ends the visit.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &Bytes) -> ControlFlow<()>;

/// A value that was found: lent by an engine that has it in memory, given by one that had to read it.
///
/// Whoever only looks at a lent value touches neither its reference count nor the allocator: on the way
/// of a GET these were two of five cache misses.
#[derive(Debug)]
pub enum Found<'a> {
    /// The engine's own.
    Lent(&'a Bytes),
    /// Read for the caller.
    Given(Bytes),
}

impl Found<'_> {
    /// The value to keep. Never copies the bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Lent(bytes) => bytes.clone(),
            Self::Given(bytes) => bytes,
        }
    }
}

impl Deref for Found<'_> {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Given(bytes) => bytes,
        }
    }
}

/// Reads records.
pub trait Reader {
    /// The value of `key`.
    ///
    /// # Errors
    /// Damage or a failed device; never "not found".
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError>;

    /// A hint that these keys will be asked for or set next. An engine may fetch what it needs for all of them
    /// side by side; whether it does changes no answer. Pays for some 4 to 32 keys at a time.
    fn expect(&self, _keys: &[&[u8]]) {}

    /// Visits the records with `from <= key < to` in ascending byte order (`to` empty: to the end).
    ///
    /// # Errors
    /// Damage or a failed device.
    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError>;

    /// The first record at or after `from` and before `to` (`to` empty: to the end).
    ///
    /// # Errors
    /// As [`Reader::visit`].
    fn first(&self, from: &[u8], to: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, EngineError> {
        let mut found = None;
        self.visit(from, to, &mut |key, value| {
            found = Some((key.to_vec(), value.clone()));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

/// A frozen state at one applied index. May be sent to another thread and may live long.
///
/// Must: never show a write made after it was taken; cost O(1) to take; several may live at once;
/// dropping one must not pause the engine's thread for more than 1 ms.
pub trait View: Reader + Send {
    /// The index of the last entry whose batch is in the view.
    fn applied(&self) -> u64;
}

/// What an engine tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Records of all spaces.
    pub records: u64,
    /// Bytes of keys and values, without the engine's own overhead.
    pub payload_bytes: u64,
    /// An estimate of the resident bytes, overhead included; what `--max-memory` is compared with.
    pub memory_bytes: u64,
    /// Views that are alive.
    pub views: u64,
    /// Nodes or files that wait to be reclaimed in [`Engine::maintain`].
    pub reclaimable: u64,
}

/// An ordered map of bytes with atomic batches.
///
/// Puts and deletes take effect for [`Reader`] calls on the engine itself at once (a command sees
/// what an earlier command of the same entry wrote); [`Engine::write`] ends the batch.
///
/// Must: after a crash, show a whole number of batches, and the applied index of the last of them;
/// never show a view a half batch (a view is taken only between batches; the engine asserts it).
pub trait Engine: Reader + Send {
    /// Sets `key` to `value` in the open batch.
    ///
    /// # Errors
    /// The device failed; the replica must stop.
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError>;
    /// As [`Engine::put`], of a value that the caller keeps: for small ones. An engine that holds values in
    /// memory may write it over the old one, which costs neither the allocator nor cold cache lines.
    ///
    /// # Errors
    /// As [`Engine::put`].
    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.put(key, Bytes::copy_from_slice(value))
    }
    /// Removes `key` in the open batch; removing what is not there is no error.
    ///
    /// # Errors
    /// The device failed; the replica must stop.
    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError>;
    /// Ends the open batch as one atomic step that carries `applied`.
    ///
    /// Must: panic when `applied` is not above the last one (an entry applied twice is a defect).
    ///
    /// # Errors
    /// The device failed; the replica must stop.
    fn write(&mut self, applied: u64) -> Result<(), EngineError>;
    /// The index of the last batch written (0 in a fresh engine).
    fn applied(&self) -> u64;
    /// The applied index that would be found after a crash now: what the log may be cut to.
    /// A memory engine says 0; its durability comes from snapshots.
    fn durable_applied(&self) -> u64;
    /// Takes a frozen view, O(1).
    fn view(&self) -> Box<dyn View>;
    /// Throws everything away and starts a batchless, empty state whose applied index is 0: the
    /// first step of installing a snapshot. O(1); the old state is reclaimed by [`Engine::maintain`].
    fn reset(&mut self);
    /// Does up to `budget` small steps of reclaiming; true when more is left.
    fn maintain(&mut self, budget: usize) -> bool;
    /// Figures for INFO and /metrics.
    fn stats(&self) -> EngineStats;
}

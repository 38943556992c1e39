//! From a stream to a keyspace.

use bytes::Bytes;
use quorate_api::limits::{COMMAND_BYTES_MAX, KEY_BYTES_MAX};
use quorate_engine::{Engine, EngineError};

use super::{END, MAGIC, RECORD, RestoreError};
use crate::codec::Decoder;
use crate::keyspace::Keyspace;
use crate::once::REPLY_BYTES_MAX;
use crate::space::{EXPIRY, SYSTEM};

/// Bytes that are put into one batch of the engine.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The longest record key: a user key behind the longest prefix, with room for elements of it.
const RECORD_KEY_BYTES_MAX: usize = 2 * KEY_BYTES_MAX;
/// The longest record value: above that of any value or stored reply.
const RECORD_VALUE_BYTES_MAX: usize = COMMAND_BYTES_MAX;

const _: () = assert!(REPLY_BYTES_MAX + 64 < RECORD_VALUE_BYTES_MAX);

/// What comes next in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expecting {
    Header,
    Record,
    Nothing,
}

/// A restore under way: fed with the stream in pieces of any size, ends as a [`Keyspace`].
pub struct Restore {
    engine: Box<dyn Engine>,
    expecting: Expecting,
    /// The start of what could not be decoded yet, for lack of its end.
    pending: Vec<u8>,
    applied: u64,
    records: u64,
    last_key: Vec<u8>,
    batch_bytes: usize,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Restore");
        debug.field("applied", &self.applied).field("records", &self.records);
        debug.finish_non_exhaustive()
    }
}

impl Restore {
    /// Starts a restore into `engine`, which is emptied. It must be a fresh one beside the old state:
    /// until [`Restore::finish`] it holds half a state.
    pub fn new(mut engine: Box<dyn Engine>) -> Self {
        engine.reset();
        Self {
            engine,
            expecting: Expecting::Header,
            pending: Vec::new(),
            applied: 0,
            records: 0,
            last_key: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// The stream is malformed, or the engine failed: the restore is over.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        if self.pending.is_empty() {
            let taken = self.take(piece)?;
            self.pending.extend_from_slice(piece.get(taken..).unwrap_or_default());
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(piece);
        let taken = self.take(&pending)?;
        pending.drain(..taken);
        self.pending = pending;
        Ok(())
    }

    /// Takes as much of `bytes` as is whole; how much that was.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, RestoreError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut decoder = Decoder::new(rest);
            let taken = match self.expecting {
                Expecting::Header => self.take_header(&mut decoder)?,
                Expecting::Record => self.take_record(&mut decoder)?,
                Expecting::Nothing => return Err(RestoreError::Malformed("bytes behind its end")),
            };
            if taken.is_none() {
                break;
            }
            rest = decoder.rest();
        }
        Ok(bytes.len() - rest.len())
    }

    fn take_header(&mut self, decoder: &mut Decoder<'_>) -> Result<Option<()>, RestoreError> {
        let (Some(magic), Some(applied)) = (decoder.take(MAGIC.len()), decoder.u64()) else {
            return Ok(None);
        };
        if magic != MAGIC {
            return Err(RestoreError::Malformed("it is none, or of another version"));
        }
        self.applied = applied;
        self.expecting = Expecting::Record;
        Ok(Some(()))
    }

    fn take_record(&mut self, decoder: &mut Decoder<'_>) -> Result<Option<()>, RestoreError> {
        match decoder.u8() {
            Some(RECORD) => {}
            Some(END) => return self.take_end(decoder),
            Some(_) => return Err(RestoreError::Malformed("an unknown mark")),
            None => return Ok(None),
        }
        let (Some(key_bytes), Some(value_bytes)) = (decoder.u32(), decoder.u32()) else {
            return Ok(None);
        };
        let length = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (key_bytes, value_bytes) = (length(key_bytes), length(value_bytes));
        if key_bytes > RECORD_KEY_BYTES_MAX || value_bytes > RECORD_VALUE_BYTES_MAX {
            return Err(RestoreError::Malformed("a record beyond the limits"));
        }
        let (Some(key), Some(value)) = (decoder.take(key_bytes), decoder.take(value_bytes)) else {
            return Ok(None);
        };
        if !key.first().is_some_and(|space| (SYSTEM..=EXPIRY).contains(space)) {
            return Err(RestoreError::Malformed("a record of no known space"));
        }
        if self.records > 0 && key <= self.last_key.as_slice() {
            return Err(RestoreError::Malformed("records out of order"));
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.records += 1;
        self.engine.put(key, Bytes::copy_from_slice(value))?;
        self.batch_bytes += key_bytes + value_bytes;
        // Batches keep the engine's memory bounded. They need indexes below the snapshot's own: where
        // there are too few of them, the last batch is larger.
        let index = self.engine.applied() + 1;
        if self.batch_bytes >= BATCH_BYTES && index < self.applied {
            self.batch_bytes = 0;
            self.engine.write(index)?;
            self.work()?;
        }
        Ok(Some(()))
    }

    fn take_end(&mut self, decoder: &mut Decoder<'_>) -> Result<Option<()>, RestoreError> {
        let Some(records) = decoder.u64() else { return Ok(None) };
        if records != self.records {
            return Err(RestoreError::Malformed("another number of records than it says"));
        }
        self.expecting = Expecting::Nothing;
        Ok(Some(()))
    }

    /// A restore runs where it may wait for the device: the engine's work is done on the spot.
    fn work(&mut self) -> Result<(), RestoreError> {
        while let Some(work) = self.engine.take_work() {
            work.run();
            self.engine.settle()?;
        }
        if self.engine.stats().disk_full {
            return Err(EngineError::Io(std::io::ErrorKind::StorageFull.into()).into());
        }
        Ok(())
    }

    /// Ends the restore. Opening the keyspace checks that the system records are there and are of the
    /// index that the snapshot says.
    ///
    /// # Errors
    /// The stream was not whole, was not a keyspace's, or the engine failed.
    pub fn finish(mut self) -> Result<Keyspace, RestoreError> {
        if self.expecting != Expecting::Nothing {
            return Err(RestoreError::Malformed("it ends early"));
        }
        if self.applied == 0 || self.records == 0 {
            return Err(RestoreError::Malformed("it holds no entry"));
        }
        self.engine.write(self.applied)?;
        self.work()?;
        Ok(Keyspace::open(self.engine)?)
    }
}

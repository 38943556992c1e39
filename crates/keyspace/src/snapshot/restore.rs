//! From a stream to a keyspace.

use bytes::Bytes;
use quorate_engine::{Engine, EngineError};

use super::{RestoreError, StreamReader, StreamRecord};
use crate::keyspace::Keyspace;

/// Bytes that are put into one batch of the engine.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Small steps of reclaiming at a time.
const MAINTAINED: usize = 100_000;

/// A restore under way: fed with the stream in pieces of any size, ends as a [`Keyspace`].
pub struct Restore {
    stream: StreamReader,
    filling: Filling,
}

/// The engine that is filled.
struct Filling {
    engine: Box<dyn Engine>,
    batch_bytes: usize,
}

impl std::fmt::Debug for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Restore {
    /// Starts a restore into `engine`, which is emptied. It must be a fresh one beside the old state:
    /// until [`Restore::finish`] it holds half a state.
    pub fn new(mut engine: Box<dyn Engine>) -> Self {
        engine.reset();
        Self { stream: StreamReader::default(), filling: Filling { engine, batch_bytes: 0 } }
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// The stream is malformed, or the engine failed: the restore is over.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        let filling = &mut self.filling;
        self.stream.feed(piece, &mut |record| filling.put(record))
    }

    /// Ends the restore. Opening the keyspace checks that the system records are there and are of the
    /// index that the snapshot says.
    ///
    /// # Errors
    /// The stream was not whole, was not a keyspace's, or the engine failed.
    pub fn finish(self) -> Result<Keyspace, RestoreError> {
        self.stream.finish()?;
        let mut filling = self.filling;
        filling.engine.write(self.stream.applied())?;
        filling.work()?;
        Ok(Keyspace::open(filling.engine)?)
    }
}

impl Filling {
    fn put(&mut self, record: StreamRecord<'_>) -> Result<(), RestoreError> {
        self.engine.put(record.key, Bytes::copy_from_slice(record.value))?;
        self.batch_bytes += record.key.len() + record.value.len();
        // Batches keep the engine's memory bounded. They need indexes below the snapshot's own: where
        // there are too few of them, the last batch is larger.
        let index = self.engine.applied() + 1;
        if self.batch_bytes >= BATCH_BYTES && index < record.applied {
            self.batch_bytes = 0;
            self.engine.write(index)?;
            self.work()?;
        }
        Ok(())
    }

    /// A restore runs where it may wait for the device: the engine's work is done on the spot.
    fn work(&mut self) -> Result<(), RestoreError> {
        while let Some(work) = self.engine.take_work() {
            work.run();
            self.engine.settle()?;
        }
        // Nobody else takes apart what a flush has left behind: it would stay until the end.
        while self.engine.maintain(MAINTAINED) {}
        if self.engine.stats().disk_full {
            return Err(EngineError::Io(std::io::ErrorKind::StorageFull.into()).into());
        }
        Ok(())
    }
}

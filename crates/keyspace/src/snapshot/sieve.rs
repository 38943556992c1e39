//! A stream taken apart: what the replica knows besides the keys, and the keys.
//!
//! The records of the replica itself come first in a stream, and what is left of it is by far the most. So
//! they are collected into a small keyspace, in memory, and everything behind them passes by: a stream of
//! any length can be judged, or go into another cluster, in memory that does not grow with it. (What the
//! idempotency table may hold is the largest part: [`crate::once::ONCE_BYTES_MAX`].)

use bytes::Bytes;
use quorate_engine::{Engine as _, MemoryEngine};

use super::{RestoreError, StreamReader};
use crate::keyspace::Keyspace;
use crate::space::SYSTEM;

/// What a sieve lets through.
#[derive(Debug)]
pub enum Sifted<'a> {
    /// The replica's own records, as a keyspace without keys: once, before any other.
    System(Box<Keyspace>),
    /// A record behind them.
    Record(&'a [u8], &'a [u8]),
}

/// Receives what a sieve lets through.
pub type TakeSifted<'a> = &'a mut dyn FnMut(Sifted<'_>) -> Result<(), RestoreError>;

/// See the module.
#[derive(Debug, Default)]
pub struct Sieve {
    stream: StreamReader,
    collected: Collected,
}

/// `None`: given away.
#[derive(Debug)]
struct Collected(Option<MemoryEngine>);

impl Default for Collected {
    fn default() -> Self {
        Self(Some(MemoryEngine::new()))
    }
}

impl Collected {
    /// Gives the keyspace to `take`, unless it has it.
    fn give(&mut self, applied: u64, take: TakeSifted<'_>) -> Result<(), RestoreError> {
        let Some(mut engine) = self.0.take() else { return Ok(()) };
        if applied == 0 {
            return Err(RestoreError::Malformed("it holds no entry"));
        }
        engine.write(applied)?;
        take(Sifted::System(Box::new(Keyspace::open(Box::new(engine))?)))
    }
}

impl Sieve {
    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// The stream is malformed or no keyspace's, or what `take` said: it is over.
    pub fn feed(&mut self, piece: &[u8], take: TakeSifted<'_>) -> Result<(), RestoreError> {
        let collected = &mut self.collected;
        self.stream.feed(piece, &mut |record| match &mut collected.0 {
            Some(engine) if record.key.first() == Some(&SYSTEM) => {
                Ok(engine.put(record.key, Bytes::copy_from_slice(record.value))?)
            }
            _ => {
                collected.give(record.applied, take)?;
                take(Sifted::Record(record.key, record.value))
            }
        })
    }

    /// Says that there is no more; how many records there were.
    ///
    /// # Errors
    /// The stream was not whole, or no keyspace's, or what `take` said.
    pub fn finish(mut self, take: TakeSifted<'_>) -> Result<u64, RestoreError> {
        self.stream.finish()?;
        self.collected.give(self.stream.applied(), take)?;
        Ok(self.stream.records())
    }
}

//! Snapshots: a frozen view as a stream of bytes, and back.
//!
//! ```text
//! "QUORKS01" [applied index u64]
//! [01][key length u32][value length u32][key][value]     every record, in byte order of keys
//! [00][records u64]                                      the end
//! ```
//!
//! Equal states give equal bytes. Chunks, checksums and files are the business of those who carry the
//! stream; what is checked here is that it is whole and that it is a keyspace's state.

mod export;
mod restore;
mod sieve;
mod stream;

use quorate_engine::EngineError;

pub use export::{Export, Exported, export};
pub use restore::Restore;
pub use sieve::{Sieve, Sifted, TakeSifted};
pub use stream::{StreamReader, StreamRecord, StreamWriter, TakeRecord};

/// What a stream starts with; its last two characters are the version.
const MAGIC: [u8; 8] = *b"QUORKS01";
const RECORD: u8 = 1;
const END: u8 = 0;

/// Why a stream can't become a keyspace. What was restored so far is to be thrown away.
#[derive(Debug)]
pub enum RestoreError {
    /// The stream is not one that [`export()`] wrote, or not all of it.
    Malformed(&'static str),
    /// The engine failed, or did not find a keyspace's state in the end.
    Engine(EngineError),
}

impl std::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed snapshot: {what}"),
            Self::Engine(error) => write!(f, "restore snapshot: {error}"),
        }
    }
}

impl std::error::Error for RestoreError {}

impl From<EngineError> for RestoreError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

#[cfg(test)]
mod tests;

//! The cellar: an ordered map of bytes that survives a crash.
//!
//! An engine knows nothing of keys, types or time. It stores records, finds them in byte order, and
//! gives frozen views. The Raft log is the write-ahead log: an engine never syncs on the hot path,
//! it carries the applied index in the same atomic batch and reports what of it is durable.

pub mod attended;
pub mod cellar;
pub mod disk;
pub mod engine;
pub mod memory;
pub mod mirror;
pub mod point;
pub mod scratch;
pub mod suite;
pub mod work;

pub use attended::Attended;
pub use cellar::{Cellar, EngineKind, MemoryCellar};
pub use disk::{DiskCellar, DiskOptions};
pub use engine::{Engine, EngineError, EngineStats, Found, Reader, Replaced, View};
pub use memory::{MemoryEngine, Reclaim};
pub use mirror::MirrorEngine;
pub use scratch::Scratch;
pub use work::{Fetch, Fetched, Need, Work, WorkKind};

//! Where a node's engines come from: the one choice between keeping data in memory and on disk.

use std::fmt;
use std::path::Path;

use crate::engine::{Engine, EngineError};
use crate::memory::MemoryEngine;

/// The kinds of engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// Everything in memory; durable through log and snapshots.
    #[default]
    Memory,
    /// On disk, with recent and frequent records in memory.
    Disk,
}

impl EngineKind {
    /// What it is called in settings and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "disk" => Ok(Self::Disk),
            other => Err(format!("{other:?} is no engine; it is \"memory\" or \"disk\"")),
        }
    }
}

/// Makes the engines of one kind, below a directory that it has to itself.
pub trait Cellar: fmt::Debug + Send + Sync {
    /// The kind; a data directory keeps the one it was made with.
    fn kind(&self) -> EngineKind;

    /// The newest state in `dir` that was sealed; `None` when there is none, or when engines of this kind
    /// don't survive a restart. What else lies there is removed.
    ///
    /// # Errors
    /// The device failed, or what it says is wrong.
    fn open(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError>;

    /// A hint that `dir` is opened next, and that the caller has something else to do until then: where that takes long, it
    /// may begin elsewhere. Who has given it opens `dir`, or drops what that gives.
    fn open_ahead(&self, _dir: &Path) {}

    /// As [`Cellar::open`], and changes nothing in `dir`: what is written to the engine is lost with it.
    ///
    /// # Errors
    /// As [`Cellar::open`]; also when `dir` does not exist.
    fn look(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError>;

    /// A fresh, empty engine, beside those that exist. It is found by [`Cellar::open`] once it is sealed.
    ///
    /// # Errors
    /// The device failed.
    fn fresh(&self, dir: &Path) -> Result<Box<dyn Engine>, EngineError>;

    /// Removes everything in `dir`.
    ///
    /// # Errors
    /// The device failed.
    fn clear(&self, dir: &Path) -> Result<(), EngineError>;
}

/// Makes [`MemoryEngine`]s, which touch no directory.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryCellar;

impl Cellar for MemoryCellar {
    fn kind(&self) -> EngineKind {
        EngineKind::Memory
    }

    fn open(&self, _dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        Ok(None)
    }

    fn look(&self, _dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        Ok(None)
    }

    fn fresh(&self, _dir: &Path) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(MemoryEngine::new()))
    }

    fn clear(&self, _dir: &Path) -> Result<(), EngineError> {
        Ok(())
    }
}

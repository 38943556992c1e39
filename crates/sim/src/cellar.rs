//! A cellar on simulated disks, in the disk engine's place: the engine's own tree has files which the gym can't tear.
//!
//! What the *node* does with an engine that waits for its disk is the same: cold keys, work on lanes, states that are
//! flushed, sealed, lost, damaged, sent and installed. So is what lies on the disk, in smaller: a state in blocks with
//! a checksum each, a mark that says that it is whole, and a note of damage that was met, which ends at the next
//! start. What a running node reads of it, for cold keys and before a flush, is checked; what is damaged is said.

mod engine;
mod state;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate_engine::{Cellar, Engine, EngineError, EngineKind, MemoryEngine};
use quorate_env::Disk;

use self::engine::WaitingEngine;
use self::state::State;

/// Which nodes keep their data on disk, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engines {
    /// None.
    #[default]
    Memory,
    /// Those whose number is odd, or those whose number is even.
    Mixed {
        /// The odd ones.
        odd: bool,
    },
    /// All.
    Disk,
}

impl Engines {
    /// What the node of this number has.
    pub fn of(self, number: u64) -> EngineKind {
        let disk = match self {
            Self::Memory => false,
            Self::Mixed { odd } => odd == (number % 2 == 1),
            Self::Disk => true,
        };
        if disk { EngineKind::Disk } else { EngineKind::Memory }
    }
}

/// Makes engines whose states are files of a simulated disk.
pub struct WaitingCellar {
    disk: Arc<dyn Disk>,
    /// The highest number that was given to a state.
    last: AtomicU64,
}

impl fmt::Debug for WaitingCellar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitingCellar")
    }
}

impl WaitingCellar {
    /// One on this disk.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, last: AtomicU64::new(0) }
    }

    /// Every whole state, the newest first.
    fn whole(&self, dir: &Path) -> Result<Vec<(State, MemoryEngine)>, EngineError> {
        let found = self.read_whole(dir);
        if matches!(found, Err(EngineError::Damage(_))) {
            tracing::info!("the engine has met damage at its start");
        }
        found
    }

    fn read_whole(&self, dir: &Path) -> Result<Vec<(State, MemoryEngine)>, EngineError> {
        state::check_damage(&*self.disk, dir)?;
        let mut whole = Vec::new();
        for number in state::census(&*self.disk, dir)?.whole {
            let mut state = State::new(&self.disk, dir, number);
            let content = state.read()?;
            whole.push((state, content));
        }
        whole.sort_by_key(|(_, content)| std::cmp::Reverse(content.applied()));
        Ok(whole)
    }
}

fn engine((state, content): (State, MemoryEngine)) -> Box<dyn Engine> {
    Box::new(WaitingEngine::sealed(state, content))
}

impl Cellar for WaitingCellar {
    fn kind(&self) -> EngineKind {
        EngineKind::Disk
    }

    fn open(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        self.disk.create_dir_all(dir)?;
        let mut whole = self.whole(dir)?.into_iter();
        let newest = whole.next();
        for (older, _) in whole {
            older.remove()?;
        }
        let census = state::census(&*self.disk, dir)?;
        for number in census.all.iter().filter(|number| !census.whole.contains(number)) {
            State::new(&self.disk, dir, *number).remove()?;
        }
        for file in census.temporary {
            self.disk.remove(&dir.join(file))?;
        }
        Ok(newest.map(engine))
    }

    fn look(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        Ok(self.whole(dir)?.into_iter().next().map(engine))
    }

    fn fresh(&self, dir: &Path) -> Result<Box<dyn Engine>, EngineError> {
        self.disk.create_dir_all(dir)?;
        let census = state::census(&*self.disk, dir)?;
        let there = census.all.iter().chain(&census.whole).max().copied().unwrap_or(0);
        let number = self.last.fetch_max(there, Ordering::Relaxed).max(there) + 1;
        self.last.store(number, Ordering::Relaxed);
        Ok(Box::new(WaitingEngine::fresh(State::new(&self.disk, dir, number))))
    }

    fn clear(&self, dir: &Path) -> Result<(), EngineError> {
        for file in self.disk.list(dir)? {
            self.disk.remove(&dir.join(file))?;
        }
        Ok(self.disk.sync_dir(dir)?)
    }
}

//! Makes disk engines below one directory, and finds the newest whole state there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use lsm_tree::Cache;

use super::base::Base;
use super::home::{self, Census, Home};
use super::{DiskEngine, damage};
use crate::cellar::{Cellar, EngineKind};
use crate::engine::{Engine, EngineError};

/// What a disk engine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Memory for records and blocks that were read or written lately, and for what is known of keys without
    /// their records.
    pub cache_bytes: u64,
    /// What is not durable is flushed when it is larger than this.
    pub flush_bytes: u64,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self::with_cache(256 * 1024 * 1024)
    }
}

/// Overlays need not be larger than this: with twice as much, and half as many runs that are merged, a load writes 4 % less,
/// and a start has twice as much to replay (5M keys: the first read after 1.31 s instead of 0.87 s).
const FLUSH_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// With smaller ones there is more rewriting than there is memory saved.
const FLUSH_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// Below this, there are more files than anybody wants.
const TABLE_BYTES_MIN: u64 = 1024 * 1024;
const HELD_BYTES_MIN: u64 = 1024 * 1024;

impl DiskOptions {
    /// With so much memory for caches, and overlays in proportion: three at most, of twice their records' size
    /// in memory.
    #[must_use]
    pub fn with_cache(cache_bytes: u64) -> Self {
        let flush_bytes = (cache_bytes / 8).clamp(FLUSH_BYTES_MIN, FLUSH_BYTES_MAX);
        Self { cache_bytes, flush_bytes }
    }

    /// A table is synced in one go, so it should not be much larger than what a flush writes. The first level is as
    /// large as so many tables as runs are merged into it, and the larger it is, the less often the next one is
    /// rewritten: with 64 MiB, a load of 5M keys takes a quarter less of compaction than with 32.
    pub(super) fn table_bytes(self) -> u64 {
        (4 * self.flush_bytes).max(TABLE_BYTES_MIN)
    }

    /// So much may be read ahead for one batch: an entry may name thousands of large values. What it needs beyond that
    /// waits for the device where it is asked for.
    pub(super) fn held_bytes_max(self) -> u64 {
        (4 * self.flush_bytes).max(HELD_BYTES_MIN)
    }

    /// The records' share of the cache: a half.
    pub(super) fn record_cache_bytes(self) -> u64 {
        self.cache_bytes / 2
    }

    /// The share of what is known of keys without their records, a quarter.
    pub(super) fn marks_bytes(self) -> u64 {
        self.cache_bytes / 4
    }

    /// The share of the filters of all levels but the first, a sixteenth: for about as many keys.
    pub(super) fn filter_bytes(self) -> u64 {
        self.cache_bytes / 16
    }

    /// The blocks have the rest: behind them stands the page cache.
    fn block_cache_bytes(self) -> u64 {
        self.cache_bytes - self.record_cache_bytes() - self.marks_bytes() - self.filter_bytes()
    }
}

/// What opening a directory has come to.
type Opened = Result<Option<DiskEngine>, EngineError>;

/// Makes disk engines.
pub struct DiskCellar {
    options: DiskOptions,
    blocks: Arc<Cache>,
    /// The directory that is being opened ahead of time.
    ahead: Mutex<Option<(PathBuf, JoinHandle<Opened>)>>,
}

impl fmt::Debug for DiskCellar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskCellar({:?})", self.options)
    }
}

impl DiskCellar {
    /// Engines that share one block cache.
    #[must_use]
    pub fn new(options: DiskOptions) -> Self {
        let blocks = Arc::new(Cache::with_capacity_bytes(options.block_cache_bytes()));
        Self { options, blocks, ahead: Mutex::default() }
    }

    pub(super) fn opener(&self) -> Opener {
        Opener { options: self.options, blocks: Arc::clone(&self.blocks) }
    }

    fn take_ahead(&self) -> Option<(PathBuf, JoinHandle<Opened>)> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Opens states; on whichever thread.
pub(super) struct Opener {
    options: DiskOptions,
    blocks: Arc<Cache>,
}

impl Opener {
    pub(super) fn open_at(&self, home: Home) -> Result<DiskEngine, EngineError> {
        let (base, meta) = Base::open(home, &self.blocks, self.options.filter_bytes())?;
        Ok(DiskEngine::new(base, meta, self.options))
    }

    /// The newest whole state in `dir`; what else lies there is removed.
    fn open(&self, dir: &Path) -> Opened {
        home::check_damage(dir)?;
        let census = Census::take(dir)?;
        let newest = self.newest(&census, &|number| Home::of_whole(dir, number))?;
        for number in census.all.iter().filter(|number| !census.whole.contains(number)) {
            Home::new(dir, *number).remove()?;
        }
        Ok(newest)
    }

    /// The newest of the whole states; the others are removed when they are dropped.
    fn newest(
        &self,
        census: &Census,
        home: &dyn Fn(u64) -> Result<Home, EngineError>,
    ) -> Result<Option<DiskEngine>, EngineError> {
        let mut newest: Option<DiskEngine> = None;
        for number in &census.whole {
            if !census.all.contains(number) {
                return Err(damage("the files of a whole state are gone"));
            }
            let mut engine = self.open_at(home(*number)?)?;
            if let Some(other) = &mut newest {
                // A crash between the arrival of a state and the end of the one before: both are
                // committed, so the one that has seen more is right.
                if other.applied() >= engine.applied() {
                    engine.retire();
                    continue;
                }
                other.retire();
            }
            newest = Some(engine);
        }
        Ok(newest)
    }
}

impl Cellar for DiskCellar {
    fn kind(&self) -> EngineKind {
        EngineKind::Disk
    }

    fn open(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        let opened = match self.take_ahead() {
            Some((begun, thread)) => {
                let opened = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                if begun == dir { opened } else { self.opener().open(dir) }
            }
            None => self.opener().open(dir),
        };
        Ok(opened?.map(|engine| Box::new(engine) as Box<dyn Engine>))
    }

    fn open_ahead(&self, dir: &Path) {
        let (opener, begun) = (self.opener(), dir.to_owned());
        let thread = std::thread::Builder::new().name("engine-open".to_owned());
        // Where there can be no thread, it is opened when it is asked for.
        if let Ok(thread) = thread.spawn(move || opener.open(&begun)) {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            *ahead = Some((dir.to_owned(), thread));
        }
    }

    fn look(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        home::check_damage(dir)?;
        let census = Census::look(dir)?;
        let newest = self.opener().newest(&census, &|number| Home::shadow(dir, number))?;
        Ok(newest.map(|engine| Box::new(engine) as Box<dyn Engine>))
    }

    fn fresh(&self, dir: &Path) -> Result<Box<dyn Engine>, EngineError> {
        let number = Census::take(dir)?.next();
        Ok(Box::new(self.opener().open_at(Home::new(dir, number))?))
    }

    fn clear(&self, dir: &Path) -> Result<(), EngineError> {
        Ok(home::clear(dir)?)
    }
}

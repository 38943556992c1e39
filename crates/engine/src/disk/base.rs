//! The tree on disk: `lsm-tree`, used for sorted bulk flushes, reads and compaction.
//!
//! Its memtable stays empty and it has no journal: what is not flushed is in the overlay in memory and in
//! the Raft log. A flush writes sorted tables beside the others, syncs them, and then one small file that
//! names them (see `decisions/0010`), so it takes effect as a whole or not at all, applied index included.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::{
    BlockSizePolicy, BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry, PinningPolicy,
};
use lsm_tree::{
    AbstractTree, AnyTree, Cache, CompressionType, Config, DescriptorTable, KvSeparationOptions,
    SeqNo, SequenceNumberCounter, UserValue,
};

use super::home::Home;
use super::pin::Pin;
use super::tables::Tables;
use super::wire::{self, META, Meta};
use super::{GONE, damage, is_gone};
use crate::engine::{EngineError, Found, View};
use crate::point::{self, Moment};

/// Values this long lie outside of the tree's tables, so that compaction does not rewrite them.
const SEPARATED_BYTES: u32 = 1024;
/// Open files.
const FILES_MAX: usize = 512;
/// So many runs are merged into the first level, which they are as large as: with half as many it is
/// rewritten twice as often.
const RUNS_MERGED: u8 = 16;
/// More sorted runs than this, and flushes wait for compaction.
pub(super) const RUNS_MAX: u64 = 32;

/// Of which levels filters and indexes are in memory, whatever the cache lets go of; the last goes for all below. Every
/// lookup asks the filters of the first two. These are as large as [`RUNS_MAX`] flushes and [`RUNS_MERGED`] tables, so
/// this is 2 % of some GiB, more with small values, and the filters once more (see [`super::filter`]). (The tree goes by
/// where a table is when it writes it, and by a level's number when it opens one: there the second one has another, and its
/// indexes come into the cache as they are used.)
const PINNED: [bool; 3] = [true, true, false];

/// Bits of the filters for each record. A new key is known to be new without the device when all of the first level's
/// filters say so, of which there are dozens, so these are wrong once in 2000 times. The tree takes the second one for
/// what is ingested, as all flushes are, and the last one for what compaction writes: there are few levels of it, each of
/// which is wrong once in 120 times.
const FILTER_BITS: [f32; 3] = [16.0, 16.0, 10.0];

/// The tree of one state.
pub(super) struct Base {
    /// `None` for a moment while it is opened again, and after that has failed.
    tree: RwLock<Option<AnyTree>>,
    /// Its tables, as of the last change; `None`: it was never opened.
    tables: RwLock<Option<Arc<Tables>>>,
    /// Those of before, as long as somebody may look into them: whoever drops the last removes files, which is for the
    /// thread that makes new ones.
    replaced: Mutex<Vec<Arc<Tables>>>,
    seqno: SequenceNumberCounter,
    visible: SequenceNumberCounter,
    cache: Arc<Cache>,
    /// For the filters of all levels but the first.
    filter_bytes_max: u64,
    /// States that views look at, and how many views: compaction keeps what they need.
    pins: Mutex<BTreeMap<SeqNo, usize>>,
    /// For which works tests have the disk full.
    #[cfg(test)]
    pub(super) no_room_for: Mutex<Vec<crate::work::WorkKind>>,
    // Declared last: the files are removed behind the tree that has them open.
    home: Home,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Base({})", self.home.path().display())
    }
}

/// Runs what calls into the tree. It may panic on wrong bytes: that is damage, too.
fn guarded<T>(call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no text");
        Err(EngineError::Damage(format!("the tree gave up: {what}")))
    })
}

/// What an error of the tree means to a replica.
pub(super) fn told(error: lsm_tree::Error) -> EngineError {
    use std::io::ErrorKind;
    match error {
        // A file that ends early, or is not there, was whole once: the tree syncs before it names one. A place that
        // no file can have was written down right once, too.
        lsm_tree::Error::Io(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::NotFound
                    | ErrorKind::InvalidData
                    | ErrorKind::InvalidInput
            ) =>
        {
            EngineError::Damage(error.to_string())
        }
        lsm_tree::Error::Io(error) => EngineError::Io(error),
        other => EngineError::Damage(other.to_string()),
    }
}

impl Base {
    /// Opens the tree at `home`, or makes an empty one, and says what it holds.
    pub(super) fn open(
        home: Home,
        cache: &Arc<Cache>,
        filter_bytes_max: u64,
    ) -> Result<(Self, Meta), EngineError> {
        let mut base = Self {
            tree: RwLock::new(None),
            tables: RwLock::default(),
            replaced: Mutex::default(),
            seqno: SequenceNumberCounter::new(1),
            visible: SequenceNumberCounter::new(1),
            cache: Arc::clone(cache),
            filter_bytes_max,
            pins: Mutex::default(),
            #[cfg(test)]
            no_room_for: Mutex::default(),
            home,
        };
        base.home.keep_until_later();
        let (tree, meta) = base.open_tree()?;
        base.renew_tables(&tree);
        *base.tree.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(tree);
        Ok((base, meta))
    }

    fn open_tree(&self) -> Result<(AnyTree, Meta), EngineError> {
        let path = self.home.path();
        guarded(|| {
            check_manifest(&path)?;
            let config = Config::new(&path, self.seqno.clone(), self.visible.clone())
                .use_cache(Arc::clone(&self.cache))
                .use_descriptor_table(Some(Arc::new(DescriptorTable::new(FILES_MAX))))
                .filter_block_pinning_policy(PinningPolicy::new(PINNED))
                .index_block_pinning_policy(PinningPolicy::new(PINNED))
                .data_block_size_policy(BlockSizePolicy::all(4096))
                .filter_policy(FilterPolicy::new(FILTER_BITS.map(|bits| {
                    FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(bits))
                })))
                .with_kv_separation(Some(
                    KvSeparationOptions::default()
                        .separation_threshold(SEPARATED_BYTES)
                        .compression(CompressionType::None),
                ));
            let tree = config.open().map_err(told)?;
            let next = tree.get_highest_persisted_seqno().map_or(1, |highest| highest + 1);
            self.seqno.fetch_max(next);
            self.visible.fetch_max(next);
            let meta = tree.get(META, SeqNo::MAX).map_err(told)?;
            let meta = meta.map(|meta| Meta::decode(&meta)).transpose()?;
            if meta.is_none() && tree.table_count() > 0 {
                return Err(damage("tables without a meta record"));
            }
            Ok((tree, meta.unwrap_or_default()))
        })
    }

    /// Closes the tree and opens it again, which removes what a flush or a compaction has left half
    /// written. False, and nothing is done, while somebody looks at what it was. Not while a work is under way.
    pub(super) fn reopen(&self) -> Result<bool, EngineError> {
        // Order matters: whoever comes meanwhile waits at this lock, and finds the tree open.
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        // What is on no list of the tree any more is removed, though somebody may look into it still.
        if !self.pins().is_empty() || !self.is_alone_with_its_tables() {
            return Ok(false);
        }
        *tree = None;
        self.home.let_go()?;
        // Whoever looks into its tables meanwhile may: these are the same files.
        let opened = self.open_tree()?.0;
        self.renew_tables(&opened);
        *tree = Some(opened);
        Ok(true)
    }

    /// A fresh tree beside this one.
    pub(super) fn successor(&self) -> Result<Self, EngineError> {
        Ok(Self::open(self.home.successor()?, &self.cache, self.filter_bytes_max)?.0)
    }

    /// Its place on the disk.
    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    fn pins(&self) -> MutexGuard<'_, BTreeMap<SeqNo, usize>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tree(&self) -> RwLockReadGuard<'_, Option<AnyTree>> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tables(&self) -> Option<Arc<Tables>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replaced(&self) -> MutexGuard<'_, Vec<Arc<Tables>>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when nobody looks into tables that were replaced.
    fn is_alone_with_its_tables(&self) -> bool {
        forget_unused(&mut self.replaced())
    }

    /// `tree` has changed, or was opened.
    fn renew_tables(&self, tree: &AnyTree) {
        // Order matters: the tree is asked under this lock, so that no older answer comes behind a newer one.
        let mut replaced = self.replaced();
        let before = self.tables();
        let tables = Arc::new(Tables::of(tree, before.as_deref(), self.filter_bytes_max));
        drop(before);
        let mut current = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        replaced.extend(current.replace(tables));
        drop(current);
        forget_unused(&mut replaced);
    }

    /// Does `look` where there is no need of the tree; damage that it meets is noted for the next start.
    pub(super) fn noting<T>(
        &self,
        look: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let result = guarded(look);
        if let Err(EngineError::Damage(what)) = &result {
            self.home.note_damage(what);
        }
        result
    }

    /// Does `call` with the tree; damage that it meets is noted for the next start.
    pub(super) fn with<T>(
        &self,
        call: impl FnOnce(&AnyTree) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let tree = self.tree();
        let closed = || EngineError::Io(std::io::Error::other("the tree is closed"));
        let tree = tree.as_ref().ok_or_else(closed)?;
        self.noting(|| call(tree))
    }

    /// True when nothing was ever flushed: then nothing needs to be looked for.
    pub(super) fn is_empty(&self) -> bool {
        self.visible.get() <= 1
    }

    /// The newest value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.get_in(self.tables().as_deref(), key)
    }

    /// The newest value of `key` in `tables`.
    pub(super) fn get_in(
        &self,
        tables: Option<&Tables>,
        key: &[u8],
    ) -> Result<Option<Bytes>, EngineError> {
        let Some(tables) = tables else { return Ok(None) };
        self.noting(|| {
            let found = tables.get(&wire::tree_key(key)).map_err(told)?;
            found.map(|stored| wire::value_of(key, stored.into())).transpose()
        })
    }

    /// Freezes the present state for as long as the pin lives.
    pub(super) fn pin(self: &Arc<Self>) -> Pin {
        let mut pins = self.pins();
        // Order matters: compaction reads both under this lock, so it never drops what is pinned here.
        let at = self.visible.get();
        *pins.entry(at).or_default() += 1;
        Pin::new(Arc::clone(self), at, self.tables())
    }

    /// Ends a pin of `at`.
    pub(super) fn unpin(&self, at: SeqNo) {
        let mut pins = self.pins();
        if let Some(count) = pins.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&at);
            }
        }
    }

    fn watermark(&self) -> SeqNo {
        let pins = self.pins();
        pins.keys().next().copied().unwrap_or_else(|| self.visible.get())
    }

    #[cfg(test)]
    fn find_room(&self, kind: crate::work::WorkKind) -> Result<(), EngineError> {
        let no_room_for = self.no_room_for.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || EngineError::Io(std::io::ErrorKind::StorageFull.into());
        if no_room_for.contains(&kind) { Err(full()) } else { Ok(()) }
    }

    /// Adds all records of `view` (a tombstone removes) and the meta record, atomically and durably.
    pub(super) fn flush(&self, view: &dyn View, meta: Meta) -> Result<(), EngineError> {
        point::arrive("flush", Moment::Before);
        #[cfg(test)]
        self.find_room(crate::work::WorkKind::Flush)?;
        let flushed = self.with(|tree| {
            let mut ingestion = tree.ingestion().map_err(told)?;
            ingestion.write(META, meta.encode()).map_err(told)?;
            let mut failed = None;
            let mut long: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
            let mut long_head: Vec<u8> = Vec::new();
            let mut take = |key: &[u8], value: &Found<'_>| -> lsm_tree::Result<()> {
                let of_group = wire::is_long(key) && wire::same_head(&long_head, key);
                if !of_group {
                    write_long(&mut ingestion, &mut long)?;
                }
                if wire::is_long(key) {
                    let value = (!is_gone(value)).then(|| wire::long_value(key, value));
                    long_head.clear();
                    long_head.extend_from_slice(key);
                    long.push((wire::tree_key(key), value));
                    return Ok(());
                }
                if is_gone(value) {
                    ingestion.write_tombstone(wire::tree_key(key))
                } else {
                    ingestion.write(wire::tree_key(key), UserValue::from(value.to_bytes()))
                }
            };
            view.visit(&[], &[], &mut |key, value| match take(key, value) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            })?;
            if let Some(error) = failed {
                return Err(told(error));
            }
            write_long(&mut ingestion, &mut long).map_err(told)?;
            point::arrive("flush", Moment::Half);
            let finished = ingestion.finish().map_err(told);
            self.renew_tables(tree);
            finished
        });
        point::arrive("flush", Moment::After);
        flushed
    }

    /// One step of compaction; false when there was nothing to do.
    pub(super) fn compact(&self, table_bytes: u64) -> Result<bool, EngineError> {
        let watermark = self.watermark();
        point::arrive("compaction", Moment::Before);
        self.home.let_go()?;
        #[cfg(test)]
        self.find_room(crate::work::WorkKind::Compact)?;
        let compacted = self.with(|tree| {
            let before = tree.current_version().id();
            let strategy = Leveled::default()
                .with_l0_threshold(RUNS_MERGED)
                .with_table_target_size(table_bytes);
            let compacted = tree.compact(Arc::new(strategy), watermark).map_err(told);
            let changed = tree.current_version().id() != before;
            if changed {
                self.renew_tables(tree);
            }
            compacted.map(|_| changed)
        });
        point::arrive("compaction", Moment::After);
        compacted
    }

    /// Bytes of blocks and filters in memory.
    pub(super) fn cached_bytes(&self) -> u64 {
        self.cache.size() + self.tables().map_or(0, |tables| tables.filter_bytes())
    }

    /// What it weighs. Looks at the files: not for a thread that must not wait.
    pub(super) fn figures(&self) -> Figures {
        let tree = self.tree();
        let Some(tree) = tree.as_ref() else { return Figures::default() };
        Figures {
            // Separated values included.
            bytes: tree.disk_space(),
            records: tree.approximate_len() as u64,
            runs: tree.l0_run_count() as u64,
        }
    }
}

/// What a tree weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Bytes of its files.
    pub(super) bytes: u64,
    /// Records, tombstones and overwritten ones included.
    pub(super) records: u64,
    /// Sorted runs of the first level.
    pub(super) runs: u64,
}

fn write_long(
    ingestion: &mut lsm_tree::AnyIngestion<'_>,
    long: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>,
) -> lsm_tree::Result<()> {
    long.sort_unstable();
    for (key, value) in long.drain(..) {
        match value {
            Some(value) => ingestion.write(key, value)?,
            None => ingestion.write_tombstone(key)?,
        }
    }
    Ok(())
}

/// Lets go of what nobody else has; true when nothing is left.
fn forget_unused(replaced: &mut Vec<Arc<Tables>>) -> bool {
    replaced.retain(|tables| Arc::strong_count(tables) > 1);
    replaced.is_empty()
}

/// The tree does not check the file that names its tables: a flipped bit there could move a table to
/// another level, and bring back what was overwritten.
#[expect(clippy::disallowed_methods, reason = "the engine's own directory")]
fn check_manifest(path: &Path) -> Result<(), EngineError> {
    let current = match std::fs::read(path.join("current")) {
        Ok(current) => current,
        // A tree that was never flushed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let fields = current.split_first_chunk::<8>().and_then(|(id, rest)| {
        let (sum, rest) = rest.split_first_chunk::<16>()?;
        (rest == [0]).then_some((u64::from_le_bytes(*id), u128::from_le_bytes(*sum)))
    });
    let (id, sum) = fields.ok_or_else(|| damage("the tree's file `current`"))?;
    let manifest = match std::fs::read(path.join(format!("v{id}"))) {
        Ok(manifest) => manifest,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(damage("the tree's manifest is gone"));
        }
        Err(error) => return Err(error.into()),
    };
    if xxhash_rust::xxh3::xxh3_128(&manifest) != sum {
        return Err(damage("the tree's manifest"));
    }
    Ok(())
}

/// What a deleted record looks like in the overlay must never reach the tree as a value.
const _: () = assert!(GONE.len() == 1);

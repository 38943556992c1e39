//! The tables of a tree between two changes of it, and how a key or a range is looked for in them.
//!
//! The tree has lookups of its own. They take the lock that a flush or a compaction holds while it writes down which
//! tables there are, which takes five syncs: a cold read waited for half a second behind them, on a slow disk for
//! more. So the engine takes down behind each change which tables there are, and looks into these itself. Nothing that
//! writes is waited for, and whoever holds a `Tables` has a frozen state: tables never change, and their files stay as
//! long as somebody has them.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use lsm_tree::merge::{BoxedIterator, Merger};
use lsm_tree::mvcc_stream::MvccStream;
use lsm_tree::table::filter::standard_bloom::Builder;
use lsm_tree::{
    AbstractTree, AnyTree, InternalValue, SeqNo, Table, TableId, UserKey, UserValue, ValueType,
};

use super::filter::Filter;
use super::separated::Separated;

/// Filters that are asked for their first bits side by side.
const ASKED_FIRST: usize = 64;
// A bit each.
const _: () = assert!(ASKED_FIRST <= u64::BITS as usize);

/// See the file's head.
pub(super) struct Tables {
    /// The newest first.
    runs: Vec<Run>,
    /// The filters of those of the first level; `None` where a run has no single one.
    filters: Vec<Option<Filter>>,
    separated: Separated,
}

/// Tables whose keys do not overlap, by their keys.
struct Run {
    /// With filter and index in memory, where they are of the first level.
    tables: Vec<Table>,
    /// The tree's own: who drops the last of one that is no longer needed removes its file.
    _files: Vec<Table>,
}

impl Run {
    fn find(&self, key: &[u8]) -> Option<&Table> {
        let at = self.tables.partition_point(|table| &**table.metadata.key_range.max() < key);
        self.tables.get(at).filter(|table| &**table.metadata.key_range.min() <= key)
    }

    /// The tables that may hold keys from `low` to `high` (excluded).
    fn overlapping(&self, low: &[u8], high: &[u8]) -> &[Table] {
        let tables = &self.tables;
        let from = tables.partition_point(|table| &**table.metadata.key_range.max() < low);
        let to = tables.partition_point(|table| &**table.metadata.key_range.min() < high);
        tables.get(from..to).unwrap_or_default()
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tables({} runs)", self.runs.len())
    }
}

/// `table` with its filter and its index in memory. The tree leaves them to its cache where a table was ingested, as a
/// flush is, and then each lookup asked the cache once for every run: a tenth of a load.
fn pinned(table: &Table, tree: &AnyTree) -> Table {
    if table.pinned_filter_block.is_some() {
        return table.clone();
    }
    let path = table.path.to_path_buf();
    let (cache, open) =
        (tree.tree_config().cache.clone(), tree.tree_config().descriptor_table.clone());
    let (checksum, seqno) = (table.checksum(), table.global_seqno());
    let opened = Table::recover(path, checksum, seqno, tree.id(), cache, open, true, true);
    // What can't be read now is met, and told, by whoever looks into it.
    opened.unwrap_or_else(|_| table.clone())
}

impl Tables {
    /// Those of `tree` now; `before` are those before its last change. Waits for a change that is under way.
    pub(super) fn of(tree: &AnyTree, before: Option<&Self>) -> Self {
        // Of a tree that was closed nothing is kept open: its files would take their room as long as they are.
        let before = before.filter(|before| before.separated.is_of(tree));
        let pinned = |table: &Table| {
            let known = before.and_then(|before| before.known(table.id()));
            known.cloned().unwrap_or_else(|| pinned(table, tree))
        };
        // Order matters: asked once, for a value's file may be gone from what the tree has a moment later.
        let version = tree.current_version();
        let runs = version.iter_levels().enumerate().flat_map(|(level, runs)| {
            runs.iter().map(move |run| Run {
                tables: run
                    .iter()
                    .map(|table| if level == 0 { pinned(table) } else { table.clone() })
                    .collect(),
                _files: run.to_vec(),
            })
        });
        let runs: Vec<_> = runs.collect();
        let first_runs = version.level(0).map_or(0, |level| level.run_count());
        let filters = runs.iter().take(first_runs).map(|run| Self::filter_of(run, before));
        let filters = filters.collect();
        let files = version.blob_files.iter().map(|file| (file.id(), file.clone()));
        let separated = Separated::new(files.collect(), tree);
        Self { runs, filters, separated }
    }

    /// The runs of the first level, each with its filter.
    fn first_level(&self) -> impl Iterator<Item = (&Run, Option<&Filter>)> {
        self.runs.iter().zip(self.filters.iter().map(Option::as_ref))
    }

    /// The table of this number, where it is of the first level.
    fn known(&self, number: TableId) -> Option<&Table> {
        let mut tables = self.first_level().flat_map(|(run, _)| &run.tables);
        tables.find(|table| table.id() == number)
    }

    /// The filter of `run` of the first level.
    fn filter_of(run: &Run, before: Option<&Self>) -> Option<Filter> {
        let [table] = &run.tables[..] else { return None };
        let is_same = |known: &Run| known.tables.iter().any(|known| known.id() == table.id());
        let known = before.and_then(|before| before.first_level().find(|(run, _)| is_same(run)));
        known.map_or_else(|| Filter::of(table), |(_, filter)| filter.cloned())
    }

    /// The newest value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> lsm_tree::Result<Option<UserValue>> {
        let hash = Builder::get_hash(key);
        let first = self.runs_that_may_have(hash);
        let below = self.runs.iter().skip(self.filters.len());
        for table in first.chain(below).filter_map(|run| run.find(key)) {
            if let Some(item) = table.get(key, SeqNo::MAX, hash)? {
                return (!item.is_tombstone()).then(|| self.value(item)).transpose();
            }
        }
        Ok(None)
    }

    /// Those of the first level that may have the key of this hash.
    fn runs_that_may_have(&self, hash: u64) -> impl Iterator<Item = &Run> {
        let is_likely =
            |filter: &Option<Filter>| filter.as_ref().is_none_or(|filter| filter.is_likely(hash));
        // First all of them, with nothing to guess in between.
        let asked = self.filters.iter().take(ASKED_FIRST).enumerate();
        let likely = asked
            .fold(u64::MAX, |likely, (at, filter)| likely & !(u64::from(!is_likely(filter)) << at));
        self.first_level().enumerate().filter_map(move |(at, (run, filter))| {
            let likely = at >= ASKED_FIRST || likely >> at & 1 == 1;
            (likely && filter.is_none_or(|filter| filter.may_have(hash))).then_some(run)
        })
    }

    fn value(&self, item: InternalValue) -> lsm_tree::Result<UserValue> {
        if item.key.value_type == ValueType::Indirection {
            self.separated.get(&item)
        } else {
            Ok(item.value)
        }
    }

    /// The newest records of the keys from `low` to `high` (excluded), in order.
    pub(super) fn range(
        self: &Arc<Self>,
        low: Vec<u8>,
        high: Vec<u8>,
    ) -> impl Iterator<Item = lsm_tree::Result<(UserKey, UserValue)>> + Send + use<> {
        let (low, high) = (UserKey::from(low), UserKey::from(high));
        let runs = self.runs.iter().filter_map(|run| {
            let tables = run.overlapping(&low, &high).to_vec();
            let bounds = (Bound::Included(low.clone()), Bound::Excluded(high.clone()));
            let read = move |table: Table| table.range(bounds.clone());
            (!tables.is_empty())
                .then(|| Box::new(tables.into_iter().flat_map(read)) as BoxedIterator<'static>)
        });
        let newest = MvccStream::new(Merger::new(runs.collect()));
        let there = newest.filter(|item| !item.as_ref().is_ok_and(InternalValue::is_tombstone));
        let tables = Arc::clone(self);
        there.map(move |item| {
            let item = item?;
            Ok((item.key.user_key.clone(), tables.value(item)?))
        })
    }
}

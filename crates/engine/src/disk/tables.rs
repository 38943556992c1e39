//! The tables of a tree between two changes of it, and how a key or a range is looked for in them.
//!
//! The tree has lookups of its own. They take the lock that a flush or a compaction holds while it writes down which
//! tables there are, which takes five syncs: a cold read waited for half a second behind them, on a slow disk for
//! more. So the engine takes down behind each change which tables there are, and looks into these itself. Nothing that
//! writes is waited for, and whoever holds a `Tables` has a frozen state: tables never change, and their files stay as
//! long as somebody has them.

use std::collections::BTreeMap;
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
    /// The filters of those of the first level, once more, side by side; `None` where a run has no single one.
    first: Vec<Option<Filter>>,
    filter_bytes: u64,
    separated: Separated,
}

/// Tables whose keys do not overlap, by their keys.
struct Run {
    /// With filter and index in memory, where they are of the first level.
    tables: Vec<Table>,
    /// Of each table, where there is room for it.
    filters: Vec<Option<Filter>>,
    /// The tree's own: who drops the last of one that is no longer needed removes its file.
    _files: Vec<Table>,
}

impl Run {
    /// The table that may have `key`, whose hash is `hash`.
    fn find(&self, key: &[u8], hash: u64) -> Option<&Table> {
        let at = self.tables.partition_point(|table| &**table.metadata.key_range.max() < key);
        let table = self.tables.get(at)?;
        let filter = self.filters.get(at).and_then(Option::as_ref);
        let may_have = &**table.metadata.key_range.min() <= key
            && filter.is_none_or(|filter| filter.may_have(hash));
        may_have.then_some(table)
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
    /// Those of `tree` now; `before` are those before its last change. The filters of all levels but the first may take
    /// `filter_bytes_max`. Waits for a change that is under way.
    pub(super) fn of(tree: &AnyTree, before: Option<&Self>, filter_bytes_max: u64) -> Self {
        // Of a tree that was closed nothing is kept open: its files would take their room as long as they are.
        let before = before.filter(|before| before.separated.is_of(tree));
        let known: BTreeMap<_, _> = before.iter().flat_map(|before| before.all()).collect();
        // Order matters: asked once, for a value's file may be gone from what the tree has a moment later.
        let version = tree.current_version();
        let (mut runs, mut first, mut bytes_left) = (Vec::new(), Vec::new(), filter_bytes_max);
        for (level, of_level) in version.iter_levels().enumerate() {
            for run in of_level.iter() {
                let open = |table: &Table| match known.get(&table.id()) {
                    Some((known, _)) if level == 0 => (*known).clone(),
                    None if level == 0 => pinned(table, tree),
                    _ => table.clone(),
                };
                let tables: Vec<_> = run.iter().map(open).collect();
                let mut has_room = |table: &Table| {
                    let left = bytes_left.checked_sub(Filter::bytes_of(table));
                    bytes_left = left.unwrap_or(0);
                    left.is_some()
                };
                let filter = |table: &Table| {
                    let known = known.get(&table.id()).and_then(|(_, filter)| (*filter).clone());
                    let wanted = level == 0 || has_room(table);
                    if wanted { known.or_else(|| Filter::of(table)) } else { None }
                };
                let filters: Vec<_> = tables.iter().map(filter).collect();
                if level == 0 {
                    first.push(if let [filter] = &filters[..] { filter.clone() } else { None });
                }
                runs.push(Run { tables, filters, _files: run.to_vec() });
            }
        }
        let files = version.blob_files.iter().map(|file| (file.id(), file.clone()));
        let separated = Separated::new(files.collect(), tree);
        let filters = runs.iter().flat_map(|run: &Run| run.filters.iter().flatten());
        let filter_bytes = filters.map(Filter::bytes).sum();
        Self { runs, first, filter_bytes, separated }
    }

    /// Of the filters that it asks.
    pub(super) fn filter_bytes(&self) -> u64 {
        self.filter_bytes
    }

    /// All tables with their filters, by their numbers.
    fn all(&self) -> impl Iterator<Item = (TableId, (&Table, &Option<Filter>))> {
        let tables = self.runs.iter().flat_map(|run| run.tables.iter().zip(&run.filters));
        tables.map(|(table, filter)| (table.id(), (table, filter)))
    }

    /// The newest value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> lsm_tree::Result<Option<UserValue>> {
        let hash = Builder::get_hash(key);
        for table in self.tables_that_may_have(key, hash) {
            if let Some(item) = table.get(key, SeqNo::MAX, hash)? {
                return (!item.is_tombstone()).then(|| self.value(item)).transpose();
            }
        }
        Ok(None)
    }

    /// True when `key` is not there, as far as memory can tell.
    pub(super) fn lacks(&self, key: &[u8]) -> bool {
        self.tables_that_may_have(key, Builder::get_hash(key)).next().is_none()
    }

    /// The newest first.
    fn tables_that_may_have(&self, key: &[u8], hash: u64) -> impl Iterator<Item = &Table> {
        let is_likely =
            |filter: &Option<Filter>| filter.as_ref().is_none_or(|filter| filter.is_likely(hash));
        // First all of the first level, with nothing to guess in between.
        let asked = self.first.iter().take(ASKED_FIRST).enumerate();
        let likely = asked
            .fold(u64::MAX, |likely, (at, filter)| likely & !(u64::from(!is_likely(filter)) << at));
        let runs = self.runs.iter().enumerate();
        let runs = runs.filter(move |(at, _)| *at >= ASKED_FIRST || likely >> at & 1 == 1);
        runs.filter_map(move |(_, run)| run.find(key, hash))
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

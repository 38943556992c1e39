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
use lsm_tree::{AbstractTree, AnyTree, InternalValue, SeqNo, Table, UserKey, UserValue, ValueType};

use super::separated::Separated;

/// See the file's head.
pub(super) struct Tables {
    /// The newest first.
    runs: Vec<Run>,
    separated: Separated,
}

/// Tables whose keys do not overlap, by their keys.
struct Run(Vec<Table>);

impl Run {
    fn find(&self, key: &[u8]) -> Option<&Table> {
        let at = self.0.partition_point(|table| &**table.metadata.key_range.max() < key);
        self.0.get(at).filter(|table| &**table.metadata.key_range.min() <= key)
    }

    /// The tables that may hold keys from `low` to `high` (excluded).
    fn overlapping(&self, low: &[u8], high: &[u8]) -> &[Table] {
        let from = self.0.partition_point(|table| &**table.metadata.key_range.max() < low);
        let to = self.0.partition_point(|table| &**table.metadata.key_range.min() < high);
        self.0.get(from..to).unwrap_or_default()
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tables({} runs)", self.runs.len())
    }
}

impl Tables {
    /// Those of `tree` now, with what is separated from them. Waits for a change that is under way.
    pub(super) fn of(tree: &AnyTree, separated: Separated) -> Self {
        let version = tree.current_version();
        let runs = version.iter_levels().flat_map(|level| level.iter());
        Self { runs: runs.map(|run| Run(run.to_vec())).collect(), separated }
    }

    /// The newest value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> lsm_tree::Result<Option<UserValue>> {
        let hash = Builder::get_hash(key);
        for table in self.runs.iter().filter_map(|run| run.find(key)) {
            if let Some(item) = table.get(key, SeqNo::MAX, hash)? {
                return (!item.is_tombstone()).then(|| self.value(item)).transpose();
            }
        }
        Ok(None)
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

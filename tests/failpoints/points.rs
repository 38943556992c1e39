//! Where a node can die, and whether all of that was walked.

use std::collections::BTreeMap;

use super::scenario::Scenario;

/// Where a node can die before an operation and after it, writes also in the middle.
pub(super) const ALONE: &[&str] = &[
    ". create-dir",
    ". sync-dir",
    "identity rename",
    "identity.tmp create",
    "identity.tmp remove",
    "identity.tmp sync",
    "identity.tmp write",
    "lock lock",
    "log create-dir",
    "log sync-dir",
    "log/#.log allocate",
    "log/#.log create",
    "log/#.log remove",
    "log/#.log set-len",
    "log/#.log sync",
    "log/#.log write",
    "log/lock lock",
    "log/lock remove",
    "log/manifest rename",
    "log/manifest sync",
    "log/manifest write",
    "log/manifest.tmp create",
    "log/manifest.tmp remove",
    "log/manifest.tmp sync",
    "log/manifest.tmp write",
    "snapshots create-dir",
    "snapshots sync-dir",
    "snapshots/snapshot-#-# remove",
    "snapshots/snapshot-#-# rename",
    "snapshots/snapshot-#-making.tmp create",
    "snapshots/snapshot-#-making.tmp remove",
    "snapshots/snapshot-#-making.tmp sync",
    "snapshots/snapshot-#-making.tmp write",
];
/// The steps of a disk engine that a lone node takes.
pub(super) const ENGINE: &[&str] = &["engine compaction", "engine flush", "engine seal"];
/// Those that a member takes which a snapshot brings up to date, and where its file goes.
pub(super) const ENGINE_AMONG_OTHERS: &[&str] = &[
    "engine compaction",
    "engine flush",
    "engine removal",
    "engine seal",
    "snapshots/snapshot-#-receiving.tmp remove",
];
/// And where only a member of several can.
pub(super) const AMONG_OTHERS: &[&str] = &[
    "log.damaged-# rename",
    "snapshots.damaged-# rename",
    "snapshots/snapshot-#-receiving.tmp create",
    "snapshots/snapshot-#-receiving.tmp sync",
    "snapshots/snapshot-#-receiving.tmp write",
];

/// An arrival.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) name: String,
    pub(super) nth: u64,
}

/// Where each scenario passes, and how often.
pub(super) type Map = BTreeMap<Scenario, BTreeMap<String, u64>>;

/// A point without its moment.
pub(super) fn operation(point: &str) -> &str {
    point.rsplit_once(' ').map_or(point, |(operation, _)| operation)
}

/// Every listed operation was reached, and every one that was reached is listed.
#[track_caller]
pub(super) fn assert_complete(map: &Map, own: &[&str], elsewhere: &[&str]) {
    let reached = map.values().flat_map(BTreeMap::keys).map(|point| operation(point));
    let mut reached: Vec<&str> = reached.filter(|it| !elsewhere.contains(it)).collect();
    reached.sort_unstable();
    reached.dedup();
    assert_eq!(reached, own, "left: where a node arrived; right: where it must");
}

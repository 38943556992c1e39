//! Coverage: a fault that is never injected and a branch that is never taken prove nothing.

use crate::campaign::Summary;
use crate::fault::Kind;

/// A campaign of so many seeds must reach everything.
pub const SEEDS_MIN: u64 = 400;

/// What nodes say, in their logs or to clients, on rare branches.
const BRANCHES: &[&str] = &[
    "ambush at ChangesMembers: split",
    "ambush at ChangesMembers: the power of one fails",
    "ambush at CutsLog: the power of all fails",
    "ambush at CutsLog: the power of one fails",
    "ambush at HandsOver: deafened",
    "Zero in /data/engine",
    "Zero in /data/log",
    "beside the loop: engine-flush",
    "beside the loop: old-entries",
    "beside the loop: snapshot-recv",
    "reads were served by a lease",
    "the tail of the log is no longer in doubt",
    "a voter's place was taken in one step",
    "a pause of hours",
    "a pause of minutes",
    "a block under WATCH was aborted",
    "a block under WATCH was committed",
    "a block was committed",
    "a vote was given",
    "a vote was taken",
    "added to the cluster",
    "damage found",
    "end of the log was cut",
    "reads are passed to the leader",
    "scrubbed",
    "sending snapshot",
    "snapshot installed",
    "snapshot made",
    "the engine has flushed",
    "the engine has met damage at its start",
    "the engine has met damage while it ran",
    "the log is closed until a restart",
    "the wall clock is far",
    "told of this node's removal",
    "Lose in /data/engine",
    "Lose in /data/log",
    "Lose in /data/snapshots",
    "Stray in /data/engine",
    "Stray in /data/log",
    "Stray in /data/snapshots",
    "TRYAGAIN nothing was changed: another node took",
    "TRYAGAIN nothing was changed: the disk of",
    "UNKNOWN the command may or may not",
    "CLUSTERDOWN nothing was changed: no leader",
    "Flip in /data/engine",
    "Flip in /data/log",
    "Flip in /data/snapshots",
    "HTTP not-applied",
    "HTTP unknown",
    "a named write was answered twice",
    "a named write was sent again",
];

/// What the seeds of a campaign should have reached and did not.
pub fn missed(summary: &Summary) -> Vec<String> {
    let kinds = Kind::ALL.iter().filter(|kind| summary.tally.count(**kind) == 0);
    let kinds = kinds.map(|kind| format!("{kind:?}"));
    let reached = |branch: &&&str| summary.branches.keys().any(|said| said.starts_with(**branch));
    let branches = BRANCHES.iter().filter(|branch| !reached(branch));
    kinds.chain(branches.map(|branch| format!("{branch:?}"))).collect()
}

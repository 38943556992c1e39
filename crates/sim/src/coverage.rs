//! Coverage: a fault that is never injected and a branch that is never taken prove nothing.

use crate::campaign::Summary;
use crate::fault::Kind;

/// A campaign of so many seeds must reach everything.
pub const SEEDS_MIN: u64 = 400;

/// What the seeds of a campaign should have reached and did not.
pub fn missed(summary: &Summary) -> Vec<String> {
    let kinds = Kind::ALL.iter().filter(|kind| summary.tally.count(**kind) == 0);
    let kinds = kinds.map(|kind| format!("{kind:?}"));
    let reached = |branch: &&str| summary.branches.get(*branch).is_some_and(|count| *count > 0);
    let branches = crate::observe::BRANCHES.iter().copied().filter(|branch| !reached(branch));
    kinds.chain(branches.map(str::to_owned)).collect()
}

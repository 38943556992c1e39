//! What Quorate itself counted: how many operations share a log entry or a read round.

use crate::case::Work;
use crate::fleet::Fleet;
use crate::http;
use crate::json;

/// Sums over all nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    /// Made by leaders only; the most of any node, since all count what they apply.
    entries: u64,
    read_rounds: u64,
}

/// `None` for servers that do not tell.
pub(crate) fn read(fleet: &Fleet) -> Option<Counters> {
    if !fleet.kind.is_quorate() {
        return None;
    }
    let mut sum = Counters { entries: 0, read_rounds: 0 };
    for node in &fleet.nodes {
        let (_, body) = http::get(node.port, "/v1/node").ok()?;
        sum.entries = sum.entries.max(json::number(&body, "entries")?);
        sum.read_rounds += json::number(&body, "read_rounds")?;
    }
    Some(sum)
}

impl Counters {
    /// Operations per batch since `earlier`.
    pub(crate) fn batch(&self, earlier: &Self, work: Work, operations: u64) -> Option<f64> {
        let batches = if work.writes() {
            self.entries.saturating_sub(earlier.entries)
        } else {
            self.read_rounds.saturating_sub(earlier.read_rounds)
        };
        if batches == 0 { None } else { Some(operations as f64 / batches as f64) }
    }
}

//! Liveness: once nothing fails any more, the cluster serves, every node of it, and an operator's orders are carried
//! out.
//!
//! That something good happens *at last* no run of finite length refutes (Alpern and Schneider, *Defining liveness*,
//! 1985). So it is promised within a time, which begins [`AFTER_PEACE`]: what the faults have left behind (a lost
//! connection, a patient client) may run out.

use std::time::Duration;

use super::Violation;
use crate::client::operator::Request;
use crate::client::probe::Progress;
use crate::history::{Command, History};
use crate::world::SimTime;

/// From the end of all faults until the cluster is asked.
pub const AFTER_PEACE: Duration = Duration::from_secs(8);
/// Within this time some node takes a write: ten times what the slowest of 500 seeds took. By then all are up, connected and
/// have had the time for an election.
pub const FIRST_WRITE: Duration = Duration::from_secs(2);
/// Within this time every node has taken a write and served a read, all keys have been read, and every order is
/// carried out: six times what the slowest of 500 seeds with all faults and 100 of profile `members` took.
pub const EVERYTHING: Duration = Duration::from_secs(30);

/// How a cluster came back, and how long after it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Healing {
    /// From the end of all faults: the first write that was asked for after it was acknowledged.
    pub resumed: Option<Duration>,
    /// The first write was acknowledged.
    pub first_write: Option<Duration>,
    /// Every node had served.
    pub served: Option<Duration>,
    /// Every order was carried out.
    pub orders: Option<Duration>,
}

impl Healing {
    /// What `progress` says of a cluster that was asked at `asked`.
    pub fn new(asked: SimTime, progress: Progress, orders: Option<SimTime>) -> Self {
        let after = |at: Option<SimTime>| at.map(|at| at - asked);
        Self {
            resumed: None,
            first_write: after(progress.wrote),
            served: after(progress.served),
            orders: after(orders),
        }
    }

    /// The later of both, each by itself; what never came counts for nothing here.
    #[must_use]
    pub fn slower(self, other: Self) -> Self {
        Self {
            resumed: self.resumed.max(other.resumed),
            first_write: self.first_write.max(other.first_write),
            served: self.served.max(other.served),
            orders: self.orders.max(other.orders),
        }
    }
}

/// Judges how a cluster came back; `progress` is how far its probe got, `order` what its operator still had to do, when
/// the time was over.
pub fn check(healing: Healing, progress: Progress, order: Option<&Request>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut tell = |evidence: String| violations.push(Violation::new("live", evidence));
    match healing.first_write {
        Some(first) if first <= FIRST_WRITE => {}
        Some(first) => tell(format!("the first write took {first:?}, {FIRST_WRITE:?} are allowed")),
        None => tell(format!("no write was taken for {EVERYTHING:?}")),
    }
    if let Some(order) = order {
        tell(format!("an operator's order is not carried out within {EVERYTHING:?}: {order:?}"));
    }
    if !progress.done && order.is_none() {
        tell(format!("after {EVERYTHING:?} the probe is at {progress:?}"));
    }
    violations
}

/// How long after `peace` the first write was acknowledged that was asked for after it.
pub fn resumed(history: &History, peace: SimTime) -> Option<Duration> {
    let writes = history.operations.iter().filter(|it| !it.commands.iter().all(Command::is_read));
    let late = writes.filter(|it| it.called.at >= peace && it.replies().is_some());
    late.filter_map(|it| it.returned).map(|returned| returned.at - peace).min()
}

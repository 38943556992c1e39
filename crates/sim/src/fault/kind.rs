//! The kinds of faults, and a count of each.

use std::collections::BTreeMap;
use std::fmt;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed.
    Kill,
    /// One machine loses power.
    PowerOff,
    /// All machines lose power at once.
    PowerOffAll,
    /// One machine loses power at a disk operation.
    PowerAtOperation,
    /// A node is cut from all others, both ways.
    Isolate,
    /// One direction of one link is cut.
    CutOneWay,
    /// Each direction of each link is cut or not.
    CutAtRandom,
    /// One node's links are slow.
    SlowLinks,
    /// All connections between two nodes break.
    BreakConnections,
    /// A process stands still.
    PauseProcess,
    /// A machine stands still, and its clocks.
    PauseMachine,
    /// A wall clock jumps.
    ClockJump,
    /// A clock runs at another rate.
    ClockDrift,
    /// A disk is slow.
    SlowDisk,
    /// A disk is full for a while.
    FullDisk,
    /// A sync fails.
    FailSync,
    /// A bit flips, on a disk of a minority.
    FlipBit,
    /// A process ended by itself (it is started again).
    Exit,
}

/// How often each kind was injected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<Kind, u64>,
}

impl Tally {
    /// One more.
    pub fn add(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// All of another one.
    pub fn add_all(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(*kind).or_default() += count;
        }
    }

    /// How often.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for (kind, count) in &self.counts {
            write!(f, "{space}{kind:?}={count}")?;
            space = " ";
        }
        Ok(())
    }
}

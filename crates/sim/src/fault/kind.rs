//! The kinds of faults, and a count of each.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

kinds! {
    /// A process is killed.
    Kill,
    /// All processes are killed at once.
    KillAll,
    /// One machine loses power.
    PowerOff,
    /// All machines lose power at once.
    PowerOffAll,
    /// One machine loses power at a disk operation.
    PowerAtOperation,
    /// One machine loses power at a disk operation of its recovery.
    PowerAtRecovery,
    /// A node is cut from all others, both ways.
    Isolate,
    /// One direction of one link is cut.
    CutOneWay,
    /// A node hears the others, and they do not hear it, or the reverse.
    Deafen,
    /// Two groups that do not see each other.
    Split,
    /// Every node sees only its two neighbours.
    Ring,
    /// Two groups, and one node that sees both.
    Bridge,
    /// Each direction of each link is cut or not.
    CutAtRandom,
    /// A node is cut off and healed, again and again.
    Flap,
    /// Clients do not reach a node, or do not hear it.
    CutClients,
    /// One node's links are slow.
    SlowLinks,
    /// All connections between two nodes break.
    BreakConnections,
    /// Connections break at one end; their bytes arrive behind those of the next connections.
    LateBytes,
    /// Connections break; their last frames are said again on the next one.
    DoubleFrames,
    /// A process stands still.
    PauseProcess,
    /// A machine stands still, and its clocks.
    PauseMachine,
    /// A wall clock jumps.
    ClockJump,
    /// A clock runs at another rate.
    ClockDrift,
    /// A clock stands still while its machine runs.
    ClockStop,
    /// A disk is slow.
    SlowDisk,
    /// A disk is full for a while.
    FullDisk,
    /// All disks are full for a while.
    FullDisks,
    /// A sync fails.
    FailSync,
    /// A write fails, and may have left a part.
    FailWrite,
    /// A read fails, and the bytes are as they were.
    FailRead,
    /// A bit flips, on a disk of a minority.
    FlipBit,
    /// A write lands elsewhere and says that it succeeded, on a disk of a minority.
    StrayWrite,
    /// A file vanishes, on a disk of a minority.
    LoseFile,
    /// A disk of a minority has lost a sector of what it synced last, when the power comes back.
    LoseSector,
    /// A node is added.
    AddNode,
    /// A node is removed.
    RemoveNode,
    /// A node is removed, and comes back with an empty disk under another name.
    ReplaceNode,
    /// A node takes a voter's place, in one step.
    SucceedNode,
    /// A voter gives its vote up and stays.
    DemoteNode,
    /// A node that gave its vote up gets one again.
    PromoteNode,
    /// Leadership is handed over.
    Transfer,
    /// A leader hands over, and from then on hears nobody.
    CutAtHandOver,
    /// What answers a leader's question is late, and meanwhile the leader is not heard.
    LateAnswers,
    /// The cluster is split while its members change.
    SplitAtChange,
    /// A leader's power fails while it changes the members.
    PowerAtChange,
    /// The power fails, of one machine or all, while a log is cut.
    PowerAtCut,
    /// A process ended by itself (it is started again).
    Exit,
}

impl Kind {
    /// True for what changes bytes on a disk that were there for good.
    pub fn is_damage(self) -> bool {
        matches!(self, Self::FlipBit | Self::StrayWrite | Self::LoseFile | Self::LoseSector)
    }

    /// True for what makes a clock wrong.
    pub fn is_of_clocks(self) -> bool {
        matches!(self, Self::ClockJump | Self::ClockDrift | Self::ClockStop | Self::PauseMachine)
    }
}

/// How often a fault of each kind has had an effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<Kind, u64>,
}

impl Tally {
    /// One more.
    pub fn add(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// So many more.
    pub fn add_times(&mut self, kind: Kind, times: u64) {
        if times > 0 {
            *self.counts.entry(kind).or_default() += times;
        }
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

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
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

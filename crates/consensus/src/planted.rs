//! Bugs that can be switched on, one at a time, to see that the gym finds them.
//!
//! The module exists only with the feature `planted-bugs`, which nothing but the gym's own tests asks for.

use std::cell::Cell;

use quorate_env::Mono;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Planted {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Planted {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

bugs! {
    /// What must be durable before it counts, counts at once.
    ReplyBeforeFsync,
    /// The vote is not on the disk.
    VoteNotPersisted,
    /// The lease is raft-rs' own, which counts ticks.
    LeaseByTicks,
    /// The lease runs from when a quorum's answers came.
    LeaseFromReceiveTimes,
    /// The lease is kept while leadership is handed over.
    LeaseKeptDuringTransfer,
    /// A new leader reads before an entry of its own term is committed.
    ReadBeforeOwnTermCommit,
    /// A leader reads without asking anybody.
    ReadWithoutQuorum,
    /// A follower takes all that it has for committed.
    ApplyBeforeCommit,
    /// A snapshot's records are laid over the old state's.
    SnapshotOverlays,
    /// Who restores a snapshot takes another index for its state's than it was made at.
    SnapshotWithoutIndex,
    /// The log is cut before the snapshot is durable.
    LogCutTooEarly,
    /// A batch that the leader did not answer in time is sent again.
    ForwardRetried,
    /// A read does not wait until its index is applied.
    ReadBeforeApplied,
    /// The keys that come with a snapshot come without their revisions.
    WatchNotRestored,
    /// Several members get their votes at once, and not through a joint configuration.
    MembersWithoutJoint,
    /// The record in the midst of which a write was torn counts as written.
    TornTailAccepted,
    /// A tail that was cut in doubt binds nobody's vote.
    DoubtIgnored,
    /// Who loses the lead tells its clients that nothing was applied.
    LostLeadIsNotApplied,
    /// A new leader's stamps are ahead of its clock.
    StampsAhead,
    /// Who waited too long is told that nothing was applied.
    TimeoutIsNotApplied,
}

thread_local! {
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    static NOW: Cell<Mono> = const { Cell::new(Mono(std::time::Duration::ZERO)) };
}

/// Plants a bug in all that runs on this thread, or none.
pub fn plant(bug: Option<Planted>) {
    PLANTED.set(bug);
}

/// True when `bug` is planted.
pub fn is(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}

/// Notes the time of the last message.
pub(crate) fn note_time(now: Mono) {
    NOW.set(now);
}

/// The time of the last message.
pub(crate) fn noted_time() -> Mono {
    NOW.get()
}

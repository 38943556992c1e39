//! What happens in a storm, and what ends it.

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Kill,
    KillAll,
    Pause,
    /// One node from all others, both ways.
    Isolate,
    /// One node hears the others no more.
    Deafen,
    /// The others hear one node no more.
    Mute,
    /// Two halves.
    Split,
    /// Each hears its neighbours only.
    Ring,
    /// Clients' requests arrive, replies don't.
    LoseReplies,
    BadWires,
    ClockJump,
    ClockDrift,
    SlowSync,
    FailSync,
    AddNode,
    RemoveNode,
    /// A newcomer takes a voter's place in one step.
    ReplaceNode,
    DemoteNode,
    PromoteNode,
    Transfer,
}

pub(super) const ALWAYS: &[Fault] =
    &[Fault::Kill, Fault::Kill, Fault::KillAll, Fault::Pause, Fault::Pause];
pub(super) const ON_WIRES: &[Fault] = &[
    Fault::Isolate,
    Fault::Deafen,
    Fault::Mute,
    Fault::Split,
    Fault::Ring,
    Fault::LoseReplies,
    Fault::BadWires,
];
pub(super) const OF_CLOCKS: &[Fault] = &[Fault::ClockJump, Fault::ClockDrift];
pub(super) const OF_DISKS: &[Fault] = &[Fault::SlowSync, Fault::FailSync];
/// Orders to an operator, who does one thing after the other: most draws find him at work.
pub(super) const OF_MEMBERS: &[Fault] = &[
    Fault::AddNode,
    Fault::RemoveNode,
    Fault::ReplaceNode,
    Fault::ReplaceNode,
    Fault::DemoteNode,
    Fault::DemoteNode,
    Fault::PromoteNode,
    Fault::PromoteNode,
    Fault::Transfer,
    Fault::Transfer,
];

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Start(usize),
    Resume(usize),
    /// The wires, unless another picture than this one has been drawn since.
    Heal(u64),
    SetClock(usize, i64),
    /// Its syncs, unless they were hurt another time since.
    LetSync(usize, u64),
}

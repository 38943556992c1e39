//! What happens to a cluster, for those who watch it: members, leaders, silence.

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A node has come in, without a vote.
    MemberAdded,
    /// A member has got a vote.
    MemberPromoted,
    /// A member has lost its vote, and stays as a learner.
    MemberDemoted,
    /// A member has left for good.
    MemberRemoved,
    /// A member has other addresses.
    MemberMoved,
    /// A member can't be reached any more, as this node sees it.
    MemberSilent,
    /// A member that could not be reached is back.
    MemberBack,
    /// Another member leads, or nobody does.
    LeaderChanged,
    /// The cluster writes a newer format from here on.
    FormatRaised,
    /// A member's disk is too slow for it to lead.
    DiskSlow,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::MemberAdded,
        Self::MemberPromoted,
        Self::MemberDemoted,
        Self::MemberRemoved,
        Self::MemberMoved,
        Self::MemberSilent,
        Self::MemberBack,
        Self::LeaderChanged,
        Self::FormatRaised,
        Self::DiskSlow,
    ];

    /// The word for streams and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemberAdded => "member-added",
            Self::MemberPromoted => "member-promoted",
            Self::MemberDemoted => "member-demoted",
            Self::MemberRemoved => "member-removed",
            Self::MemberMoved => "member-moved",
            Self::MemberSilent => "member-silent",
            Self::MemberBack => "member-back",
            Self::LeaderChanged => "leader-changed",
            Self::FormatRaised => "format-raised",
            Self::DiskSlow => "disk-slow",
        }
    }
}

/// Something that has happened, as one node tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counted by the node since its start, from 1.
    pub number: u64,
    /// The node's wall clock then, Unix milliseconds.
    pub wall_ms: u64,
    /// The log entry that made it so; 0 where it was none: then other nodes may see it otherwise.
    pub index: u64,
    /// What.
    pub kind: EventKind,
    /// To whom; empty where it concerns no member.
    pub member: String,
    /// In a sentence.
    pub text: String,
}

/// Where a reader of events is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventPlace {
    /// Which life of the node: numbers begin anew with each.
    pub run: u64,
    /// The last event that was read.
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_word() {
        let words: std::collections::BTreeSet<_> =
            EventKind::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(words.len(), EventKind::ALL.len());
    }
}

//! Who belongs to a group: the voters, the learners and, during a joint change, the outgoing voters.

use bytes::Bytes;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};

use crate::codec::{DecodeError, Reader, put_varint};
use crate::id::NodeId;

/// A group's members by role. The order of ids carries no meaning; they are kept sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Voters; during a joint change those of the incoming configuration.
    pub voters: Vec<NodeId>,
    /// Members without a vote.
    pub learners: Vec<NodeId>,
    /// The outgoing voters of a joint change; empty otherwise.
    pub voters_outgoing: Vec<NodeId>,
    /// Voters which become learners when the joint change ends.
    pub learners_next: Vec<NodeId>,
}

impl Configuration {
    /// A group of one voter.
    pub fn of_one(node: NodeId) -> Self {
        Self { voters: vec![node], ..Self::default() }
    }

    /// True while a change is half done and both majorities are needed.
    pub fn is_joint(&self) -> bool {
        !self.voters_outgoing.is_empty()
    }

    /// True when `node` has a vote, in either half of a joint configuration.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.voters_outgoing.contains(&node)
    }

    /// Every member.
    pub fn members(&self) -> Vec<NodeId> {
        let lists = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        let mut all: Vec<_> = lists.into_iter().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// True when `holds` is true for a majority of the voters (of both halves of a joint one).
    pub fn has_quorum(&self, holds: impl Fn(NodeId) -> bool) -> bool {
        let majority = |voters: &[NodeId]| {
            voters.is_empty()
                || voters.iter().filter(|node| holds(**node)).count() > voters.len() / 2
        };
        majority(&self.voters) && majority(&self.voters_outgoing)
    }

    /// The bytes that stand in snapshots: four counted lists of varints, in the order of the fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for list in [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next] {
            put_varint(&mut out, list.len() as u64);
            for node in list {
                put_varint(&mut out, node.0);
            }
        }
        out
    }

    /// Reads what [`Configuration::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are not a configuration.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut list = || -> Result<Vec<NodeId>, DecodeError> {
            let count = reader.count(1)?;
            (0..count).map(|_| reader.varint().map(NodeId)).collect()
        };
        let read = Self {
            voters: list()?,
            learners: list()?,
            voters_outgoing: list()?,
            learners_next: list()?,
        };
        reader.end()?;
        Ok(read)
    }

    /// What `change` makes of it, as raft does: several steps begin a joint configuration, none end it.
    #[must_use]
    pub fn after(&self, change: &Change) -> Self {
        let mut next = self.clone();
        if change.steps.is_empty() {
            next.voters_outgoing.clear();
            next.learners.append(&mut next.learners_next);
        }
        if change.steps.len() > 1 {
            next.voters_outgoing.clone_from(&self.voters);
        }
        for step in &change.steps {
            let (MemberChange::AddLearner(node)
            | MemberChange::Promote(node)
            | MemberChange::Remove(node)) = *step;
            for list in [&mut next.voters, &mut next.learners, &mut next.learners_next] {
                list.retain(|member| *member != node);
            }
            match step {
                MemberChange::Promote(_) => next.voters.push(node),
                // It still has a vote in the half that goes.
                MemberChange::AddLearner(_) if next.voters_outgoing.contains(&node) => {
                    next.learners_next.push(node);
                }
                MemberChange::AddLearner(_) => next.learners.push(node),
                MemberChange::Remove(_) => {}
            }
        }
        for list in [&mut next.voters, &mut next.learners, &mut next.learners_next] {
            list.sort_unstable();
        }
        next
    }

    pub(crate) fn to_raft(&self) -> ConfState {
        let ids = |list: &[NodeId]| list.iter().map(|node| node.0).collect::<Vec<_>>();
        let mut state = ConfState::default();
        state.set_voters(ids(&self.voters));
        state.set_learners(ids(&self.learners));
        state.set_voters_outgoing(ids(&self.voters_outgoing));
        state.set_learners_next(ids(&self.learners_next));
        state
    }

    pub(crate) fn from_raft(state: &ConfState) -> Self {
        let nodes = |ids: &[u64]| {
            let mut nodes: Vec<_> = ids.iter().copied().map(NodeId).collect();
            nodes.sort_unstable();
            nodes
        };
        Self {
            voters: nodes(state.get_voters()),
            learners: nodes(state.get_learners()),
            voters_outgoing: nodes(state.get_voters_outgoing()),
            learners_next: nodes(state.get_learners_next()),
        }
    }
}

/// One step of a membership change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Add a member without a vote, or take a voter's vote away.
    AddLearner(NodeId),
    /// Give a member a vote.
    Promote(NodeId),
    /// Remove a member.
    Remove(NodeId),
}

impl MemberChange {
    fn tag(self) -> (u8, NodeId) {
        match self {
            Self::AddLearner(node) => (1, node),
            Self::Promote(node) => (2, node),
            Self::Remove(node) => (3, node),
        }
    }
}

/// Steps that take effect as one, through a joint configuration where there is more than one. No
/// steps: leave the joint configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The steps.
    pub steps: Vec<MemberChange>,
    /// What the node room attaches: applied with the change.
    pub context: Bytes,
}

impl Change {
    /// The bytes of a configuration entry: counted steps (tag, node), then the context.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        put_varint(&mut out, self.steps.len() as u64);
        for step in &self.steps {
            let (tag, node) = step.tag();
            out.push(tag);
            put_varint(&mut out, node.0);
        }
        out.extend_from_slice(&self.context);
        out.into()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(2)?;
        let mut steps = Vec::with_capacity(count);
        for _ in 0..count {
            let tag = reader.u8()?;
            let node = NodeId(reader.varint()?);
            steps.push(match tag {
                1 => MemberChange::AddLearner(node),
                2 => MemberChange::Promote(node),
                3 => MemberChange::Remove(node),
                other => return Err(DecodeError::Tag(other.into())),
            });
        }
        Ok(Self { steps, context: reader.rest() })
    }

    /// Several steps go through an explicit joint configuration, which the node room leaves itself:
    /// raft's own `auto_leave` may never fire after a change of leaders.
    pub(crate) fn to_raft(&self) -> ConfChangeV2 {
        let mut change = ConfChangeV2::default();
        let transition = if self.steps.len() > 1 {
            ConfChangeTransition::Explicit
        } else {
            ConfChangeTransition::Auto
        };
        change.set_transition(transition);
        let singles = self.steps.iter().map(|step| {
            let mut single = ConfChangeSingle::default();
            let (kind, node) = match *step {
                MemberChange::AddLearner(node) => (ConfChangeType::AddLearnerNode, node),
                MemberChange::Promote(node) => (ConfChangeType::AddNode, node),
                MemberChange::Remove(node) => (ConfChangeType::RemoveNode, node),
            };
            single.set_change_type(kind);
            single.node_id = node.0;
            single
        });
        change.set_changes(singles.collect::<Vec<_>>().into());
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joint_configuration_needs_both_majorities() {
        let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let joint = Configuration {
            voters: nodes(&[1, 2, 3]),
            voters_outgoing: nodes(&[1, 4, 5]),
            ..Configuration::default()
        };
        assert!(joint.has_quorum(|node| [1, 2, 4].contains(&node.0)));
        assert!(!joint.has_quorum(|node| [1, 2, 3].contains(&node.0)));
    }

    /// What raft-rs makes of it.
    fn by_raft(configuration: &Configuration, change: &Change) -> Configuration {
        let store = raft::storage::MemStorage::new_with_conf_state(configuration.to_raft());
        let config = raft::Config { id: 1, ..raft::Config::default() };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut node = raft::RawNode::new(&config, store, &logger).unwrap();
        Configuration::from_raft(&node.apply_conf_change(&change.to_raft()).unwrap())
    }

    #[test]
    fn a_change_is_followed_as_raft_follows_it() {
        use MemberChange::{AddLearner, Promote, Remove};
        let mut configuration = Configuration::of_one(NodeId(1));
        for steps in [
            &[AddLearner(NodeId(2))][..],
            &[Promote(NodeId(2))],
            &[AddLearner(NodeId(3))],
            // One takes another one's place.
            &[Promote(NodeId(3)), Remove(NodeId(2))],
            &[],
            &[AddLearner(NodeId(4)), Promote(NodeId(5))],
            &[],
            // A voter steps back while another one comes.
            &[AddLearner(NodeId(5)), Promote(NodeId(4))],
            &[],
            &[Remove(NodeId(5))],
            &[AddLearner(NodeId(4))],
        ] {
            let change = Change { steps: steps.to_vec(), context: Bytes::new() };
            let expected = by_raft(&configuration, &change);
            configuration = configuration.after(&change);
            assert_eq!(configuration, expected, "{steps:?}");
        }
    }

    #[test]
    fn the_bytes_of_a_configuration_are_fixed() {
        let configuration = Configuration {
            voters: vec![NodeId(1), NodeId(300)],
            learners: vec![NodeId(2)],
            ..Configuration::default()
        };
        assert_eq!(configuration.encode(), [2, 1, 0xac, 2, 1, 2, 0, 0]);
        assert_eq!(Configuration::decode(configuration.encode().into()), Ok(configuration));
    }

    #[test]
    fn the_bytes_of_a_change_are_fixed() {
        let change = Change {
            steps: vec![MemberChange::AddLearner(NodeId(4)), MemberChange::Remove(NodeId(2))],
            context: Bytes::from_static(b"x"),
        };
        assert_eq!(change.encode().as_ref(), [2, 1, 4, 3, 2, b'x']);
        assert_eq!(Change::decode(change.encode()), Ok(change));
    }
}

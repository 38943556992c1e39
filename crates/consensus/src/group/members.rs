//! Members: changes, what the leader knows of each, and what is told about them.

use raft::ProgressState;

use super::{Group, GroupRole, ProposeError};
use crate::configuration::{Change, Configuration};
use crate::message::kind;
use crate::observer::Moment;
use crate::{Index, NodeId, Term};

/// What the leader knows of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The member.
    pub node: NodeId,
    /// The last entry it has acknowledged as durable.
    pub matched: Index,
    /// It answered within this election timeout or the one before.
    pub active: bool,
    /// It is being sent a snapshot.
    pub snapshot: bool,
}

impl Group {
    /// The members in force.
    pub fn configuration(&self) -> Configuration {
        self.raw.store().configuration().clone()
    }

    /// True when this node is the only voter.
    pub fn is_alone(&self) -> bool {
        let configuration = self.raw.store().configuration();
        configuration.voters == [self.node] && !configuration.is_joint()
    }

    /// Proposes a change of members. It is in force when its entry comes out committed; an entry at
    /// that place which is [`super::Body::Empty`] says that it was refused.
    ///
    /// # Errors
    /// [`ProposeError`]; `Busy` also while another change is under way.
    pub fn change(&mut self, change: &Change) -> Result<(Index, Term), ProposeError> {
        self.check_leading()?;
        if self.raw.raft.has_pending_conf() {
            return Err(ProposeError::Busy);
        }
        let place = (Index(self.raw.raft.raft_log.last_index() + 1), self.term());
        // raft-rs keeps the context beside its own bytes: ours is what the log and the wire carry.
        self.raw
            .propose_conf_change(change.encode().to_vec(), change.to_raft())
            .map_err(|_| ProposeError::Busy)?;
        self.show(Moment::ChangesMembers);
        Ok(place)
    }

    /// True while a change of members is in the log that is not applied, or one is to follow by itself.
    pub fn is_changing(&self) -> bool {
        self.raw.raft.has_pending_conf()
    }

    /// What the leader knows of the members; empty on other nodes.
    pub fn progress(&self) -> Vec<Progress> {
        if self.role() != GroupRole::Leader {
            return Vec::new();
        }
        let own = self.node;
        let progress = self.raw.raft.prs().iter().map(|(id, progress)| Progress {
            node: NodeId(*id),
            matched: Index(progress.matched),
            active: *id == own.0 || progress.recent_active || self.answered.contains(&NodeId(*id)),
            snapshot: progress.state == ProgressState::Snapshot,
        });
        let mut all: Vec<_> = progress.collect();
        all.sort_unstable_by_key(|progress| progress.node);
        all
    }

    /// Who has answered within this election timeout.
    pub(super) fn answering(&self) -> Vec<NodeId> {
        if self.role() != GroupRole::Leader {
            return Vec::new();
        }
        let progress = self.raw.raft.prs().iter();
        progress.filter(|(_, it)| it.recent_active).map(|(id, _)| NodeId(*id)).collect()
    }

    /// Once in an election timeout raft-rs begins to count anew who answers: until the next heartbeat nobody
    /// would seem to be there, and a change of members would be refused for want of a majority.
    pub(super) fn keep_answered(&mut self, before: Vec<NodeId>) {
        let now = self.answering();
        if self.role() != GroupRole::Leader || before.iter().any(|node| !now.contains(node)) {
            self.answered = before;
        }
    }

    /// The outcome of a transfer asked for in [`super::Output::send_snapshot`].
    pub fn snapshot_sent(&mut self, to: NodeId, arrived: bool) {
        let status =
            if arrived { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
        self.raw.report_snapshot(to.0, status);
    }

    /// The link to `to` has broken: probe before sending more.
    pub fn unreachable(&mut self, to: NodeId) {
        self.raw.report_unreachable(to.0);
    }

    /// A peer's last entry, as it says in the handshake.
    pub fn reported(&mut self, from: NodeId, last: (Index, Term)) {
        self.guard.report(from, (last.1, last.0));
    }

    /// Whether this node may ask for votes; at first it may not. Its owner says so when its wall clock is
    /// known to be near the majority's.
    pub fn set_may_lead(&mut self, may_lead: bool) {
        self.guard.may_lead = may_lead;
    }

    /// True while votes are bound by a tail that was cut in doubt.
    pub fn is_in_doubt(&self) -> bool {
        self.guard.doubt().is_some()
    }

    /// True for an entry kind that changes members, in a log entry.
    pub fn is_change(entry_kind: u8) -> bool {
        entry_kind == kind::CHANGE
    }
}

//! Read rounds: one heartbeat to a quorum tells that we still lead, for all reads that wait.
//!
//! A round gives the ReadIndex (thesis, section 6.4) and, from the moment it was sent, the lease.
//!
//! Only as many followers are asked as a quorum needs, those first that answered before the others: with
//! three members a round is two messages instead of four. Should one of them be silent, everybody is asked
//! with the next tick, and who then answers is preferred from there on.

use std::collections::VecDeque;

use quorate_env::Mono;
#[cfg(feature = "planted-bugs")]
use raft::eraftpb::Entry;
use raft::eraftpb::{Message, MessageType};

use super::{Group, GroupRole, Output};
use crate::configuration::Configuration;
use crate::observer::Moment;
use crate::{Index, NodeId, Term};

/// Every so many rounds everybody is asked, lest a member that has become the fastest is never noticed.
const ASK_ALL_ROUNDS: u64 = 256;

/// Whom a round asks.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Members by when they answered, the most prompt first.
    prompt: VecDeque<NodeId>,
    /// The round whose messages go to these members only, until everybody is asked again.
    only: Option<(u64, Vec<NodeId>)>,
}

impl Asking {
    /// Round `number` asks `askers` and as many others as a quorum needs.
    fn choose(
        &mut self,
        number: u64,
        own: NodeId,
        askers: &[NodeId],
        configuration: &Configuration,
    ) {
        self.only = None;
        if number.is_multiple_of(ASK_ALL_ROUNDS) {
            return;
        }
        let mut chosen = askers.to_vec();
        let members = configuration.members();
        let known = self.prompt.iter().chain(&members);
        for node in known.filter(|node| members.contains(node) && configuration.is_voter(**node)) {
            if configuration.has_quorum(|node| node == own || chosen.contains(&node)) {
                break;
            }
            if *node != own && !chosen.contains(node) {
                chosen.push(*node);
            }
        }
        self.only = Some((number, chosen));
    }

    /// `node` has answered a round that still waits.
    fn answered(&mut self, node: NodeId) {
        if self.prompt.front() != Some(&node) {
            self.prompt.retain(|other| *other != node);
            self.prompt.push_front(node);
        }
    }

    /// True when `message` asks somebody in vain: the others are enough.
    pub(super) fn spares(&self, message: &Message) -> bool {
        if message.get_msg_type() != MessageType::MsgHeartbeat || message.context.is_empty() {
            return false;
        }
        self.only.as_ref().is_some_and(|(number, chosen)| {
            message.context[..] == number.to_be_bytes() && !chosen.contains(&NodeId(message.to))
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    number: u64,
    term: Term,
    sent: Mono,
}

impl Group {
    /// True when reads may be served at all: we lead, and an entry of our own term is committed.
    /// Before that the commit index may be older than what a former leader has acknowledged.
    pub fn can_read(&self) -> bool {
        // A leader that was removed goes on for a moment, and raft-rs lets it answer alone when one
        // other voter is left.
        let votes = self.raw.store().configuration().is_voter(self.node);
        self.role() == GroupRole::Leader && votes && self.raw.raft.commit_to_current_term()
    }

    /// Starts a round at `now`, which asks in any case `askers`: they wait for its heartbeat. Its number
    /// comes back in [`Output::reads`], unless leadership is lost first (then [`Output::role_changed`]
    /// says so). `None` when [`Group::can_read`] is false.
    pub fn start_round(&mut self, now: Mono, askers: &[NodeId]) -> Option<u64> {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Planted::ReadBeforeOwnTermCommit) && !self.can_read()
        {
            return self.start_round_too_early(now);
        }
        if !self.can_read() {
            return None;
        }
        let number = self.next_round;
        self.next_round += 1;
        let configuration = self.raw.store().configuration();
        self.asking.choose(number, self.node, askers, configuration);
        self.rounds.push_back(Round { number, term: self.term(), sent: now });
        self.raw.read_index(number.to_be_bytes().to_vec());
        self.show(Moment::AsksQuorum);
        Some(number)
    }

    /// A round like any other, but for the test that raft-rs repeats: no entry of our own term need be committed.
    #[cfg(feature = "planted-bugs")]
    fn start_round_too_early(&mut self, now: Mono) -> Option<u64> {
        let votes = self.raw.store().configuration().is_voter(self.node);
        let is_alone = self.raw.raft.prs().is_singleton();
        if self.role() != GroupRole::Leader || !votes || is_alone {
            return None;
        }
        let number = self.next_round;
        self.next_round += 1;
        self.asking.only = None;
        self.rounds.push_back(Round { number, term: self.term(), sent: now });
        let data = number.to_be_bytes().to_vec().into();
        let mut request = Message::default();
        request.set_msg_type(MessageType::MsgReadIndex);
        request.entries = vec![Entry { data, ..Entry::default() }].into();
        let raft = &mut self.raw.raft;
        let (committed, id) = (raft.raft_log.committed, raft.id);
        raft.read_only.add_request(committed, request, id);
        raft.bcast_heartbeat();
        Some(number)
    }

    /// True when the lease allows a read at the present commit index.
    pub fn lease_holds(&self, now: Mono) -> bool {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Planted::LeaseByTicks) {
            return self.can_read() && self.raw.raft.in_lease();
        }
        self.can_read() && self.lease.holds(self.term(), now)
    }

    /// Gives the lease up and hands leadership to `to`. The result shows in a later role change; when
    /// none comes within an election timeout, the transfer has failed and this node goes on leading,
    /// without a lease for the rest of the term.
    pub fn transfer(&mut self, to: NodeId) {
        let term = self.term();
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is(crate::planted::Planted::LeaseKeptDuringTransfer) {
            return self.raw.transfer_leader(to.0);
        }
        self.lease.give_up(term);
        self.raw.transfer_leader(to.0);
    }

    pub(super) fn finish_round(&mut self, context: &[u8], index: u64, out: &mut Output) {
        let Ok(number) = <[u8; 8]>::try_from(context).map(u64::from_be_bytes) else { return };
        while let Some(round) = self.rounds.front().copied().filter(|round| round.number <= number)
        {
            self.rounds.pop_front();
            if round.number == number && round.term == self.term() {
                #[cfg(feature = "planted-bugs")]
                let round = if crate::planted::is(crate::planted::Planted::LeaseFromReceiveTimes) {
                    Round { sent: crate::planted::noted_time(), ..round }
                } else {
                    round
                };
                self.lease.acknowledged(round.term, round.sent);
            }
        }
        out.reads.push((number, Index(index)));
    }

    /// Notes who answers rounds promptly.
    pub(super) fn note_answer(&mut self, message: &Message) {
        if message.get_msg_type() != MessageType::MsgHeartbeatResponse {
            return;
        }
        let number = <[u8; 8]>::try_from(&message.context[..]).map(u64::from_be_bytes);
        let waits = |round: &Round| number.is_ok_and(|number| round.number <= number);
        if self.rounds.front().is_some_and(waits) {
            self.asking.answered(NodeId(message.from));
        }
    }

    /// A tick passes: a round that still waits asks everybody.
    pub(super) fn ask_everybody(&mut self) {
        if self.asking.only.take().is_some() && !self.rounds.is_empty() {
            self.raw.ping();
        }
    }

    /// The next heartbeats go to everybody, whatever the last round asked.
    pub(super) fn ask_all_again(&mut self) {
        self.asking.only = None;
    }

    pub(super) fn drop_rounds(&mut self) {
        self.rounds.clear();
    }
}

//! Which messages a member may not act on: votes in doubt, early votes, and answers nobody asked for.
//!
//! Three promises are kept here, since raft-rs does not know them:
//! - a restarted member grants no vote for one election timeout (it may have told a leader, before it
//!   stopped, that it would not; the leader's lease rests on that);
//! - a member whose log was cut in doubt votes only for logs which reach the doubtful entry, or, once all other
//!   voters have reported, those of them that no other one is ahead of; nor does it ask for votes itself before
//!   (DESIGN rule 11);
//! - a follower takes no *responses*: raft-rs would raise its term for a late one and forget its
//!   leader, and with it the promise not to vote.

use std::collections::BTreeMap;

use quorate_env::Mono;
use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

use crate::{Index, NodeId, Term};

/// raft-rs marks the vote requests of a leadership transfer so.
const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// The entry that the log may have lost: everything from it on is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubted {
    /// Its index.
    pub index: Index,
    /// Its term, or the highest that it can have had.
    pub term: Term,
}

#[derive(Debug)]
pub(super) struct Guard {
    doubt: Option<Doubted>,
    /// Last entries which the other voters reported since our start.
    reports: BTreeMap<NodeId, (Term, Index)>,
    /// The highest of them, when all other voters have reported. Whoever has reached it has all that was ever
    /// committed: the doubtful entry, if it was, is in the log of one of them.
    best: Option<(Term, Index)>,
    silent_until: Mono,
    /// False until this node's wall clock is known to be near the majority's: one jump of the stamp
    /// would expire everything for good.
    pub(super) may_lead: bool,
}

impl Guard {
    pub(super) fn new(doubt: Option<Doubted>, silent_until: Mono) -> Self {
        Self { doubt, reports: BTreeMap::new(), best: None, silent_until, may_lead: false }
    }

    pub(super) fn doubt(&self) -> Option<Doubted> {
        self.doubt
    }

    /// True when `message` may be acted on.
    pub(super) fn lets_in(&self, message: &Message, role: StateRole, now: Mono) -> bool {
        let asked = |ours: StateRole| role == ours;
        match message.get_msg_type() {
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                let transfer = message.context == CAMPAIGN_TRANSFER;
                (transfer || now >= self.silent_until) && self.may_vote_for(message)
            }
            MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse => {
                asked(StateRole::Leader)
                    || asked(StateRole::Candidate)
                    || asked(StateRole::PreCandidate)
            }
            MessageType::MsgRequestVoteResponse => asked(StateRole::Candidate),
            MessageType::MsgRequestPreVoteResponse => asked(StateRole::PreCandidate),
            MessageType::MsgTimeoutNow => self.may_ask(),
            _ => true,
        }
    }

    fn may_vote_for(&self, message: &Message) -> bool {
        let last = (Term(message.log_term), Index(message.index));
        self.doubt.is_none_or(|doubt| last >= (doubt.term, doubt.index) || self.is_best(last))
    }

    fn is_best(&self, last: (Term, Index)) -> bool {
        self.best.is_some_and(|best| last >= best)
    }

    /// True when this member may ask for votes.
    pub(super) fn may_ask(&self) -> bool {
        self.may_lead && self.doubt.is_none()
    }

    /// `from` has told its last entry, in the handshake.
    pub(super) fn report(&mut self, from: NodeId, last: (Term, Index)) {
        if self.doubt.is_some() {
            self.reports.insert(from, last);
        }
    }

    /// Ends the doubt when a leader has brought our own log, which ends at `own`, up to it, or when every other voter
    /// has reported and none is ahead of us: then nothing that was ever committed is missing here. (Not when none
    /// reaches the doubtful entry: that is the highest that may have been lost, and most likely too high.) `others` are
    /// all who may be voters by now, `None` while this is not known. True when it ended now.
    pub(super) fn settle(&mut self, own: (Term, Index), others: Option<&[NodeId]>) -> bool {
        let Some(doubt) = self.doubt else { return false };
        let reports = others.and_then(|others| {
            others.iter().map(|node| self.reports.get(node).copied()).collect::<Option<Vec<_>>>()
        });
        self.best = reports.map(|reports| reports.into_iter().max().unwrap_or_default());
        if own.1 >= doubt.index || self.is_best(own) {
            self.doubt = None;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(log_term: u64, index: u64) -> Message {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgRequestVote);
        (message.log_term, message.index) = (log_term, index);
        message
    }

    const LATER: Mono = Mono(Duration::from_secs(5));

    fn guard(doubt: Option<Doubted>) -> Guard {
        Guard::new(doubt, Mono(Duration::from_secs(1)))
    }

    #[test]
    fn a_restarted_member_grants_no_vote_for_one_election_timeout() {
        let guard = guard(None);
        assert!(!guard.lets_in(&request(9, 9), StateRole::Follower, Mono::default()));
        assert!(guard.lets_in(&request(9, 9), StateRole::Follower, LATER));
    }

    #[test]
    fn a_member_in_doubt_votes_only_for_logs_that_reach_the_doubtful_entry() {
        let guard = guard(Some(Doubted { index: Index(10), term: Term(3) }));
        assert!(!guard.lets_in(&request(3, 9), StateRole::Follower, LATER));
        assert!(guard.lets_in(&request(3, 10), StateRole::Follower, LATER));
        assert!(guard.lets_in(&request(4, 1), StateRole::Follower, LATER));
        assert!(!guard.may_ask());
    }

    #[test]
    fn the_doubt_ends_when_all_other_voters_lack_the_entry_and_not_before() {
        let mut guard = guard(Some(Doubted { index: Index(10), term: Term(3) }));
        let others = [NodeId(2), NodeId(3)];
        let own = (Term(3), Index(9));
        assert!(!guard.settle(own, None), "who votes is not known before all is applied");
        guard.report(NodeId(2), (Term(3), Index(9)));
        assert!(!guard.settle(own, Some(&others)));
        guard.report(NodeId(3), (Term(3), Index(10)));
        assert!(!guard.settle(own, Some(&others)), "node 3 has it, so it may be committed");
        guard.report(NodeId(3), (Term(2), Index(50)));
        assert!(guard.settle(own, Some(&others)));
    }

    #[test]
    fn when_all_other_voters_have_reported_the_longest_log_is_voted_for_also_in_doubt() {
        let mut guard = guard(Some(Doubted { index: Index(10), term: Term(4) }));
        guard.may_lead = true;
        let (own, others) = ((Term(3), Index(9)), [NodeId(2), NodeId(3)]);
        let takes = |guard: &Guard, term, index| {
            guard.lets_in(&request(term, index), StateRole::Follower, LATER)
        };
        guard.report(NodeId(2), (Term(3), Index(11)));
        assert!(!guard.settle(own, Some(&others)));
        assert!(!takes(&guard, 3, 11), "node 3 may have the entry");
        guard.report(NodeId(3), (Term(3), Index(10)));
        assert!(!guard.settle(own, Some(&others)), "of what term the entry was is not known");
        assert!(takes(&guard, 3, 11) && !takes(&guard, 3, 10), "of the two, node 2 has all");
        assert!(!guard.may_ask(), "nor may we lead, with less");
    }

    #[test]
    fn an_entry_of_an_unknown_term_may_be_what_another_voter_has_at_its_index() {
        let mut guard = guard(Some(Doubted { index: Index(10), term: Term(4) }));
        guard.report(NodeId(2), (Term(2), Index(12)));
        assert!(!guard.settle((Term(2), Index(9)), Some(&[NodeId(2)])), "it may be of term 2");
        assert!(guard.settle((Term(3), Index(9)), Some(&[NodeId(2)])), "it is of term 3 at least");
    }

    /// Seed 2 of profile `doubt`: one record too many was counted as missing, and the leader's log, which had what was
    /// lost and ended there, seemed not to have it.
    #[test]
    fn a_log_that_ends_between_ours_and_the_doubtful_entry_does_not_end_the_doubt() {
        let mut guard = guard(Some(Doubted { index: Index(11), term: Term(3) }));
        guard.report(NodeId(2), (Term(3), Index(10)));
        assert!(!guard.settle((Term(3), Index(9)), Some(&[NodeId(2)])));
        assert!(guard.lets_in(&request(3, 10), StateRole::Follower, LATER), "it is all there is");
        guard.report(NodeId(2), (Term(3), Index(9)));
        assert!(guard.settle((Term(3), Index(9)), Some(&[NodeId(2)])));
    }

    #[test]
    fn a_follower_ignores_answers_that_it_never_asked_for() {
        let mut late = Message::default();
        late.set_msg_type(MessageType::MsgAppendResponse);
        assert!(!guard(None).lets_in(&late, StateRole::Follower, LATER));
        assert!(guard(None).lets_in(&late, StateRole::Leader, LATER));
    }
}

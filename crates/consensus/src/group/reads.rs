//! Read rounds: one heartbeat to a quorum tells that we still lead, for all reads that wait.
//!
//! A round gives the ReadIndex (thesis, section 6.4) and, from the moment it was sent, the lease.

use quorate_env::Mono;

use super::{Group, GroupRole, Output};
use crate::{Index, Term};

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

    /// Starts a round at `now`; its number comes back in [`Output::reads`], unless leadership is lost
    /// first (then [`Output::role_changed`] says so). `None` when [`Group::can_read`] is false.
    pub fn start_round(&mut self, now: Mono) -> Option<u64> {
        if !self.can_read() {
            return None;
        }
        let number = self.next_round;
        self.next_round += 1;
        self.rounds.push_back(Round { number, term: self.term(), sent: now });
        self.raw.read_index(number.to_be_bytes().to_vec());
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
    pub fn transfer(&mut self, to: crate::NodeId) {
        let term = self.term();
        #[cfg(feature = "planted-bugs")]
        let kept = crate::planted::is(crate::planted::Planted::LeaseKeptDuringTransfer);
        #[cfg(not(feature = "planted-bugs"))]
        let kept = false;
        if !kept {
            self.lease.give_up(term);
        }
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

    pub(super) fn drop_rounds(&mut self) {
        self.rounds.clear();
    }
}

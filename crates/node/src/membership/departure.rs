//! Departures: when a voter that leaves is not needed any more.
//!
//! A change of members is in force where it is applied; but a commit index is written without a sync of its own, and
//! who restarts without it needs the votes of before: also that of who has left, which may be destroyed by then. So
//! the leader appends an empty entry behind the change when it has applied it. That entry, and with it the commit index
//! of the change, is on the disks of a majority of those who stay when it is committed. Only then whoever asked hears
//! that it is done, and whoever leaves that it may stop.

use quorate_api::Error;
use quorate_consensus::{Body, Committed, Configuration, Index, Term};

use super::{Awaits, PATIENCE, Pending, UNCONFIRMED, give};
use crate::core::Core;

/// The last change that took a vote away.
#[derive(Debug, Default)]
pub(crate) struct Departure {
    /// Its entry, until it is known that a majority of those who stay knows it for good.
    unknown: Option<Index>,
    /// The term in which this node, leading, has appended an entry behind it.
    confirmed_in: Option<Term>,
    /// True when a member may have begun anew behind a removal, and waits for another entry behind it.
    asked_again: bool,
    /// The term of the last entry that was applied.
    term: Term,
    /// Who waits for a removal that is applied.
    pub(super) askers: Vec<Pending>,
}

impl Departure {
    pub(crate) fn is_known(&self) -> bool {
        self.unknown.is_none()
    }
}

/// True when somebody had a vote before and has none after.
fn takes_a_vote(before: &Configuration, after: &Configuration) -> bool {
    let mut members = before.members();
    members.retain(|node| before.is_voter(*node) && !after.is_voter(*node));
    !members.is_empty()
}

impl Core {
    /// A change of members is applied.
    pub(super) fn note_departure(&mut self, before: &Configuration) {
        if takes_a_vote(before, self.machine.configuration()) {
            let departure = &mut self.membership.departure;
            (departure.unknown, departure.confirmed_in) = (Some(self.machine.applied()), None);
        }
    }

    /// The state is a file's, or a snapshot's, and its last entry is of `term`: a removal in it was committed, but that is
    /// all that it tells.
    pub(crate) fn doubt_departures(&mut self, term: Term) {
        if self.machine.members().has_leavers() {
            let departure = &mut self.membership.departure;
            departure.term = term;
            (departure.unknown, departure.confirmed_in) = (Some(self.machine.applied()), None);
        }
    }

    /// A member has started, or was sent a snapshot, or may have been asked for nothing by the leader before: it may doubt
    /// what this node knows for good.
    pub(crate) fn dispel_doubts(&mut self) {
        self.membership.departure.asked_again |= self.machine.members().has_leavers();
    }

    /// Appends the entry behind a change, where this node leads and no other change is under way. An empty entry that
    /// is not the first of its term is such a one, and says so to the others as well.
    pub(super) fn confirm_departures(&mut self) {
        let (leading, term, now) = (self.is_leading(), self.term(), self.now());
        let is_joint = self.machine.configuration().is_joint();
        let departure = &mut self.membership.departure;
        let (lost, mut askers): (Vec<_>, Vec<_>) = std::mem::take(&mut departure.askers)
            .into_iter()
            .partition(|it| it.term != term || now.since(it.since) > PATIENCE);
        for asker in lost {
            give(asker.asker, Err(Error::unknown(UNCONFIRMED)));
        }
        let unknown = departure.unknown.is_some() && departure.confirmed_in != Some(term);
        let wanted = unknown || departure.asked_again;
        let group =
            self.group.as_mut().filter(|group| leading && !is_joint && !group.is_changing());
        if let Some(group) = group.filter(|_| wanted || !askers.is_empty())
            && let Ok((index, term)) = group.propose(Vec::new())
        {
            (departure.confirmed_in, departure.asked_again) = (Some(term), false);
            for asker in askers.drain(..) {
                let awaits = Awaits::Confirmation;
                self.membership.pending.push(Pending { index, term, awaits, ..asker });
            }
            self.wake();
        }
        self.membership.departure.askers = askers;
    }

    /// Looks whether `entry`, which is applied now, stands behind a change that its proposer had applied.
    pub(super) fn settle_departure(&mut self, entry: &Committed) {
        let departure = &mut self.membership.departure;
        let is_first = std::mem::replace(&mut departure.term, entry.term) != entry.term;
        if is_first || entry.body != Body::Empty || departure.unknown.take().is_none() {
            return;
        }
        self.bid_farewell(Vec::new());
        self.link_members();
        if self.is_gone(self.identity.node) {
            self.was_removed();
        }
    }
}

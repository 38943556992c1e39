//! Votes: who gets one, who gives it up, who leaves; and that a majority can still be reached then.

use std::time::Duration;

use quorate_api::limits::VOTERS_MAX;
use quorate_api::{AdminReply, AdminRequest, Caution, Error};
#[cfg(feature = "planted-bugs")]
use quorate_consensus::planted::{self, Planted};
use quorate_consensus::{Body, Change, Committed, Configuration, MemberChange, NodeId};
use quorate_env::Mono;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::door::is_reachable;
use crate::members::{Member, Note, Wish};
use crate::membership::{Asked, Membership, Outcome, UNCONFIRMED, give, refused};

/// A learner this near to the leader's last entry has caught up.
const CAUGHT_UP_ENTRIES: u64 = 256;

/// A request that costs the leader its vote.
#[derive(Debug)]
pub(crate) struct Bequest {
    request: AdminRequest,
    pub(crate) asker: oneshot::Sender<Outcome>,
    since: Mono,
    /// Raft gives an attempt to hand over up after an election timeout.
    tried_at: Option<Mono>,
}

/// How long a successor is looked for.
const BEQUEST_TIME: Duration = Duration::from_secs(5);

impl Core {
    /// Removes a member.
    pub(crate) fn leave(
        &mut self,
        member: &str,
        caution: Caution,
        asker: oneshot::Sender<Outcome>,
    ) {
        let Some(node) = self.machine.members().find(member) else {
            return give(asker, refused(format!("no member has the name or address {member:?}")));
        };
        let configuration = self.machine.configuration();
        if configuration.voters == [node] {
            return give(asker, refused("the last voter can't leave: the data would be gone"));
        }
        if configuration.is_voter(node)
            && let Err(why) = self.check_majority_without(node, caution)
        {
            return give(asker, refused(why));
        }
        if node == self.identity.node {
            let request = AdminRequest::Leave { member: member.to_owned(), caution };
            return self.hand_over_first(request, asker);
        }
        let context = Note::Gone(node).encode();
        self.propose_change(&Change { steps: vec![MemberChange::Remove(node)], context }, asker);
    }

    /// Takes a voter's vote away.
    pub(crate) fn demote(
        &mut self,
        member: &str,
        caution: Caution,
        asker: oneshot::Sender<Outcome>,
    ) {
        let Some((node, row)) = self.row(member) else {
            return give(asker, refused(format!("no member has the name or address {member:?}")));
        };
        let configuration = self.machine.configuration();
        let is_voter = configuration.is_voter(node);
        if !is_voter && row.wish == Wish::StaysLearner {
            return give(asker, Ok(AdminReply::Done));
        }
        if configuration.voters == [node] {
            return give(
                asker,
                refused("the last voter can't give its vote up: nobody could decide"),
            );
        }
        if is_voter {
            if let Err(why) = self.check_majority_without(node, caution) {
                return give(asker, refused(why));
            }
            if node == self.identity.node {
                let request = AdminRequest::Demote { member: member.to_owned(), caution };
                return self.hand_over_first(request, asker);
            }
        }
        let context = Note::Put(node, Member { wish: Wish::StaysLearner, ..row }).encode();
        self.propose_change(
            &Change { steps: vec![MemberChange::AddLearner(node)], context },
            asker,
        );
    }

    /// Gives a learner a vote: now, or when it has caught up.
    pub(crate) fn promote(&mut self, member: &str, asker: oneshot::Sender<Outcome>) {
        let Some((node, row)) = self.row(member) else {
            return give(asker, refused(format!("no member has the name or address {member:?}")));
        };
        let configuration = self.machine.configuration();
        if configuration.is_voter(node) {
            return give(asker, Ok(AdminReply::Done));
        }
        if configuration.voters.len() >= VOTERS_MAX {
            return give(asker, refused(format!("a cluster has at most {VOTERS_MAX} voters")));
        }
        let step = if self.has_caught_up(node) {
            MemberChange::Promote(node)
        } else {
            MemberChange::AddLearner(node)
        };
        let context = Note::Put(node, Member { wish: Wish::Vote, ..row }).encode();
        self.propose_change(&Change { steps: vec![step], context }, asker);
    }

    fn row(&self, member: &str) -> Option<(NodeId, Member)> {
        let node = self.machine.members().find(member)?;
        self.machine.members().get(node).map(|row| (node, row.clone()))
    }

    /// A leader hands over before it gives its own vote up: its successor carries that out, and nobody
    /// waits for an election.
    fn hand_over_first(&mut self, request: AdminRequest, asker: oneshot::Sender<Outcome>) {
        let since = self.now();
        self.membership.for_successor.push(Bequest { request, asker, since, tried_at: None });
        self.settle_for_successor();
    }

    /// Passes requests that cost this node its vote on, once somebody else leads. Until then somebody is asked
    /// to: a member that has just come in does not know enough clocks yet, and can in a moment.
    pub(crate) fn settle_for_successor(&mut self) {
        let (now, own) = (self.now(), self.identity.node);
        let attempt = self.config.pace.election_timeout() * 2;
        let elsewhere = self.leader().is_some_and(|leader| leader != own);
        for mut bequest in std::mem::take(&mut self.membership.for_successor) {
            if elsewhere {
                self.administer(bequest.request, bequest.asker);
                continue;
            }
            if now.since(bequest.since) > BEQUEST_TIME {
                let why = match bequest.tried_at {
                    None => "no other voter is reachable and caught up to take the lead",
                    Some(_) => "nobody else took the lead; look at the other members and retry",
                };
                give(bequest.asker, Err(Error::not_applied(why)));
                continue;
            }
            if bequest.tried_at.is_none_or(|at| now.since(at) > attempt)
                && self.best_successor().is_some()
            {
                self.hand_over();
                bequest.tried_at = Some(now);
            }
            self.membership.for_successor.push(bequest);
        }
    }

    /// A leader that has just been elected can't change anything before an entry of its own term is committed:
    /// whoever hands over to it passes requests on at once, and need not hear that they were refused.
    pub(crate) fn settle_early(&mut self) {
        let (now, leading) = (self.now(), self.is_leading());
        let elected = self.leader() == Some(self.identity.node);
        for (request, asker, since) in std::mem::take(&mut self.membership.early) {
            if leading {
                self.carry_out_admin(request, asker);
            } else if elected && now.since(since) <= BEQUEST_TIME {
                self.membership.early.push((request, asker, since));
            } else {
                let error = self.no_leader();
                give(asker, Err(error));
            }
        }
    }

    /// A leader that leaves passes its own removal on to its successor, and may be gone before it can tell
    /// that this was carried out: whoever has asked it through this node hears so from the log, when the
    /// entry behind the removal (see [`Core::confirm_departures`]) is applied. `entry` is the one applied now.
    pub(crate) fn settle_farewells(&mut self, entry: &Committed) {
        let Membership { asked, farewells, .. } = &mut self.membership;
        match &entry.body {
            Body::Change { change, .. } if !asked.is_empty() => {
                let is_gone = |asked: &Asked| {
                    let leaves = |leaver| change.steps.contains(&MemberChange::Remove(leaver));
                    asked.leaver.is_some_and(leaves)
                };
                let gone: Vec<_> =
                    asked.iter().filter(|(_, one)| is_gone(one)).map(|(at, _)| *at).collect();
                let askers = gone.iter().filter_map(|number| asked.remove(number));
                farewells.extend(askers.map(|asked| (entry.term, asked.asker)));
            }
            Body::Empty => {
                for (term, asker) in farewells.drain(..) {
                    let is_confirmed = term == entry.term;
                    let confirmed = is_confirmed.then_some(AdminReply::Done);
                    give(asker, confirmed.ok_or_else(|| Error::unknown(UNCONFIRMED)));
                }
            }
            Body::Change { .. } | Body::Normal(_) => {}
        }
    }

    fn check_majority_without(&self, node: NodeId, caution: Caution) -> Result<(), String> {
        let mut left = self.machine.configuration().clone();
        left.voters.retain(|voter| *voter != node);
        let missing = self.missing_for_majority(&left);
        if caution == Caution::Force || missing.is_empty() {
            return Ok(());
        }
        let name = |node: NodeId| {
            let member = self.machine.members().get(node);
            member.map_or_else(|| format!("node {node}"), |member| member.name.clone())
        };
        let names: Vec<_> = missing.into_iter().map(name).collect();
        Err(format!(
            "without {} no majority of the voters would be reachable, for {} can't be reached now; bring the \
             others back first, or replace them (quorate member replace). With force \
             (`quorate member ... --force`, ?force=true over HTTP) it is done all the same: then nothing is answered \
             until a majority is back, and if they never come back, only `quorate recover` helps",
            name(node),
            names.join(", "),
        ))
    }

    /// The voters that can't be reached, where they are too many for a majority of `configuration`.
    fn missing_for_majority(&self, configuration: &Configuration) -> Vec<NodeId> {
        let progress =
            self.group.as_ref().map(quorate_consensus::Group::progress).unwrap_or_default();
        // `active` is a memory of up to an election timeout; a broken link is known at once.
        let linked = |voter| voter == self.identity.node || is_reachable(self, voter);
        let is_there =
            |voter| linked(voter) && progress.iter().any(|p| p.node == voter && p.active);
        if configuration.has_quorum(is_there) {
            return Vec::new();
        }
        configuration.voters.iter().copied().filter(|voter| !is_there(*voter)).collect()
    }

    fn has_caught_up(&self, node: NodeId) -> bool {
        let Some(group) = &self.group else { return false };
        let last = group.last().0.0;
        group.progress().into_iter().any(|progress| {
            progress.node == node
                && progress.active
                && !progress.snapshot
                && progress.matched.0 > 0
                && last.saturating_sub(progress.matched.0) < CAUGHT_UP_ENTRIES
        })
    }

    /// A vote for a learner that has caught up and shall have one.
    pub(crate) fn promotion(&mut self) -> Option<Change> {
        if let Some((old, new)) = self.heir_with_a_vote()
            && let Some(change) = self.relief(old, new)
        {
            return Some(change);
        }
        let configuration = self.machine.configuration();
        let has_room = configuration.voters.len() < VOTERS_MAX;
        let mut ready = configuration.learners.clone();
        ready.retain(|node| self.has_caught_up(*node));
        #[cfg(feature = "planted-bugs")]
        if planted::is(Planted::MembersWithoutJoint) && has_room && ready.len() > 1 {
            let steps = ready.iter().map(|node| MemberChange::Promote(*node)).collect();
            return Some(Change { steps, context: Note::None.encode() });
        }
        for node in ready {
            match self.machine.members().get(node).map(|member| member.wish) {
                Some(Wish::Vote) if has_room => {
                    let steps = vec![MemberChange::Promote(node)];
                    return Some(Change { steps, context: Note::None.encode() });
                }
                Some(Wish::Replaces(old)) => {
                    if let Some(change) = self.succession(old, node, has_room) {
                        return Some(change);
                    }
                }
                Some(Wish::Vote | Wish::StaysLearner) | None => {}
            }
        }
        None
    }

    /// `new` gets the vote that `old` gives up, in one step.
    fn succession(&mut self, old: NodeId, new: NodeId, has_room: bool) -> Option<Change> {
        let configuration = self.machine.configuration();
        if !configuration.is_voter(old) {
            // Somebody has removed or demoted it meanwhile: what is left is a vote for the new one.
            let member = self.machine.members().get(new)?.clone();
            let context = Note::Put(new, Member { wish: Wish::Vote, ..member }).encode();
            return has_room.then(|| Change { steps: vec![MemberChange::Promote(new)], context });
        }
        if configuration.voters == [old] {
            // It leads, and has nobody to hand over to but who is to come: see [`Core::relief`].
            return Some(Change {
                steps: vec![MemberChange::Promote(new)],
                context: Note::None.encode(),
            });
        }
        let mut after = configuration.clone();
        after.voters.retain(|voter| *voter != old);
        after.voters.push(new);
        if !self.missing_for_majority(&after).is_empty() {
            return None;
        }
        if old == self.identity.node {
            // The next leader carries it out.
            self.hand_over();
            return None;
        }
        let steps = vec![MemberChange::Promote(new), MemberChange::Remove(old)];
        Some(Change { steps, context: Note::Succeed(old, new).encode() })
    }

    /// Who is to be replaced, and by whom, where that one has a vote already.
    fn heir_with_a_vote(&self) -> Option<(NodeId, NodeId)> {
        let configuration = self.machine.configuration();
        self.machine.members().iter().find_map(|(node, member)| match member.wish {
            Wish::Replaces(old) if configuration.is_voter(node) => Some((old, node)),
            Wish::Replaces(_) | Wish::Vote | Wish::StaysLearner => None,
        })
    }

    /// `new` has come in beside `old`, the only voter there was: it takes the lead, and then `old` leaves.
    fn relief(&mut self, old: NodeId, new: NodeId) -> Option<Change> {
        let mut after = self.machine.configuration().clone();
        if !after.is_voter(old) {
            // Somebody has removed or demoted it meanwhile: nothing is left to be done.
            let member = self.machine.members().get(new)?.clone();
            let context = Note::Put(new, Member { wish: Wish::Vote, ..member }).encode();
            return Some(Change { steps: vec![MemberChange::Promote(new)], context });
        }
        after.voters.retain(|voter| *voter != old);
        if !self.missing_for_majority(&after).is_empty() {
            return None;
        }
        if old == self.identity.node {
            self.hand_over();
            return None;
        }
        let steps = vec![MemberChange::Remove(old)];
        Some(Change { steps, context: Note::Succeed(old, new).encode() })
    }
}

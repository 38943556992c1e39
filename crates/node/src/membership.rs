//! Members come and go: requests, the changes they become, and what follows when those are applied.

mod departure;
mod enrolment;
mod whereabouts;

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_api::{AdminReply, AdminRequest, Error};
use quorate_consensus::peers::{Card, Formats, Lane};
use quorate_consensus::{
    Body, Change, Committed, Configuration, GroupRole, Index, MemberChange, NodeId, ProposeError,
    Term,
};
use quorate_env::Mono;
use tokio::sync::oneshot;

use self::departure::Departure;
use crate::admin;
use crate::core::{Core, Stop};
use crate::frames::Frame;
use crate::members::{Members, Note};
use crate::votes::Bequest;

/// The outcome of an administrative request.
pub(crate) type Outcome = Result<AdminReply, Error>;

/// A change that was proposed, or the entry behind it that confirms it.
#[derive(Debug)]
struct Pending {
    index: Index,
    term: Term,
    awaits: Awaits,
    asker: oneshot::Sender<Outcome>,
    since: Mono,
}

/// What an asker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// The change.
    Change,
    /// An empty entry that those who are left have committed behind a removal. See [`departure`].
    Confirmation,
}

/// A request that was sent to the leader.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) asker: oneshot::Sender<Outcome>,
    since: Mono,
    /// The leader, where it was asked to leave.
    pub(crate) leaver: Option<NodeId>,
}

#[derive(Debug, Default)]
pub(crate) struct Membership {
    pending: Vec<Pending>,
    pub(crate) asked: BTreeMap<u64, Asked>,
    /// Requests of members that found this node elected before its term had begun.
    pub(crate) early: Vec<(AdminRequest, oneshot::Sender<Outcome>, Mono)>,
    /// Who has asked a leader to leave that has left, in which term.
    pub(crate) farewells: Vec<(Term, oneshot::Sender<Outcome>)>,
    pub(crate) next_ask: u64,
    /// Drawn at start: numbers of forwarded batches begin here, so that none repeats after a restart. It names this
    /// run of the process in handshakes, too.
    pub(crate) epoch: u64,
    /// Of each peer, the run that was let in last.
    pub(crate) runs: BTreeMap<NodeId, u64>,
    /// Who has called us as a member, but does not stand in our table yet: instance and address.
    pub(crate) acquaintances: BTreeMap<NodeId, (u64, String)>,
    /// Members whose addresses have changed, as they say in the handshake.
    moved: BTreeMap<NodeId, Card>,
    /// Where members were found that are not where the table says: the table's address, and theirs.
    found: BTreeMap<NodeId, (String, String)>,
    /// Who has just left, and when.
    departing: Vec<((NodeId, u64, String), Mono)>,
    /// Requests that cost this node its vote, which its successor as leader shall carry out.
    pub(crate) for_successor: Vec<Bequest>,
    /// The formats that members can work with, as they say in the handshake.
    pub(crate) formats: BTreeMap<NodeId, Formats>,
    /// When this node was removed from the cluster.
    removed_at: Option<Mono>,
    departure: Departure,
}

/// Administrative requests take an entry through the log, or wait for an election.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);
/// A removal of which it is not known that all who are left know it.
pub(crate) const UNCONFIRMED: &str = "the member was removed, but another node took the lead meanwhile; \
    keep its data until the others have shown that they go on without it";
/// How long a removed node goes on.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);
/// How long it goes on for the sake of noting it, should its disk be full or slow.
const NOTING_MAX: std::time::Duration = std::time::Duration::from_secs(15);

/// The state in front of a change of members.
pub(crate) struct Before {
    others: Vec<(NodeId, u64, String)>,
    tables: (Members, Configuration),
    format: u64,
}

impl Membership {
    pub(crate) fn fail_all(&mut self, error: &Error) {
        let pending = self.pending.drain(..).chain(self.departure.askers.drain(..));
        let pending = pending.map(|pending| pending.asker);
        let asked = std::mem::take(&mut self.asked).into_values().map(|asked| asked.asker);
        let for_successor = self.for_successor.drain(..).map(|bequest| bequest.asker);
        let farewells = self.farewells.drain(..).map(|(_, asker)| asker);
        let early = self.early.drain(..).map(|(_, asker, _)| asker);
        for asker in pending.chain(asked).chain(for_successor).chain(farewells).chain(early) {
            give(asker, Err(error.clone()));
        }
    }

    /// The leader has answered request `number`.
    pub(crate) fn answered(&mut self, number: u64, answer: Bytes) {
        if let Some(asked) = self.asked.remove(&number) {
            give(asked.asker, admin::decode_outcome(answer));
        }
    }

    /// `node` is where the table says.
    pub(crate) fn came_back(&mut self, node: NodeId) {
        self.moved.remove(&node);
    }

    pub(crate) fn moved(&mut self, card: &Card) {
        if !card.peer_addr.is_empty() {
            self.moved.insert(card.node, card.clone());
        }
    }
}

/// The asker may have gone: nobody needs the answer then.
pub(crate) fn give(asker: oneshot::Sender<Outcome>, outcome: Outcome) {
    drop(asker.send(outcome));
}

/// True when a member is gone with this change.
fn removes(body: &Body) -> bool {
    let Body::Change { change, .. } = body else { return false };
    change.steps.iter().any(|step| matches!(step, MemberChange::Remove(_)))
}

pub(crate) fn refused(text: impl Into<String>) -> Outcome {
    Ok(AdminReply::Refused(text.into()))
}

impl Core {
    /// Takes a request that the leader must carry out; a follower passes it on.
    pub(crate) fn administer(&mut self, request: AdminRequest, asker: oneshot::Sender<Outcome>) {
        if self.group.as_ref().is_some_and(|group| group.role() == GroupRole::Leader) {
            return self.carry_out_admin(request, asker);
        }
        let Some(leader) = self.leader() else {
            let error = self.no_leader();
            return give(asker, Err(error));
        };
        self.membership.next_ask += 1;
        let number = self.membership.next_ask;
        let frame = Frame::AdminAsk { number, request: admin::encode_request(&request) };
        if self.send_frame(leader, Lane::Control, &frame) {
            let leaver = match &request {
                AdminRequest::Leave { member, .. } => self.machine.members().find(member),
                _ => None,
            };
            let (since, leaver) = (self.now(), leaver.filter(|leaver| *leaver == leader));
            self.membership.asked.insert(number, Asked { asker, since, leaver });
        } else {
            let error = self.no_leader();
            give(asker, Err(error));
        }
    }

    /// A member passes a request on.
    pub(crate) fn admin_asked(&mut self, from: NodeId, number: u64, request: Bytes) {
        let Some(request) = admin::decode_request(request) else { return };
        let (asker, answer) = oneshot::channel();
        let leads = self.group.as_ref().is_some_and(|group| group.role() == GroupRole::Leader);
        if leads && !self.is_leading() && request != AdminRequest::ClusterStatus {
            let since = self.now();
            self.membership.early.push((request, asker, since));
        } else if leads {
            self.carry_out_admin(request, asker);
        } else {
            let error = self.no_leader();
            give(asker, Err(error));
        }
        let Some(peers) = self.peers.clone() else { return };
        self.env.tasks.spawn(Box::pin(async move {
            let lost = Err(Error::unknown("the leader stopped"));
            let outcome = answer.await.unwrap_or(lost);
            let frame = Frame::AdminAnswer { number, answer: admin::encode_outcome(&outcome) };
            let encode = |out: &mut Vec<u8>| frame.encode(crate::core::GROUP, out);
            peers.send(from, Lane::Control, quorate_consensus::peers::Kind::Node, encode);
        }));
    }

    pub(crate) fn carry_out_admin(
        &mut self,
        request: AdminRequest,
        asker: oneshot::Sender<Outcome>,
    ) {
        match request {
            AdminRequest::Leave { member, caution } => self.leave(&member, caution, asker),
            AdminRequest::Promote { member } => self.promote(&member, asker),
            AdminRequest::Demote { member, caution } => self.demote(&member, caution, asker),
            AdminRequest::Transfer { to } => self.transfer(to.as_deref(), asker),
            AdminRequest::ClusterStatus => {
                give(asker, Ok(AdminReply::Status(Box::new(self.status()))));
            }
            AdminRequest::Join { .. }
            | AdminRequest::Events { .. }
            | AdminRequest::ReadLog { .. }
            | AdminRequest::Wait { .. } => {
                give(asker, refused("not a request for the leader"));
            }
        }
    }

    pub(crate) fn propose_change(&mut self, change: &Change, asker: oneshot::Sender<Outcome>) {
        let (leading, since) = (self.is_leading(), self.now());
        let Some(group) = self.group.as_mut().filter(|_| leading) else {
            let error = self.no_leader();
            return give(asker, Err(error));
        };
        match group.change(change) {
            Ok((index, term)) => {
                let awaits = Awaits::Change;
                self.membership.pending.push(Pending { index, term, awaits, asker, since });
            }
            Err(ProposeError::Busy) => {
                let text = "another change of members is under way; retry when it is done";
                give(asker, Err(Error::not_applied(text)));
            }
            Err(error) => give(asker, Err(Error::not_applied(error.to_string()))),
        }
        self.wake();
    }

    /// Answers those who wait for a change at or below what is applied; `entry` is the one applied now.
    pub(crate) fn settle_changes(&mut self, entry: Option<&Committed>) {
        if let Some(entry) = entry {
            self.settle_farewells(entry);
            self.settle_departure(entry);
        }
        let applied = self.machine.applied();
        while let Some(at) = self.membership.pending.iter().position(|one| one.index <= applied) {
            let pending = self.membership.pending.swap_remove(at);
            let here =
                entry.filter(|entry| entry.index == pending.index && entry.term == pending.term);
            let body = here.map(|entry| &entry.body);
            if pending.awaits == Awaits::Confirmation {
                let confirmed = body.map(|_| AdminReply::Done);
                give(pending.asker, confirmed.ok_or_else(|| Error::unknown(UNCONFIRMED)));
                continue;
            }
            if body.is_some_and(removes) {
                self.membership.departure.askers.push(pending);
                continue;
            }
            give(
                pending.asker,
                match body {
                    Some(Body::Change { .. }) => Ok(AdminReply::Done),
                    Some(Body::Empty | Body::Normal(_)) => Err(Error::not_applied(
                        "another change of members came first; look again and retry",
                    )),
                    None if entry.is_some() => {
                        Err(Error::not_applied("another node took the lead"))
                    }
                    None => Err(Error::unknown(
                        "this node fell behind; look whether the change came about",
                    )),
                },
            );
        }
    }

    /// What a change of members is compared with.
    pub(crate) fn before_change(&self) -> Before {
        Before {
            others: self.other_members(),
            tables: (self.machine.members().clone(), self.machine.configuration().clone()),
            format: self.machine.format(),
        }
    }

    /// A change of members is applied.
    pub(crate) fn members_changed(&mut self, before: Before) -> Result<(), Stop> {
        self.note_departure(&before.tables.1);
        self.tell_of_change(&before.tables, before.format);
        self.bid_farewell(before.others);
        self.link_members();
        self.remember_peers();
        self.confirm_departures();
        self.stop_unless_format_known()
    }

    /// A snapshot's table is in force.
    pub(crate) fn snapshot_changed_members(&mut self, before: &Before, term: Term) {
        // To a newcomer all is new, and nothing has happened.
        if before.tables.0.len() > 0 {
            self.tell_of_change(&before.tables, before.format);
        }
        self.doubt_departures(term);
        self.link_members();
        self.remember_peers();
    }

    /// True when `node` has left for good. In a joint configuration who goes still has a vote, and until all have
    /// left that, and know so for good, it is needed: it must be listened to, and may not stop.
    pub(crate) fn is_gone(&self, node: NodeId) -> bool {
        self.machine.members().has_left(node)
            && !self.machine.configuration().is_voter(node)
            && self.membership.departure.is_known()
    }

    /// Notes it for good: when this node starts again, whoever told it may be gone, too.
    pub(crate) fn was_removed(&mut self) {
        self.membership.removed_at.get_or_insert(self.env.clock.now());
        if !self.identity.removed {
            self.identity.removed = true;
            self.save(self.identity.clone());
        }
    }

    /// A removed node lingers for a moment: the others shall hear that the entry is committed.
    fn leave_when_removed(&self) -> Result<(), Stop> {
        let Some(at) = self.membership.removed_at else { return Ok(()) };
        let since = self.now().since(at);
        if since > NOTING_MAX || (since > LINGER && self.registration.has_noted_removal()) {
            return Err(Stop("this node was removed from the cluster".to_owned()));
        }
        Ok(())
    }

    /// Raft stops sending to a member with its removal: it is told in so many words.
    pub(crate) fn bid_farewell(&mut self, before: Vec<(NodeId, u64, String)>) {
        let now = self.now();
        for member in before {
            let known = self.membership.departing.iter().any(|((node, ..), _)| *node == member.0);
            if !known && self.machine.members().has_left(member.0) {
                self.membership.departing.push((member, now));
            }
        }
        let mut departing = std::mem::take(&mut self.membership.departing);
        for ((node, ..), since) in &mut departing {
            if self.is_gone(*node) {
                self.send_frame(*node, Lane::Control, &Frame::Removed);
                *since = now;
            }
        }
        self.membership.departing = departing;
    }

    /// A link is up again. Who has left may have been told so while there was none.
    pub(crate) fn link_up(&self, node: NodeId, lane: Lane) {
        tracing::debug!(node = node.0, ?lane, "link up");
        if lane == Lane::Control && self.is_gone(node) {
            self.send_frame(node, Lane::Control, &Frame::Removed);
        }
    }

    /// A member says that this node was removed.
    pub(crate) fn told_of_removal(&mut self, from: NodeId) {
        tracing::info!(from = from.0, "told of this node's removal");
        self.was_removed();
    }

    /// By the clock: promotions, joint configurations to leave, addresses that changed, deadlines.
    pub(crate) fn tend_members(&mut self) -> Result<(), Stop> {
        self.leave_when_removed()?;
        self.settle_transfers();
        self.settle_for_successor();
        self.settle_early();
        self.confirm_departures();
        let now = self.now();
        let before = self.membership.departing.len();
        let mut departing = std::mem::take(&mut self.membership.departing);
        departing.retain(|((node, ..), at)| !self.is_gone(*node) || now.since(*at) < LINGER);
        self.membership.departing = departing;
        if self.membership.departing.len() < before {
            self.link_members();
        }
        let late = |asked: &Asked| now.since(asked.since) > PATIENCE;
        let overdue: Vec<_> = self
            .membership
            .asked
            .iter()
            .filter(|(_, asked)| late(asked))
            .map(|(number, _)| *number)
            .collect();
        for number in overdue {
            if let Some(asked) = self.membership.asked.remove(&number) {
                give(asked.asker, Err(Error::unknown("the leader did not answer in time")));
            }
        }
        let (late, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.membership.pending)
            .into_iter()
            .partition(|pending| now.since(pending.since) > PATIENCE);
        self.membership.pending = waiting;
        for pending in late {
            give(pending.asker, Err(Error::unknown("no majority confirmed the change in time")));
        }
        let own = self.identity.node;
        let leads = self.group.as_ref().is_some_and(|group| group.role() == GroupRole::Leader);
        if leads && !self.machine.configuration().is_voter(own) {
            // Elected before it knew that its vote was taken: raft lets it go on.
            self.hand_over();
        } else if self.is_leading() {
            self.next_change();
        }
        Ok(())
    }

    /// At most one change of its own that the leader sees is due.
    fn next_change(&mut self) {
        let configuration = self.machine.configuration();
        let change = if configuration.is_joint() {
            // raft's own way out may never come after a change of leaders.
            Some(Change { steps: Vec::new(), context: Note::None.encode() })
        } else {
            self.promotion().or_else(|| self.new_address()).or_else(|| self.next_format())
        };
        let Some(change) = change else { return };
        if let Some(group) = &mut self.group
            && let Err(error) = group.change(&change)
        {
            tracing::debug!(%error, "change of members has to wait");
        }
    }
}

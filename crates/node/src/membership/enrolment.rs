//! Nodes come in: what is asked of them, and as what they come.

use quorate_api::limits::MEMBERS_MAX;
use quorate_api::{AdminReply, Error};
use quorate_consensus::peers::Card;
use quorate_consensus::{Change, MemberChange, NodeId};
use tokio::sync::oneshot;

use super::{Outcome, give, refused};
use crate::core::Core;
use crate::door::{NAMES_ARE_FOR_LIFE, REMOVED};
use crate::members::{Member, Note, Wish};

/// The row for a node that comes in with `card`.
pub(super) fn member_of(card: &Card, wish: Wish) -> Member {
    Member {
        name: card.name.clone(),
        instance: card.instance,
        peer_addr: card.peer_addr.clone(),
        client_addr: card.client_addr.clone(),
        wish,
    }
}

impl Core {
    /// A node asks to be added; `card` is its own.
    pub(crate) fn enrol(&mut self, card: &Card, asker: oneshot::Sender<Outcome>) {
        if let Err(why) = self.check_origin(card) {
            return give(asker, refused(why));
        }
        let members = self.machine.members();
        if let Some((node, member)) = members.by_name(&card.name) {
            let same = member.instance == card.instance;
            // Damaged: its old number has promised what it can't keep.
            if same && card.lost_node == node {
                let wish = member.wish;
                return self.replace(node, card, wish, asker);
            }
            if same && card.replaces.0 != 0 {
                return self.name_successor(node, card, asker);
            }
            // Asked twice: the first answer was lost. Or it is looking for us, from another address.
            if same {
                if *member != member_of(card, member.wish) {
                    self.membership.moved(card);
                }
                return give(asker, Ok(AdminReply::Done));
            }
            let text =
                format!("a member is called {:?} already; give the new node another id", card.name);
            return give(asker, refused(text));
        }
        // It has lost its log and wants to come back; meanwhile it was removed, which it could not hear.
        if members.name_was_used(&card.name) && members.has_left(card.lost_node) {
            return give(asker, refused(REMOVED));
        }
        // It looks for us, and was a member. As long as its vote may be needed it must not stop.
        if members.has_left(card.node) {
            if self.is_gone(card.node) {
                return give(asker, refused(REMOVED));
            }
            return give(asker, Err(Error::not_applied("the node is about to leave; wait")));
        }
        if members.name_was_used(&card.name) {
            let text = format!(
                "a node called {:?} has been a member before; {NAMES_ARE_FOR_LIFE}, choose another id",
                card.name
            );
            return give(asker, refused(text));
        }
        if let Some((_, member)) =
            members.iter().find(|(_, member)| member.peer_addr == card.peer_addr)
        {
            let text = format!(
                "member {:?} has the address {}; remove it first, or give the new node its own",
                member.name, card.peer_addr
            );
            return give(asker, refused(text));
        }
        if members.len() >= MEMBERS_MAX {
            return give(asker, refused(format!("a cluster has at most {MEMBERS_MAX} members")));
        }
        let wish = match self.wish_of(card) {
            Ok(wish) => wish,
            Err(why) => return give(asker, refused(why)),
        };
        let node = members.next_node();
        let context = Note::Put(node, member_of(card, wish)).encode();
        self.propose_change(
            &Change { steps: vec![MemberChange::AddLearner(node)], context },
            asker,
        );
    }

    /// Whether the node behind `card` can belong to this cluster at all.
    fn check_origin(&self, card: &Card) -> Result<(), String> {
        let own = self.identity.cluster;
        if card.cluster.0 != 0 && card.cluster != own {
            return Err(format!("the node belongs to cluster {}, this is {own}", card.cluster));
        }
        if card.pledge.0 != 0 && card.pledge != own {
            return Err(format!(
                "{} has agreed to found another cluster; empty its data directory first",
                card.name
            ));
        }
        self.check_format(card)
    }

    /// Why the node behind `card`, which is to come in as a learner, is none and becomes none by being added. Only
    /// whoever was asked knows that it is an operator who wants it: a voter that was once started as a learner
    /// says the same of itself.
    pub(crate) fn is_no_learner(&self, card: &Card) -> Option<String> {
        let (node, member) = self.machine.members().by_name(&card.name)?;
        let stays =
            member.wish == Wish::StaysLearner && !self.machine.configuration().is_voter(node);
        (member.instance == card.instance && !stays).then(|| {
            let name = &member.name;
            format!(
                "{name} is a member that has a vote, or is about to get one; quorate member demote {name} makes it \
                 a learner"
            )
        })
    }

    /// What is to become of the new node behind `card`.
    fn wish_of(&self, card: &Card) -> Result<Wish, String> {
        let old = card.replaces;
        if old.0 == 0 {
            return Ok(if card.learner { Wish::StaysLearner } else { Wish::Vote });
        }
        let members = self.machine.members();
        let Some(member) = members.get(old) else {
            return Err(format!("node {old}, which is to be replaced, is no member"));
        };
        if !self.machine.configuration().is_voter(old) {
            let name = &member.name;
            return Err(format!(
                "{name} has no vote that another could take over; remove it and add the new one"
            ));
        }
        match members.iter().find(|(_, heir)| heir.wish == Wish::Replaces(old)) {
            Some((_, heir)) => {
                Err(format!("{} is about to take the place of {} already", heir.name, member.name))
            }
            None => Ok(Wish::Replaces(old)),
        }
    }

    /// `node`, which is a member already, is to take the place of `old`.
    fn name_successor(&mut self, node: NodeId, card: &Card, asker: oneshot::Sender<Outcome>) {
        let old = card.replaces;
        let members = self.machine.members();
        let Some(row) = members.get(node) else {
            return give(asker, Err(Error::not_applied("the member has just left; look again")));
        };
        // Asked twice: the first answer was lost.
        if row.wish == Wish::Replaces(old) {
            return give(asker, Ok(AdminReply::Done));
        }
        let name = &row.name;
        if node == old {
            return give(asker, refused(format!("{name} can't take its own place")));
        }
        if self.machine.configuration().is_voter(node) {
            let gone = members.get(old).map_or("the other", |member| member.name.as_str());
            let text = format!(
                "{name} has a vote itself, and can't take over another one: give the address of a node without \
                 one, or go on with fewer voters (quorate member remove {gone})"
            );
            return give(asker, refused(text));
        }
        match self.wish_of(card) {
            Ok(wish) => {
                let context = Note::Put(node, Member { wish, ..row.clone() }).encode();
                let steps = vec![MemberChange::AddLearner(node)];
                self.propose_change(&Change { steps, context }, asker);
            }
            Err(why) => give(asker, refused(why)),
        }
    }

    /// A member that has lost part of its log comes back under a new number, without a vote.
    fn replace(&mut self, old: NodeId, card: &Card, wish: Wish, asker: oneshot::Sender<Outcome>) {
        let node = self.machine.members().next_node();
        let context = Note::Replace(old, node, member_of(card, wish)).encode();
        let steps = vec![MemberChange::Remove(old), MemberChange::AddLearner(node)];
        self.propose_change(&Change { steps, context }, asker);
    }
}

//! Where the other members are: by the table, by what they say themselves, and by where they were met.

use quorate_consensus::peers::Card;
use quorate_consensus::{Change, MemberChange, NodeId};

use super::enrolment::member_of;
use crate::core::Core;
use crate::door::is_reachable;
use crate::members::{Member, Note};

impl Core {
    /// All other members: number, instance, address.
    pub(crate) fn other_members(&self) -> Vec<(NodeId, u64, String)> {
        let own = self.identity.node;
        let others = self.machine.members().iter().filter(|(node, _)| *node != own);
        let place =
            |(node, member): (NodeId, &Member)| (node, member.instance, self.place(node, member));
        others.map(place).collect()
    }

    /// Where `node` is reached: by what it said itself, as long as the table knows no better.
    fn place(&self, node: NodeId, member: &Member) -> String {
        match self.membership.found.get(&node) {
            Some((stored, found)) if *stored == member.peer_addr => found.clone(),
            _ => member.peer_addr.clone(),
        }
    }

    /// The address at which peers reach a member.
    pub(crate) fn peer_addr(&self, node: NodeId) -> Option<String> {
        self.machine.members().get(node).map(|member| self.place(node, member))
    }

    /// Where clients and peers reach a member: by the table, or, as long as that does not say where a founder is,
    /// by what the founder says itself.
    pub(crate) fn addrs(&self, node: NodeId, member: &Member) -> (String, String) {
        if !member.peer_addr.is_empty() {
            return (member.client_addr.clone(), member.peer_addr.clone());
        }
        if node == self.identity.node {
            return (self.config.client_addr.clone(), self.config.peer_addr.clone());
        }
        match self.membership.moved.get(&node).filter(|card| card.instance == member.instance) {
            Some(card) => (card.client_addr.clone(), card.peer_addr.clone()),
            None => self.founding.seen.get(&member.instance).cloned().unwrap_or_default(),
        }
    }

    /// True while a member can't be reached.
    pub(crate) fn misses_members(&self) -> bool {
        let mut others = self.other_members().into_iter();
        self.group.is_some() && others.any(|(node, ..)| !is_reachable(self, node))
    }

    /// A member, which has proved that it knows the secret, says where it is. When it can't be reached
    /// where the table says, it is looked for there: without a majority, nobody can mend the table.
    pub(crate) fn found(&mut self, card: &Card) {
        if card.cluster != self.identity.cluster || card.peer_addr.is_empty() {
            return;
        }
        let members = self.machine.members();
        let Some(member) = members.get(card.node).filter(|it| it.instance == card.instance) else {
            return;
        };
        if card.node == self.identity.node
            || is_reachable(self, card.node)
            || self.place(card.node, member) == card.peer_addr
        {
            return;
        }
        let stored = member.peer_addr.clone();
        tracing::info!(member = member.name, addr = card.peer_addr, stored, "a member has moved");
        self.membership.found.insert(card.node, (stored, card.peer_addr.clone()));
        self.link_members();
    }

    /// `node`, whose address in the table is `stored`, was found at `addr`.
    pub(crate) fn found_at(&mut self, node: NodeId, stored: String, addr: String) {
        drop(self.membership.found.insert(node, (stored, addr)));
    }

    /// Keeps links to all other members, and for a moment to those who have just left.
    pub(crate) fn link_members(&mut self) {
        let (members, configuration) = (self.machine.members(), self.machine.configuration());
        let is_gone = |node| members.has_left(node) && !configuration.is_voter(node);
        // A founder stands in the table without an address at first: where it called from must not be lost.
        for (node, (_, addr)) in &self.membership.acquaintances {
            if members.get(*node).is_some_and(|member| member.peer_addr.is_empty()) {
                let at = (String::new(), addr.clone());
                self.membership.found.entry(*node).or_insert(at);
            }
        }
        self.membership.found.retain(|node, (stored, _)| {
            members.get(*node).is_some_and(|member| member.peer_addr == *stored)
        });
        self.membership
            .acquaintances
            .retain(|node, _| members.get(*node).is_none() && !is_gone(*node));
        let mut others = self.other_members();
        let met = self.membership.acquaintances.iter();
        others.extend(met.map(|(node, (instance, addr))| (*node, *instance, addr.clone())));
        others.extend(self.membership.departing.iter().map(|(member, _)| member.clone()));
        // Founders' addresses are not known until they are found.
        others.retain(|(_, _, addr)| !addr.is_empty());
        if let Some(peers) = &self.peers {
            peers.keep(&others);
        }
    }

    /// A member says in the handshake that it listens elsewhere now; or the leader does so itself.
    pub(super) fn new_address(&mut self) -> Option<Change> {
        let own = self.card();
        let differs = |known: &Member| *known != member_of(&own, known.wish);
        if self.machine.members().get(own.node).is_some_and(differs) {
            self.membership.moved(&own);
        }
        // A change that can't be proposed now is tried again: nobody will say it a second time.
        let (node, member) = loop {
            let (node, card) = self.membership.moved.first_key_value()?;
            let known = self.machine.members().get(*node);
            let same = |known: &&Member| {
                known.instance == card.instance
                    && known.name == card.name
                    && **known != member_of(card, known.wish)
            };
            if let Some(known) = known.filter(same) {
                break (*node, member_of(card, known.wish));
            }
            self.membership.moved.pop_first();
        };
        let configuration = self.machine.configuration();
        let step = if configuration.learners.contains(&node) {
            MemberChange::AddLearner(node)
        } else {
            MemberChange::Promote(node)
        };
        Some(Change { steps: vec![step], context: Note::Put(node, member).encode() })
    }
}

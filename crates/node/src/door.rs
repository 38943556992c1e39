//! The door for peers: who may speak to this node, and as whom.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use quorate_api::{AdminReply, Error};
use quorate_consensus::peers::{Card, DialError, Doorkeeper, Hello, Lane, Purpose, dial};
use quorate_consensus::{Group, NodeId};
use tokio::sync::oneshot;

use crate::core::Core;
use crate::membership::{Outcome, refused};
use crate::pulse::Told;
use crate::registration::Registered;

/// What a member that was removed is told when it calls, or when it asks to be added again because it has lost
/// its log. It may not have seen the entry itself: from its removal on nobody sends to it.
pub(crate) const REMOVED: &str = "this node was removed from the cluster";
/// What is told, among other words, to a node whose name a former member had.
pub(crate) const NAMES_ARE_FOR_LIFE: &str = "names are never given twice";
const ENDING: &str = "this node is shutting down";
/// What a node that waits itself says to one that wants to be added.
const IN_NO_CLUSTER: &str = "this node is in no cluster itself";

/// What becomes of a caller who is not refused.
enum Verdict {
    In,
    /// This node is about to become a member: ask again then.
    Wait(Registered),
}

/// Answers handshakes for a node.
pub(crate) struct Door(pub(crate) Weak<RefCell<Core>>);

impl Core {
    /// What this node says of itself.
    pub(crate) fn card(&self) -> Card {
        Card {
            cluster: self.identity.cluster,
            node: self.identity.node,
            name: self.identity.name.clone(),
            instance: self.identity.instance,
            run: self.membership.epoch,
            peer_addr: self.config.peer_addr.clone(),
            client_addr: self.config.client_addr.clone(),
            last: self.group.as_ref().map(Group::last).unwrap_or_default(),
            max_memory_bytes: self.own_memory_limit(),
            lost_node: self.identity.lost_node,
            in_doubt: self.group.as_ref().is_some_and(Group::is_in_doubt),
            learner: self.config.learner,
            replaces: NodeId(0),
            expect: self.expected(),
            pledge: self.identity.pledge,
            formats: self.config.formats,
        }
    }

    fn admit(&mut self, hello: &Hello) -> Result<Verdict, String> {
        let card = &hello.card;
        if let Some(reason) = &self.stopped {
            return Err(format!("this node has stopped: {reason}"));
        }
        if card.cluster.0 == 0 || card.node.0 == 0 {
            return Err("a node that is in no cluster has nothing to say here".to_owned());
        }
        if self.identity.cluster.0 != 0 && self.identity.cluster != card.cluster {
            return Err(format!(
                "this node belongs to cluster {}, the caller to {}: one of them has the wrong address",
                self.identity.cluster, card.cluster
            ));
        }
        if self.identity.node.0 == 0 {
            return self.become_member(hello).map(Verdict::Wait);
        }
        // Order matters: all whom it knew may have been replaced at their addresses, and nobody else can tell it.
        if self.is_gone(card.node) {
            return Err(REMOVED.to_owned());
        }
        if hello.to != self.identity.node {
            return Err(format!("this is node {}, not {}", self.identity.node, hello.to));
        }
        let member = self.machine.members().get(card.node);
        if member.is_some_and(|member| member.instance != card.instance) {
            return Err(format!("node {} is another one than the caller", card.node));
        }
        self.check_log(card)?;
        self.check_format(card)?;
        self.reported(card);
        self.found(card);
        self.make_acquaintance(card);
        Ok(Verdict::In)
    }

    /// A member which our own table does not name yet (it is empty, or behind) must get answers, too.
    fn make_acquaintance(&mut self, card: &Card) {
        if self.machine.members().get(card.node).is_none() {
            let met = (card.instance, card.peer_addr.clone());
            self.membership.acquaintances.insert(card.node, met);
            self.link_members();
        }
    }

    /// A peer whose log is shorter than what we saw it acknowledge has lost its disk: speaking to it
    /// as if it had not would count its lost entries towards a majority. Not so one whose process we have let in
    /// before: its card is older than what it has acknowledged since on its other lane, for as long as a handshake
    /// takes.
    fn check_log(&mut self, card: &Card) -> Result<(), String> {
        let Some(group) = &self.group else { return Ok(()) };
        if card.run != 0 && self.membership.runs.get(&card.node) == Some(&card.run) {
            return Ok(());
        }
        let seen = group.progress().into_iter().find(|progress| progress.node == card.node);
        match seen {
            Some(seen) if card.last.0 < seen.matched && !card.in_doubt => Err(format!(
                "node {} has acknowledged entries up to {}, but its log ends at {}: its disk has gone back. \
                 Remove it and let it join again under a new id",
                card.node, seen.matched, card.last.0
            )),
            _ => {
                let last = self.membership.runs.insert(card.node, card.run);
                if last != Some(card.run) {
                    self.dispel_doubts();
                }
                Ok(())
            }
        }
    }

    /// What a handshake tells, whichever side began it.
    fn reported(&mut self, card: &Card) {
        if let Some(group) = &mut self.group {
            group.reported(card.node, card.last);
        }
        self.note_formats(card);
        let known = self.machine.members().get(card.node);
        let moved = known.is_some_and(|member| {
            member.peer_addr != card.peer_addr || member.client_addr != card.client_addr
        });
        if moved {
            self.membership.moved(card);
        } else {
            self.membership.came_back(card.node);
        }
    }
}

impl Doorkeeper for Door {
    fn card(&self) -> Card {
        self.0.upgrade().map(|core| core.borrow().card()).unwrap_or_default()
    }

    fn admit(&self, hello: Hello) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        let core = Weak::clone(&self.0);
        Box::pin(async move {
            loop {
                let verdict = {
                    let core = core.upgrade().ok_or(ENDING)?;
                    let mut core = core.borrow_mut();
                    let verdict = core.admit(&hello);
                    core.wake();
                    verdict?
                };
                match verdict {
                    Verdict::In => return Ok(()),
                    Verdict::Wait(registered) => registered.await.map_err(|_| ENDING)??,
                }
            }
        })
    }

    fn listens_to(&self, node: NodeId) -> bool {
        // Its farewell may have been lost with a link, and then an old connection would keep it from calling and
        // being told.
        self.0.upgrade().is_some_and(|core| !core.borrow().is_gone(node))
    }

    fn met(&self, card: &Card, wall_ms: u64) -> Result<(), String> {
        let core = self.0.upgrade().ok_or(ENDING)?;
        let mut core = core.borrow_mut();
        core.check_log(card)?;
        core.check_format(card).map_err(|why| format!("{}: {why}", card.name))?;
        core.reported(card);
        let now = core.now();
        let told = Told { wall_ms, max_memory_bytes: card.max_memory_bytes, ..Told::default() };
        core.pulses.heard(card.node, told, now);
        Ok(())
    }

    fn turned_away(&self, reason: &str) {
        if reason == REMOVED
            && let Some(core) = self.0.upgrade()
        {
            core.borrow_mut().was_removed();
        }
    }

    fn enrol(&self, card: Card) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        let core = self.0.upgrade();
        Box::pin(async move {
            let core = core.ok_or(ENDING)?;
            match enrol(&core, card).await {
                Ok(AdminReply::Refused(text)) => Err(text),
                Ok(_) => Ok(()),
                // Told apart by its first words at the other end, see `enrol`.
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// Has `card`'s node added: here where this node leads, at the leader otherwise.
///
/// # Errors
/// It may work another time, or may have worked; what can't be is a refusal.
pub(crate) async fn enrol(core: &Rc<RefCell<Core>>, card: Card) -> Outcome {
    let (asker, answer) = oneshot::channel();
    let elsewhere = {
        let mut core = core.borrow_mut();
        if core.group.is_none() {
            return refused(IN_NO_CLUSTER);
        }
        if core.is_leading() {
            core.enrol(&card, asker);
            None
        } else {
            let leader = core.leader().filter(|leader| *leader != core.identity.node);
            let addr = leader.and_then(|leader| core.peer_addr(leader));
            Some((
                addr.ok_or_else(|| core.no_leader())?,
                core.env.clone(),
                core.config.secret.clone(),
            ))
        }
    };
    if let Some((addr, env, secret)) = elsewhere {
        let hello = Hello { purpose: Purpose::Enrol, card, to: NodeId(0), to_instance: 0 };
        return match dial(&env, &secret, &addr, hello).await {
            Ok(_) => Ok(AdminReply::Done),
            Err(DialError::Refused(reason)) => leaders_word(reason),
            // It may have been heard; to ask again does no harm.
            Err(error) => Err(Error::unknown(format!("the leader at {addr}: {error}"))),
        };
    }
    answer.await.unwrap_or_else(|_| Err(Error::unknown("the request was lost; look, and retry")))
}

/// True when a node that wanted to be added was refused for what somebody has to mend: to ask again is of no use
/// until then.
pub(crate) fn is_final(reason: &str) -> bool {
    let passes = [ENDING, IN_NO_CLUSTER].contains(&reason)
        || ["overloaded: ", "stopped: "].iter().any(|kind| reason.starts_with(kind));
    !passes && leaders_word(reason.to_owned()).is_ok()
}

/// What the leader has said, as it would be if it had been asked itself.
fn leaders_word(reason: String) -> Outcome {
    if let Some(rest) = reason.strip_prefix("not applied: ") {
        return Err(Error::not_applied(rest.to_owned()));
    }
    if let Some(rest) = reason.strip_prefix("outcome unknown: ") {
        return Err(Error::unknown(rest.to_owned()));
    }
    refused(reason)
}

/// True when our control link to `node` is up.
pub(crate) fn is_reachable(core: &Core, node: NodeId) -> bool {
    core.peers.as_ref().is_some_and(|peers| peers.is_up(node, Lane::Control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_is_none_any_more_does_not_refuse_for_good() {
        let said = |error: Error| leaders_word(error.to_string());
        let passing = Error::not_applied("no leader is known");
        assert_eq!(said(passing.clone()), Err(passing));
        let doubt = Error::unknown("the request was lost");
        assert_eq!(said(doubt.clone()), Err(doubt));
        assert_eq!(leaders_word(REMOVED.to_owned()), Ok(AdminReply::Refused(REMOVED.to_owned())));
    }

    #[test]
    fn only_what_somebody_has_to_mend_is_a_refusal_for_good() {
        assert!(is_final("a member is called \"n2\" already; give the new node another id"));
        assert!(is_final(REMOVED));
        let stopped = Error::Stopped { reason: "x".into() };
        let full = Error::Overloaded { reason: "x".into() };
        let passing = [Error::not_applied("x"), Error::unknown("x"), stopped, full];
        for reason in passing.map(|error| error.to_string()) {
            assert!(!is_final(&reason), "{reason}");
        }
        assert!(!is_final(ENDING) && !is_final(IN_NO_CLUSTER));
    }
}

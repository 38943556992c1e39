//! What has happened to the cluster, as this node tells it: kept for those who ask, and logged.
//!
//! Changes of members are told when their entries are applied, so by every node, with the entry's index;
//! who leads and who is silent is this node's own view. Nothing here is durable: a reader that comes back
//! after a restart is told from the first event of the new life on.

use std::collections::VecDeque;
use std::time::Duration;

use quorate_api::{AdminReply, Event, EventKind, EventPlace};
use quorate_consensus::{Configuration, Index, NodeId};
use quorate_env::Mono;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::members::{Member, Members, Wish};
use crate::membership::Outcome;

/// Events that are kept for readers who are behind.
const KEPT: usize = 1024;
/// A reader is answered at the latest after so long, so that it can see that we live.
const READER_PATIENCE: Duration = Duration::from_secs(5);
/// Readers that wait at a time.
const READERS_MAX: usize = 1024;

/// A reader that has seen everything.
#[derive(Debug)]
struct Reader {
    place: EventPlace,
    asker: oneshot::Sender<Outcome>,
    since: Mono,
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Which life of this node this is.
    pub(crate) run: u64,
    kept: VecDeque<Event>,
    last: u64,
    readers: Vec<Reader>,
    /// The leader that was told of last.
    leader: Option<NodeId>,
}

impl Events {
    fn place(&self) -> EventPlace {
        EventPlace { run: self.run, number: self.last }
    }

    /// What a reader at `place` has not seen, of what is kept.
    fn since(&self, place: EventPlace) -> Vec<Event> {
        // One of another life has seen nothing of this one.
        let seen = if place.run == self.run { place.number } else { 0 };
        self.kept.iter().filter(|event| event.number > seen).cloned().collect()
    }

    fn push(&mut self, event: Event) {
        self.last = event.number;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
    }

    /// Takes a reader. One who wants to know what happens from now on is told where now is, at once: what
    /// happens after that is behind the place it has got, and can't be missed.
    fn read(&mut self, after: Option<EventPlace>, asker: oneshot::Sender<Outcome>, now: Mono) {
        let Some(place) = after else {
            let reply = AdminReply::Events { place: self.place(), events: Vec::new() };
            // It may have gone.
            return drop(asker.send(Ok(reply)));
        };
        if self.readers.len() >= READERS_MAX {
            let reason = "too many readers of events wait at this node".into();
            return drop(asker.send(Err(quorate_api::Error::Overloaded { reason })));
        }
        self.readers.push(Reader { place, asker, since: now });
        self.answer(|_| false);
    }

    /// Answers every reader for whom there is something, and whoever has waited long enough.
    fn answer(&mut self, is_late: impl Fn(Mono) -> bool) {
        for reader in std::mem::take(&mut self.readers) {
            let events = self.since(reader.place);
            if events.is_empty() && !is_late(reader.since) {
                self.readers.push(reader);
            } else {
                let reply = AdminReply::Events { place: self.place(), events };
                // It may have gone.
                drop(reader.asker.send(Ok(reply)));
            }
        }
    }

    pub(crate) fn fail_all(&mut self, error: &quorate_api::Error) {
        for reader in self.readers.drain(..) {
            drop(reader.asker.send(Err(error.clone())));
        }
    }
}

/// What a change of members has done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference {
    kind: EventKind,
    member: String,
    text: String,
}

/// What differs between two tables with their configurations, by number.
fn differences(
    (before, voters_before): (&Members, &Configuration),
    (after, voters_after): (&Members, &Configuration),
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut tell = |kind, member: &Member, text: String| {
        found.push(Difference { kind, member: member.name.clone(), text });
    };
    for (node, member) in after.iter() {
        let (name, addr) = (&member.name, &member.peer_addr);
        let had = before.get(node);
        match had {
            None => tell(EventKind::MemberAdded, member, added(name, addr, member.wish, after)),
            // A founder stands in the first table without an address: with its first one it has not moved.
            Some(old) if !old.peer_addr.is_empty() => {
                if let Some(text) = moved(old, member) {
                    tell(EventKind::MemberMoved, member, text);
                }
            }
            Some(_) => {}
        }
        match (voters_before.voters.contains(&node), voters_after.voters.contains(&node)) {
            (false, true) => {
                tell(EventKind::MemberPromoted, member, format!("{name} has a vote now"));
            }
            (true, false) => {
                tell(
                    EventKind::MemberDemoted,
                    member,
                    format!("{name} has lost its vote and stays as a learner"),
                );
            }
            _ => {}
        }
    }
    for (node, member) in before.iter().filter(|(node, _)| after.get(*node).is_none()) {
        let name = &member.name;
        let text = if after.by_name(name).is_some() {
            format!("{name} has lost what node {node} had acknowledged, and gave that number up")
        } else {
            format!("{name} has left for good")
        };
        tell(EventKind::MemberRemoved, member, text);
    }
    found
}

/// What has changed about where a member is reached.
fn moved(old: &Member, new: &Member) -> Option<String> {
    let Member { name, peer_addr, client_addr, .. } = new;
    if old.peer_addr != *peer_addr {
        Some(format!("{name} is reached at {peer_addr} now, no longer at {}", old.peer_addr))
    } else if old.client_addr != *client_addr {
        Some(format!("clients of {name} come in at {client_addr} now"))
    } else {
        None
    }
}

fn added(name: &str, addr: &str, wish: Wish, members: &Members) -> String {
    let until = match wish {
        Wish::Vote => "has no vote until it has caught up".to_owned(),
        Wish::StaysLearner => "stays a learner".to_owned(),
        Wish::Replaces(node) => {
            let old = members.get(node).map_or("a member that has left", |old| &old.name);
            format!("takes the place of {old} when it has caught up")
        }
    };
    format!("{name} has come in at {addr}; it {until}")
}

impl Core {
    /// Tells of something: in the log, and to whoever reads events.
    pub(crate) fn tell(&mut self, kind: EventKind, index: Index, member: &str, text: String) {
        tracing::info!(member, index = index.0, text, "{}", kind.as_str());
        let number = self.events.last + 1;
        let wall_ms = self.env.clock.wall_ms();
        let event =
            Event { number, wall_ms, index: index.0, kind, member: member.to_owned(), text };
        self.events.push(event);
        self.events.answer(|_| false);
    }

    /// Tells how members and voters differ from what they were.
    pub(crate) fn tell_of_change(&mut self, before: &(Members, Configuration), format_before: u64) {
        let after = (self.machine.members(), self.machine.configuration());
        let index = self.machine.applied();
        for Difference { kind, member, text } in differences((&before.0, &before.1), after) {
            self.tell(kind, index, &member, text);
        }
        let format = self.machine.format();
        if format != format_before {
            let text = format!(
                "the cluster writes format {format} now; binaries that do not know it can't come back"
            );
            self.tell(EventKind::FormatRaised, index, "", text);
        }
    }

    /// Tells of a new leader, or that there is none.
    pub(crate) fn tell_of_leader(&mut self) {
        let leader = self.leader();
        if leader == self.events.leader {
            return;
        }
        self.events.leader = leader;
        let name =
            leader.and_then(|leader| self.machine.members().get(leader)).map(|it| it.name.clone());
        let text = match (&name, leader) {
            (Some(name), _) => format!("{name} leads, in term {}", self.term()),
            (None, Some(node)) => format!("node {node} leads, in term {}", self.term()),
            (None, None) => "nobody leads".to_owned(),
        };
        self.tell(EventKind::LeaderChanged, Index(0), &name.unwrap_or_default(), text);
    }

    /// A reader of events.
    pub(crate) fn read_events(
        &mut self,
        after: Option<EventPlace>,
        asker: oneshot::Sender<Outcome>,
    ) {
        if self.stopped.is_some() || self.draining {
            let reason = "this node is shutting down".into();
            return drop(asker.send(Err(quorate_api::Error::Stopped { reason })));
        }
        let now = self.now();
        self.events.read(after, asker, now);
    }

    /// By the clock: readers for whom nothing has happened hear that.
    pub(crate) fn tend_readers(&mut self) {
        let now = self.now();
        self.events.answer(|since| now.since(since) > READER_PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Note;

    fn member(name: &str) -> Member {
        let addr = format!("{name}:1");
        Member { name: name.to_owned(), peer_addr: addr, ..Member::default() }
    }

    fn state(rows: &[(u64, Member)], voters: &[u64]) -> (Members, Configuration) {
        let mut members = Members::default();
        for (node, member) in rows {
            members.apply(&Note::Put(NodeId(*node), member.clone()));
        }
        let voters = voters.iter().copied().map(NodeId).collect();
        (members, Configuration { voters, ..Configuration::default() })
    }

    fn told(before: &(Members, Configuration), after: &(Members, Configuration)) -> Vec<String> {
        let found = differences((&before.0, &before.1), (&after.0, &after.1));
        found.into_iter().map(|one| format!("{} {}", one.kind.as_str(), one.member)).collect()
    }

    #[test]
    fn every_change_of_members_is_told() {
        let two = state(&[(1, member("a")), (2, member("b"))], &[1, 2]);
        let learner = state(&[(1, member("a")), (2, member("b")), (3, member("c"))], &[1, 2]);
        let three = state(&[(1, member("a")), (2, member("b")), (3, member("c"))], &[1, 2, 3]);
        assert_eq!(told(&two, &learner), ["member-added c"]);
        assert_eq!(told(&learner, &three), ["member-promoted c"]);
        assert_eq!(told(&three, &learner), ["member-demoted c"]);
        assert_eq!(told(&three, &two), ["member-removed c"]);
        let elsewhere = Member { peer_addr: "x:9".to_owned(), ..member("b") };
        let moved = state(&[(1, member("a")), (2, elsewhere)], &[1, 2]);
        assert_eq!(told(&two, &moved), ["member-moved b"]);
        let elsewhere = Member { client_addr: "x:8".to_owned(), ..member("b") };
        let moved = state(&[(1, member("a")), (2, elsewhere)], &[1, 2]);
        assert_eq!(told(&two, &moved), ["member-moved b"]);
        assert_eq!(told(&two, &two), Vec::<String>::new());
    }

    #[test]
    fn a_founder_whose_first_address_becomes_known_has_not_moved() {
        let founder = |name: &str| Member { peer_addr: String::new(), ..member(name) };
        let founded = state(&[(1, founder("a")), (2, founder("b"))], &[1, 2]);
        let known = state(&[(1, founder("a")), (2, member("b"))], &[1, 2]);
        assert_eq!(told(&founded, &known), Vec::<String>::new());
    }

    #[test]
    fn a_reader_from_now_on_is_answered_at_once_and_misses_nothing_that_follows() {
        let mut events = Events { run: 7, ..Events::default() };
        (1..=3).for_each(|number| events.push(event(number)));
        let (asker, mut answer) = oneshot::channel();
        events.read(None, asker, Mono::default());
        let place = EventPlace { run: 7, number: 3 };
        let here = AdminReply::Events { place, events: Vec::new() };
        assert_eq!(answer.try_recv().unwrap(), Ok(here));
        // It happens before the reader asks on.
        events.push(event(4));
        let (asker, mut answer) = oneshot::channel();
        events.read(Some(place), asker, Mono::default());
        let place = EventPlace { run: 7, number: 4 };
        let told = AdminReply::Events { place, events: vec![event(4)] };
        assert_eq!(answer.try_recv().unwrap(), Ok(told));
        // Who has seen all waits for the next one.
        let (asker, mut answer) = oneshot::channel();
        events.read(Some(place), asker, Mono::default());
        assert!(answer.try_recv().is_err());
        events.push(event(5));
        events.answer(|_| false);
        assert!(answer.try_recv().is_ok());
    }

    fn event(number: u64) -> Event {
        let (member, text) = (String::new(), String::new());
        Event { number, wall_ms: 0, index: 0, kind: EventKind::LeaderChanged, member, text }
    }

    #[test]
    fn a_reader_gets_what_it_has_not_seen_and_all_of_another_life() {
        let mut events = Events { run: 7, ..Events::default() };
        (1..=3).for_each(|number| events.push(event(number)));
        let numbers = |run, number| {
            let found = events.since(EventPlace { run, number });
            found.into_iter().map(|event| event.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7, 1), [2, 3]);
        assert_eq!(numbers(7, 3), Vec::<u64>::new());
        assert_eq!(numbers(6, 3), [1, 2, 3]);
    }

    #[test]
    fn old_events_are_forgotten() {
        let mut events = Events::default();
        let last = KEPT as u64 + 5;
        (1..=last).for_each(|number| events.push(event(number)));
        let found = events.since(EventPlace::default());
        assert_eq!((found.len(), found[0].number), (KEPT, 6));
    }
}

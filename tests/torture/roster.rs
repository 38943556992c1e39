//! The roster of a storm: who is a member and who has a vote, by nothing but what the operator was told.

use super::operator::{Order, Verdict};
use crate::cluster::Status;

/// What a node is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing yet.
    Spare,
    /// Started, to come in.
    Enlisted,
    Member,
    /// Somebody was told to remove it, or to have another one take its place.
    Leaving,
    /// Another one has its place. Its vote may be needed until everybody knows so: it goes on until it is told.
    Succeeded,
    /// It was removed, and nobody needs it any more.
    Gone,
}

/// Where a member's vote is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vote {
    Given,
    Taken,
    /// An order was in doubt, and may come about at any time.
    InDoubt,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    part: Part,
    vote: Vote,
    /// Somebody was told to move its vote.
    moving: bool,
    /// Its host on the wire.
    host: usize,
    /// It has ended and said that it was removed.
    knows: bool,
    /// Another node has its address.
    evicted: bool,
}

/// The nodes by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster(Vec<Entry>);

impl Roster {
    pub(super) fn add(&mut self, name: &str, part: Part) {
        let host = self.0.len();
        let (name, vote) = (name.to_owned(), Vote::Given);
        self.0.push(Entry { name, part, vote, moving: false, host, knows: false, evicted: false });
    }

    fn with(&self, fits: impl Fn(&Entry) -> bool) -> Vec<usize> {
        (0..self.0.len()).filter(|&node| fits(&self.0[node])).collect()
    }

    pub(super) fn host(&self, node: usize) -> usize {
        self.0[node].host
    }

    pub(super) fn spare(&self) -> Option<usize> {
        self.with(|entry| entry.part == Part::Spare).first().copied()
    }

    /// Those that are to be members, and no order is under way to change that.
    pub(super) fn members(&self) -> Vec<usize> {
        self.with(|entry| entry.part == Part::Member)
    }

    /// Members about which no order is under way.
    pub(super) fn at_rest(&self) -> Vec<usize> {
        self.with(|entry| entry.part == Part::Member && !entry.moving)
    }

    /// Members, and those that may be some soon, or still are.
    pub(super) fn crowd(&self) -> usize {
        self.with(|entry| matches!(entry.part, Part::Enlisted | Part::Member | Part::Leaving)).len()
    }

    /// Those that are to run: what is done to processes and wires is done to them.
    pub(super) fn live(&self) -> Vec<usize> {
        self.with(|entry| !matches!(entry.part, Part::Spare | Part::Gone) && !entry.knows)
    }

    /// Those whose word counts in an operator's ear.
    pub(super) fn staff(&self) -> Vec<usize> {
        self.with(|entry| matches!(entry.part, Part::Member | Part::Leaving))
    }

    /// Members that certainly have a vote, and keep it for now.
    pub(super) fn voters(&self) -> Vec<usize> {
        let votes = |entry: &Entry| entry.vote == Vote::Given && !entry.moving;
        self.with(|entry| entry.part == Part::Member && votes(entry))
    }

    /// Members at rest that perhaps have none.
    pub(super) fn learners(&self) -> Vec<usize> {
        let perhaps = |entry: &Entry| entry.vote != Vote::Given && !entry.moving;
        self.with(|entry| entry.part == Part::Member && perhaps(entry))
    }

    /// Those that were members, and whose address nobody else has.
    pub(super) fn former(&self) -> Vec<usize> {
        let former = |entry: &Entry| matches!(entry.part, Part::Succeeded | Part::Gone);
        self.with(|entry| former(entry) && !entry.evicted)
    }

    /// Those that must not run in the end.
    pub(super) fn outsiders(&self) -> Vec<usize> {
        self.with(|entry| matches!(entry.part, Part::Succeeded | Part::Gone))
    }

    /// A node that has stopped for good, whose address is free.
    pub(super) fn vacancy(&self) -> Option<usize> {
        let is_free = |entry: &Entry| {
            let stopped = entry.part == Part::Gone || entry.part == Part::Succeeded && entry.knows;
            stopped && !entry.evicted
        };
        self.with(is_free).first().copied()
    }

    pub(super) fn enlist(&mut self, node: usize) {
        self.0[node].part = Part::Enlisted;
    }

    /// `node` has the address that `old` had.
    pub(super) fn evict(&mut self, old: usize, node: usize) {
        self.0[old].evicted = true;
        self.0[node].host = self.0[old].host;
    }

    /// An order is given; until its end is known, what it is about is uncertain.
    pub(super) fn ordered(&mut self, order: Order) {
        match order {
            Order::Remove(node) | Order::Replace { old: node, .. } => {
                self.0[node].part = Part::Leaving;
            }
            Order::Demote(node) | Order::Promote(node) => self.0[node].moving = true,
            Order::Await(_) | Order::Add(_) | Order::Transfer(_) => {}
        }
    }

    /// What came of an order.
    pub(super) fn learn(&mut self, order: Order, verdict: Verdict) {
        let came_about = verdict == Verdict::Done;
        match order {
            Order::Await(node) | Order::Add(node) => self.0[node].part = Part::Member,
            Order::Replace { old, new } => {
                self.0[new].part = Part::Member;
                self.0[old].part = if came_about { Part::Succeeded } else { Part::Member };
                if !came_about {
                    // It had none any more, or the newcomer has got one beside it.
                    (self.0[old].vote, self.0[new].vote) = (Vote::InDoubt, Vote::InDoubt);
                }
            }
            Order::Remove(node) => {
                self.0[node].part = if came_about { Part::Gone } else { Part::Member };
            }
            Order::Demote(node) => self.move_vote(node, verdict, Vote::Taken),
            Order::Promote(node) => self.move_vote(node, verdict, Vote::Given),
            Order::Transfer(_) => {}
        }
    }

    fn move_vote(&mut self, node: usize, verdict: Verdict, vote: Vote) {
        self.0[node].moving = false;
        let now = &mut self.0[node].vote;
        match verdict {
            Verdict::InDoubt => *now = Vote::InDoubt,
            // What was in doubt once may still come about.
            Verdict::Done if *now != Vote::InDoubt => *now = vote,
            Verdict::Done | Verdict::Refused | Verdict::Beside => {}
        }
    }

    /// A node has ended and said that it was removed; why it may not, if so.
    pub(super) fn was_told(&mut self, node: usize) -> Option<String> {
        let entry = &mut self.0[node];
        entry.knows = true;
        let may = matches!(entry.part, Part::Leaving | Part::Succeeded | Part::Gone);
        (!may)
            .then(|| format!("{} was not removed and says so: it is {:?}", entry.name, entry.part))
    }

    /// Members that have said that they were removed.
    pub(super) fn violations(&self) -> Vec<String> {
        let wrong = |entry: &&Entry| entry.knows && entry.part == Part::Member;
        let tell =
            |entry: &Entry| format!("{} was told that it was removed, and it was not", entry.name);
        self.0.iter().filter(wrong).map(tell).collect()
    }

    /// Whether what a member says of all members is what it must be in the end.
    pub(super) fn check(&self, status: &Status) -> Result<(), String> {
        let of = |nodes: Vec<usize>| -> Vec<&str> {
            nodes.into_iter().map(|node| self.0[node].name.as_str()).collect()
        };
        let (mut found, mut expected) = (status.names(), of(self.members()));
        found.sort();
        expected.sort_unstable();
        if found != expected {
            return Err(format!("it knows {found:?} as members, not {expected:?}"));
        }
        let voters = status.voters();
        let votes = |name: &str| voters.iter().any(|voter| voter == name);
        if let Some(name) = of(self.voters()).into_iter().find(|name| !votes(name)) {
            return Err(format!("{name} has no vote"));
        }
        let taken = self.with(|entry| entry.part == Part::Member && entry.vote == Vote::Taken);
        match of(taken).into_iter().find(|name| votes(name)) {
            Some(name) => Err(format!("{name} has the vote that it gave up")),
            None => Ok(()),
        }
    }
}

mod tests {
    use serde_json::json;

    use super::*;

    fn of_three() -> Roster {
        let mut roster = Roster::default();
        ["n1", "n2", "n3"].iter().for_each(|name| roster.add(name, Part::Member));
        roster
    }

    /// What a member says: names, and whether they have a vote.
    fn said(members: &[(&str, bool)]) -> Status {
        let rows = members.iter().map(|(name, voter)| json!({ "id": name, "voter": voter }));
        json!({ "members": rows.collect::<Vec<_>>() }).into()
    }

    const ALL: &[(&str, bool)] = &[("n1", true), ("n2", true), ("n3", true)];

    #[test]
    fn members_must_be_those_that_operators_were_told() {
        let mut roster = of_three();
        assert_eq!(roster.check(&said(ALL)), Ok(()));
        roster.check(&said(&ALL[..2])).unwrap_err();
        roster.ordered(Order::Remove(2));
        roster.learn(Order::Remove(2), Verdict::Refused);
        assert_eq!(roster.check(&said(ALL)), Ok(()));
        roster.learn(Order::Remove(2), Verdict::Done);
        roster.check(&said(ALL)).unwrap_err();
        assert_eq!(roster.check(&said(&ALL[..2])), Ok(()));
    }

    #[test]
    fn votes_must_be_where_they_were_put_unless_an_order_was_in_doubt() {
        let without = [ALL[0], ("n2", false), ALL[2]];
        let mut roster = of_three();
        roster.check(&said(&without)).unwrap_err();
        roster.learn(Order::Demote(1), Verdict::Done);
        roster.check(&said(ALL)).unwrap_err();
        assert_eq!(roster.check(&said(&without)), Ok(()));
        for verdict in [Verdict::InDoubt, Verdict::Done] {
            roster.learn(Order::Promote(1), verdict);
            assert_eq!(roster.check(&said(ALL)), Ok(()));
            assert_eq!(roster.check(&said(&without)), Ok(()));
        }
    }

    #[test]
    fn only_who_was_to_be_removed_may_say_that_it_was() {
        let mut roster = of_three();
        roster.ordered(Order::Remove(0));
        assert_eq!(roster.was_told(0), None);
        assert!(roster.violations().is_empty());
        assert!(roster.was_told(1).is_some());
        // The order was refused after all.
        roster.learn(Order::Remove(0), Verdict::Refused);
        assert_eq!(roster.violations().len(), 2);
    }
}

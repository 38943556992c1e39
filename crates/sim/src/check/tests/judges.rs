//! The judges of how promises are kept: each accepts what is right and finds what is wrong.

use quorate_consensus::observer::Appended;
use quorate_consensus::{Index, NodeId, Term};

use crate::check::completeness::Committed;
use crate::check::election::Elections;
use crate::check::log_matching::Logs;
use crate::check::machine::{Machines, State};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

#[test]
fn second_vote_and_second_leader_in_a_term_are_found() {
    let mut elections = Elections::default();
    assert_eq!(elections.voted(ONE, Term(3), TWO), None);
    assert_eq!(elections.voted(ONE, Term(3), TWO), None, "an answer sent again");
    assert_eq!(elections.voted(ONE, Term(4), ONE), None);
    assert!(elections.voted(ONE, Term(3), ONE).is_some());
    assert_eq!(elections.elected(ONE, Term(3)), None);
    assert!(elections.elected(TWO, Term(3)).is_some());
}

#[test]
fn other_content_and_another_predecessor_are_found() {
    let entry = |before, print| Appended { index: Index(7), term: Term(2), before, print };
    let mut logs = Logs::default();
    assert_eq!(logs.appended(entry(None, 5)), None);
    assert_eq!(logs.appended(entry(Some(Term(1)), 5)), None, "known only now");
    assert!(logs.appended(entry(Some(Term(2)), 5)).is_some());
    assert!(logs.appended(entry(Some(Term(1)), 6)).is_some());
}

#[test]
fn leader_without_a_committed_entry_is_found() {
    let mut committed = Committed::default();
    committed.applied(Index(5), Term(2), Term(4));
    committed.applied(Index(5), Term(2), Term(2));
    let ends_at = |last: u64| move |index: Index| (index.0 <= last).then_some(Term(2));
    assert_eq!(committed.elected(ONE, Term(3), &ends_at(5)), None);
    assert!(committed.elected(ONE, Term(3), &ends_at(4)).is_some());
    assert!(committed.elected(ONE, Term(3), &|_| Some(Term(1))).is_some(), "another entry");
    let behind_a_snapshot = |index: Index| (index.0 > 5).then_some(Term(2));
    assert_eq!(committed.elected(ONE, Term(3), &behind_a_snapshot), None);
    committed.applied(Index(6), Term(2), Term(4));
    assert_eq!(committed.elected(ONE, Term(3), &ends_at(5)), None, "committed only later");
    assert!(committed.elected(ONE, Term(5), &ends_at(5)).is_some());
}

#[test]
fn states_that_differ_and_entries_out_of_order_are_found() {
    let state = |digest, content| State { digest, content };
    let mut machines = Machines::default();
    assert_eq!(machines.stood(ONE, Index(1), state(1, Some(9))), None);
    assert_eq!(machines.applied(ONE, Index(2), Term(1), state(2, None)), None);
    assert_eq!(machines.stood(TWO, Index(1), state(1, Some(9))), None);
    assert!(
        machines.stood(TWO, Index(1), state(1, Some(8))).is_some(),
        "same digest, other records"
    );
    assert!(machines.applied(TWO, Index(2), Term(2), state(2, None)).is_some(), "another entry");
    assert!(machines.applied(TWO, Index(4), Term(2), state(4, None)).is_some(), "one is left out");
    assert_eq!(machines.stood(TWO, Index(1), state(1, None)), None);
    assert!(machines.applied(TWO, Index(2), Term(1), state(3, None)).is_some());
}

//! The judges of what comes after the faults: each accepts a cluster that is well again and finds one that is not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::live::{self, Healing};
use crate::check::votes::{self, Due};
use crate::check::{panics, quiet, removed};
use crate::client::operator::Request;
use crate::client::probe::Progress;
use crate::history::{Asker, Command, History, Outcome, Reply};
use crate::world::{Ending, SimTime};

const ASKED: SimTime = SimTime(1_000);

fn after(time: Duration) -> SimTime {
    SimTime(ASKED.0 + u64::try_from(time.as_nanos()).unwrap())
}

fn judged(progress: Progress, order: Option<&Request>) -> usize {
    let healing = Healing::new(ASKED, progress, None);
    live::check(healing, progress, order).len()
}

#[test]
fn cluster_that_serves_late_or_never_is_found() {
    let well = Progress {
        wrote: Some(after(live::FIRST_WRITE)),
        serving: 3,
        served: Some(after(live::EVERYTHING)),
        done: true,
    };
    assert_eq!(judged(well, None), 0);
    let late = Some(after(live::FIRST_WRITE + Duration::from_nanos(1)));
    assert_eq!(judged(Progress { wrote: late, ..well }, None), 1, "the first write is late");
    assert_eq!(judged(Progress { done: false, ..well }, None), 1, "not everything was read");
    assert_eq!(judged(Progress::default(), None), 2, "nothing was written, and nothing read");
}

#[test]
fn order_that_is_not_carried_out_is_found() {
    let wrote = Some(after(Duration::ZERO));
    let waits = Progress { wrote, ..Progress::default() };
    assert_eq!(judged(waits, Some(&Request::CheckVotes)), 1, "once, and not for the probe again");
}

#[test]
fn first_write_after_peace_is_one_that_was_asked_for_after_it() {
    let mut history = History::default();
    let mut write = |called, returned| {
        let id = history.call(
            SimTime(called),
            Asker::default(),
            vec![Command::Set("x".into(), "a".into())],
        );
        history.finish(SimTime(returned), id, Outcome::Done(vec![Reply::Ok]));
    };
    write(90, 120);
    write(110, 150);
    write(120, 140);
    assert_eq!(live::resumed(&history, SimTime(100)), Some(Duration::from_nanos(40)));
    assert_eq!(live::resumed(&history, SimTime(130)), None);
}

#[test]
fn vote_that_does_not_come_back_is_found() {
    let members = |votes: &[(&str, bool)]| -> BTreeMap<String, bool> {
        votes.iter().map(|(name, votes)| ((*name).to_owned(), *votes)).collect()
    };
    let due = BTreeMap::from([("n1".to_owned(), Due::Vote), ("n2".to_owned(), Due::None)]);
    assert_eq!(votes::check(&due, &members(&[("n1", true), ("n2", false)])), None);
    assert!(votes::check(&due, &members(&[("n1", false), ("n2", false)])).is_some(), "lost");
    assert!(votes::check(&due, &members(&[("n1", true), ("n2", true)])).is_some(), "was taken");
    assert!(votes::check(&due, &members(&[("n2", false)])).is_some(), "no member");
    assert_eq!(votes::check(&due, &members(&[("n1", true)])), None, "and none that was demoted");
    assert_eq!(votes::check(&due, &members(&[])), None, "nobody was asked");
    // Of more members than may vote somebody does not.
    let many: Vec<String> = (2..9).map(|number| format!("n{number}")).collect();
    let mut full: Vec<(&str, bool)> = many.iter().map(|name| (name.as_str(), true)).collect();
    full.push(("n1", false));
    let due = BTreeMap::from([("n1".to_owned(), Due::Vote)]);
    assert_eq!(votes::check(&due, &members(&full)), None);
}

#[test]
fn removed_node_panic_and_unrest_are_found() {
    assert!(removed::check([]).is_empty());
    assert_eq!(removed::check(["n1".to_owned(), "n2".to_owned()]).len(), 2);
    assert_eq!(panics::check("n1", &Ending::Exited), None);
    assert!(panics::check("n1", &Ending::Panicked("index".to_owned())).is_some());
    assert_eq!(quiet::check(false), None);
    assert!(quiet::check(true).is_some());
}

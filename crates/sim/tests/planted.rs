//! Every planted bug is found within a stated number of seeds, and without one the same seeds pass.

use std::sync::atomic::{AtomicBool, Ordering};

use quorate_consensus::planted::Planted;
use quorate_sim::campaign::{Campaign, Outcome};

/// Where each bug is looked for: a profile, or all faults on the clusters that seeds draw; and the seeds
/// within which it must be found. `None`: what the gym does not find yet.
const fn place(bug: Planted) -> Option<(Option<&'static str>, u64)> {
    Some(match bug {
        // It takes a leader that is cut off within milliseconds of handing over.
        Planted::LeaseKeptDuringTransfer => return None,
        Planted::LeaseByTicks => (Some("lease"), 300),
        Planted::LeaseFromReceiveTimes => (Some("lease"), 1000),
        Planted::TimeoutIsNotApplied => (None, 600),
        Planted::VoteNotPersisted | Planted::ReadBeforeOwnTermCommit => (None, 400),
        Planted::ReadWithoutQuorum | Planted::LogCutTooEarly => (None, 200),
        _ => (None, 150),
    })
}

/// The first of `count` seeds that breaks a promise; all of them were run until then.
fn found(planted: Option<Planted>, profile: Option<&str>, count: u64) -> Option<Outcome> {
    std::panic::set_hook(Box::new(|_| {}));
    let profile = profile.map(str::to_owned);
    let campaign = Campaign { planted, profile, ..Campaign::default() };
    let stop = AtomicBool::new(false);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut first: Option<Outcome> = None;
    let goes_on = |seed| seed < count && !stop.load(Ordering::Relaxed);
    campaign.run_many(0, jobs, goes_on, |outcome| {
        if !outcome.violations.is_empty() {
            stop.store(true, Ordering::Relaxed);
            if first.as_ref().is_none_or(|first| outcome.seed < first.seed) {
                first = Some(outcome);
            }
        }
    });
    first
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        let Some((profile, seeds)) = place(*bug) else { continue };
        match found(Some(*bug), profile, seeds) {
            Some(outcome) => {
                let violation = outcome.violations[0].to_string();
                let line = violation.lines().next().unwrap_or_default();
                println!("{bug:?}: seed {} of {seeds}: {line:.160}", outcome.seed);
            }
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn without_one_the_same_seeds_pass() {
    for profile in [None, Some("lease")] {
        let seeds =
            Planted::ALL.iter().filter_map(|bug| place(*bug)).filter(|place| place.0 == profile);
        let outcome = found(None, profile, seeds.map(|place| place.1).max().unwrap_or(0));
        assert!(outcome.is_none(), "{outcome:?}");
    }
}

//! Every planted bug is found within a stated number of seeds, by a judge of what it breaks, and without it the same
//! seed passes.
//!
//! `PLANTED=ReplyBeforeFsync` looks for one of them alone, and tells every seed that finds it; with `SEED=7` it
//! tells that seed's story.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate_consensus::planted::Planted;
use quorate_sim::campaign::{CONTROL, Campaign, Outcome};
use quorate_sim::world::Recording;

/// Where a bug is looked for, and what must be found.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// A profile; `None`: all faults, on the clusters that seeds draw.
    profile: Option<&'static str>,
    /// Within so many seeds.
    seeds: u64,
    /// The promises of which one must be seen broken.
    properties: &'static [&'static str],
}

/// So many seeds of each profile run without a bug, too.
const CONTROLLED: u64 = 30;

/// What a client notices.
const CLIENTS: &[&str] = &["linearizable", "durable", "honest", "once", "monotonic"];

const fn place(bug: Planted) -> Place {
    let everywhere = Place { profile: None, seeds: 150, properties: CLIENTS };
    match bug {
        Planted::LeaseByTicks => Place { profile: Some("lease"), seeds: 300, ..everywhere },
        Planted::LeaseFromReceiveTimes => Place { profile: Some("answers"), ..everywhere },
        Planted::LeaseKeptDuringTransfer => {
            Place { profile: Some("handover"), seeds: 100, ..everywhere }
        }
        Planted::MembersWithoutJoint => {
            Place { profile: Some("members"), seeds: 300, ..everywhere }
        }
        Planted::TimeoutIsNotApplied => Place { seeds: 200, ..everywhere },
        Planted::ReadBeforeOwnTermCommit => Place { seeds: 400, ..everywhere },
        Planted::ReadWithoutQuorum => Place { seeds: 200, ..everywhere },
        Planted::VoteNotPersisted => {
            Place { seeds: 400, properties: &["one vote per term"], ..everywhere }
        }
        Planted::TornTailAccepted => {
            let properties = &["log matching", "state machine safety"];
            Place { profile: Some("power"), seeds: 600, properties }
        }
        // A node that has cut what no snapshot of its holds yet takes itself for damaged, though nothing but its
        // power has failed; alone, or where all have done so, what was acknowledged is gone.
        Planted::LogCutTooEarly => {
            Place { profile: Some("cut"), seeds: 150, properties: &["whole"] }
        }
        Planted::DoubtIgnored => Place { profile: Some("doubt"), ..everywhere },
        Planted::StampsAhead => {
            Place { profile: Some("power"), properties: &["lifetime"], ..everywhere }
        }
        Planted::SnapshotOverlays | Planted::SnapshotWithoutIndex => {
            Place { properties: &["state machine safety"], ..everywhere }
        }
        _ => everywhere,
    }
}

/// Runs the first `count` seeds, until one breaks one of `properties` (any, where none is named), and tells
/// `hear` of those that do. With `all`, none is left out.
fn search(planted: Option<Planted>, place: Place, all: bool, mut hear: impl FnMut(&Outcome, &str)) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let profile = place.profile.map(str::to_owned);
    let campaign = Campaign { planted, profile, failed_max: u64::MAX, ..Campaign::default() };
    let stop = AtomicBool::new(false);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let goes_on = |seed| seed < place.seeds && !stop.load(Ordering::Relaxed);
    campaign.run_many(0, jobs, goes_on, |outcome| {
        let named = |property| place.properties.is_empty() || place.properties.contains(property);
        if let Some(it) = outcome.violations.iter().find(|it| named(&it.property)) {
            stop.store(!all, Ordering::Relaxed);
            hear(&outcome, &it.to_string());
        }
    });
    std::panic::set_hook(hook);
}

fn wanted() -> Vec<Planted> {
    let name = std::env::var("PLANTED").unwrap_or_default();
    let is_wanted = |bug: &&Planted| name.is_empty() || format!("{bug:?}") == name;
    Planted::ALL.iter().filter(is_wanted).copied().collect()
}

#[test]
fn every_planted_bug_is_found() {
    let (wanted, mut missed) = (wanted(), Vec::new());
    if let ([bug], Ok(seed)) = (&*wanted, std::env::var("SEED")) {
        let profile = place(*bug).profile.map(str::to_owned);
        let campaign = Campaign { planted: Some(*bug), profile, ..Campaign::default() };
        let ran = campaign.run(seed.parse().expect("a number"), Recording::Story);
        return println!("{}", ran.expect("a profile").1.text);
    }
    for bug in &wanted {
        let (place, mut found) = (place(*bug), BTreeMap::new());
        search(Some(*bug), place, wanted.len() == 1, |outcome, violation| {
            let line = violation.lines().next().unwrap_or_default();
            found.insert(outcome.seed, format!("{line:.300}"));
        });
        match found.first_key_value() {
            Some((seed, line)) => {
                println!("{bug:?}: seed {seed} of {}: {line}", place.seeds);
                // The control: it is the bug that was found.
                let profile = place.profile.map(str::to_owned);
                let campaign = Campaign { profile, ..Campaign::default() };
                let (without, _) = campaign.run(*seed, Recording::Digest).expect("a profile");
                assert!(without.violations.is_empty(), "{seed}: {:#?}", without.violations);
                found.iter().skip(1).for_each(|(seed, line)| println!("    seed {seed}: {line}"));
            }
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// The control of the clocks: where they stand still while leases are trusted, no lease is worth anything, and the gym
/// must say so.
#[test]
fn clocks_beyond_the_bound_of_leases_are_found() {
    let place = Place { profile: Some(CONTROL), seeds: 200, properties: CLIENTS };
    let mut found = BTreeMap::new();
    search(None, place, false, |outcome, violation| {
        let line = violation.lines().next().unwrap_or_default();
        found.insert(outcome.seed, format!("{line:.300}"));
    });
    println!("beyond: {:?}", found.first_key_value());
    assert!(!found.is_empty(), "not found within {} seeds", place.seeds);
}

/// Beside reads that trust clocks too much all others are right.
#[test]
fn reads_that_trust_no_clock_are_right_beyond_the_bound_of_leases() {
    let (mut found, place) =
        (Vec::new(), Place { profile: Some("beyond"), seeds: 80, properties: &[] });
    search(None, place, false, |outcome, violation| {
        found.push(format!("seed {}: {violation}", outcome.seed));
    });
    assert!(found.is_empty(), "{found:#?}");
}

/// The control of the profiles; campaigns of all faults have a check of their own.
#[test]
fn without_one_the_first_seeds_of_every_profile_pass() {
    let mut profiles: Vec<_> = wanted().into_iter().filter_map(|bug| place(bug).profile).collect();
    profiles.sort_unstable();
    profiles.dedup();
    for profile in profiles {
        let mut found = Vec::new();
        let place = Place { profile: Some(profile), seeds: CONTROLLED, properties: &[] };
        search(None, place, false, |outcome, violation| {
            found.push(format!("seed {} of {profile}: {violation}", outcome.seed));
        });
        assert!(found.is_empty(), "{found:#?}");
    }
}

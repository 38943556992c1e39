//! kill -9 at every failpoint: each disk operation that changes something, before it, after it, and in the
//! middle of a write; while a node is founded, serves, starts again, joins, catches up and gives up what is
//! damaged; on the disk engine also between the steps of a flush, a compaction, a seal and a removal.
//!
//! A scenario is run once in which nobody dies, and every arrival is written down. Then the node dies at each
//! of these points and is started again. [`points`] lists all that there are: one that is not reached any more
//! fails the test, and so does one that is not listed.
//!
//! `cargo test -p quorate-app --features failpoints --test processes -- failpoints`. Every point is walked in
//! one scenario, which the seed draws; with `QUORATE_TEST_ALL=1` in all of them. Not walked: what recovery
//! does on a full disk, where it writes to the same place instead.

mod commands;
mod points;
mod scenario;
mod walk;

use std::collections::BTreeMap;
use std::time::Instant;

use self::points::{
    ALONE, AMONG_OTHERS, ENGINE, ENGINE_AMONG_OTHERS, Map, Point, assert_complete, operation,
};
use self::scenario::{Scenario, pair, wait_for_the_vote};
use self::walk::{End, FLAGS, Walk};
use crate::patience::{measured, say};
use crate::seed::Random;

const ALL: &str = "QUORATE_TEST_ALL";
/// So often a scenario is played again that did not pass where it had passed.
const AGAIN: usize = 3;
/// The same, on the disk engine: a log that is cut wants a flush, and sixteen of them are compacted.
const ENGINE_FLAGS: &[&str] = &["--snapshot-log-size", "1kb", "--engine", "disk"];

fn record(walk: &mut Walk, scenario: Scenario) -> BTreeMap<String, u64> {
    assert_eq!(scenario.play(walk, None), End::Survived, "{scenario:?}");
    walk.arrived()
}

/// Which point is walked in which scenario; what is walked `elsewhere` only if everything is.
fn plan(map: &Map, elsewhere: &[&str], random: &mut Random) -> Vec<(Scenario, Point)> {
    let all = std::env::var_os(ALL).is_some();
    let mut names: BTreeMap<&str, Vec<(Scenario, u64)>> = BTreeMap::new();
    for (scenario, counts) in map {
        let here = |name: &&str| all || !elsewhere.contains(&operation(name));
        for (name, count) in counts.iter().filter(|(name, _)| here(&name.as_str())) {
            names.entry(name).or_default().push((*scenario, *count));
        }
    }
    let mut plan = Vec::new();
    for (name, mut places) in names {
        if !all {
            places = vec![places[random.below(places.len())]];
        }
        for (scenario, count) in places {
            // What came up often comes up again, if not as often: timing differs.
            let nth = 1 + random.next() % count.div_ceil(3).min(20);
            plan.push((scenario, Point { name: name.to_owned(), nth }));
        }
    }
    plan.sort_by_key(|(scenario, _)| *scenario);
    plan
}

fn walk_through(mut walk: Walk, scenarios: &[Scenario], elsewhere: &[&str]) -> Map {
    let started = Instant::now();
    let map: Map = scenarios.iter().map(|&it| (it, record(&mut walk, it))).collect();
    let mut random = Random::new(walk.cluster.seed());
    for (scenario, mut point) in plan(&map, elsewhere, &mut random) {
        let mut end = scenario.play(&mut walk, Some(&point));
        // Where it passes depends on the timing, and what it did once it does again, if not every time.
        for _ in 0..AGAIN {
            if end == End::Survived {
                point.nth = 1;
                end = scenario.play(&mut walk, Some(&point));
            }
        }
        assert_eq!(end, End::Died, "{scenario:?} no longer passes {point:?}");
        walk.come_back();
        if matches!(scenario, Scenario::Joining | Scenario::Damage) {
            assert_eq!(wait_for_the_vote(&mut walk), End::Survived);
        }
    }
    walk.cluster.wait_until_equal();
    let points: usize = map.values().map(BTreeMap::len).sum();
    say(&format!(
        "{} deaths at {points} points of {scenarios:?}; {} acknowledged values found after them",
        walk.lives, walk.found
    ));
    measured("all of this took", &started.elapsed());
    map
}

#[test]
fn a_lone_node_that_dies_at_any_disk_operation_comes_back_with_every_acknowledged_write() {
    use Scenario::{Founding, HalfFounded, LargeRestart, Leftovers, Restart, Rolling, Service};
    let scenarios = [Founding, Restart, LargeRestart, Service, Leftovers, HalfFounded, Rolling];
    let map = walk_through(Walk::solo(), &scenarios, &[]);
    assert_complete(&map, ALONE, &[]);
}

#[test]
fn a_member_that_dies_at_any_disk_operation_while_it_catches_up_comes_back() {
    use Scenario::{Damage, Joining, LeftBehind};
    let map = walk_through(pair(FLAGS), &[Joining, LeftBehind, Damage], ALONE);
    assert_complete(&map, AMONG_OTHERS, ALONE);
}

#[test]
fn a_lone_node_that_dies_between_any_two_steps_of_its_disk_engine_comes_back() {
    use Scenario::{Flushing, Founding, Restart};
    // Where the log is cut, and what a start finds, depends on the engine: the log's operations are walked again.
    let map = walk_through(Walk::alone(ENGINE_FLAGS), &[Founding, Restart, Flushing], &[]);
    assert_complete(&map, ENGINE, ALONE);
}

#[test]
fn a_member_that_dies_while_its_disk_engine_takes_a_snapshot_in_comes_back() {
    let elsewhere: Vec<&str> = ALONE.iter().chain(AMONG_OTHERS).copied().collect();
    let map = walk_through(pair(ENGINE_FLAGS), &[Scenario::LeftBehind], &elsewhere);
    assert_complete(&map, ENGINE_AMONG_OTHERS, &elsewhere);
}

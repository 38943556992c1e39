//! Disks that are slow: leadership goes where they are fast, and does not come back; and nothing is refused because they are.

use std::time::Duration;

use quorate_sim::world::Kill;

use crate::gym::{Gym, LONG, ok};

/// Lanes' jobs take so many times as long as usual.
const SLOW: u32 = 4_000;

fn keep_writing(gym: &mut Gym, through: u64, rounds: u32) {
    for _ in 0..rounds {
        // What comes back does not matter: the disk shall have something to do.
        gym.ask(through, &["SET", "k", "v"]);
    }
}

#[test]
fn leadership_leaves_a_slow_disk_and_does_not_come_back_while_it_is_slow() {
    for seed in 1..4 {
        let mut gym = Gym::new(seed, 3);
        let leader = gym.leader().unwrap();
        let other = leader % 3 + 1;
        gym.world.disk(gym.host(leader)).slow(SLOW);
        let began = gym.world.now();
        while gym.leader() == Some(leader) || gym.leader().is_none() {
            assert!(gym.world.now() - began < LONG, "seed {seed}: node {leader} keeps the lead");
            keep_writing(&mut gym, other, 1);
        }
        // A write is quick again, for a majority has fast disks.
        let (answer, took) = gym.ask(other, &["SET", "k", "w"]);
        assert_eq!(answer, ok(), "seed {seed}");
        assert!(took < Duration::from_millis(300), "seed {seed}: {took:?}");
        assert!(gym.status(leader).disk_slow.is_some(), "seed {seed}");
        let until = gym.world.now() + Duration::from_secs(15);
        while gym.world.now() < until {
            keep_writing(&mut gym, other, 1);
            gym.run_for(Duration::from_millis(200));
            assert_ne!(gym.leader(), Some(leader), "seed {seed}");
        }
    }
}

/// A start begins a small segment, and the next one is still being made.
#[test]
fn a_large_write_right_behind_a_start_waits_for_a_segment_that_takes_it() {
    for seed in 1..4 {
        let mut gym =
            Gym::with(seed, 1, |_| (), |_, config| config.segment_bytes = 64 * 1024, |_| ());
        gym.stop(1, Kill::Process);
        gym.world.disk(gym.host(1)).slow(80);
        gym.start(1);
        gym.until("it leads", |gym| gym.leader() == Some(1));
        let (answer, took) = gym.ask(1, &["SET", "large", &"v".repeat(40_000)]);
        assert_eq!(answer, ok(), "seed {seed}, after {took:?}");
        assert!(took > Duration::from_millis(30), "seed {seed}: the segment was there already");
    }
}

//! Wall clocks: nobody leads whose clock is not known to be near the majority's.

use std::time::Duration;

use quorate_sim::resp::Frame;
use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

const TWO_HOURS_MS: i64 = 7_200_000;

/// Two of three, one of them with a wrong clock: it takes the third to tell which.
#[test]
fn nobody_leads_before_a_majority_of_wall_clocks_agrees() {
    for seed in 0..4 {
        let mut gym = Gym::new(seed, 3);
        assert_eq!(gym.ask(2, &["SET", "k", "v", "EX", "3600"]).0, ok());
        (1..=3).for_each(|number| gym.stop(number, Kill::Process));
        gym.world.jump_clock(gym.host(1), TWO_HOURS_MS);
        gym.start(1);
        gym.start(2);
        gym.run_for(Duration::from_secs(5));
        assert_eq!(gym.leader(), None, "seed {seed}");
        gym.start(3);
        gym.until("a leader", |gym| gym.leader().is_some());
        assert_ne!(gym.leader(), Some(1), "seed {seed}");
        let Frame::Int(ttl) = gym.ask(2, &["TTL", "k"]).0 else { panic!("no number") };
        assert!(ttl > 3_000, "seed {seed}: the key was to live on, but has {ttl} s left");
    }
}

/// The others' clocks were heard before the jump; they tell all the same.
#[test]
fn a_jump_of_the_own_clock_shows_at_once() {
    for seed in 0..4 {
        let mut gym = Gym::new(seed, 3);
        let leader = gym.leader().unwrap();
        let jumped = leader % 3 + 1;
        // Members tell each other the time once a second.
        gym.run_for(Duration::from_secs(2));
        gym.world.jump_clock(gym.host(jumped), TWO_HOURS_MS);
        gym.stop(leader, Kill::Power);
        gym.until("a leader", |gym| gym.leader().is_some());
        assert_eq!(gym.leader(), Some(jumped % 3 + 1), "seed {seed}");
    }
}

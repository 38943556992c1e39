//! Handshakes that are older than what was heard since on another connection.

use std::time::Duration;

use crate::gym::{Gym, ok};

/// A follower's acknowledgements came on the one lane while it was shaking hands for the other: its card, made before
/// the connection, said less than it had acknowledged when it was read, and it was told that its disk had gone back
/// and that it should be removed. The longer the way and the more there was to write, the longer that went on, and the
/// writes of its clients went nowhere.
#[test]
fn who_shakes_hands_while_it_acknowledges_entries_is_not_told_that_its_disk_has_gone_back() {
    for seed in 1..=4 {
        let mut gym = Gym::new(seed, 3);
        let leader = gym.leader().unwrap();
        let follower = leader % 3 + 1;
        let (from, to) = (gym.host(follower), gym.host(leader));
        for (one, two) in [(from, to), (to, from)] {
            gym.world.wire().slow(one, two, 3);
        }
        for client in 0..4 {
            gym.write_on(leader, &format!("k{client}"));
        }
        let logs = gym.world.capture_logs();
        for _ in 0..20 {
            gym.world.wire().break_last(from, to);
            gym.run_for(Duration::from_millis(300));
        }
        drop(logs);
        assert_eq!(gym.ask(follower, &["SET", "k", "v"]).0, ok(), "seed {seed}");
        let said = gym.world.take_branches();
        let refused: Vec<_> = said.keys().filter(|line| line.contains("let us in")).collect();
        assert!(refused.is_empty(), "seed {seed}: {refused:?}");
    }
}

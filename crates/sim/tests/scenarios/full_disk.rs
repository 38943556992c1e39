//! A leader that keeps its data on disk, and the disk is full: reads go on, writes are refused, and both is over at once.

use std::time::Duration;

use quorate_engine::EngineKind;
use quorate_sim::resp::Frame;

use crate::gym::{Gym, LONG, is_not_applied, ok};

/// Clients that write at the same time, so that entries are on their way when the engine takes no more.
const WRITERS: usize = 8;

#[test]
fn a_leader_whose_engine_takes_no_more_answers_reads() {
    for seed in 1..6 {
        let mut gym = Gym::with(
            seed,
            1,
            |spec| {
                spec.engine = EngineKind::Disk;
                // The engine finds no room long before the log does.
                spec.sizes.segment_bytes = 1024 * 1024;
            },
            |_, _| (),
            |_| (),
        );
        assert_eq!(gym.ask(1, &["SET", "before", "v"]).0, ok());
        gym.world.disk(gym.host(1)).fill(0);
        for writer in 0..WRITERS {
            gym.write_on(1, &format!("k{writer}"));
        }
        gym.until("the node takes no more", |gym| gym.status(1).read_only.is_some());
        let (refused, _) = gym.ask(1, &["SET", "refused", "v"]);
        assert!(is_not_applied(&refused), "seed {seed}: {refused:?}");
        let (answer, took) = gym.ask(1, &["GET", "before"]);
        assert_eq!(answer, Frame::Bulk("v".to_owned()), "seed {seed}");
        assert!(took < Duration::from_secs(1), "seed {seed}: {took:?}");

        gym.world.disk(gym.host(1)).mend();
        let mended = gym.world.now();
        while gym.ask(1, &["SET", "after", "v"]).0 != ok() {
            assert!(gym.world.now() - mended < LONG, "seed {seed}");
            gym.run_for(Duration::from_millis(100));
        }
    }
}

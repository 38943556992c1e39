//! Full disks: reads go on, writes are refused, and both is over at once.

use std::time::Duration;

use quorate_engine::EngineKind;
use quorate_sim::resp::Frame;
use quorate_sim::world::Kill;

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

/// It needs a snapshot, and has no room for one: as if it had none for another entry.
#[test]
fn a_member_without_room_for_a_snapshot_passes_reads_on_and_refuses_writes_and_backups() {
    for seed in 1..4 {
        let mut gym = Gym::with(
            seed,
            3,
            |spec| spec.sizes.snapshot_log_bytes = 8 * 1024,
            |_, config| config.segment_bytes = 64 * 1024,
            |_| (),
        );
        let leader = gym.leader().unwrap();
        let away = leader % 3 + 1;
        gym.stop(away, Kill::Process);
        let have = gym.status(leader).applied;
        let value = "v".repeat(4_000);
        while gym.status(leader).log_first <= have + 1 {
            for n in 0..20 {
                assert_eq!(gym.ask(leader, &["SET", &format!("k{n}"), &value]).0, ok());
            }
        }
        assert_eq!(gym.ask(leader, &["SET", "last", "acknowledged"]).0, ok());
        let others = [leader, 6 - leader - away];
        others.iter().for_each(|other| gym.cut_both_ways(*other, away));
        gym.start(away);
        gym.run_for(Duration::from_secs(1));
        // Its log has what it needs.
        gym.world.disk(gym.host(away)).fill(20_000);
        others.iter().for_each(|other| gym.heal_both_ways(*other, away));
        gym.until("it knows that it has no room", |gym| gym.status(away).read_only.is_some());

        let (answer, took) = gym.ask(away, &["GET", "last"]);
        assert_eq!(answer, Frame::Bulk("acknowledged".to_owned()), "seed {seed}");
        assert!(took < Duration::from_secs(2), "seed {seed}: {took:?}");
        let (refused, _) = gym.ask(away, &["SET", "refused", "v"]);
        assert!(is_not_applied(&refused), "seed {seed}: {refused:?}");
        let backup = gym.back_up(away);
        assert!(backup.is_err(), "seed {seed}: it would hold what was there before");

        gym.world.disk(gym.host(away)).mend();
        gym.until("it has caught up", |gym| gym.status(away).applied >= gym.status(leader).applied);
        assert_eq!(gym.ask(away, &["SET", "after", "v"]).0, ok(), "seed {seed}");
        assert!(gym.back_up(away).is_ok(), "seed {seed}");
    }
}

//! Logs that change on the disk while their node is running.

use std::path::{Path, PathBuf};

use quorate_node::Config;
use quorate_sim::cluster::NodeSpec;
use quorate_sim::resp::Frame;
use quorate_sim::world::{DiskControl, Kill};

use crate::gym::{Gym, LONG, ok};

/// Seed 522: a leader went on leading, and whoever needed its old entries asked for ever.
#[test]
fn a_leader_that_finds_its_old_entries_damaged_makes_room_for_another() {
    makes_room_for_another(|disk, path| {
        let flipped = (0..100).filter_map(|_| disk.flip_bit(path)).count();
        assert!(flipped > 0, "{}", path.display());
    });
}

/// Seed 200821: the same, where the segment was gone.
#[test]
fn a_leader_whose_old_entries_have_vanished_makes_room_for_another() {
    makes_room_for_another(|disk, path| {
        disk.vanish(path);
    });
}

fn makes_room_for_another(harm: impl Fn(DiskControl<'_>, &Path)) {
    let adjust = |_: &NodeSpec, config: &mut Config| {
        config.entries_kept = 10_000;
        config.snapshot_log_bytes = 1 << 30;
    };
    let mut gym = Gym::with(1, 3, |_| (), adjust, |_| ());
    let first = gym.leader().unwrap();
    let (second, behind) = (first % 3 + 1, (first + 1) % 3 + 1);
    gym.stop(behind, Kill::Process);
    let value = "v".repeat(10_000);
    for _ in 0..40 {
        assert_eq!(gym.ask(first, &["SET", "k", &value]).0, ok());
    }
    // After a restart old entries are on the disk only.
    for number in [first, second] {
        gym.stop(number, Kill::Process);
    }
    for number in [first, second] {
        gym.start(number);
    }
    gym.until("somebody leads", |gym| gym.leader().is_some());
    let damaged = gym.leader().unwrap();
    let sound = if damaged == first { second } else { first };
    assert_eq!(gym.ask(damaged, &["SET", "k", "last"]).0, ok());
    let disk = || gym.world.disk(gym.host(damaged));
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "log");
    for path in disk().paths().into_iter().filter(is_segment) {
        harm(disk(), &path);
    }
    gym.start(behind);
    gym.until("who was behind has caught up with who is sound", |gym| {
        gym.leader() == Some(sound)
            && gym.status(behind).applied == gym.status(sound).applied
            && gym.status(behind).applied > gym.status(damaged).applied
    });
    assert!(!gym.world.is_up(gym.host(damaged)), "it has stopped");
    gym.start(damaged);
    gym.until("the damaged one has fetched the state", |gym| {
        gym.status(damaged).applied == gym.status(sound).applied
    });
    assert_eq!(gym.ask(damaged, &["GET", "k"]).0, Frame::Bulk("last".into()));
}

/// Seed 321: recovery writes the end of the log to a new segment, and removes the old ones. The write landed elsewhere;
/// the next start took what was missing for a write that the power had broken off, and voted without it.
#[test]
fn a_member_whose_recovery_is_written_elsewhere_votes_for_nobody_without_what_it_acknowledged() {
    let mut served = 0;
    for seed in 1..=8 {
        let mut gym = Gym::new(seed, 3);
        let leader = gym.leader().unwrap();
        let (strays, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
        assert_eq!(gym.ask(leader, &["SET", "k", "old"]).0, ok());
        for number in [leader, strays] {
            gym.cut_both_ways(other, number);
        }
        assert_eq!(gym.ask(leader, &["SET", "k", "new"]).0, ok());
        gym.stop(leader, Kill::Power);
        gym.stop(strays, Kill::Power);
        let log = Path::new("/data/log");
        gym.world.disk(gym.host(strays)).stray_writes(2, log, &[log]);
        gym.world.wire().heal_all();
        // As a supervisor would.
        let until = gym.world.now() + LONG;
        while gym.world.now() < until && gym.leader().is_none_or(|it| it == leader) {
            gym.start(strays);
            gym.run_for(std::time::Duration::from_millis(500));
        }
        if let Some(serving) = gym.leader() {
            served += 1;
            assert_eq!(gym.ask(serving, &["GET", "k"]).0, Frame::Bulk("new".into()), "seed {seed}");
        }
    }
    assert!(served > 0, "nobody ever served: nothing was proved");
}

//! Logs that change on the disk while their node is running.

use std::path::{Path, PathBuf};

use quorate_node::Config;
use quorate_sim::cluster::NodeSpec;
use quorate_sim::world::{DiskControl, Kill};

use crate::gym::{Gym, ok};

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
    assert_eq!(gym.ask(damaged, &["GET", "k"]).0, quorate_sim::resp::Frame::Bulk("last".into()));
}

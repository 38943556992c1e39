//! Snapshots that change on the disk after they were made.

use quorate_node::Config;
use quorate_sim::cluster::NodeSpec;
use quorate_sim::world::{HostId, Kill};

use crate::gym::{Gym, ok};

/// Two of three members, of which one needs a snapshot from the leader; `harm` is done to each of the leader's.
fn one_needs_a_snapshot(harm: impl Fn(&Gym, HostId, &std::path::Path)) {
    let adjust = |_: &NodeSpec, config: &mut Config| config.entries_kept = 8;
    let mut gym = Gym::with(1, 3, |_| (), adjust, |_| ());
    let leader = gym.leader().unwrap();
    let behind = leader % 3 + 1;
    let had = gym.status(behind).applied + 1;
    gym.stop(behind, Kill::Process);
    let value = "v".repeat(10_000);
    for _ in 0..40 {
        assert_eq!(gym.ask(leader, &["SET", "k", &value]).0, ok());
    }
    gym.until("the log is cut behind what the other has", |gym| gym.status(leader).log_first > had);
    // Nothing is left that would make another one by itself.
    gym.run_for(std::time::Duration::from_secs(1));
    let host = gym.host(leader);
    let is_snapshot = |path: &std::path::PathBuf| path.to_string_lossy().contains("/snapshots/");
    for path in gym.world.disk(host).paths().into_iter().filter(is_snapshot) {
        harm(&gym, host, &path);
    }
    gym.start(behind);
    gym.run_for(std::time::Duration::from_millis(100));
    gym.until("the one that was behind has caught up", |gym| {
        gym.status(behind).applied == gym.status(leader).applied
    });
    assert!(gym.status(behind).snapshots_installed > 0);
    assert_eq!(gym.leader(), Some(leader));
}

/// A leader would send it for ever, and whoever needs it refuse it for ever: seed 113 of the campaign, where two
/// of three needed it, and with them the cluster.
#[test]
fn a_leader_whose_snapshot_is_damaged_makes_another_one_when_it_is_refused() {
    one_needs_a_snapshot(|gym, host, path| {
        assert!(gym.world.disk(host).flip_bit(path).is_some(), "{}", path.display());
    });
}

/// Seeds 100252 and 100353: nobody could be sent a file that was not there, for ever.
#[test]
fn a_leader_whose_snapshot_has_vanished_makes_another_one() {
    one_needs_a_snapshot(|gym, host, path| {
        assert!(gym.world.disk(host).vanish(path), "{}", path.display());
    });
}

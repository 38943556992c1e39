//! SIGTERM: one node after the other under load, as in an upgrade.

use crate::cluster::Cluster;
use crate::patience::{measured, say};
use crate::writer::Load;

/// Restarts every node in turn, the leader last, so that leadership really is handed over.
fn rolling_restart(nodes: usize) {
    let mut cluster = Cluster::of(nodes);
    let load = Load::start(&cluster, 4);
    load.go_on(50);
    let mut order = cluster.followers();
    order.push(cluster.leader());
    for node in order {
        let ended = cluster.terminate(node);
        assert_eq!(ended.code(), Some(0), "a shutdown is no failure");
        load.go_on(20);
        cluster.restart(node);
        cluster.wait_until_ready();
        load.go_on(20);
    }
    measured(&format!("rolling restart of {nodes}: longest gap between acks"), &load.longest_gap());
    let ledger = load.stop();
    say(&ledger.summary());
    assert!(ledger.in_doubt.is_empty(), "a planned restart leaves no doubt: {:?}", ledger.in_doubt);
    for refused in &ledger.refused {
        say(&format!("  refused: {refused}"));
    }
    let applied = ledger.applied_but_lost(&cluster);
    measured("of the single writes whose connection was closed, applied all the same", &applied);
    ledger.verify(&cluster);
}

#[test]
fn three_nodes_restarted_one_after_the_other_lose_nothing() {
    rolling_restart(3);
}

#[test]
fn five_nodes_restarted_one_after_the_other_lose_nothing() {
    rolling_restart(5);
}

#[test]
fn a_leader_that_shuts_down_hands_over_and_exits_with_0() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let follower = cluster.followers()[0];
    let terms_before = cluster.status(follower).unwrap().number("/term");
    let ended = cluster.terminate(leader);
    assert_eq!(ended.code(), Some(0));
    // The next leader is there already: no election timeout has to pass.
    let (outcome, took) = cluster.try_once(follower, &["SET", "after", "handover"]);
    assert!(matches!(outcome, crate::client::Outcome::Done(_)), "{outcome:?}");
    measured("a write right after a handover took", &took);
    let terms_after = cluster.status(follower).unwrap().number("/term");
    assert_eq!(terms_after, terms_before + 1, "one handover, one term");
}

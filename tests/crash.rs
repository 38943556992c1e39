//! kill -9: of the leader, of followers, of a minority, of everybody.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::patience::measured;
use crate::writer::Load;

const CLIENTS: usize = 4;
/// Enough for writes of every kind to be under way.
const WARM: usize = 120;
/// Promised is a second; a test must bear a machine that does something else, too.
const RESUME_MAX: Duration = Duration::from_secs(5);

/// Kills what `choose` names under load; the others go on; the dead come back and catch up.
fn killed_under_load(nodes: usize, choose: fn(leader: usize, followers: &[usize]) -> Vec<usize>) {
    let mut cluster = Cluster::of(nodes);
    let load = Load::judged(&cluster, CLIENTS);
    load.go_on(WARM);
    let victims = choose(cluster.leader(), &cluster.followers());
    let killed = Instant::now();
    cluster.kill(&victims);
    let resumed = load.resumed_after(killed);
    measured(&format!("{nodes} nodes, {} killed: writes resumed after", victims.len()), &resumed);
    assert!(resumed < RESUME_MAX, "writes resumed only after {resumed:?}");
    load.go_on(WARM);
    for &victim in &victims {
        cluster.restart(victim);
    }
    cluster.wait_until_ready();
    load.go_on(WARM);
    measured(&format!("{nodes} nodes, {} killed: longest gap", victims.len()), &load.longest_gap());
    load.prove(&cluster);
}

/// Kills all nodes at once, also while they are still starting up again.
fn all_killed_at_once(nodes: usize) {
    let mut cluster = Cluster::of(nodes);
    let everybody: Vec<_> = (0..nodes).collect();
    let load = Load::judged(&cluster, CLIENTS);
    for _ in 0..2 {
        load.go_on(WARM);
        cluster.kill(&everybody);
        let started = Instant::now();
        everybody.iter().for_each(|&node| cluster.restart(node));
        let resumed = load.resumed_after(started);
        measured(&format!("all of {nodes} killed: writes resumed after their start in"), &resumed);
    }
    cluster.wait_until_ready();
    load.go_on(WARM);
    load.prove(&cluster);
}

#[test]
fn three_nodes_live_through_the_leaders_death() {
    killed_under_load(3, |leader, _| vec![leader]);
}

#[test]
fn three_nodes_live_through_a_followers_death() {
    killed_under_load(3, |_, followers| vec![followers[0]]);
}

#[test]
fn five_nodes_live_through_the_leaders_death() {
    killed_under_load(5, |leader, _| vec![leader]);
}

#[test]
fn five_nodes_live_through_the_death_of_the_leader_and_a_follower_at_once() {
    killed_under_load(5, |leader, followers| vec![leader, followers[0]]);
}

#[test]
fn five_nodes_live_through_the_death_of_two_followers_at_once() {
    killed_under_load(5, |_, followers| followers[..2].to_vec());
}

#[test]
fn three_nodes_killed_at_once_come_back_with_every_acknowledged_write() {
    all_killed_at_once(3);
}

#[test]
fn five_nodes_killed_at_once_come_back_with_every_acknowledged_write() {
    all_killed_at_once(5);
}

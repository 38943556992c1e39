//! Wires that delay, lose and cut: each node in a network namespace of its own.

use std::time::Instant;

use crate::cluster::Cluster;
use crate::patience::measured;
use crate::wire::{Rule, Wire};
use crate::writer::Load;

const NODES: usize = 3;
const CLIENTS: usize = 4;
const WARM: usize = 60;

/// A cluster of three on a wire of its own, and what to do with it.
fn on_a_wire(test: fn(&mut Cluster, &mut Wire)) {
    let Some(mut wire) = Wire::between(NODES, crate::seed::draw()) else { return };
    wire.run(|wire| {
        let mut cluster = Cluster::empty(&[]);
        for _ in 0..NODES {
            wire.add(&mut cluster, |_| ());
        }
        cluster.wait_for_voters(NODES);
        test(&mut cluster, wire);
    });
}

/// Cuts the leader's packets in one direction under load; the others go on without it; it comes back.
fn cut_the_leader(cluster: &mut Cluster, wire: &mut Wire, cut: fn(&mut Wire, usize, usize, Rule)) {
    let load = Load::judged(cluster, CLIENTS);
    load.go_on(WARM);
    for _ in 0..2 {
        let (leader, followers) = (cluster.leader(), cluster.followers());
        let moment = Instant::now();
        followers.iter().for_each(|&follower| cut(wire, leader, follower, Rule::CUT));
        let next = cluster.leader_among(&followers);
        measured("the others agreed on a new leader after", &moment.elapsed());
        assert_ne!(next, leader);
        measured("writes went on after", &load.resumed_after(moment));
        load.go_on(WARM);
        let (_, lost) = match wire.counts(leader, next) {
            (_, 0) => wire.counts(next, leader),
            counts => counts,
        };
        assert!(lost > 0, "nothing was lost: the wire was not cut");
        let moment = Instant::now();
        followers.iter().for_each(|&follower| cut(wire, leader, follower, Rule::default()));
        cluster.wait_until_ready();
        measured("healed after", &moment.elapsed());
    }
    load.go_on(WARM);
    load.prove(cluster);
}

#[test]
fn a_leader_that_hears_nobody_is_replaced() {
    on_a_wire(|cluster, wire| {
        cut_the_leader(cluster, wire, |wire, leader, other, rule| wire.set(other, leader, rule));
    });
}

#[test]
fn a_leader_whom_nobody_hears_is_replaced() {
    on_a_wire(|cluster, wire| {
        cut_the_leader(cluster, wire, |wire, leader, other, rule| wire.set(leader, other, rule));
    });
}

#[test]
fn a_follower_that_hears_only_half_deposes_nobody() {
    on_a_wire(|cluster, wire| {
        let (leader, follower) = (cluster.leader(), cluster.followers()[0]);
        let load = Load::judged(cluster, CLIENTS);
        for (from, to) in [(leader, follower), (follower, leader)] {
            wire.set(from, to, Rule::CUT);
            load.go_on(2 * WARM);
            let others: Vec<_> = (0..NODES).filter(|&node| node != follower).collect();
            assert_eq!(cluster.leader_among(&others), leader);
            wire.set(from, to, Rule::default());
            cluster.wait_until_ready();
        }
        load.prove(cluster);
    });
}

#[test]
fn slow_wires_that_lose_packets_cost_time_and_nothing_else() {
    on_a_wire(|cluster, wire| {
        wire.set_all(Rule { delay_ms: 15, jitter_ms: 30, loss_percent: 3 });
        let started = Instant::now();
        let load = Load::judged(cluster, CLIENTS);
        load.go_on(3 * WARM);
        let took = started.elapsed();
        measured(&format!("{} writes over bad wires", 3 * WARM), &took);
        wire.set_all(Rule::default());
        load.prove(cluster);
        let lost: u64 = (0..NODES).map(|node| wire.counts(node, (node + 1) % NODES).1).sum();
        assert!(lost > 0, "nothing was lost: the wire is too good");
    });
}

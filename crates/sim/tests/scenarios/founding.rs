//! Nodes found a cluster together while they are killed, lose power and can't reach each other: one comes
//! about, and never two.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_node::{Config, Entrance};
use quorate_sim::cluster::NodeSpec;
use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

/// Chance for one run, from its seed (Steele, Lea and Flood, SplitMix64, 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn expecting(seed: u64, nodes: u64) -> Gym {
    let adjust = move |spec: &NodeSpec, config: &mut Config| {
        config.entrance = Entrance::Expect(usize::try_from(nodes).unwrap());
        config.seeds = spec.members.iter().map(|member| member.addr.clone()).collect();
    };
    Gym::unstarted(seed, nodes, |_| (), adjust, |_| ())
}

fn clusters(gym: &Gym) -> BTreeSet<String> {
    let statuses = gym.statuses().into_iter();
    statuses.map(|status| status.cluster).filter(|cluster| !cluster.is_empty()).collect()
}

/// One run: nodes start when they like, and for some seconds everything happens to them.
fn run(seed: u64, nodes: u64) {
    let mut gym = expecting(seed, nodes);
    let mut chance = Chance(seed);
    let mut running = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let number = chance.below(nodes) + 1;
        match chance.below(6) {
            0 | 1 => {
                if running.insert(number) {
                    gym.start(number);
                }
            }
            2 => {
                if running.remove(&number) {
                    let how = if chance.below(2) == 0 { Kill::Process } else { Kill::Power };
                    gym.stop(number, how);
                }
            }
            3 => {
                let ahead = chance.below(12) + 1;
                let host = gym.host(number);
                if running.contains(&number) {
                    gym.world.disk(host).fail_power_after(ahead);
                }
            }
            4 => {
                let other = chance.below(nodes) + 1;
                let (one, two) = (gym.host(number), gym.host(other));
                if one != two {
                    gym.world.wire().cut(one, two);
                }
            }
            _ => gym.world.wire().heal_all(),
        }
        gym.run_for(Duration::from_millis(chance.below(300)));
        seen.extend(clusters(&gym));
        assert!(seen.len() <= 1, "seed {seed}: two clusters: {seen:?}");
    }
    gym.world.wire().heal_all();
    for number in 1..=nodes {
        let host = gym.host(number);
        gym.world.disk(host).mend();
        gym.stop(number, Kill::Process);
        gym.start(number);
    }
    gym.until("one cluster of all", |gym| {
        let statuses = gym.statuses();
        statuses.len() as u64 == nodes
            && statuses.iter().all(|status| {
                let voters =
                    status.members.iter().filter(|member| member.voter && !member.addr.is_empty());
                status.leader != 0 && voters.count() as u64 == nodes
            })
    });
    seen.extend(clusters(&gym));
    assert_eq!(seen.len(), 1, "seed {seed}");
    assert_eq!(gym.ask(nodes, &["SET", "k", "v"]).0, ok(), "seed {seed}");
}

#[test]
fn three_nodes_found_one_cluster_whatever_happens_to_them() {
    (0..30).for_each(|seed| run(seed, 3));
}

#[test]
fn five_nodes_found_one_cluster_whatever_happens_to_them() {
    (100..110).for_each(|seed| run(seed, 5));
}

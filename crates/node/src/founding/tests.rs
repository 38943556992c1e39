//! Decisions of single nodes, and all that can become of three of them in any order.

use std::collections::BTreeSet;

use quorate_consensus::peers::Formats;

use super::*;

fn card(number: u64) -> Card {
    Card {
        name: format!("n{number}"),
        instance: number,
        peer_addr: format!("n{number}:1"),
        expect: 3,
        formats: Formats { lowest: 1, highest: 1 },
        ..Card::default()
    }
}

fn seen(cards: &[Card]) -> Vec<Seen> {
    cards.iter().map(|card| Seen { addr: card.peer_addr.clone(), card: card.clone() }).collect()
}

fn waits_for(own: &Card, others: &[Card]) -> String {
    match decide(own, &seen(others), 3) {
        Step::Wait(text) => text,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_node_waits_for_as_many_as_it_expects() {
    assert_eq!(waits_for(&card(1), &[card(3)]), "2 of 3 nodes are there: n1, n3");
    assert!(waits_for(&card(1), &[card(2), card(3), card(4)]).contains("4 nodes are there"));
    let waiting = Card { expect: 0, ..card(2) };
    assert_eq!(waits_for(&card(1), &[waiting]), "1 of 3 nodes are there: n1");
}

#[test]
fn what_does_not_fit_together_is_named() {
    let five = Card { expect: 5, ..card(2) };
    assert!(waits_for(&card(1), &[five, card(3)]).contains("n2 expects 5 founders, this node 3"));
    let twin = Card { name: "n1".to_owned(), ..card(2) };
    assert!(waits_for(&card(1), &[twin, card(3)]).contains("called \"n1\" as well"));
    let bound = Card { pledge: ClusterId(77), ..card(2) };
    assert!(
        waits_for(&card(1), &[bound.clone(), card(3)]).contains("empty their data directories")
    );
    let pledged = Card { pledge: ClusterId(9), ..card(1) };
    assert!(waits_for(&pledged, &[bound, card(3)]).contains("empty their data directories"));
}

#[test]
fn where_there_is_a_cluster_a_node_joins_it() {
    let member = Card { cluster: ClusterId(5), node: NodeId(1), ..card(2) };
    assert_eq!(decide(&card(1), &seen(&[card(3), member]), 3), Step::Join("n2:1".to_owned()));
}

#[test]
fn all_who_see_the_same_nodes_make_the_same_plan() {
    let plan = |cards: [u64; 3]| Plan::of(&cards.map(card).iter().collect::<Vec<_>>(), 1);
    assert_eq!(plan([1, 2, 3]), plan([3, 1, 2]));
    let moved = Card { peer_addr: "x:9".to_owned(), ..card(2) };
    let cluster = Plan::of(&[&card(1), &moved, &card(3)], 1).cluster();
    assert_eq!(cluster, plan([1, 2, 3]).cluster(), "addresses are no part of it");
    let other = Card { instance: 99, ..card(2) };
    assert_ne!(cluster, Plan::of(&[&card(1), &other, &card(3)], 1).cluster());
}

/// What is known of the nodes at one moment: their cards, as they are and as each saw them last.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    /// Instance, pledge, cluster of each of the nodes.
    nodes: Vec<(u64, u64, u64)>,
    /// For each pair: what the first saw of the second last.
    views: Vec<Vec<Option<(u64, u64, u64)>>>,
    /// Which nodes have lost their disks so far.
    lost: usize,
    /// Every cluster that ever started.
    started: BTreeSet<u64>,
}

const NODES: usize = 3;

impl World {
    fn new() -> Self {
        let nodes = (1..=NODES as u64).map(|instance| (instance, 0, 0)).collect();
        Self { nodes, views: vec![vec![None; NODES]; NODES], lost: 0, started: BTreeSet::new() }
    }

    fn card(&self, node: usize, (instance, pledge, cluster): (u64, u64, u64)) -> Card {
        let base = card(node as u64 + 1);
        Card { instance, pledge: ClusterId(pledge), cluster: ClusterId(cluster), ..base }
    }

    /// Every world that is one event away: a look, a decision by what was seen (however long ago), a loss.
    fn next(&self, losses: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for node in 0..NODES {
            for other in (0..NODES).filter(|other| *other != node) {
                let mut world = self.clone();
                world.views[node][other] = Some(self.nodes[other]);
                all.push(world);
            }
            all.extend(self.decided(node));
            if self.lost < losses {
                let mut world = self.clone();
                world.lost += 1;
                world.nodes[node] = (10 * (world.lost as u64) + node as u64, 0, 0);
                world.views[node] = vec![None; NODES];
                all.push(world);
            }
        }
        all
    }

    fn decided(&self, node: usize) -> Option<Self> {
        let (instance, _, cluster) = self.nodes[node];
        if cluster != 0 {
            return None;
        }
        let own = self.card(node, self.nodes[node]);
        let views = self.views[node].iter().enumerate();
        let others: Vec<_> =
            views.filter_map(|(other, view)| view.map(|view| self.card(other, view))).collect();
        let mut world = self.clone();
        match decide(&own, &seen(&others), NODES) {
            Step::Pledge(cluster) => world.nodes[node] = (instance, cluster.0, 0),
            Step::Start(plan) => {
                let cluster = plan.cluster().0;
                world.nodes[node] = (instance, cluster, cluster);
                world.started.insert(cluster);
            }
            // Joining founds nothing: it is up to the cluster there.
            Step::Wait(_) | Step::Join(_) => return None,
        }
        Some(world)
    }
}

/// All worlds that can come about while at most `losses` nodes lose their disks.
fn explore(losses: usize) -> BTreeSet<World> {
    let mut known = BTreeSet::from([World::new()]);
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        for next in world.next(losses) {
            if known.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    known
}

#[test]
fn in_every_order_of_events_one_cluster_at_most_is_founded() {
    let worlds = explore(1);
    assert!(worlds.iter().any(|world| world.started.len() == 1));
    assert!(worlds.iter().all(|world| world.started.len() <= 1));
    println!("{} worlds", worlds.len());
}

#[test]
fn while_no_disk_is_lost_all_can_still_start_wherever_they_are() {
    for world in explore(0) {
        let mut world = world;
        // From here on everybody looks at everybody, in turn, until nothing changes.
        for _ in 0..4 {
            for node in 0..NODES {
                for other in (0..NODES).filter(|other| *other != node) {
                    world.views[node][other] = Some(world.nodes[other]);
                }
                world = world.decided(node).unwrap_or(world);
            }
        }
        assert!(world.nodes.iter().all(|(_, _, cluster)| *cluster != 0), "{:?}", world.nodes);
    }
}

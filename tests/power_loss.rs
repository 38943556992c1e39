//! Power loss for real: of one node, of all at once, at random moments under load; each node's data is on a
//! file system of its own that forgets what was not synced.
//!
//! Needs root, loop devices, `mkfs.ext4`, `xfs_io` and, for the control, `eatmydata`; where they can't be
//! had, a skip that says so, also in CI: a container may lack them for good reasons.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Link;
use crate::cluster::{Cluster, Entrance};
use crate::image::Images;
use crate::patience::{measured, say};
use crate::seed::Random;
use crate::writer::Load;

const NODES: usize = 3;
const EVERYBODY: [usize; NODES] = [0, 1, 2];
const CLIENTS: usize = 4;
/// Each round takes one node's power, and then everybody's.
const ROUNDS: usize = 6;
/// No round begins later.
const TIME_MAX: Duration = Duration::from_secs(30);
/// At most so many writes are acknowledged between two failures, and at least a few.
const WRITES_MAX: usize = 300;
const WRITES_MIN: usize = 20;
/// Large enough for the log to roll to another segment every few rounds.
const HEAVY_BYTES: usize = 4 << 20;
/// Small enough for snapshots to be under way when the power fails.
const SMALL_SNAPSHOTS: &[&str] = &["--snapshot-log-size", "64kb"];

/// Field order matters: nodes end before their disks go.
struct World {
    cluster: Cluster,
    images: Images,
    random: Random,
}

impl World {
    /// Three voters, each on a disk of its own, on both engines in turn, started by way of `wrapper`; `journalled` of the
    /// disks have a journal of all data.
    #[track_caller]
    fn started_by(wrapper: &[&str], journalled: usize, flags: &[&str]) -> Option<Self> {
        let images = Images::mounted(NODES, journalled, wrapper)?;
        let mut cluster = Cluster::empty(flags);
        say(&format!("again: {}", cluster.again()));
        let mut random = Random::new(cluster.seed());
        let odd = random.below(2);
        for node in 0..NODES {
            let mut words = images.within();
            words.extend(wrapper.iter().map(|&word| word.to_owned()));
            let entrance = if node == 0 { Entrance::Bootstrap } else { Entrance::Join };
            cluster.add_as(entrance, |recipe| {
                if !recipe.flags.iter().any(|flag| flag == "--engine") {
                    let engine = ["memory", "disk"][(node + odd) % 2];
                    recipe.flags.extend(["--engine", engine].map(str::to_owned));
                }
                recipe.data_dir = images.data_dir(node);
                recipe.wrapper = words;
            });
        }
        cluster.wait_for_voters(NODES);
        Some(Self { cluster, images, random })
    }

    fn go_on_until_a_random_moment(&mut self, load: &Load) {
        load.go_on(WRITES_MIN + self.random.below(WRITES_MAX));
    }

    /// Disks first, processes then: what a node does in between reaches no disk.
    #[track_caller]
    fn cut_power(&mut self, nodes: &[usize]) {
        self.images.cut_power(nodes);
        self.cluster.kill(nodes);
    }

    #[track_caller]
    fn restore_power(&mut self, nodes: &[usize]) {
        for &node in nodes {
            self.images.restore_power(node);
            self.cluster.restart(node);
        }
    }

    /// Takes the power of `nodes` at a random moment under load, and gives it back.
    #[track_caller]
    fn lose_power(&mut self, nodes: &[usize], load: &Load) {
        let leader = self.cluster.leader();
        self.cluster.tell(leader, &["SET", "heavy", &"heavy".repeat(HEAVY_BYTES / 5)]);
        self.go_on_until_a_random_moment(load);
        let under_way = self.write_something_heavy();
        self.cut_power(nodes);
        self.restore_power(nodes);
        under_way.join().unwrap();
    }

    /// Has a large value on its way to the logs; whether it arrives is nobody's concern.
    fn write_something_heavy(&mut self) -> JoinHandle<()> {
        let addr = self.cluster.addr(self.random.below(NODES)).to_owned();
        let value = "heavy".repeat(HEAVY_BYTES / 5);
        std::thread::spawn(move || {
            drop(Link::new(&addr).call::<String>(&["SET", "heavy", &value]));
        })
    }
}

#[test]
fn every_acknowledged_write_survives_power_loss_of_one_node_and_of_all_at_once() {
    // One of them loses what the others have written past the page cache.
    let Some(mut world) = World::started_by(&[], 1, SMALL_SNAPSHOTS) else { return };
    let started = Instant::now();
    let load = Load::judged(&world.cluster, CLIENTS);
    let mut rounds = 0;
    while rounds < ROUNDS && started.elapsed() < TIME_MAX {
        let victim = world.random.below(NODES);
        world.lose_power(&[victim], &load);
        // Half of the time the next failure meets a node that has just come back.
        if world.random.below(2) == 0 {
            world.cluster.wait_until_ready();
        }
        world.lose_power(&EVERYBODY, &load);
        let restored = Instant::now();
        measured("after all lost power, writes went on in", &load.resumed_after(restored));
        world.cluster.wait_until_ready();
        rounds += 1;
    }
    load.go_on(WRITES_MIN);
    say(&format!("power was lost {rounds} times by one, {rounds} by all"));
    load.prove(&world.cluster);
    measured("all of this took", &started.elapsed());
}

/// The control: without it, nobody knows whether anything was lost that a sync did not save. What is written past the page
/// cache is on the image's device at once; with a journal of all data it is not.
#[test]
fn nodes_whose_fsync_lies_lose_acknowledged_writes_when_all_lose_power_at_once() {
    let Some(mut world) = World::started_by(&["eatmydata"], NODES, &[]) else { return };
    // That they are members of a cluster is not to be lost, only what is written from now on.
    EVERYBODY.iter().for_each(|&node| world.images.sync(node));
    let load = Load::start(&world.cluster, CLIENTS);
    world.go_on_until_a_random_moment(&load);
    world.cut_power(&EVERYBODY);
    // A client that went on would notice, and panic.
    let ledger = load.stop();
    world.restore_power(&EVERYBODY);
    world.cluster.wait_until_ready();
    let missing = ledger.missing(&world.cluster, 0);
    say(&format!("fsync lied, {missing} acknowledged writes are missing: {}", ledger.summary()));
    assert!(missing > 0, "power was lost, and nothing with it: the test proves nothing");
}

//! Commands that take long take nobody else's time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_env::tasks::{Job, Task};
use quorate_env::{Env, Lane, Tasks};
use quorate_node::Config;
use quorate_sim::cluster::NodeSpec;
use quorate_sim::resp::Frame;

use crate::gym::{Gym, ok};

/// Longer than commands wait for a leader, and many election timeouts.
const TAKES: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(500);

/// Lanes on which what takes long takes so long.
struct SlowTasks(Env, Duration);

impl Tasks for SlowTasks {
    fn spawn(&self, task: Task) {
        self.0.tasks.spawn(task);
    }
    fn lane(&self, name: &str) -> Box<dyn Lane> {
        let lane = self.0.tasks.lane(name);
        if !name.starts_with("long-") {
            return lane;
        }
        Box::new(SlowLane(Arc::new(Mutex::new(lane)), self.0.clone(), self.1))
    }
}

struct SlowLane(Arc<Mutex<Box<dyn Lane>>>, Env, Duration);

impl Lane for SlowLane {
    fn submit(&self, job: Job) {
        let (lane, sleep) = (Arc::clone(&self.0), self.1.clock.sleep(self.2));
        self.1.tasks.spawn(Box::pin(async move {
            sleep.await;
            lane.lock().unwrap().submit(job);
        }));
    }
}

fn gym() -> (Gym, u64, u64) {
    let look = |spec: &mut NodeSpec| spec.env.tasks = Arc::new(SlowTasks(spec.env.clone(), TAKES));
    let mut gym = Gym::with(1, 3, look, |_, _| (), |_| ());
    let leader = gym.leader().unwrap();
    assert_eq!(gym.ask(leader, &["SET", "k1", "old"]).0, ok());
    (gym, leader, leader % 3 + 1)
}

fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.into())
}

/// MSET of so many keys that it takes long.
fn many() -> Vec<String> {
    let pairs = (0..5000).flat_map(|n| [format!("k{n}"), "new".to_owned()]);
    std::iter::once("MSET".to_owned()).chain(pairs).collect()
}

#[test]
fn a_write_on_many_keys_costs_the_leader_no_lead_and_stale_readers_no_time() {
    let (mut gym, leader, follower) = gym();
    let term = gym.status(leader).term;
    let (many, began) = (many(), gym.world.now());
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = gym.begin(leader, &[&many]);
    gym.run_for(TAKES / 2);
    for number in [leader, follower] {
        let stale = gym.ask_all(number, &[&["READONLY"], &["GET", "k1"], &["GET", "k2"]]);
        assert_eq!(
            (&stale[1].0, &stale[2].0),
            (&bulk("old"), &Frame::Nil),
            "nothing of it is seen"
        );
        assert!(stale[2].1 < SOON, "{stale:?}");
    }
    // Others wait for it, as they must, and are answered in order.
    let other = gym.begin(follower, &[&["GET", "k4999"], &["SET", "k1", "newer"], &["GET", "k1"]]);
    assert_eq!(gym.answers(long)[0].0, ok());
    assert!(gym.world.now() - began >= TAKES);
    let other: Vec<Frame> = gym.answers(other).into_iter().map(|answer| answer.0).collect();
    assert_eq!(other, [bulk("new"), ok(), bulk("newer")]);
    gym.until("all have it", |gym| {
        let digests: Vec<_> = (1..=3).map(|number| gym.status(number).digest).collect();
        digests.iter().all(|digest| *digest == digests[0])
    });
    assert_eq!((gym.leader(), gym.status(leader).term), (Some(leader), term));
    assert_eq!(gym.status(follower).databases[0].1, 5000);
}

#[test]
fn a_read_of_everything_is_answered_from_one_moment_and_holds_nobody_up() {
    let (mut gym, leader, _) = gym();
    let keys = gym.begin(leader, &[&["KEYS", "*"], &["DBSIZE"]]);
    gym.run_for(TAKES / 4);
    let (set, took) = gym.ask(leader, &["SET", "later", "v"]);
    assert_eq!(set, ok());
    assert!(took < SOON, "{took:?}");
    let keys = gym.answers(keys);
    assert!(keys[0].1 >= TAKES, "{keys:?}");
    assert_eq!(keys[0].0, Frame::Array(vec![bulk("k1")]));
    let scan = gym.ask(leader, &["SCAN", "0", "COUNT", "10"]);
    assert!(scan.1 < SOON, "{scan:?}");
}

#[test]
fn a_leader_that_dies_in_the_midst_of_a_long_write_leaves_all_of_it_or_nothing() {
    let (mut gym, leader, follower) = gym();
    let many = many();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = gym.begin(leader, &[&many]);
    gym.run_for(TAKES / 2);
    gym.stop(leader, quorate_sim::world::Kill::Process);
    drop(long);
    gym.until("another one leads", |gym| gym.leader().is_some());
    assert_eq!(
        gym.ask(follower, &["EXISTS", "k1", "k2", "k4999"]).0,
        Frame::Int(3),
        "it was committed"
    );
    gym.start(leader);
    gym.until("it has all of it again", |gym| {
        let all = gym.statuses();
        all.len() == 3 && all.iter().all(|status| status.databases[0].1 == 5000)
    });
}

/// What waits behind a long entry keeps further appends away. When a snapshot takes the place of all of it, they are
/// let in again.
#[test]
fn a_member_that_gets_a_snapshot_in_the_midst_of_a_long_write_follows_again() {
    let look = |spec: &mut NodeSpec| {
        let takes = if spec.number == 3 { 4 * TAKES } else { Duration::ZERO };
        spec.env.tasks = Arc::new(SlowTasks(spec.env.clone(), takes));
    };
    let adjust = |_: &NodeSpec, config: &mut Config| {
        config.segment_bytes = 8 << 20;
        config.snapshot_log_bytes = 1 << 20;
        config.entries_kept = 0;
    };
    let mut gym = Gym::with(1, 3, look, adjust, |_| ());
    let leader = gym.leader().unwrap();
    assert_ne!(leader, 3, "the seed has another one lead");
    let installed = gym.status(3).snapshots_installed;
    let many = many();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(gym.ask(leader, &many).0, ok());
    let value = "v".repeat(1 << 20);
    for _ in 0..48 {
        assert_eq!(gym.ask(leader, &["SET", "large", &value]).0, ok());
    }
    gym.until("a snapshot has come", |gym| gym.status(3).snapshots_installed > installed);
    assert_eq!(gym.ask(leader, &["SET", "k1", "newer"]).0, ok());
    gym.until("it follows", |gym| gym.status(3).digest == gym.status(leader).digest);
}

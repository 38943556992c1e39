//! Wall clocks that jump by hours and drift (libfaketime); monotonic clocks stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, measured, until};
use crate::tool;
use crate::writer::Load;

/// Seconds of a key that no jump may expire.
const LONG_TTL_S: u64 = 3600;
/// By so much may the clocks of members disagree among whom a leader is elected.
const BOUND_MS: u64 = 5_000;
/// Stamps run faster or slower than time by so much.
const SLEW_PERCENT: u64 = 10;
const HOURS: i64 = 3_600_000;

/// The wall clock of one node, set through a file that libfaketime reads at each question.
#[derive(Clone, Debug)]
pub(crate) struct WallClock {
    file: PathBuf,
    library: String,
}

/// The library that has to be loaded first; a skip that says so where there is none.
pub(crate) fn library() -> Option<String> {
    const ASK: &[&str] = &["faketime", "-f", "+0", "sh", "-c", "echo $LD_PRELOAD"];
    tool::is_there(ASK).then(|| tool::output_of(ASK, "", Duration::from_secs(5)).trim().to_owned())
}

impl WallClock {
    /// A clock that is right, by a file in `dir`.
    pub(crate) fn new(dir: &Path, name: &str, library: &str) -> Self {
        let clock = Self { file: dir.join(format!("{name}.clock")), library: library.to_owned() };
        clock.set_ahead(0);
        clock
    }

    /// What a node's environment needs for it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let file = self.file.display().to_string();
        [
            ("LD_PRELOAD", self.library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            // Two names: libfaketime has changed it.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Sets it ahead of the machine's by this much, or behind.
    pub(crate) fn set_ahead(&self, ms: i64) {
        let sign = if ms < 0 { '-' } else { '+' };
        let (seconds, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{sign}{seconds}.{rest:03}")).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }
}

/// What libfaketime leaves behind of a process that was killed: a later process of the same number would find it.
pub(crate) fn forget(pid: u32) {
    for left in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
        // Most processes have none.
        drop(fs::remove_file(Path::new("/dev/shm").join(left)));
    }
}

fn wall_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A moment by both of the machine's clocks: the machine's own wall clock may be set while a test runs (a virtual
/// machine that was resumed), and what is measured here then differs by as much.
#[derive(Clone, Copy)]
struct Moment {
    monotonic: Instant,
    wall_ms: i64,
}

impl Moment {
    fn now() -> Self {
        Self { monotonic: Instant::now(), wall_ms: wall_ms() }
    }

    /// What has passed at least, and at most.
    fn elapsed_ms(self) -> (u64, u64) {
        let monotonic = u64::try_from(self.monotonic.elapsed().as_millis()).unwrap();
        let wall = u64::try_from(wall_ms() - self.wall_ms).unwrap_or(0);
        (monotonic.min(wall), monotonic.max(wall))
    }
}

/// How far a node's clock is ahead of the machine's.
fn ahead_ms(cluster: &Cluster, node: usize) -> i64 {
    let [seconds, micros]: [i64; 2] = cluster.ask::<Vec<i64>>(node, &["TIME"]).try_into().unwrap();
    seconds * 1000 + micros / 1000 - wall_ms()
}

/// A cluster of three, each with a clock of its own.
struct Clocks {
    cluster: Cluster,
    clocks: Vec<WallClock>,
    /// When the keys were set that are to stay.
    set: Moment,
}

impl Clocks {
    fn of_three(library: &str) -> Self {
        let mut cluster = Cluster::empty(&[]);
        let mut clocks = Vec::new();
        for node in 0..3 {
            let clock = WallClock::new(cluster.dir(), &format!("n{}", node + 1), library);
            let entrance = if node == 0 { Entrance::Bootstrap } else { Entrance::Join };
            cluster.add_as(entrance, |recipe| recipe.variables = clock.variables());
            clocks.push(clock);
        }
        cluster.wait_for_voters(3);
        cluster.tell(0, &["SET", "stays", "v", "EX", &LONG_TTL_S.to_string()]);
        cluster.tell(0, &["SET", "goes", "v", "PX", "200"]);
        let clocks = Self { cluster, clocks, set: Moment::now() };
        clocks.wait_until_gone("goes");
        clocks
    }

    #[track_caller]
    fn jump(&self, node: usize, ahead: i64) {
        self.clocks[node].set_ahead(ahead);
        // The control: without it nobody knows whether the clock has moved.
        let found = ahead_ms(&self.cluster, node);
        assert!((found - ahead).abs() < 2_000, "set {ahead} ms ahead, it is {found} ms");
    }

    #[track_caller]
    fn wait_until_gone(&self, key: &str) -> Duration {
        let asked = Moment::now();
        until("the key expires", LONG, || match self.cluster.ask::<i64>(0, &["EXISTS", key]) {
            0 => Ok(()),
            _ => Err("it exists".to_owned()),
        });
        Duration::from_millis(asked.elapsed_ms().0)
    }

    /// What is gone is gone, what is to stay is there and has its time, on every node.
    #[track_caller]
    fn check(&self) {
        for node in self.cluster.running() {
            let (_, passed) = self.set.elapsed_ms();
            let left: i64 = self.cluster.ask(node, &["PTTL", "stays"]);
            let most = LONG_TTL_S * 1000;
            let least = most - passed - passed * SLEW_PERCENT / 100 - BOUND_MS - 1_000;
            let left = u64::try_from(left).unwrap_or_else(|_| panic!("it has expired: {left}"));
            assert!((least..=most).contains(&left), "{left} ms are left, not {least} to {most}");
            assert_eq!(self.cluster.ask::<i64>(node, &["EXISTS", "goes"]), 0, "it came back");
        }
    }

    /// A new key lives as long as it was told to, within the clocks' disagreement.
    #[track_caller]
    fn check_new_key(&self, through: usize) {
        const TTL_MS: u64 = 1_500;
        self.cluster.tell(through, &["SET", "brief", "v", "PX", &TTL_MS.to_string()]);
        let took = self.wait_until_gone("brief");
        measured("a key with 1,500 ms was gone after", &took);
        // Unless leadership changed in between, no earlier than stamps may run.
        let limit = Duration::from_millis(TTL_MS * 2 + BOUND_MS);
        assert!(took < limit, "it lived for {took:?}");
    }
}

#[test]
fn a_wall_clock_that_jumps_by_hours_neither_expires_keys_nor_brings_them_back() {
    let Some(library) = library() else { return };
    let world = Clocks::of_three(&library);
    let load = Load::judged(&world.cluster, 3);
    load.go_on(40);
    for ahead in [5 * HOURS, -5 * HOURS] {
        let leader = world.cluster.leader();
        let others = world.cluster.followers();
        let moved = Instant::now();
        world.jump(leader, ahead);
        world.check();
        until("a leader whose clock is wrong hands over", LONG, || {
            let leads = world.cluster.leader_among(&[0, 1, 2]);
            if leads == leader { Err(format!("n{} leads", leads + 1)) } else { Ok(()) }
        });
        measured(&format!("a leader {ahead} ms ahead had handed over after"), &moved.elapsed());
        world.check();
        world.check_new_key(leader);
        world.jump(leader, 0);
        // A follower's clock is nobody's business.
        world.jump(others[0], -ahead);
        world.check_new_key(others[0]);
        load.go_on(40);
        world.check();
        world.jump(others[0], 0);
    }
    world.cluster.wait_until_ready();
    load.prove(&world.cluster);
    world.check();
}

#[test]
fn a_node_restarted_with_a_wrong_clock_does_not_lead_and_loses_nothing() {
    let Some(library) = library() else { return };
    let mut world = Clocks::of_three(&library);
    let load = Load::judged(&world.cluster, 3);
    for ahead in [24 * HOURS, -24 * HOURS] {
        let leader = world.cluster.leader();
        load.go_on(40);
        world.cluster.kill(&[leader]);
        world.clocks[leader].set_ahead(ahead);
        world.cluster.restart(leader);
        world.cluster.wait_until_ready();
        assert!((ahead_ms(&world.cluster, leader) - ahead).abs() < 2_000);
        assert_ne!(world.cluster.leader(), leader);
        world.check();
        world.check_new_key(leader);
        world.jump(leader, 0);
        world.cluster.wait_until_ready();
    }
    load.prove(&world.cluster);
    world.check();
}

#[test]
fn clocks_that_drift_apart_change_no_time_to_live() {
    let Some(library) = library() else { return };
    let world = Clocks::of_three(&library);
    let load = Load::judged(&world.cluster, 3);
    let started = Instant::now();
    let (leader, follower) = (world.cluster.leader(), world.cluster.followers()[0]);
    // One runs half as fast again, one at half speed, until they are 3 seconds apart.
    while started.elapsed() < Duration::from_secs(3) {
        let drift = i64::try_from(started.elapsed().as_millis()).unwrap() / 2;
        world.clocks[leader].set_ahead(drift);
        world.clocks[follower].set_ahead(-drift);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ahead_ms(&world.cluster, leader) > 1_000, "it has not drifted");
    load.go_on(40);
    world.check();
    world.check_new_key(follower);
    load.prove(&world.cluster);
    world.check();
}

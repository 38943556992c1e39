//! kill -9 at every failpoint: each disk operation that changes something, before it, after it, and in the
//! middle of a write; while a node is founded, serves, starts again, joins, catches up and gives up what is
//! damaged; on the disk engine also between the steps of a flush, a compaction, a seal and a removal.
//!
//! A scenario is run once in which nobody dies, and every arrival is written down. Then the node dies at each
//! of these points and is started again. [`ALONE`] and [`AMONG_OTHERS`] list all that there are: one that is not reached any more
//! fails the test, and so does one that is not listed.
//!
//! `cargo test -p quorate-app --features failpoints --test processes -- failpoints`. Every point is walked in
//! one scenario, which the seed draws; with `QUORATE_TEST_ALL=1` in all of them. Not walked: what recovery
//! does on a full disk, where it writes to the same place instead.

mod commands;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Instant;

use crate::client::{Link, Outcome};
use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, measured, say, until};
use crate::seed::Random;

/// Where a node can die before an operation and after it, writes also in the middle.
const ALONE: &[&str] = &[
    ". create-dir",
    ". sync-dir",
    "identity rename",
    "identity.tmp create",
    "identity.tmp remove",
    "identity.tmp sync",
    "identity.tmp write",
    "lock lock",
    "log create-dir",
    "log sync-dir",
    "log/#.log allocate",
    "log/#.log create",
    "log/#.log remove",
    "log/#.log set-len",
    "log/#.log sync",
    "log/#.log write",
    "log/lock lock",
    "log/lock remove",
    "log/manifest rename",
    "log/manifest sync",
    "log/manifest write",
    "log/manifest.tmp create",
    "log/manifest.tmp remove",
    "log/manifest.tmp sync",
    "log/manifest.tmp write",
    "snapshots create-dir",
    "snapshots sync-dir",
    "snapshots/snapshot-#-# remove",
    "snapshots/snapshot-#-# rename",
    "snapshots/snapshot-#-making.tmp create",
    "snapshots/snapshot-#-making.tmp remove",
    "snapshots/snapshot-#-making.tmp sync",
    "snapshots/snapshot-#-making.tmp write",
];
/// The steps of a disk engine that a lone node takes.
const ENGINE: &[&str] = &["engine compaction", "engine flush", "engine seal"];
/// Those that a member takes which a snapshot brings up to date, and where its file goes.
const ENGINE_AMONG_OTHERS: &[&str] = &[
    "engine compaction",
    "engine flush",
    "engine removal",
    "engine seal",
    "snapshots/snapshot-#-receiving.tmp remove",
];
/// And where only a member of several can.
const AMONG_OTHERS: &[&str] = &[
    "log.damaged-# rename",
    "snapshots.damaged-# rename",
    "snapshots/snapshot-#-receiving.tmp create",
    "snapshots/snapshot-#-receiving.tmp sync",
    "snapshots/snapshot-#-receiving.tmp write",
];

const ARMED: &str = "FAILPOINT";
const ARRIVALS: &str = "FAILPOINT_ARRIVALS";
const ALL: &str = "QUORATE_TEST_ALL";
/// Entries which a log keeps behind a snapshot, and some.
const BEHIND: usize = 1_200;
/// So often a scenario is played again that did not pass where it had passed.
const AGAIN: usize = 3;
/// A segment of the log, and some.
const ROLL_BYTES: usize = 66 << 20;
/// More of a segment than a start writes again (an eighth).
const LARGE_BYTES: usize = 12 << 20;
const HEAVY_BYTES: usize = 6 << 20;
/// Enough for the log to outgrow the data within a few writes.
const MEDIUM_BYTES: usize = 32 << 10;
/// A snapshot whenever the log has grown at all.
const FLAGS: &[&str] = &["--snapshot-log-size", "1kb"];
/// The same, on the disk engine: a log that is cut wants a flush, and sixteen of them are compacted.
const ENGINE_FLAGS: &[&str] = &["--snapshot-log-size", "1kb", "--engine", "disk"];
/// More than it takes for a compaction.
const FLUSHES: usize = 18;

/// What the writer knows.
#[derive(Default)]
struct Book {
    acknowledged: BTreeMap<String, String>,
    /// Keys of writes that were not applied.
    refused: Vec<String>,
    writes: usize,
}

/// A node on its way through a scenario.
struct Walk {
    cluster: Cluster,
    victim: usize,
    book: Book,
    arrivals: PathBuf,
    lives: usize,
    /// Acknowledged values that were looked for after a death, and found.
    found: usize,
    /// The victim's last entry when the load began.
    began_at: u64,
}

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Died,
    Survived,
}

impl Walk {
    fn solo() -> Self {
        Self::alone(FLAGS)
    }

    fn alone(flags: &[&str]) -> Self {
        let mut cluster = Cluster::empty(flags);
        say(&format!("again: {}", cluster.again()));
        let victim = cluster.add(Entrance::Bootstrap);
        cluster.wait_until_ready();
        Self::of(cluster, victim)
    }

    fn of(cluster: Cluster, victim: usize) -> Self {
        let arrivals = cluster.dir().join("arrivals");
        Self { cluster, victim, book: Book::default(), arrivals, lives: 0, found: 0, began_at: 0 }
    }

    /// The next life of the victim ends at `point`, or writes down where it arrives.
    fn arm(&mut self, point: Option<&Point>) {
        drop(fs::remove_file(&self.arrivals));
        let variable = match point {
            Some(point) => (ARMED.to_owned(), format!("{}@{}", point.name, point.nth)),
            None => (ARRIVALS.to_owned(), self.arrivals.display().to_string()),
        };
        self.cluster.recipe_mut(self.victim).variables = vec![variable];
    }

    fn arm_nothing(&mut self) {
        self.cluster.recipe_mut(self.victim).variables.clear();
    }

    fn start_plain(&mut self) {
        self.arm_nothing();
        self.cluster.restart(self.victim);
    }

    fn is_dead(&mut self) -> bool {
        let Some(status) = self.cluster.ended(self.victim) else {
            return !self.cluster.running().contains(&self.victim);
        };
        assert_eq!(status.signal(), Some(9), "it ended otherwise than by its point: {status}");
        true
    }

    /// One write through the victim; whether it is still there.
    fn write(&mut self, link: &mut Link, value: String) -> bool {
        self.book.writes += 1;
        // Heavy values replace each other; all others stay.
        let key = if value.len() >= MEDIUM_BYTES {
            "heavy".to_owned()
        } else {
            format!("k{}", self.book.writes)
        };
        match link.call::<String>(&["SET", &key, &value]) {
            Outcome::Done(_) => {
                self.book.acknowledged.insert(key, value);
            }
            // May yet be there: either value would do.
            Outcome::Unknown(_) | Outcome::Lost(_) if key == "heavy" => {
                self.book.acknowledged.remove(&key);
            }
            Outcome::NotApplied(_) if key != "heavy" => self.book.refused.push(key),
            Outcome::NotApplied(_) | Outcome::Unknown(_) | Outcome::Lost(_) => {}
        }
        !self.is_dead()
    }

    fn write_some(&mut self, count: usize) -> End {
        self.begin_load();
        let mut link = Link::new(self.cluster.addr(self.victim));
        for _ in 0..count {
            let value = format!("v{}", self.book.writes);
            if !self.write(&mut link, value) {
                return End::Died;
            }
        }
        End::Survived
    }

    /// Values of `each` bytes that replace each other, until they are `bytes` in all.
    fn write_heavily(&mut self, bytes: usize, each: usize) -> End {
        self.begin_load();
        let mut link = Link::new(self.cluster.addr(self.victim));
        for step in 0..bytes.div_ceil(each) {
            let letter = char::from(b'a' + u8::try_from(step % 26).unwrap());
            if !self.write(&mut link, letter.to_string().repeat(each)) {
                return End::Died;
            }
        }
        End::Survived
    }

    /// Forgets the heavy value: no snapshot is made while the log is smaller than the data.
    fn lighten(&mut self) -> End {
        self.book.acknowledged.remove("heavy");
        let victim = self.victim;
        self.wait_for("the heavy value goes", |cluster| {
            match cluster.try_once(victim, &["DEL", "heavy"]).0 {
                Outcome::Done(_) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// Waits until `done`, or until the victim is dead.
    #[track_caller]
    fn wait_for(
        &mut self,
        what: &str,
        mut done: impl FnMut(&Cluster) -> Result<(), String>,
    ) -> End {
        until(what, LONG, || {
            if self.is_dead() {
                return Ok(End::Died);
            }
            done(&self.cluster).map(|()| End::Survived)
        })
    }

    fn wait_until_it_serves(&mut self) -> End {
        let victim = self.victim;
        self.wait_for("the node serves", |cluster| {
            let status = cluster.status(victim)?;
            let ready = crate::http::get(cluster.addr(victim), "/readyz");
            match ready.map_err(|error| error.to_string())?.status {
                200 => Ok(()),
                other => Err(format!("{other}: {status:?}")),
            }
        })
    }

    /// Writes until the engine has flushed some more times.
    fn write_until_flushed_often(&mut self) -> End {
        let flushes = |walk: &Self| {
            let metrics = crate::http::get(walk.cluster.addr(walk.victim), "/metrics").ok()?;
            let text = metrics.text();
            let line =
                text.lines().find(|line| line.starts_with("quorate_engine_flushes_total"))?;
            line.rsplit(' ').next()?.parse::<usize>().ok()
        };
        for round in 0..FLUSHES {
            let before = flushes(self);
            if self.write_some(20) == End::Died {
                return End::Died;
            }
            if self.write_heavily(4 * MEDIUM_BYTES, MEDIUM_BYTES) == End::Died {
                return End::Died;
            }
            let end = until("the engine flushes", LONG, || {
                if self.is_dead() {
                    return Ok(End::Died);
                }
                let now = flushes(self);
                if now > before {
                    Ok(End::Survived)
                } else {
                    Err(format!("{now:?} in round {round}"))
                }
            });
            if end == End::Died {
                return End::Died;
            }
        }
        End::Survived
    }

    /// Waits for a snapshot of the last load.
    fn wait_for_a_snapshot(&mut self) -> End {
        let (victim, began_at) = (self.victim, self.began_at);
        self.wait_for("a snapshot is made", move |cluster| {
            let index = cluster.status(victim)?.number("/snapshot/index");
            if index > began_at { Ok(()) } else { Err(format!("{index}, not behind {began_at}")) }
        })
    }

    fn begin_load(&mut self) {
        // A dead node is found out by the load.
        let status = self.cluster.status(self.victim);
        self.began_at = status.map_or(0, |status| status.number("/applied"));
    }

    /// After a death: the node comes back by itself and has every acknowledged write.
    #[track_caller]
    fn come_back(&mut self) {
        self.lives += 1;
        self.start_plain();
        assert_eq!(self.wait_until_it_serves(), End::Survived);
        self.verify();
    }

    #[track_caller]
    fn verify(&mut self) {
        self.found += self.book.acknowledged.len();
        for key in &self.book.refused {
            let found: i64 = self.cluster.ask(self.victim, &["EXISTS", key]);
            assert_eq!(found, 0, "{key} was said not to be applied");
        }
        let all: Vec<_> = self.book.acknowledged.iter().collect();
        for chunk in all.chunks(500) {
            let mut words = vec!["MGET"];
            words.extend(chunk.iter().map(|(key, _)| key.as_str()));
            let found: Vec<Option<String>> = self.cluster.ask(self.victim, &words);
            for ((key, value), found) in chunk.iter().zip(found) {
                let brief = |text: &str| text.chars().take(40).collect::<String>();
                assert!(
                    found.as_ref() == Some(*value),
                    "{key} = {} was acknowledged, but is {:?}",
                    brief(value),
                    found.as_deref().map(brief)
                );
            }
        }
    }

    /// How often each point was arrived at.
    fn arrived(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(&self.arrivals).unwrap().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }
}

/// An arrival.
#[derive(Clone, Debug)]
struct Point {
    name: String,
    nth: u64,
}

/// What a node goes through; it may die in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scenario {
    /// A new directory, a new cluster.
    Founding,
    /// A directory to which somebody was about to give an identity.
    Leftovers,
    /// A founding that was interrupted.
    HalfFounded,
    /// A start after kill -9.
    Restart,
    /// As [`Self::Restart`], with more in the log than a start writes again: it goes on in another segment.
    LargeRestart,
    /// Small writes, and snapshots of them.
    Service,
    /// Large writes: the log goes on in other segments and is cut.
    Rolling,
    /// Writes until the disk engine has flushed often enough for a compaction.
    Flushing,
    /// A new directory, and a cluster whose log no longer begins at its beginning.
    Joining,
    /// A member that was away for longer than logs reach back.
    LeftBehind,
    /// A flipped bit in the log of one member of three.
    Damage,
}

impl Scenario {
    fn play(self, walk: &mut Walk, point: Option<&Point>) -> End {
        walk.arm(point);
        match self {
            Self::Founding | Self::Leftovers | Self::HalfFounded => {
                walk.cluster.kill(&walk.cluster.running());
                walk.clear();
                match self {
                    Self::Leftovers => walk.leave("identity.tmp"),
                    Self::HalfFounded => walk.found_half_way(point),
                    _ => {}
                }
                walk.cluster.restart(walk.victim);
                survived(walk, &[Walk::wait_until_it_serves, |walk| walk.write_some(3)])
            }
            Self::Restart | Self::LargeRestart => {
                // In the life before the one that is armed.
                walk.arm_nothing();
                walk.restart_now();
                let bytes = if self == Self::Restart { 0 } else { LARGE_BYTES };
                let load = [
                    walk.wait_until_it_serves(),
                    walk.write_heavily(bytes, HEAVY_BYTES),
                    walk.write_some(20),
                ];
                assert_eq!(load, [End::Survived; 3]);
                walk.arm(point);
                walk.restart_now();
                survived(walk, &[Walk::wait_until_it_serves, |walk| walk.write_some(3)])
            }
            Self::Service => {
                walk.restart_now();
                survived(
                    walk,
                    &[
                        Walk::wait_until_it_serves,
                        Walk::lighten,
                        |walk| walk.write_some(30),
                        |walk| walk.write_heavily(30 * MEDIUM_BYTES, MEDIUM_BYTES),
                        Walk::wait_for_a_snapshot,
                    ],
                )
            }
            Self::Rolling => {
                walk.restart_now();
                survived(
                    walk,
                    &[
                        Walk::wait_until_it_serves,
                        |walk| walk.write_heavily(ROLL_BYTES, HEAVY_BYTES),
                        Walk::wait_for_a_snapshot,
                    ],
                )
            }
            Self::Flushing => {
                walk.restart_now();
                survived(walk, &[Walk::wait_until_it_serves, Walk::write_until_flushed_often])
            }
            Self::Joining => joining(walk),
            Self::LeftBehind => left_behind(walk),
            Self::Damage => damage(walk),
        }
    }
}

impl Walk {
    fn clear(&mut self) {
        let dir = &self.cluster.recipe(self.victim).data_dir;
        fs::remove_dir_all(dir).unwrap();
        fs::create_dir(dir).unwrap();
        self.book = Book::default();
    }

    fn leave(&self, file: &str) {
        fs::write(self.cluster.recipe(self.victim).data_dir.join(file), "half of it").unwrap();
    }

    /// Dies where the log's first manifest is written, and is then armed for its next life.
    fn found_half_way(&mut self, next: Option<&Point>) {
        let here = Point { name: "log/manifest.tmp write half".to_owned(), nth: 1 };
        self.arm(Some(&here));
        self.cluster.restart(self.victim);
        assert_eq!(self.wait_until_it_serves(), End::Died);
        let snapshots = self.cluster.recipe(self.victim).data_dir.join("snapshots");
        fs::create_dir_all(snapshots).unwrap();
        self.leave("snapshots/snapshot-1-making.tmp");
        self.arm(next);
    }

    fn restart_now(&mut self) {
        self.cluster.kill(&[self.victim]);
        self.cluster.restart(self.victim);
    }
}

/// One step after the other, until the node is dead.
fn survived(walk: &mut Walk, steps: &[fn(&mut Walk) -> End]) -> End {
    let died = steps.iter().any(|step| step(walk) == End::Died);
    if died { End::Died } else { End::Survived }
}

/// Two members whose logs no longer begin at the beginning; the third is to come.
fn pair(flags: &[&str]) -> Walk {
    let mut cluster = Cluster::with_flags(2, flags);
    say(&format!("again: {}", cluster.again()));
    leave_behind(&cluster);
    let victim = cluster.add(Entrance::Join);
    cluster.wait_for_voters(3);
    let mut walk = Walk::of(cluster, victim);
    assert_eq!(walk.write_some(20), End::Survived);
    walk
}

/// Writes until nobody's log reaches back to where it now ends.
fn leave_behind(cluster: &Cluster) {
    let running = cluster.running();
    let end = cluster.status(running[0]).unwrap().number("/log/last");
    let mut link = Link::new(cluster.addr(cluster.leader_among(&running)));
    for step in 0..BEHIND {
        let outcome = link.call::<String>(&["SET", "behind", &step.to_string()]);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    until("logs are cut", LONG, || {
        for &node in &running {
            drop(link.call::<String>(&["SET", "behind", "more"]));
            let first = cluster.status(node)?.number("/log/first");
            if first <= end {
                return Err(format!("it begins at {first}, and is to begin behind {end}"));
            }
        }
        Ok(())
    });
}

/// The member is removed, and another one takes its place.
fn joining(walk: &mut Walk) -> End {
    let variables = walk.cluster.recipe(walk.victim).variables.clone();
    walk.cluster.kill(&[walk.victim]);
    let body = format!(r#"{{"addr":"{}"}}"#, walk.cluster.addr(walk.victim));
    until("the member is removed", LONG, || {
        let answer =
            crate::http::request(walk.cluster.addr(0), "POST /leave", &[], body.as_bytes());
        match answer.map_err(|error| error.to_string())? {
            done if done.status == 200 => Ok(()),
            other => Err(other.text()),
        }
    });
    walk.victim = walk.cluster.add_as(Entrance::Join, |recipe| recipe.variables = variables);
    wait_for_the_vote(walk)
}

fn wait_for_the_vote(walk: &mut Walk) -> End {
    let name = walk.cluster.recipe(walk.victim).name.clone();
    let victim = walk.victim;
    let end = walk.wait_for("the node has a vote", |cluster| {
        for node in [0, 1, victim] {
            let voters = cluster.status(node)?.voters();
            if voters.len() != 3 || !voters.contains(&name) {
                return Err(format!("{voters:?}"));
            }
        }
        Ok(())
    });
    if end == End::Died { End::Died } else { walk.write_some(3) }
}

fn left_behind(walk: &mut Walk) -> End {
    walk.cluster.kill(&[walk.victim]);
    leave_behind(&walk.cluster);
    walk.cluster.restart(walk.victim);
    survived(walk, &[Walk::wait_until_it_serves, |walk| walk.write_some(3)])
}

fn damage(walk: &mut Walk) -> End {
    let steps = walk.write_some(20);
    assert_eq!(steps, End::Survived);
    walk.cluster.kill(&[walk.victim]);
    let manifest = walk.cluster.recipe(walk.victim).data_dir.join("log/manifest");
    let bytes = fs::read(&manifest).unwrap();
    // Both slots, or the other one would be taken.
    fs::write(&manifest, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
    walk.cluster.restart(walk.victim);
    wait_for_the_vote(walk)
}

/// Where each scenario passes, and how often.
type Map = BTreeMap<Scenario, BTreeMap<String, u64>>;

fn record(walk: &mut Walk, scenario: Scenario) -> BTreeMap<String, u64> {
    assert_eq!(scenario.play(walk, None), End::Survived, "{scenario:?}");
    walk.arrived()
}

/// Which point is walked in which scenario; what is walked `elsewhere` only if everything is.
fn plan(map: &Map, elsewhere: &[&str], random: &mut Random) -> Vec<(Scenario, Point)> {
    let all = std::env::var_os(ALL).is_some();
    let mut names: BTreeMap<&str, Vec<(Scenario, u64)>> = BTreeMap::new();
    for (scenario, counts) in map {
        let here = |name: &&str| all || !elsewhere.contains(&operation(name));
        for (name, count) in counts.iter().filter(|(name, _)| here(&name.as_str())) {
            names.entry(name).or_default().push((*scenario, *count));
        }
    }
    let mut plan = Vec::new();
    for (name, mut places) in names {
        if !all {
            places = vec![places[random.below(places.len())]];
        }
        for (scenario, count) in places {
            // What came up often comes up again, if not as often: timing differs.
            let nth = 1 + random.next() % count.div_ceil(3).min(20);
            plan.push((scenario, Point { name: name.to_owned(), nth }));
        }
    }
    plan.sort_by_key(|(scenario, _)| *scenario);
    plan
}

/// A point without its moment.
fn operation(point: &str) -> &str {
    point.rsplit_once(' ').map_or(point, |(operation, _)| operation)
}

fn walk_through(mut walk: Walk, scenarios: &[Scenario], elsewhere: &[&str]) -> Map {
    let started = Instant::now();
    let map: Map = scenarios.iter().map(|&it| (it, record(&mut walk, it))).collect();
    let mut random = Random::new(walk.cluster.seed());
    for (scenario, mut point) in plan(&map, elsewhere, &mut random) {
        let mut end = scenario.play(&mut walk, Some(&point));
        // Where it passes depends on the timing, and what it did once it does again, if not every time.
        for _ in 0..AGAIN {
            if end == End::Survived {
                point.nth = 1;
                end = scenario.play(&mut walk, Some(&point));
            }
        }
        assert_eq!(end, End::Died, "{scenario:?} no longer passes {point:?}");
        walk.come_back();
        if matches!(scenario, Scenario::Joining | Scenario::Damage) {
            assert_eq!(wait_for_the_vote(&mut walk), End::Survived);
        }
    }
    walk.cluster.wait_until_equal();
    let points: usize = map.values().map(BTreeMap::len).sum();
    say(&format!(
        "{} deaths at {points} points of {scenarios:?}; {} acknowledged values found after them",
        walk.lives, walk.found
    ));
    measured("all of this took", &started.elapsed());
    map
}

/// Every listed operation was reached, and every one that was reached is listed.
#[track_caller]
fn assert_complete(map: &Map, own: &[&str], elsewhere: &[&str]) {
    let reached = map.values().flat_map(BTreeMap::keys).map(|point| operation(point));
    let mut reached: Vec<&str> = reached.filter(|it| !elsewhere.contains(it)).collect();
    reached.sort_unstable();
    reached.dedup();
    assert_eq!(reached, own, "left: where a node arrived; right: where it must");
}

#[test]
fn a_lone_node_that_dies_at_any_disk_operation_comes_back_with_every_acknowledged_write() {
    use Scenario::{Founding, HalfFounded, LargeRestart, Leftovers, Restart, Rolling, Service};
    let scenarios = [Founding, Restart, LargeRestart, Service, Leftovers, HalfFounded, Rolling];
    let map = walk_through(Walk::solo(), &scenarios, &[]);
    assert_complete(&map, ALONE, &[]);
}

#[test]
fn a_member_that_dies_at_any_disk_operation_while_it_catches_up_comes_back() {
    use Scenario::{Damage, Joining, LeftBehind};
    let map = walk_through(pair(FLAGS), &[Joining, LeftBehind, Damage], ALONE);
    assert_complete(&map, AMONG_OTHERS, ALONE);
}

#[test]
fn a_lone_node_that_dies_between_any_two_steps_of_its_disk_engine_comes_back() {
    use Scenario::{Flushing, Founding, Restart};
    // Where the log is cut, and what a start finds, depends on the engine: the log's operations are walked again.
    let map = walk_through(Walk::alone(ENGINE_FLAGS), &[Founding, Restart, Flushing], &[]);
    assert_complete(&map, ENGINE, ALONE);
}

#[test]
fn a_member_that_dies_while_its_disk_engine_takes_a_snapshot_in_comes_back() {
    let elsewhere: Vec<&str> = ALONE.iter().chain(AMONG_OTHERS).copied().collect();
    let map = walk_through(pair(ENGINE_FLAGS), &[Scenario::LeftBehind], &elsewhere);
    assert_complete(&map, ENGINE_AMONG_OTHERS, &elsewhere);
}

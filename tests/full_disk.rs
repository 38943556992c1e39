//! A disk without room: a file system of its own for one node, filled to the last byte and freed again.
//!
//! Needs mount namespaces (`unshare --map-root-user --mount`); nothing is left behind, whatever happens.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Link, Outcome, connect};
use crate::cluster::{Cluster, ENGINES, Entrance};
use crate::http;
use crate::patience::{LONG, measured, say, until};
use crate::sessions::Sessions;
use crate::tool;

/// Two segments of the log, and room for two more and a snapshot.
const DISK_BYTES: u64 = 320 << 20;
/// Keys that are written over and over; the state stays small.
const KEYS: usize = 4;
const VALUE_BYTES: usize = 4 << 20;
/// More than the allocated segments hold.
const WRITES_MAX: usize = 64;
/// A node waits 3 s before it gives up; the rest is for a busy machine.
const REFUSAL_MAX: Duration = Duration::from_secs(6);

fn can_mount() -> bool {
    let probe = "mount -t tmpfs -o size=4096 quorate-test /tmp";
    tool::is_there(&["unshare", "--map-root-user", "--mount", "sh", "-c", probe])
}

/// Takes all the room that is left, and whatever is given back, until it is dropped: a disk engine removes files.
struct Filler {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    fn at(path: PathBuf) -> Self {
        let mut file = File::create(&path).unwrap();
        take_all(&mut file);
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                take_all(&mut file);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self { path, stop, thread: Some(thread) }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
        drop(std::fs::remove_file(&self.path));
    }
}

fn take_all(file: &mut File) {
    let mut piece = vec![0_u8; 1 << 20];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
}

fn is_read_only(cluster: &Cluster, node: usize) -> bool {
    cluster.status(node).is_ok_and(|status| !status.text("/read_only").is_empty())
}

fn brief(outcome: &impl std::fmt::Debug) -> String {
    format!("{outcome:?}").chars().take(300).collect()
}

fn applied(cluster: &Cluster, node: usize) -> u64 {
    cluster.status(node).map_or(0, |status| status.number("/applied"))
}

/// So many voters with these flags, of which the first, the leader, has a small disk.
fn cluster_with_a_small_disk(nodes: usize, flags: &[&str]) -> Cluster {
    let mut cluster = Cluster::empty(flags);
    cluster.add_on_disk(Entrance::Bootstrap, DISK_BYTES);
    for _ in 1..nodes {
        cluster.add(Entrance::Join);
    }
    cluster.wait_for_voters(nodes);
    assert_eq!(cluster.leader(), 0);
    cluster.tell(0, &["SET", "before", "it was full"]);
    cluster
}

/// Writes through `through` until `enough` says so; the outcomes that were no success.
fn write_until(
    cluster: &Cluster,
    through: usize,
    value_bytes: usize,
    mut enough: impl FnMut(&[Outcome<String>]) -> bool,
) -> Vec<Outcome<String>> {
    let mut link = Link::new(cluster.addr(through));
    let mut failed = Vec::new();
    for step in 0..WRITES_MAX {
        let letter = char::from(b'a' + u8::try_from(step % 26).unwrap());
        let value = letter.to_string().repeat(value_bytes);
        match link.call::<String>(&["SET", &format!("large{}", step % KEYS), &value]) {
            Outcome::Done(_) => {}
            other => failed.push(other),
        }
        if enough(&failed) {
            return failed;
        }
    }
    panic!("{WRITES_MAX} writes of {value_bytes} bytes were not enough: {failed:?}");
}

fn free(cluster: &Cluster, filler: Filler) -> Instant {
    drop(filler);
    let freed = Instant::now();
    until("the node notices the room", LONG, || {
        if is_read_only(cluster, 0) { Err("it is still read-only".to_owned()) } else { Ok(()) }
    });
    freed
}

/// Fills the leader's disk, and writes to it until nothing goes any more.
fn fill_the_leader(cluster: &Cluster) -> Filler {
    let filler = Filler::at(cluster.on_disk(0, "filler"));
    let mut failed = Vec::new();
    // What no longer fits when it is large may still fit when it is small.
    for value_bytes in [VALUE_BYTES, VALUE_BYTES / 8, VALUE_BYTES / 64, VALUE_BYTES / 512] {
        let more = write_until(cluster, 0, value_bytes, |failed| failed.len() > 2);
        say(&format!("with {value_bytes} bytes: {}", brief(&more)));
        failed.extend(more);
    }
    assert!(is_read_only(cluster, 0));
    for outcome in &failed {
        assert!(matches!(outcome, Outcome::NotApplied(why) if why.contains("full")), "{outcome:?}");
    }
    filler
}

#[test]
fn a_leader_without_disk_space_refuses_writes_serves_reads_and_resumes_by_itself() {
    if can_mount() {
        ENGINES.iter().for_each(|flags| refuses_serves_and_resumes(flags));
    }
}

fn refuses_serves_and_resumes(flags: &[&str]) {
    let cluster = cluster_with_a_small_disk(1, flags);
    let sessions = Sessions::on(&cluster);
    let filler = fill_the_leader(&cluster);
    let (outcome, took) = cluster.try_once(0, &["SET", "small", "v"]);
    assert!(matches!(outcome, Outcome::Done(_) | Outcome::NotApplied(_)), "{outcome:?}");
    assert!(took < REFUSAL_MAX, "{took:?}: {outcome:?}");
    assert_eq!(cluster.ask::<String>(0, &["GET", "before"]), "it was full");
    let ready = http::get(cluster.addr(0), "/readyz?verbose").unwrap();
    assert!(ready.status == 200 && ready.text().contains("full"), "{}", ready.text());

    let freed = free(&cluster, filler);
    cluster.tell(0, &["SET", "after", "room again"]);
    measured("after room was made writes went on in", &freed.elapsed());
    assert_eq!(cluster.ask::<String>(0, &["GET", "after"]), "room again");
    sessions.prove(&cluster);
}

#[test]
fn a_leader_without_disk_space_hands_over_to_who_has_room() {
    if can_mount() {
        ENGINES.iter().for_each(|flags| hands_over(flags));
    }
}

fn hands_over(flags: &[&str]) {
    let cluster = cluster_with_a_small_disk(3, flags);
    let sessions = Sessions::on(&cluster);
    let filler = fill_the_leader(&cluster);
    until("another one leads", LONG, || match cluster.leader() {
        0 => Err("n1 does".to_owned()),
        _ => Ok(()),
    });
    for node in [1, 2] {
        cluster.tell(node, &["SET", &format!("meanwhile{node}"), "others have room"]);
        assert_eq!(cluster.ask::<String>(node, &["GET", "before"]), "it was full");
    }
    refuses_what_it_can_not_see_through(&cluster, 0);

    let freed = free(&cluster, filler);
    for node in 0..3 {
        cluster.tell(node, &["SET", &format!("after{node}"), "room again"]);
    }
    measured("after room was made it took writes again in", &freed.elapsed());
    for node in 0..3 {
        assert_eq!(cluster.ask::<String>(node, &["GET", "meanwhile1"]), "others have room");
        assert_eq!(cluster.ask::<String>(node, &["GET", "after2"]), "room again");
    }
    cluster.wait_until_equal();
    sessions.prove(&cluster);
}

/// A follower without room says so at once, and does nothing of which it could not see the outcome.
#[track_caller]
fn refuses_what_it_can_not_see_through(cluster: &Cluster, node: usize) {
    let (outcome, took) = cluster.try_once(node, &["SET", "refused", "v"]);
    assert!(matches!(&outcome, Outcome::NotApplied(why) if why.contains("full")), "{outcome:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let elsewhere = cluster.leader();
    assert_eq!(cluster.ask::<i64>(elsewhere, &["EXISTS", "refused"]), 0);
    let ready = http::get(cluster.addr(node), "/readyz").unwrap();
    assert!(ready.status == 503 && ready.text().contains("full"), "{}", ready.text());
    let stale = http::get(cluster.addr(node), "/v1/kv/before?consistency=stale").unwrap();
    assert_eq!(stale.text(), "it was full");
}

/// Reads go on through a follower that has fallen behind: in every form, in order, and never back in time.
#[track_caller]
fn passes_to_the_leader_what_it_can_not_know(cluster: &Cluster, node: usize) {
    let mut connection = connect(cluster.addr(node)).unwrap();
    let mut pipeline = redis::pipe();
    for step in 0..20 {
        pipeline.cmd("GET").arg(format!("k{step}"));
    }
    pipeline.cmd("MGET").arg("k0").arg("missing").cmd("GET").arg(format!("large{}", KEYS - 1));
    let asked = Instant::now();
    let values: Vec<redis::Value> = pipeline.query(&mut connection).unwrap();
    let took = asked.elapsed();
    measured("22 reads of what it has missed went through the full node in", &took);
    assert!(took < REFUSAL_MAX, "{took:?}");
    let v = redis::Value::BulkString(b"v".to_vec());
    assert!(values[..20].iter().all(|value| *value == v), "{values:?}");
    assert_eq!(values[20], redis::Value::Array(vec![v, redis::Value::Nil]));
    let large: Vec<u8> = redis::from_redis_value(values[21].clone()).unwrap();
    assert_eq!(large.len(), VALUE_BYTES);
    let (first, second): (String, i64) =
        redis::pipe().atomic().get("k19").cmd("EXISTS").arg("k19").query(&mut connection).unwrap();
    assert_eq!((first.as_str(), second), ("v", 1));
    // This connection has seen what the node itself does not have.
    let stale: redis::RedisResult<Option<String>> = redis::pipe()
        .cmd("READONLY")
        .ignore()
        .get("k19")
        .query(&mut connection)
        .map(|(value,): (Option<String>,)| value);
    assert_eq!(stale.unwrap().as_deref(), Some("v"));

    let leader = cluster.leader();
    let there = http::get(cluster.addr(leader), "/v1/kv/k19").unwrap();
    let here = http::get(cluster.addr(node), "/v1/kv/k19").unwrap();
    assert_eq!((here.status, here.text()), (200, there.text()));
    assert_eq!(here.header("etag"), there.header("etag"));
}

#[test]
fn a_follower_without_disk_space_stops_nobody_and_catches_up_when_there_is_room() {
    if can_mount() {
        ENGINES.iter().for_each(|flags| stops_nobody_and_catches_up(flags));
    }
}

fn stops_nobody_and_catches_up(flags: &[&str]) {
    let cluster = cluster_with_a_small_disk(3, flags);
    let sessions = Sessions::on(&cluster);
    let moved = http::request(cluster.addr(0), "POST /v1/cluster/transfer", &[], br#"{"to":"n2"}"#);
    assert_eq!(moved.unwrap().status, 204);
    assert_eq!(cluster.leader(), 1);
    let filler = Filler::at(cluster.on_disk(0, "filler"));
    // Behind it may also be because it is slow: it must not get any further, whatever else is written.
    let (mut stands_at, mut writes) = (0, 0);
    let failed = write_until(&cluster, 1, VALUE_BYTES, |_| {
        let at = applied(&cluster, 0);
        writes = if at == stands_at { writes + 1 } else { 0 };
        stands_at = at;
        is_read_only(&cluster, 0) && writes > 4
    });
    assert!(failed.is_empty(), "the majority has room: {failed:?}");
    for step in 0..20 {
        let (outcome, _) = cluster.try_once(1, &["SET", &format!("k{step}"), "v"]);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    assert_eq!(cluster.ask::<String>(2, &["GET", "k19"]), "v");
    refuses_what_it_can_not_see_through(&cluster, 0);
    passes_to_the_leader_what_it_can_not_know(&cluster, 0);

    let freed = free(&cluster, filler);
    assert_eq!(cluster.ask::<String>(0, &["GET", "k19"]), "v");
    cluster.wait_until_equal();
    measured("after room was made the follower had caught up in", &freed.elapsed());
    sessions.prove(&cluster);
}

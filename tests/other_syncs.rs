//! fsync that fails, and fsync that takes its time, on other threads than the one that writes the log: those that
//! keep its files, make and receive snapshots, and write what the disk engine has in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Link, Outcome, command, connect};
use crate::cluster::{Cluster, Entrance, ON_DISK};
use crate::http;
use crate::patience::{LONG, measured, say, until};
use crate::seed::Random;
use crate::strace::{
    COMPACTER, FLUSHER, IDENTITY_WRITER, LOG_KEEPER, SNAPSHOT_MAKER, SNAPSHOT_RECEIVER, Strace,
    is_permitted,
};
use crate::writer::Load;

const CLIENTS: usize = 4;
const WARM: usize = 60;
const FEW: usize = 10;
/// What a device says that has failed.
const FAILED: &str = "Input/output error";
const SLOW: Duration = Duration::from_secs(2);
/// For what does not wait for a sync, on a machine that does something else, too.
const PROMPT: Duration = Duration::from_secs(1);
/// A few of them fill a file of the log.
const HEAVY_BYTES: usize = 8 << 20;
/// The keeper syncs about so often for each file of the log.
const SYNCS_PER_FILE: usize = 7;
const SMALL_SNAPSHOTS: &[&str] = &["--snapshot-log-size", "16kb"];

/// A client that writes one large value after the other, so that the log goes from file to file; whether they arrive
/// is nobody's concern.
struct Heavy {
    stop: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
}

impl Heavy {
    fn on(cluster: &Cluster, node: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (addr, stopped) = (cluster.addr(node).to_owned(), Arc::clone(&stop));
        let client = std::thread::spawn(move || {
            let value = "heavy".repeat(HEAVY_BYTES / 5);
            let mut link = Link::new(&addr);
            while !stopped.load(Ordering::Relaxed) {
                drop(link.call::<String>(&["SET", "heavy", &value]));
            }
        });
        Self { stop, client: Some(client) }
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.client.take().map(JoinHandle::join));
    }
}

/// Injects as soon as there is such a thread.
#[track_caller]
fn attached(
    cluster: &mut Cluster,
    node: usize,
    thread: &str,
    inject: impl Fn(u32) -> Option<Strace>,
) -> Strace {
    let process = cluster.process(node).id();
    until(&format!("{thread} is there"), LONG, || inject(process).ok_or_else(|| "no".to_owned()))
}

/// The node ends by itself, and its last words say which sync has failed; damage it does not call that.
#[track_caller]
fn ends_and_says_why(cluster: &mut Cluster, node: usize) {
    let status = cluster.wait_for_end(node, 3 * LONG);
    let text = cluster.log_text(node);
    assert_eq!(status.code(), Some(1), "{status}: {text}");
    let last = text.lines().last().unwrap_or_default();
    say(&format!("it ended: {last}"));
    assert!(last.contains(FAILED), "it did not say why: {text}");
    assert!(!text.contains("panicked") && !text.contains("amage"), "{text}");
}

/// The `nth` sync of `thread` fails on node `victim`, which ends; the others go on, and it comes back.
#[track_caller]
fn dies_of_a_sync_and_comes_back(
    cluster: &mut Cluster,
    load: &Load,
    victim: usize,
    thread: &str,
    nth: usize,
) {
    let nodes = cluster.running().len();
    let fail = |process| Strace::fail_syncs(process, thread, nth);
    let strace = attached(cluster, victim, thread, fail);
    // Without it the log stays in one file.
    let heavy = (thread == LOG_KEEPER).then(|| Heavy::on(cluster, (victim + 1) % nodes));
    ends_and_says_why(cluster, victim);
    drop((strace, heavy));
    if nodes > 1 {
        load.go_on(WARM);
    }
    cluster.restart(victim);
    cluster.wait_until_ready();
}

#[test]
fn a_node_that_cannot_sync_the_logs_files_stops_and_has_every_acknowledged_write_when_it_is_back() {
    if !is_permitted() {
        return;
    }
    for nodes in [1, 3] {
        let mut cluster = Cluster::of(nodes);
        let mut random = Random::new(cluster.seed());
        let load = Load::judged(&cluster, CLIENTS);
        for round in 0..2 {
            load.go_on(WARM);
            let victim = match round {
                0 => cluster.leader(),
                _ => cluster.followers().first().copied().unwrap_or(0),
            };
            let nth = 1 + random.below(SYNCS_PER_FILE);
            dies_of_a_sync_and_comes_back(&mut cluster, &load, victim, LOG_KEEPER, nth);
        }
        load.go_on(WARM);
        load.prove(&cluster);
    }
}

#[test]
fn a_snapshot_that_cannot_be_synced_costs_nothing_and_cuts_no_log() {
    if !is_permitted() {
        return;
    }
    let flags = [SMALL_SNAPSHOTS, &["--engine", "memory"]].concat();
    let mut cluster = Cluster::with_flags(1, &flags);
    let mut random = Random::new(cluster.seed());
    let load = Load::judged(&cluster, CLIENTS);
    load.go_on(WARM);
    // The file's, its directory's under a new name, or the directory's without the older ones.
    let nth = 1 + random.below(3);
    let fail = |process| Strace::fail_syncs(process, SNAPSHOT_MAKER, nth);
    let strace = attached(&mut cluster, 0, SNAPSHOT_MAKER, fail);
    until("a sync of a snapshot has failed", 2 * LONG, || match strace.injected() {
        0 => Err("none has".to_owned()),
        _ => Ok(()),
    });
    cluster.wait_for_log(0, "snapshot could not be made");
    let before = cluster.status(0).unwrap();
    // Twice more it is tried, every five seconds, and the log stays as it is.
    let failed = strace.injected();
    until("it is tried again", 2 * LONG, || match strace.injected() - failed {
        0 | 1 => Err("not yet".to_owned()),
        _ => Ok(()),
    });
    load.go_on(WARM);
    let status = cluster.status(0).unwrap();
    for figure in ["/snapshot/made", "/log/first"] {
        assert_eq!(status.number(figure), before.number(figure), "{figure}");
    }
    // What is there carries it over a kill.
    cluster.restart_after_kill(0);
    drop(strace);
    cluster.wait_until_ready();
    load.go_on(WARM);
    until("a snapshot is made", 2 * LONG, || match cluster.status(0)?.number("/snapshot/made") {
        0 => Err("none is".to_owned()),
        _ => Ok(()),
    });
    cluster.restart_after_kill(0);
    cluster.wait_until_ready();
    load.prove(&cluster);
    assert!(!cluster.log_text(0).contains("panicked"));
}

#[test]
fn a_member_that_cannot_sync_a_snapshot_refuses_it_and_takes_the_next() {
    if !is_permitted() {
        return;
    }
    for engine in ["memory", "disk"] {
        refused_and_taken(&[SMALL_SNAPSHOTS, &["--engine", engine]].concat());
    }
}

/// Snapshots in the data directory of `node`.
fn snapshot_files(cluster: &Cluster, node: usize) -> usize {
    let dir = cluster.recipe(node).data_dir.join("snapshots");
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

fn refused_and_taken(flags: &[&str]) {
    let mut cluster = Cluster::with_flags(3, flags);
    let load = Load::judged(&cluster, CLIENTS);
    load.go_on(WARM);
    let away = cluster.followers()[0];
    let have = cluster.status(away).unwrap().number("/log/last");
    cluster.kill(&[away]);
    until("the logs no longer reach back to the dead", 3 * LONG, || {
        for node in cluster.running() {
            let first = cluster.status(node)?.number("/log/first");
            if first <= have + 100 {
                return Err(format!("a log begins at {first}, the dead ends at {have}"));
            }
        }
        Ok(())
    });
    // Nobody sends it anything before it can be refused.
    let others = cluster.running();
    others.iter().for_each(|&node| cluster.pause(node));
    cluster.restart(away);
    let fail = |process| Strace::fail_syncs(process, SNAPSHOT_RECEIVER, 1);
    let strace = attached(&mut cluster, away, SNAPSHOT_RECEIVER, fail);
    others.iter().for_each(|&node| cluster.resume(node));
    until("two snapshots are refused", 2 * LONG, || match strace.injected() {
        0 | 1 => Err("not yet".to_owned()),
        _ => Ok(()),
    });
    assert_eq!(cluster.status(away).unwrap().number("/snapshot/installed"), 0);
    if flags.contains(&"disk") {
        // What is sent is the state itself: for a file, which no start reads, no log may be cut.
        let files: Vec<_> = others.iter().map(|&node| snapshot_files(&cluster, node)).collect();
        assert_eq!(files, [0, 0], "somebody has made a snapshot");
    }
    // Who writes through it waits in vain, as long as it waits for anything.
    load.go_on(FEW);
    drop(strace);
    cluster.wait_until_ready();
    assert!(cluster.status(away).unwrap().number("/snapshot/installed") > 0);
    cluster.restart_after_kill(away);
    cluster.wait_until_ready();
    load.prove(&cluster);
    assert!(!cluster.log_text(away).contains("panicked"));
}

#[test]
fn a_newcomer_that_cannot_sync_its_identity_is_no_member_until_it_can() {
    if !is_permitted() {
        return;
    }
    let mut cluster = Cluster::of(1);
    cluster.tell(0, &["SET", "k", "v"]);
    let newcomer = cluster.add(Entrance::Wait);
    cluster.wait_for_log(newcomer, "listening on");
    let fail = |process| Strace::fail_syncs(process, IDENTITY_WRITER, 1);
    let strace = attached(&mut cluster, newcomer, IDENTITY_WRITER, fail);
    let body = format!(r#"{{"addr":"{}"}}"#, cluster.addr(newcomer));
    let line = "POST /v1/cluster/members";
    let answer = http::request(cluster.addr(0), line, &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    // It is told its number again and again.
    until("two identities could not be written", 2 * LONG, || match strace.injected() {
        0 | 1 => Err("not yet".to_owned()),
        _ => Ok(()),
    });
    assert_eq!(cluster.status(newcomer).unwrap().text("/role"), "waiting");
    cluster.tell(0, &["SET", "k", "w"]);
    drop(strace);
    cluster.wait_for_voters(2);
    cluster.restart_after_kill(newcomer);
    cluster.wait_until_ready();
    assert_eq!(cluster.ask::<String>(newcomer, &["GET", "k"]), "w");
}

#[test]
fn a_node_whose_engine_cannot_sync_stops_and_has_every_acknowledged_write_when_it_is_back() {
    if !is_permitted() {
        return;
    }
    for nodes in [1, 3] {
        let mut cluster = Cluster::with_flags(nodes, ON_DISK);
        let mut random = Random::new(cluster.seed());
        let load = Load::judged(&cluster, CLIENTS);
        for thread in [FLUSHER, COMPACTER] {
            load.go_on(WARM);
            let victim = cluster.running()[random.below(nodes)];
            let nth = 1 + random.below(5);
            dies_of_a_sync_and_comes_back(&mut cluster, &load, victim, thread, nth);
        }
        load.go_on(WARM);
        load.prove(&cluster);
    }
}

/// Long enough for a stall to be told, and for the test to see it.
const STUCK: Duration = Duration::from_secs(25);

/// Else clients would be told to come back later for ever, and whoever asks how the node is that all is well.
#[test]
fn a_node_whose_writes_do_not_get_to_the_disk_says_so_and_goes_on_when_they_do() {
    if !is_permitted() {
        return;
    }
    let mut cluster = Cluster::with_flags(1, ON_DISK);
    let slow = |process| Strace::slow_syncs(process, FLUSHER, STUCK);
    let strace = attached(&mut cluster, 0, FLUSHER, slow);
    let value = "v".repeat(1 << 20);
    let mut written = 0;
    until("writes are refused", 2 * LONG, || {
        let key = format!("key{written}");
        match cluster.try_once(0, &["SET", &key, &value]).0 {
            Outcome::Done(_) => {
                written += 1;
                Err(format!("{written} MiB are in memory"))
            }
            other => Ok(other),
        }
    });
    let doctor = || crate::quorate::run(&["doctor", "--addr", cluster.addr(0)]);
    until("the doctor finds it", LONG, || {
        let found = doctor();
        let told = found.out.contains("has not got to the disk") && found.code == Some(1);
        told.then_some(()).ok_or_else(|| format!("{found:?}"))
    });
    let ready = http::get(cluster.addr(0), "/readyz?verbose").unwrap().text();
    assert!(ready.contains("reads only: for"), "{ready}");
    cluster.wait_for_log(0, "the engine takes no writes");
    assert_eq!(cluster.ask::<usize>(0, &["STRLEN", "key0"]), value.len());
    drop(strace);
    until("it takes writes", 2 * LONG, || match cluster.try_once(0, &["SET", "key", "v"]).0 {
        Outcome::Done(_) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    until("all is well", LONG, || {
        let found = doctor();
        let told = found.out.contains("has not got to the disk");
        (!told).then_some(()).ok_or_else(|| format!("{found:?}"))
    });
    assert_eq!(cluster.ask::<usize>(0, &["DBSIZE"]), written + 1);
}

/// Linearizable reads of a lone node, of some thousand keys in turn, as long as `goes_on`: how many, and the slowest.
fn reads_while(addr: &str, mut goes_on: impl FnMut() -> bool) -> (usize, Duration) {
    let mut connection = connect(addr).unwrap();
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while goes_on() {
        let key = format!("key{}", count * 7 % KEYS);
        let asked = Instant::now();
        command(&["GET", &key]).query::<String>(&mut connection).unwrap();
        slowest = slowest.max(asked.elapsed());
        count += 1;
    }
    (count, slowest)
}

/// With [`ON_DISK`] more than the cache holds.
const KEYS: usize = 3_000;

/// How syncs of one thread are slow, and what a read may take beside them.
#[derive(Clone, Copy)]
struct Slowness {
    thread: &'static str,
    by: Duration,
    /// So many are read beside.
    syncs: usize,
    read_max: Duration,
}

fn reads_stay_prompt_while_syncs_are_slow(flags: &[&str], threads: &[Slowness]) {
    let mut cluster = Cluster::with_flags(1, flags);
    let value = "v".repeat(700);
    let mut link = connect(cluster.addr(0)).unwrap();
    for chunk in (0..KEYS).collect::<Vec<_>>().chunks(100) {
        let mut pipe = redis::pipe();
        for key in chunk {
            pipe.set(format!("key{key}"), &value).ignore();
        }
        pipe.query::<()>(&mut link).unwrap();
    }
    let load = Load::judged(&cluster, CLIENTS);
    for &Slowness { thread, by, syncs, read_max } in threads {
        let slow = |process| Strace::slow_syncs(process, thread, by);
        let strace = attached(&mut cluster, 0, thread, slow);
        let heavy = (thread == LOG_KEEPER).then(|| Heavy::on(&cluster, 0));
        let deadline = Instant::now() + 4 * LONG;
        let addr = cluster.addr(0).to_owned();
        let (count, slowest) =
            reads_while(&addr, || strace.injected() < syncs && Instant::now() < deadline);
        measured(&format!("{thread}: slowest of {count} reads beside syncs of {by:?}"), &slowest);
        // The control: there were some.
        assert!(strace.injected() >= syncs, "{thread} did not sync");
        assert!(slowest < read_max, "{thread}: a read took {slowest:?}");
        drop((heavy, strace));
        load.go_on(WARM);
    }
    load.prove(&cluster);
}

#[test]
fn reads_do_not_wait_for_slow_syncs_of_log_files_and_snapshots() {
    if is_permitted() {
        let flags = [SMALL_SNAPSHOTS, &["--engine", "memory"]].concat();
        let slow = |thread| Slowness { thread, by: SLOW, syncs: 3, read_max: PROMPT };
        reads_stay_prompt_while_syncs_are_slow(&flags, &[SNAPSHOT_MAKER, LOG_KEEPER].map(slow));
    }
}

/// What is not in memory is looked for in the tree's tables as they are while a flush or a compaction adds to them: the
/// tree itself locks everybody out for five syncs.
#[test]
fn reads_do_not_wait_for_slow_syncs_of_the_disk_engine() {
    if is_permitted() {
        let by = Duration::from_millis(500);
        let slow = |thread| Slowness { thread, by, syncs: 20, read_max: PROMPT };
        reads_stay_prompt_while_syncs_are_slow(ON_DISK, &[FLUSHER, COMPACTER].map(slow));
    }
}

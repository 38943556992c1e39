//! The disk engine in real processes: killed, mixed with the memory engine, fed by snapshots both ways.
//!
//! All other tests run on it, too: `QUORATE_TEST_ENGINE=disk cargo test -p quorate-app --test processes`, or
//! `mixed` for every other node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{command, connect};
use crate::cluster::{Cluster, Entrance, ON_DISK};
use crate::patience::{LONG, measured, say, until};
use crate::process::Recipe;
use crate::strace::{Strace, is_permitted};
use crate::writer::Load;

/// Writes between two kills.
const WARM: usize = 400;
/// The log keeps 1,024 entries behind what is durable; one by one they take a while.
const LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn flushes(cluster: &Cluster, node: usize) -> u64 {
    let page = crate::http::get(cluster.addr(node), "/metrics").unwrap().text();
    let line = page.lines().find(|line| line.starts_with("quorate_engine_flushes_total")).unwrap();
    line.split(' ').next_back().unwrap().parse().unwrap()
}

#[test]
fn nodes_on_disk_lose_nothing_when_all_are_killed_again_and_again() {
    let mut cluster = Cluster::with_flags(3, ON_DISK);
    let everybody: Vec<_> = (0..3).collect();
    let load = Load::judged(&cluster, 4);
    for round in 0..3 {
        load.go_on(WARM);
        until("a node has flushed", LONG, || match flushes(&cluster, 0) {
            0 => Err("it has not".to_owned()),
            count => {
                say(&format!("round {round}: {count} flushes since the start"));
                Ok(())
            }
        });
        cluster.kill(&everybody);
        everybody.iter().for_each(|&node| cluster.restart(node));
        cluster.wait_until_ready();
    }
    load.go_on(WARM);
    load.prove(&cluster);
    cluster.wait_until_equal();
}

/// Keeps `away` away until it can only be helped by a snapshot, which the leader's engine must make.
fn helped_by_a_snapshot(cluster: &mut Cluster, away: usize, load: &Load) {
    let have = cluster.status(away).unwrap().number("/log/last");
    cluster.kill(&[away]);
    until("the logs no longer reach back to the dead", LIMIT, || {
        for node in cluster.running() {
            let first = cluster.status(node)?.number("/log/first");
            if first <= have + 100 {
                return Err(format!("a log begins at {first}, the dead ends at {have}"));
            }
        }
        Ok(())
    });
    cluster.restart(away);
    until("it installs a snapshot", LIMIT, || {
        match cluster.status(away)?.number("/snapshot/installed") {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    cluster.wait_until_ready();
    load.go_on(50);
    // What came by a snapshot is durable, whichever engine it went into.
    cluster.kill(&[away]);
    cluster.restart(away);
    cluster.wait_until_ready();
}

fn transfer(cluster: &Cluster, to: usize) {
    let leader = cluster.leader();
    if leader != to {
        let body = format!(r#"{{"to":"{}"}}"#, cluster.recipe(to).name);
        let request = "POST /v1/cluster/transfer";
        let moved = crate::http::request(cluster.addr(leader), request, &[], body.as_bytes());
        assert_eq!(moved.unwrap().status, 204);
        until("leadership is transferred", LONG, || match cluster.leader() {
            leader if leader == to => Ok(()),
            leader => Err(format!("n{} leads", leader + 1)),
        });
    }
}

#[test]
fn members_with_different_engines_have_one_state_and_send_it_to_each_other() {
    let mut cluster = Cluster::empty(&["--snapshot-log-size", "16kb"]);
    cluster.add(Entrance::Bootstrap);
    cluster.add_with_flags(Entrance::Join, ON_DISK);
    cluster.add_with_flags(Entrance::Join, ON_DISK);
    cluster.wait_for_voters(3);
    let load = Load::judged(&cluster, 3);
    load.go_on(100);
    transfer(&cluster, 0);
    helped_by_a_snapshot(&mut cluster, 1, &load);
    transfer(&cluster, 2);
    helped_by_a_snapshot(&mut cluster, 0, &load);
    transfer(&cluster, 1);
    helped_by_a_snapshot(&mut cluster, 2, &load);
    load.prove(&cluster);
    cluster.wait_until_equal();
}

/// Starts `recipe`, which must be refused; why it was.
fn refused(mut recipe: Recipe, log: &str) -> String {
    recipe.log = recipe.log.with_extension(format!("{log}.log"));
    let ended = recipe.start().wait(LONG);
    let text = recipe.log_text();
    assert!(matches!(ended.code(), Some(code) if code > 0), "{ended}: {text}");
    text
}

#[test]
fn a_directory_made_with_the_other_engine_is_refused_and_left_alone() {
    let mut cluster = Cluster::empty(&[]);
    for (flags, made_with, asked) in
        [(&["--engine", "memory"][..], "memory", "disk"), (ON_DISK, "disk", "memory")]
    {
        let node = cluster.add_with_flags(Entrance::Bootstrap, flags);
        cluster.tell(node, &["SET", "k", made_with]);
        cluster.kill(&[node]);
        let mut other = cluster.recipe(node).clone();
        let at = other.flags.iter().position(|flag| flag == "--engine").unwrap();
        asked.clone_into(&mut other.flags[at + 1]);
        let text = refused(other, "other");
        let told = format!(
            "was made with the {made_with} engine and can't be opened with the {asked} engine"
        );
        assert!(text.contains(&told), "{text}");
        cluster.restart(node);
        assert_eq!(cluster.ask::<String>(node, &["GET", "k"]), made_with);
        cluster.kill(&[node]);
    }
}

/// Answers only a device can give are waited for elsewhere.
#[test]
fn a_read_that_waits_for_the_device_delays_no_other() {
    const WAIT: Duration = Duration::from_millis(600);
    if !is_permitted() {
        return;
    }
    let mut cluster = Cluster::with_flags(1, ON_DISK);
    let value = "v".repeat(700);
    for n in 0..4000 {
        cluster.tell(0, &["SET", &format!("key{n}"), &value]);
    }
    // A graceful stop flushes: no flush ends beside the reads, behind which what was in memory is read once more.
    assert!(cluster.terminate(0).success());
    cluster.restart(0);
    cluster.wait_until_ready();
    let mut hot = connect(cluster.addr(0)).unwrap();
    let mut read = |key: &str| command(&["GET", key]).query::<String>(&mut hot).unwrap();
    // Read once, it is in memory.
    assert_eq!(read("key3999"), value);
    let process = cluster.process(0).id();
    let readers = (1..=4).map(|n| format!("engine-read-{n}"));
    let slow: Vec<_> = readers
        .map(|reader| Strace::slow_reads(process, &reader, WAIT).expect("it reads from the device"))
        .collect();
    let addr = cluster.addr(0).to_owned();
    let is_over = AtomicBool::new(false);
    let (cold, slowest) = std::thread::scope(|scope| {
        let cold = scope.spawn(|| {
            let asked = Instant::now();
            let mut cold = connect(&addr).unwrap();
            for n in 0..4 {
                let found: String = command(&["GET", &format!("key{n}")]).query(&mut cold).unwrap();
                assert_eq!(found, value);
            }
            is_over.store(true, Ordering::Relaxed);
            asked.elapsed()
        });
        let mut slowest = Duration::ZERO;
        while !is_over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            assert_eq!(read("key3999"), value);
            slowest = slowest.max(asked.elapsed());
        }
        (cold.join().unwrap(), slowest)
    });
    measured("four reads of what is on a slow device took", &cold);
    measured("the slowest read of what is in memory beside them", &slowest);
    assert!(cold >= WAIT, "the control: nothing was read from the device");
    assert!(slowest < WAIT / 2, "it waited for {slowest:?}");
    drop(slow);
}

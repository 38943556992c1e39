//! fsync that fails, and fsync that takes its time: injected into the thread that writes the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Link, Outcome, command, connect};
use crate::cluster::Cluster;
use crate::patience::{LONG, measured};
use crate::seed::Random;
use crate::strace::{LOG_WRITER, Strace, is_permitted};
use crate::writer::Load;

const CLIENTS: usize = 4;
const WARM: usize = 60;
/// What the node says when it gives up.
const WHY: &str = "sync: Input/output error";
const SLOW: Duration = Duration::from_millis(600);
/// For what does not wait for a sync, on a machine that does something else, too.
const PROMPT: Duration = Duration::from_millis(300);

#[track_caller]
fn slow_down(cluster: &mut Cluster, node: usize) -> Strace {
    let process = cluster.process(node).id();
    Strace::slow_syncs(process, LOG_WRITER, SLOW).expect("the log has a writer")
}

/// From some sync on, all fail under load: the node ends by itself and says why.
#[track_caller]
fn fail_syncs(cluster: &mut Cluster, node: usize, nth: usize) {
    let said = cluster.log_text(node).matches(WHY).count();
    let process = cluster.process(node).id();
    let strace = Strace::fail_syncs(process, LOG_WRITER, nth).expect("the log has a writer");
    let status = cluster.wait_for_end(node, LONG);
    drop(strace);
    assert_eq!(status.code(), Some(1), "{status}");
    let text = cluster.log_text(node);
    assert!(text.matches(WHY).count() > said, "it did not say why: {text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn a_lone_node_whose_fsync_fails_stops_and_has_every_acknowledged_write_when_it_is_back() {
    if !is_permitted() {
        return;
    }
    let mut cluster = Cluster::of(1);
    let mut random = Random::new(cluster.seed());
    let load = Load::judged(&cluster, CLIENTS);
    for _ in 0..4 {
        load.go_on(WARM);
        fail_syncs(&mut cluster, 0, 1 + random.below(30));
        cluster.restart(0);
        cluster.wait_until_ready();
    }
    load.go_on(WARM);
    load.prove(&cluster);
}

#[test]
fn the_others_go_on_when_a_members_fsync_fails() {
    if !is_permitted() {
        return;
    }
    let mut cluster = Cluster::of(3);
    let mut random = Random::new(cluster.seed());
    let load = Load::judged(&cluster, CLIENTS);
    for victim in [cluster.leader(), cluster.followers()[0]] {
        load.go_on(WARM);
        fail_syncs(&mut cluster, victim, 1 + random.below(30));
        let failed = Instant::now();
        measured("after a failed fsync writes went on in", &load.resumed_after(failed));
        load.go_on(WARM);
        cluster.restart(victim);
        cluster.wait_until_ready();
    }
    load.prove(&cluster);
}

/// Writes all the time, so that a sync is always under way, while `look` looks.
fn while_syncs_are_under_way(addr: &str, look: impl FnOnce()) -> Vec<Duration> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut link = Link::new(addr);
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let outcome = link.call::<String>(&["SET", "slow", "v"]);
                assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
                took.push(asked.elapsed());
            }
            took
        });
        look();
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    })
}

/// The slowest of a hundred answers, one every 20 ms.
fn slowest(addr: &str, words: &[&str], stale: bool) -> Duration {
    let mut connection = connect(addr).unwrap();
    if stale {
        command(&["READONLY"]).query::<()>(&mut connection).unwrap();
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let asked = Instant::now();
        command(words).query::<redis::Value>(&mut connection).unwrap();
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    slowest
}

#[test]
fn reads_of_a_lone_node_do_not_wait_for_a_slow_fsync() {
    if !is_permitted() {
        return;
    }
    let mut cluster = Cluster::of(1);
    cluster.tell(0, &["SET", "k", "v"]);
    let _slow = slow_down(&mut cluster, 0);
    let addr = cluster.addr(0).to_owned();
    let writes = while_syncs_are_under_way(&addr, || {
        let slowest = slowest(&addr, &["GET", "k"], false);
        measured("slowest of 100 linearizable reads beside a slow fsync", &slowest);
        assert!(slowest < PROMPT, "a read took {slowest:?}");
    });
    // The control: writes do wait.
    assert!(!writes.is_empty() && writes.iter().all(|took| *took >= SLOW), "{writes:?}");
}

#[test]
fn a_member_with_a_slow_fsync_answers_at_once_what_needs_no_new_entry() {
    if !is_permitted() {
        return;
    }
    let mut cluster = Cluster::of(3);
    cluster.tell(0, &["SET", "k", "v"]);
    for victim in [cluster.followers()[0], cluster.leader()] {
        let slow = slow_down(&mut cluster, victim);
        let addr = cluster.addr(victim).to_owned();
        let writes = while_syncs_are_under_way(&addr, || {
            for (words, stale) in [(["PING"].as_slice(), false), (&["GET", "k"], true)] {
                let slowest = slowest(&addr, words, stale);
                measured(&format!("slowest of 100 {words:?} (stale: {stale})"), &slowest);
                assert!(slowest < PROMPT, "{words:?} took {slowest:?}");
            }
        });
        assert!(!writes.is_empty());
        drop(slow);
        cluster.wait_until_ready();
        assert!(slowest(&addr, &["GET", "k"], false) < PROMPT, "it is well again");
    }
}

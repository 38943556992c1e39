//! Leadership moves without anybody noticing: at shutdown, on request, and away from a slow disk.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client::{Link, Outcome};
use crate::cluster::Cluster;
use crate::patience::{LONG, measured, say, until};
use crate::quorate::done;

/// No node is leaving.
const NOBODY: usize = usize::MAX;

/// What clients have met.
#[derive(Debug, Default)]
struct Met {
    done: usize,
    /// Requests of clients of the leaving node that went through at the first retry, elsewhere.
    retried: usize,
    errors: Vec<String>,
    slowest: Duration,
}

/// Clients that each keep to one node.
struct Crowd {
    stop: Arc<AtomicBool>,
    leaving: Arc<AtomicUsize>,
    met: Arc<Mutex<Met>>,
    clients: Vec<JoinHandle<BTreeMap<String, String>>>,
}

impl Crowd {
    fn start(cluster: &Cluster, clients: usize) -> Self {
        let (stop, leaving) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(NOBODY)));
        let met = Arc::new(Mutex::new(Met::default()));
        let addrs = cluster.addrs();
        let start = |number: usize| {
            let client = Loyal {
                number,
                home: number % addrs.len(),
                addrs: addrs.clone(),
                leaving: Arc::clone(&leaving),
                met: Arc::clone(&met),
            };
            let stop = Arc::clone(&stop);
            thread::spawn(move || client.run(&stop))
        };
        let clients = (0..clients).map(start).collect();
        Self { stop, leaving, met, clients }
    }

    fn done(&self) -> usize {
        self.met.lock().unwrap().done
    }

    #[track_caller]
    fn go_on(&self, more: usize) {
        let before = self.done();
        until(&format!("{more} more requests"), LONG, || {
            let have = self.done() - before;
            if have >= more { Ok(()) } else { Err(format!("{have}")) }
        });
    }

    /// Ends it: what was met, and what every key must be.
    fn stop(self) -> (Met, BTreeMap<String, String>) {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (std::mem::take(&mut *self.met.lock().unwrap()), written)
    }
}

struct Loyal {
    number: usize,
    home: usize,
    addrs: Vec<String>,
    leaving: Arc<AtomicUsize>,
    met: Arc<Mutex<Met>>,
}

impl Loyal {
    fn run(self, stop: &AtomicBool) -> BTreeMap<String, String> {
        let mut link = Link::new(&self.addrs[self.home]);
        let mut written = BTreeMap::new();
        let mut step = 0;
        while !stop.load(Ordering::Relaxed) {
            step += 1;
            let key = format!("crowd:{}:{}", self.number, step % 20);
            let value = step.to_string();
            let began = Instant::now();
            if step % 3 == 0 {
                let found = self.call::<Option<String>>(&mut link, &["GET", &key]);
                if let Some(found) = found {
                    assert_eq!(found.as_ref(), written.get(&key), "{key}");
                }
            } else if self.call::<String>(&mut link, &["SET", &key, &value]).is_some() {
                written.insert(key, value);
            }
            let mut met = self.met.lock().unwrap();
            met.slowest = met.slowest.max(began.elapsed());
        }
        written
    }

    /// Sends a request, and once more to another node where ours is leaving.
    fn call<T: redis::FromRedisValue>(&self, link: &mut Link, words: &[&str]) -> Option<T> {
        let leaves = || self.leaving.load(Ordering::SeqCst) == self.home;
        let (left_before, outcome) = (leaves(), link.call::<T>(words));
        let why = match outcome {
            Outcome::Done(value) => {
                self.met.lock().unwrap().done += 1;
                return Some(value);
            }
            Outcome::NotApplied(why) | Outcome::Unknown(why) | Outcome::Lost(why) => why,
        };
        let mut failed = vec![why];
        if left_before || leaves() {
            let other = (self.home + 1) % self.addrs.len();
            match Link::new(&self.addrs[other]).call::<T>(words) {
                Outcome::Done(value) => {
                    let mut met = self.met.lock().unwrap();
                    (met.done, met.retried) = (met.done + 1, met.retried + 1);
                    return Some(value);
                }
                Outcome::NotApplied(why) | Outcome::Unknown(why) | Outcome::Lost(why) => {
                    failed.push(why);
                }
            }
        }
        let text = format!("client of node {}: {words:?}: {failed:?}", self.home);
        self.met.lock().unwrap().errors.push(text);
        None
    }
}

/// Restarts every node in turn, the leader among them.
fn roll(cluster: &mut Cluster, crowd: &Crowd) {
    for node in 0..3 {
        crowd.leaving.store(node, Ordering::SeqCst);
        let ended = cluster.terminate(node);
        assert_eq!(ended.code(), Some(0), "a shutdown is no failure");
        cluster.restart(node);
        cluster.wait_until_ready();
        crowd.leaving.store(NOBODY, Ordering::SeqCst);
        crowd.go_on(200);
    }
}

#[test]
fn fifty_clients_do_not_notice_that_all_nodes_are_restarted_one_after_the_other() {
    let mut cluster = Cluster::of(3);
    let crowd = Crowd::start(&cluster, 50);
    crowd.go_on(500);
    let began = Instant::now();
    roll(&mut cluster, &crowd);
    let took = began.elapsed();
    let (met, written) = crowd.stop();
    measured("rolling restart under 50 connections took", &took);
    measured("  requests done, retried of the leaving node's clients", &(met.done, met.retried));
    measured("  slowest request", &met.slowest);
    assert_eq!(met.errors, Vec::<String>::new());
    let keys: Vec<_> = written.keys().map(String::as_str).collect();
    let words: Vec<_> = ["MGET"].into_iter().chain(keys).collect();
    for node in cluster.running() {
        let found: Vec<Option<String>> = cluster.ask(node, &words);
        assert!(
            found.iter().flatten().eq(written.values()),
            "node {node} lacks what was acknowledged"
        );
    }
}

#[test]
fn nobody_gets_an_error_from_a_transfer() {
    let cluster = Cluster::of(3);
    let crowd = Crowd::start(&cluster, 20);
    crowd.go_on(200);
    for round in 0..6 {
        let node = round % 3;
        done(&[
            "member",
            "transfer",
            &cluster.recipe(node).name,
            "--addr",
            cluster.addr((node + 1) % 3),
        ]);
        crowd.go_on(100);
    }
    let (met, _) = crowd.stop();
    measured("six transfers: slowest request", &met.slowest);
    assert_eq!((met.errors, met.retried), (Vec::new(), 0));
}

/// strace, which makes every fdatasync of a process take longer.
struct SlowDisk(Child);

impl SlowDisk {
    /// `None` where processes can't be traced.
    fn of(pid: u32, delay: Duration) -> Option<Self> {
        let inject = format!("inject=fdatasync:delay_enter={}", delay.as_micros());
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject, "-p"]);
        let child =
            strace.arg(pid.to_string()).stdin(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let mut tracer = Self(child);
        // It ends at once where it may not.
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if tracer.0.try_wait().unwrap().is_some() {
                return None;
            }
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if !status.contains("TracerPid:\t0\n") {
                return Some(tracer);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn a_leader_hands_over_when_fsyncs_take(delay: Duration) {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let others = cluster.followers();
    cluster.tell(leader, &["SET", "k", "v"]);
    let pid = cluster.process(leader).id();
    let Some(slow) = SlowDisk::of(pid, delay) else {
        return say("SKIPPED: processes can't be traced here, so no disk can be made slow");
    };
    let began = Instant::now();
    // Clients of the others, so that there is something to write.
    let new = until("another node leads", LONG, || {
        for node in &others {
            drop(cluster.try_once(*node, &["SET", "k", "w"]));
        }
        let name = cluster.status(others[0])?.text("/leader/id");
        others.iter().copied().find(|&node| cluster.recipe(node).name == name).ok_or(name)
    });
    measured(&format!("fsyncs of {delay:?}: leadership had moved after"), &began.elapsed());
    let (outcome, took) = cluster.try_once(new, &["SET", "k", "x"]);
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    measured("  then a write took", &took);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(cluster.log_text(leader).contains("disk-slow"), "it does not say why");
    // It does not get the lead back while its disk is slow.
    let name = cluster.recipe(leader).name.clone();
    let status = cluster.status(leader).unwrap();
    assert!(status.text("/disk_slow").contains("takes"), "{name} says nothing of its disk");
    drop(slow);
    cluster.wait_until_equal();
}

#[test]
fn a_leader_with_a_slow_disk_hands_over() {
    a_leader_hands_over_when_fsyncs_take(Duration::from_millis(1_500));
}

#[test]
fn a_leader_with_a_disk_that_hangs_hands_over() {
    a_leader_hands_over_when_fsyncs_take(Duration::from_secs(12));
}

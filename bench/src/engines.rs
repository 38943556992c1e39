//! The memory engine and the disk engine side by side: what a command costs, what is written, how long a
//! restart takes, and whether a cold read or a snapshot delays anybody.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- engines --keys 1000000`

mod limit;
mod load;
mod snapshot;
mod wish;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::limit::Limit;
use self::load::{CONNECTIONS, HOT_KEYS, Keys, PIPELINE, Seen, Work, client, load, random_after};
use self::wish::{HELP, Wish};
use crate::fault::{Context, Fault};
use crate::fleet::{Node, quorate};
use crate::http;
use crate::meter;
use crate::place::Place;

const READY_WITHIN: Duration = Duration::from_secs(120);

/// CPU per command, us, by what was done.
type Costs = Vec<(&'static str, f64)>;

pub(crate) fn run(args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let Some(wish) = Wish::parse(args)? else {
        println!("{HELP}");
        return Ok(());
    };
    let place = Place::new(wish.dir.as_deref())?;
    println!(
        "{} node(s), {} keys of {} bytes, {CONNECTIONS} connections x pipeline {PIPELINE}, {}",
        wish.nodes,
        wish.keys,
        wish.value_bytes,
        place.filesystem()
    );
    let mut first: Option<Costs> = None;
    for engine in &wish.engines {
        let dir = place.subdirectory(engine)?;
        let costs = measure(&wish, engine, &dir)?;
        if let Some(first) = &first {
            println!("{engine} / {}, CPU per command", wish.engines[0]);
            for ((what, cost), (_, base)) in costs.iter().zip(first) {
                println!("  {what:<22} {:>6.2} x", cost / base);
            }
        }
        first.get_or_insert(costs);
        // What the next one finds is not to be slowed by what this one has left to write.
        std::fs::remove_dir_all(&dir).context("remove the data")?;
    }
    Ok(())
}

/// Nodes of one engine. Field order matters: processes end before their control groups go.
struct Fleet {
    nodes: Vec<Node>,
    leader: usize,
    dir: PathBuf,
    flags: Vec<String>,
    limits: Vec<Limit>,
}

impl Fleet {
    fn port(&self) -> u16 {
        self.nodes[self.leader].port
    }

    fn find_leader(&mut self) -> Result<(), Fault> {
        let end = Instant::now() + READY_WITHIN;
        while Instant::now() < end {
            if let Some(at) = self.nodes.iter().position(|node| quorate::is_leader(node.port)) {
                self.leader = at;
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(Fault::new("no leader"))
    }

    fn cpu(&self) -> Result<Vec<meter::Reading>, Fault> {
        let living = self.nodes.iter().filter(|node| node.server.is_running());
        living.map(|node| meter::read(node.server.pid())).collect()
    }

    fn written(&self) -> u64 {
        self.nodes.iter().map(|node| written_bytes(node.server.pid())).sum()
    }

    /// Until the processes use almost nothing any more: compactions are part of the cost.
    fn rest(&self) -> Result<(), Fault> {
        for _ in 0..120 {
            let before = self.cpu()?;
            thread::sleep(Duration::from_millis(500));
            let used: Duration =
                self.cpu()?.iter().zip(&before).map(|(now, then)| now.since(then)).sum();
            if used
                < Duration::from_millis(40) * u32::try_from(self.nodes.len()).context("nodes")?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    fn leader_rss_mib(&self) -> u64 {
        rss_mib(self.nodes[self.leader].server.pid())
    }

    /// kill -9.
    fn stop(&mut self, at: usize) {
        self.nodes[at].server.stop();
    }

    fn start(&mut self, wish: &Wish, at: usize) -> Result<(), Fault> {
        let (id, port) = (format!("n{}", at + 1), self.nodes[at].port);
        let home = self.dir.join(&id);
        self.nodes[at] = quorate::start_one(&wish.quorate, &id, &home, port, &self.flags)?;
        if let Some(limit) = self.limits.get(at) {
            limit.add(self.nodes[at].server.pid())?;
        }
        Ok(())
    }
}

fn written_bytes(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

fn rss_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Runs a load, and waits until what it has set going has come to rest: that belongs to the cost.
fn measured(
    wish: &Wish,
    fleet: &Fleet,
    name: &'static str,
    (work, keys, count): (Work, Keys, u64),
    costs: &mut Costs,
) -> Result<(), Fault> {
    let before = fleet.cpu()?;
    let seen = load(wish, fleet.port(), work, keys, count)?;
    if work == Work::Set {
        fleet.rest()?;
    }
    let used: Duration = fleet.cpu()?.iter().zip(&before).map(|(now, then)| now.since(then)).sum();
    let cost = used.as_secs_f64() * 1e6 / seen.operations as f64;
    costs.push((name, cost));
    println!(
        "  {name:<22} {:>9.0}/s  {cost:>6.2} us CPU each  batch p50 {:>7.2} p99 {:>7.2} p99.9 {:>7.2} max {:>7.2} ms  RSS {} MiB",
        seen.operations as f64 / seen.elapsed.as_secs_f64(),
        seen.at(0.5),
        seen.at(0.99),
        seen.at(0.999),
        seen.at(1.0),
        fleet.leader_rss_mib(),
    );
    Ok(())
}

fn start(wish: &Wish, engine: &str, dir: &Path) -> Result<Fleet, Fault> {
    let mut flags = Vec::new();
    if engine != "memory" {
        flags = ["--engine", engine, "--cache-size", &wish.cache].map(str::to_owned).to_vec();
    }
    let nodes = quorate::start_with(&wish.quorate, dir, wish.nodes, &flags)?;
    let mut limits = Vec::new();
    // What has no other place to be can't be squeezed.
    if let Some(bytes) = wish.memory_bytes.filter(|_| engine != "memory") {
        for (at, node) in nodes.iter().enumerate() {
            let limit = Limit::new(&format!("{engine}-{at}"), bytes)?;
            limit.add(node.server.pid())?;
            limits.push(limit);
        }
    }
    let mut fleet = Fleet { nodes, leader: 0, dir: dir.to_owned(), flags, limits };
    fleet.find_leader()?;
    Ok(fleet)
}

fn measure(wish: &Wish, engine: &str, dir: &Path) -> Result<Costs, Fault> {
    let mut fleet = start(wish, engine, dir)?;
    println!("{engine}");
    let (mut costs, written) = (Costs::new(), fleet.written());
    let each = (Work::Set, Keys::All, wish.keys);
    measured(wish, &fleet, "SET, new keys", each, &mut costs)?;
    let payload = (wish.keys * (wish.value_bytes as u64 + 20) * wish.nodes as u64) as f64;
    let pid = fleet.nodes[fleet.leader].server.pid();
    println!(
        "  {:.2} bytes written per byte (log included); RSS {} MiB, peak {} MiB",
        (fleet.written() - written) as f64 / payload,
        rss_mib(pid),
        meter::peak_kib(pid)? / 1024,
    );
    if wish.wants("get") {
        load(wish, fleet.port(), Work::Get, Keys::Hot, HOT_KEYS * 5)?;
        for (name, keys) in [("GET, hot keys", Keys::Hot), ("GET, any key", Keys::Uniform)] {
            measured(wish, &fleet, name, (Work::Get, keys, wish.requests), &mut costs)?;
        }
    }
    if wish.wants("set") {
        for (name, keys) in [("SET, hot keys", Keys::Hot), ("SET, any key", Keys::Uniform)] {
            measured(wish, &fleet, name, (Work::Set, keys, wish.requests), &mut costs)?;
        }
    }
    if wish.wants("beside") {
        hot_beside_cold(wish, &fleet)?;
    }
    if wish.wants("snapshot") {
        snapshot::measure(wish, &mut fleet)?;
    }
    let pid = fleet.nodes[fleet.leader].server.pid();
    println!("  RSS {} MiB, peak {} MiB", rss_mib(pid), meter::peak_kib(pid)? / 1024);
    if wish.wants("restart") {
        restart(wish, &mut fleet)?;
    }
    Ok(costs)
}

/// One connection that asks for hot keys, one by one, alone and beside others that ask for any key.
fn hot_beside_cold(wish: &Wish, fleet: &Fleet) -> Result<(), Fault> {
    let (value, port) = (wish.value(), fleet.port());
    for beside in [false, true] {
        let stop = &AtomicBool::new(false);
        let (value, all) = (&value, wish.keys);
        let mut hot = thread::scope(|scope| {
            for client_number in 0..if beside { 4 } else { 0 } {
                scope.spawn(move || {
                    let mut random = client_number + 77;
                    let next = move || {
                        random = random_after(random);
                        (random >> 20) % all
                    };
                    client(port, Work::Get, next, u64::MAX, value, PIPELINE, stop)
                });
            }
            let mut random = 5;
            let next = || {
                random = random_after(random);
                (random >> 20) % 1000
            };
            let hot = client(port, Work::Get, next, 10_000, value, 1, &AtomicBool::new(false));
            stop.store(true, Ordering::Relaxed);
            hot
        })?;
        hot.sort();
        let seen = Seen { operations: 0, elapsed: Duration::ZERO, batches: hot };
        println!(
            "  one hot GET at a time, {}: p50 {:.3} p99 {:.3} p99.9 {:.3} max {:.3} ms",
            if beside { "beside 4x16 for any key" } else { "alone" },
            seen.at(0.5),
            seen.at(0.99),
            seen.at(0.999),
            seen.at(1.0),
        );
    }
    Ok(())
}

/// kill -9 of a follower, with the processors to itself when it starts, and of everybody.
fn restart(wish: &Wish, fleet: &mut Fleet) -> Result<(), Fault> {
    let all: Vec<_> = (0..fleet.nodes.len()).collect();
    if let [_, others @ ..] = &all[..]
        && !others.is_empty()
    {
        fleet.find_leader()?;
        let follower = (fleet.leader + 1) % all.len();
        kill_and_start(wish, fleet, &[follower])?;
    }
    kill_and_start(wish, fleet, &all)
}

/// Tries until it succeeds.
fn until(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Fault> {
    let end = Instant::now() + READY_WITHIN;
    while !done() {
        if Instant::now() > end {
            return Err(Fault::new(what));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// How long until all of `these` have opened their data, one leads, the first key can be read of the first of them, and
/// it has caught up with the others.
fn kill_and_start(wish: &Wish, fleet: &mut Fleet, these: &[usize]) -> Result<(), Fault> {
    for at in these {
        fleet.stop(*at);
    }
    let begun = Instant::now();
    for at in these {
        fleet.start(wish, *at)?;
    }
    let ports: Vec<_> = these.iter().map(|at| fleet.nodes[*at].port).collect();
    for port in &ports {
        until("a node does not open its data", || http::get(*port, "/v1/node").is_ok())?;
    }
    let opened = begun.elapsed().as_secs_f64();
    fleet.find_leader()?;
    let led = begun.elapsed().as_secs_f64();
    let (value, never) = (wish.value(), AtomicBool::new(false));
    until("no read after the restart", || {
        client(ports[0], Work::Get, || 4711, 1, &value, 1, &never).is_ok()
    })?;
    let read = begun.elapsed().as_secs_f64();
    until("a node does not catch up", || {
        http::get(ports[0], "/readyz").is_ok_and(|(status, _)| status == 200)
    })?;
    println!(
        "  kill -9 of {} and restart: open {opened:.2} s, a leader {led:.2} s, the first read {read:.2} s, ready {:.2} s",
        if these.len() == fleet.nodes.len() { "all" } else { "a follower" },
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

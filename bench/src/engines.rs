//! The memory engine and the disk engine side by side: what a command costs, what is written, how long a
//! restart takes, and whether a cold read delays a hot one.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- engines --keys 1000000`

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::{Context, Fault};
use crate::fleet::{Node, quorate};
use crate::meter;
use crate::place::Place;

const HELP: &str = "\
Measures quorate's engines one after the other, each in processes of its own.

  --engines LIST      of memory,disk (default: both)
  --nodes N           1 or 3 (default 1)
  --keys N            distinct keys (default 1000000)
  --value-bytes N     (default 256)
  --cache-size SIZE   of the disk engine (default 256mb)
  --requests N        per measurement behind the load (default 300000)
  --quorate PATH      the binary (default: ../target/release/quorate)
  --dir PATH          where data goes: on a disk (default: the system's temporary directory)";

const CONNECTIONS: usize = 8;
const PIPELINE: u64 = 16;
/// Keys which a hot load asks for.
const HOT_KEYS: u64 = 10_000;
const READY_WITHIN: Duration = Duration::from_secs(120);

struct Wish {
    engines: Vec<String>,
    nodes: usize,
    keys: u64,
    value_bytes: usize,
    cache: String,
    requests: u64,
    quorate: PathBuf,
    dir: Option<PathBuf>,
}

pub(crate) fn run(mut args: impl Iterator<Item = String>) -> Result<(), Fault> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut wish = Wish {
        engines: vec!["memory".to_owned(), "disk".to_owned()],
        nodes: 1,
        keys: 1_000_000,
        value_bytes: 256,
        cache: "256mb".to_owned(),
        requests: 300_000,
        quorate: root.join("target/release/quorate"),
        dir: None,
    };
    while let Some(arg) = args.next() {
        if arg == "--help" {
            println!("{HELP}");
            return Ok(());
        }
        let value = args.next().ok_or_else(|| Fault::new(format!("{arg} needs a value\n{HELP}")))?;
        let number = || value.parse::<u64>().context(format_args!("{arg} {value}"));
        match arg.as_str() {
            "--engines" => wish.engines = value.split(',').map(str::to_owned).collect(),
            "--nodes" => wish.nodes = usize::try_from(number()?).context("--nodes")?,
            "--keys" => wish.keys = number()?.max(HOT_KEYS),
            "--value-bytes" => wish.value_bytes = usize::try_from(number()?).context("bytes")?,
            "--cache-size" => wish.cache = value,
            "--requests" => wish.requests = number()?,
            "--quorate" => wish.quorate = value.into(),
            "--dir" => wish.dir = Some(value.into()),
            _ => return Err(Fault::new(format!("unknown argument {arg}\n{HELP}"))),
        }
    }
    let place = Place::new(wish.dir.as_deref())?;
    println!(
        "{} node(s), {} keys of {} bytes, {CONNECTIONS} connections x pipeline {PIPELINE}, {}",
        wish.nodes,
        wish.keys,
        wish.value_bytes,
        place.filesystem()
    );
    for engine in &wish.engines {
        let dir = place.subdirectory(engine)?;
        measure(&wish, engine, &dir)?;
    }
    Ok(())
}

/// Which keys a load uses.
#[derive(Clone, Copy)]
enum Keys {
    /// Each once, scattered.
    All,
    Uniform,
    Hot,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Set,
    Get,
}

/// What a load saw: batches of [`PIPELINE`] commands.
struct Seen {
    operations: u64,
    elapsed: Duration,
    batches: Vec<Duration>,
}

impl Seen {
    fn at(&self, part: f64) -> f64 {
        let last = self.batches.len().saturating_sub(1);
        let at = (last as f64 * part) as usize;
        self.batches.get(at).map_or(0.0, |batch| batch.as_secs_f64() * 1e3)
    }
}

/// The `n`th of all keys, scattered over their order.
fn key(n: u64) -> String {
    format!("key:{:016}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12)
}

/// A client that sends `count` commands.
fn client(
    port: u16,
    work: Work,
    mut next: impl FnMut() -> u64,
    count: u64,
    value: &[u8],
    pipeline: u64,
    stop: &AtomicBool,
) -> Result<Vec<Duration>, Fault> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
    stream.set_nodelay(true).context("set nodelay")?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).context("set a timeout")?;
    let mut batches = Vec::new();
    let mut sent = 0;
    let (mut text, mut answers) = (Vec::new(), vec![0; 1 << 20]);
    while sent < count && !stop.load(Ordering::Relaxed) {
        let now = pipeline.min(count - sent);
        text.clear();
        for _ in 0..now {
            let key = key(next());
            match work {
                Work::Set => {
                    let head = format!("*3\r\n$3\r\nSET\r\n$20\r\n{key}\r\n${}\r\n", value.len());
                    text.extend_from_slice(head.as_bytes());
                    text.extend_from_slice(value);
                    text.extend_from_slice(b"\r\n");
                }
                Work::Get => {
                    text.extend_from_slice(format!("*2\r\n$3\r\nGET\r\n$20\r\n{key}\r\n").as_bytes());
                }
            }
        }
        let begun = Instant::now();
        stream.write_all(&text).context("send")?;
        let head = format!("${}\r\n", value.len());
        let answer_bytes = match work {
            Work::Set => 5,
            Work::Get => head.len() + value.len() + 2,
        };
        let expected = answer_bytes * usize::try_from(now).context("a batch")?;
        if answers.len() < expected {
            answers.resize(expected, 0);
        }
        let (mut have, mut checked) = (0, false);
        while have < expected {
            let n = stream.read(&mut answers[have..expected]).context("receive")?;
            have += n;
            if !checked && have >= 5 {
                checked = true;
                let right = match work {
                    Work::Set => answers.starts_with(b"+OK"),
                    Work::Get => answers.starts_with(&head.as_bytes()[..5.min(head.len())]),
                };
                if !right || n == 0 {
                    let said = String::from_utf8_lossy(&answers[..have.min(200)]).into_owned();
                    return Err(Fault::new(format!("a strange answer: {said}")));
                }
            }
        }
        batches.push(begun.elapsed());
        sent += now;
    }
    Ok(batches)
}

fn load(wish: &Wish, port: u16, work: Work, keys: Keys, count: u64) -> Result<Seen, Fault> {
    let value: Vec<u8> = (0..wish.value_bytes).map(|n| b'a' + (n * 7 % 26) as u8).collect();
    let each = count / CONNECTIONS as u64;
    let (value, begun, all) = (&value, Instant::now(), wish.keys);
    let never = &AtomicBool::new(false);
    let batches = thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS as u64)
            .map(|client_number| {
                scope.spawn(move || {
                    let mut random = client_number * 7919 + 1;
                    let mut nth = client_number;
                    let next = move || {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                        nth += CONNECTIONS as u64;
                        match keys {
                            Keys::All => nth - CONNECTIONS as u64,
                            Keys::Uniform => (random >> 20) % all,
                            Keys::Hot => (random >> 20) % HOT_KEYS,
                        }
                    };
                    client(port, work, next, each, value, PIPELINE, never)
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| Fault::new("a client panicked"))?)
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut batches: Vec<_> = batches.into_iter().flatten().collect();
    batches.sort();
    Ok(Seen { operations: each * CONNECTIONS as u64, elapsed: begun.elapsed(), batches })
}

struct Fleet {
    nodes: Vec<Node>,
    leader: usize,
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
            thread::sleep(Duration::from_millis(20));
        }
        Err(Fault::new("no leader"))
    }

    fn cpu(&self) -> Result<Vec<meter::Reading>, Fault> {
        self.nodes.iter().map(|node| meter::read(node.server.pid())).collect()
    }

    fn written(&self) -> u64 {
        self.nodes.iter().map(|node| written_bytes(node.server.pid())).sum()
    }

    /// Until the processes use almost nothing any more: compactions are part of the cost.
    fn rest(&self) -> Result<(), Fault> {
        for _ in 0..120 {
            let before = self.cpu()?;
            thread::sleep(Duration::from_millis(500));
            let used: Duration = self.cpu()?.iter().zip(&before).map(|(now, then)| now.since(then)).sum();
            if used < Duration::from_millis(40) * u32::try_from(self.nodes.len()).context("nodes")? {
                return Ok(());
            }
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

fn measured(
    wish: &Wish,
    fleet: &Fleet,
    name: &str,
    work: Work,
    keys: Keys,
    count: u64,
) -> Result<(), Fault> {
    let before = fleet.cpu()?;
    let seen = load(wish, fleet.port(), work, keys, count)?;
    let used: Duration = fleet.cpu()?.iter().zip(&before).map(|(now, then)| now.since(then)).sum();
    println!(
        "  {name:<22} {:>9.0}/s  {:>6.2} us CPU each  batch p50 {:>7.2} p99 {:>7.2} p99.9 {:>7.2} max {:>7.2} ms",
        seen.operations as f64 / seen.elapsed.as_secs_f64(),
        used.as_secs_f64() * 1e6 / seen.operations as f64,
        seen.at(0.5),
        seen.at(0.99),
        seen.at(0.999),
        seen.at(1.0),
    );
    Ok(())
}

fn measure(wish: &Wish, engine: &str, dir: &Path) -> Result<(), Fault> {
    let mut flags = Vec::new();
    if engine != "memory" {
        flags = ["--engine", engine, "--cache-size", &wish.cache].map(str::to_owned).to_vec();
    }
    let nodes = quorate::start_with(&wish.quorate, dir, wish.nodes, &flags)?;
    let mut fleet = Fleet { nodes, leader: 0 };
    fleet.find_leader()?;
    println!("{engine}");
    let (before, written) = (fleet.cpu()?, fleet.written());
    measured(wish, &fleet, "SET, new keys", Work::Set, Keys::All, wish.keys)?;
    fleet.rest()?;
    let used: Duration = fleet.cpu()?.iter().zip(&before).map(|(now, then)| now.since(then)).sum();
    let payload = (wish.keys * (wish.value_bytes as u64 + 20) * wish.nodes as u64) as f64;
    let pid = fleet.nodes[fleet.leader].server.pid();
    println!(
        "  until all was at rest: {:.2} us CPU per key; {:.2} bytes written per byte (log included); RSS {} MiB, peak {} MiB",
        used.as_secs_f64() * 1e6 / wish.keys as f64,
        (fleet.written() - written) as f64 / payload,
        rss_mib(pid),
        meter::peak_kib(pid)? / 1024,
    );
    measured(wish, &fleet, "GET, hot keys (warm-up)", Work::Get, Keys::Hot, HOT_KEYS * 5)?;
    measured(wish, &fleet, "GET, hot keys", Work::Get, Keys::Hot, wish.requests)?;
    measured(wish, &fleet, "GET, any key", Work::Get, Keys::Uniform, wish.requests)?;
    measured(wish, &fleet, "SET, hot keys", Work::Set, Keys::Hot, wish.requests)?;
    measured(wish, &fleet, "SET, any key", Work::Set, Keys::Uniform, wish.requests)?;
    hot_beside_cold(wish, &fleet)?;
    println!("  RSS {} MiB", rss_mib(pid));
    restart(wish, fleet, dir, &flags)
}

/// One connection that asks for hot keys, one by one, alone and beside others that ask for any key.
fn hot_beside_cold(wish: &Wish, fleet: &Fleet) -> Result<(), Fault> {
    let value: Vec<u8> = (0..wish.value_bytes).map(|n| b'a' + (n * 7 % 26) as u8).collect();
    let port = fleet.port();
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

fn random_after(random: u64) -> u64 {
    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// kill -9 of everybody; how long until the first key can be read.
fn restart(wish: &Wish, mut fleet: Fleet, dir: &Path, flags: &[String]) -> Result<(), Fault> {
    let ports: Vec<_> = fleet.nodes.iter().map(|node| node.port).collect();
    fleet.nodes.clear();
    let begun = Instant::now();
    for (at, port) in ports.iter().enumerate() {
        let id = format!("n{}", at + 1);
        let home = dir.join(&id);
        fleet.nodes.push(quorate::start_one(&wish.quorate, &id, &home, *port, flags)?);
    }
    let value: Vec<u8> = (0..wish.value_bytes).map(|n| b'a' + (n * 7 % 26) as u8).collect();
    loop {
        let never = AtomicBool::new(false);
        if client(ports[0], Work::Get, || 4711, 1, &value, 1, &never).is_ok() {
            println!("  kill -9 of all, restart to the first read: {:.2} s", begun.elapsed().as_secs_f64());
            return Ok(());
        }
        if begun.elapsed() > READY_WITHIN {
            return Err(Fault::new("no read after the restart"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

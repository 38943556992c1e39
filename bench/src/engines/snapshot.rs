//! What it costs the clients that the whole state is copied: a backup, or a snapshot for a follower.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Fleet;
use super::load::{HOT_KEYS, Keys, Seen, Work, client, load, random_after};
use super::wish::Wish;
use crate::fault::{Context, Fault};
use crate::fleet::quorate;
use crate::http;
use crate::json;

/// How long the clients are watched before, for comparison.
const ALONE: Duration = Duration::from_secs(5);
/// Between two commands of a client: what is measured is waiting, not throughput.
const PACE: Duration = Duration::from_millis(1);
const WITHIN: Duration = Duration::from_secs(120);

/// Two clients, of which one reads frequent keys and one overwrites them, one by one, while `work` runs.
fn beside<T>(
    wish: &Wish,
    port: u16,
    name: &str,
    work: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (stop, value) = (&AtomicBool::new(false), &wish.value());
    let (result, reads, writes) = thread::scope(|scope| {
        let paced = |work, mut random: u64| {
            scope.spawn(move || {
                let next = move || {
                    thread::sleep(PACE);
                    random = random_after(random);
                    (random >> 20) % HOT_KEYS.min(1000)
                };
                client(port, work, next, u64::MAX, value, 1, stop)
            })
        };
        let (reads, writes) = (paced(Work::Get, 3), paced(Work::Set, 4));
        let result = work();
        stop.store(true, Ordering::Relaxed);
        (result, reads.join(), writes.join())
    });
    let result = result?;
    for (what, batches) in [("GET", reads), ("SET", writes)] {
        let mut batches = batches.map_err(|_| Fault::new("a client panicked"))??;
        batches.sort();
        let count = batches.len() as u64;
        let seen = Seen { operations: count, elapsed: Duration::ZERO, batches };
        println!(
            "    hot {what} {name}: p50 {:.3} p99 {:.3} p99.9 {:.3} max {:.3} ms ({count})",
            seen.at(0.5),
            seen.at(0.99),
            seen.at(0.999),
            seen.at(1.0),
        );
    }
    Ok(result)
}

pub(super) fn measure(wish: &Wish, fleet: &mut Fleet) -> Result<(), Fault> {
    beside(wish, fleet.port(), "alone", || {
        thread::sleep(ALONE);
        Ok(())
    })?;
    let rss_mib = fleet.leader_rss_mib();
    let (seconds, bytes) = beside(wish, fleet.port(), "beside a backup", || back_up(fleet.port()))?;
    println!(
        "  a backup: {seconds:.2} s, {:.0} MiB, {:.0} MiB/s; RSS {rss_mib} -> {} MiB",
        bytes as f64 / 1048576.0,
        bytes as f64 / 1048576.0 / seconds,
        fleet.leader_rss_mib(),
    );
    if wish.nodes == 3 { help_a_follower(wish, fleet) } else { Ok(()) }
}

/// Reads a whole backup; how long it took, and its bytes.
fn back_up(port: u16) -> Result<(f64, u64), Fault> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect")?;
    stream.set_read_timeout(Some(WITHIN)).context("set a timeout")?;
    let request =
        format!("GET /v1/backup HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context("ask for a backup")?;
    let (mut buffer, mut bytes, mut right) = (vec![0; 1 << 18], 0, false);
    loop {
        let n = stream.read(&mut buffer).context("read a backup")?;
        if n == 0 {
            break;
        }
        right |= bytes == 0 && buffer.starts_with(b"HTTP/1.1 200");
        bytes += n as u64;
    }
    if !right {
        return Err(Fault::new("the backup was refused"));
    }
    Ok((begun.elapsed().as_secs_f64(), bytes))
}

fn node_number(port: u16, section: &str, name: &str) -> Option<u64> {
    let (_, body) = http::get(port, "/v1/node").ok()?;
    let (_, rest) = body.split_once(&format!("\"{section}\":"))?;
    json::number(rest, name)
}

/// A follower is away until the logs do not reach back to it, and is then helped by a snapshot.
fn help_a_follower(wish: &Wish, fleet: &mut Fleet) -> Result<(), Fault> {
    let away = (fleet.leader + 1) % fleet.nodes.len();
    let port = fleet.nodes[away].port;
    let have = node_number(port, "log", "last").ok_or_else(|| Fault::new("no log"))?;
    fleet.stop(away);
    let begun = Instant::now();
    while node_number(fleet.port(), "log", "first").is_none_or(|first| first <= have + 1) {
        if begun.elapsed() > WITHIN {
            return Err(Fault::new("the log is not cut"));
        }
        load(wish, fleet.port(), Work::Set, Keys::Uniform, 50_000)?;
    }
    fleet.rest()?;
    let leader_port = fleet.port();
    let (before, rss_mib) = (fleet.cpu()?, fleet.leader_rss_mib());
    fleet.start(wish, away)?;
    let seconds = beside(wish, leader_port, "beside a follower's snapshot", || {
        let begun = Instant::now();
        while node_number(port, "snapshot", "installed").is_none_or(|count| count == 0) {
            if begun.elapsed() > WITHIN {
                return Err(Fault::new("no snapshot was installed"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(begun.elapsed().as_secs_f64())
    })?;
    let used = fleet.cpu()?[fleet.leader].since(&before[fleet.leader]);
    println!(
        "  a follower helped by a snapshot of {} keys: {seconds:.2} s; the leader's CPU {:.2} s, RSS {rss_mib} -> {} MiB",
        wish.keys,
        used.as_secs_f64(),
        fleet.leader_rss_mib(),
    );
    if !quorate::is_leader(leader_port) {
        println!("  (the leader changed meanwhile)");
    }
    Ok(())
}

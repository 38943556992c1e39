//! Clients that load a node over RESP, and what they saw.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::wish::Wish;
use crate::fault::{Context, Fault};

pub(super) const CONNECTIONS: usize = 8;
pub(super) const PIPELINE: u64 = 16;
/// Keys which a hot load asks for.
pub(super) const HOT_KEYS: u64 = 10_000;

/// Which keys a load uses.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    /// Each once, scattered.
    All,
    Uniform,
    Hot,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Set,
    Get,
}

/// What a load saw: batches of [`PIPELINE`] commands.
pub(super) struct Seen {
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// Sorted.
    pub(super) batches: Vec<Duration>,
}

impl Seen {
    /// Milliseconds, below which this part of the batches stayed.
    pub(super) fn at(&self, part: f64) -> f64 {
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
pub(super) fn client(
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
                    text.extend_from_slice(
                        format!("*2\r\n$3\r\nGET\r\n$20\r\n{key}\r\n").as_bytes(),
                    );
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

pub(super) fn load(
    wish: &Wish,
    port: u16,
    work: Work,
    keys: Keys,
    count: u64,
) -> Result<Seen, Fault> {
    let value = wish.value();
    let each = count / CONNECTIONS as u64;
    let (value, begun, all) = (&value, Instant::now(), wish.keys);
    let never = &AtomicBool::new(false);
    let batches = thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS as u64)
            .map(|client_number| {
                scope.spawn(move || {
                    // What is read and what is written are drawn apart: or else what was just read would be written.
                    let mut random = client_number * 7919 + if work == Work::Get { 1 } else { 2 };
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

pub(super) fn random_after(random: u64) -> u64 {
    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

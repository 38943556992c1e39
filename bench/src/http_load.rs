//! The HTTP load generator: a thread per connection, one request at a time on each.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::{Context, Fault};
use crate::fleet::Dialect;
use crate::http::Connection;
use crate::redis_benchmark::{Load, Seen};
use crate::resp::VALUE_BYTES;

/// Enough for a request and its answer; the default would be 2 MiB for each of 200 threads.
const STACK_BYTES: usize = 128 * 1024;

pub(crate) fn run(load: Load, dialect: Dialect) -> Result<Seen, Fault> {
    let connections: io::Result<Vec<Connection>> =
        (0..load.connections).map(|_| Connection::open(load.port)).collect();
    let connections = connections.context("HTTP load: connect")?;
    let count = u64::try_from(load.connections).context("connections")?;
    let start = Instant::now();
    let results = thread::scope(|scope| -> Result<Vec<_>, Fault> {
        let mut handles = Vec::new();
        for (number, connection) in (0..).zip(connections) {
            // The first ones do the rest of the division.
            let requests = load.requests / count + u64::from(number < load.requests % count);
            let work = move || ask(connection, load, dialect, requests, number);
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            handles.push(builder.spawn_scoped(scope, work).context("start a thread")?);
        }
        Ok(handles.into_iter().map(thread::ScopedJoinHandle::join).collect())
    })?;
    let wall = start.elapsed();
    let mut latencies = Vec::new();
    for result in results {
        let result = result.map_err(|_| Fault::new("a load thread panicked"))?;
        latencies.extend(result.context("HTTP load")?);
    }
    latencies.sort_unstable();
    let percentile = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(0.0, |it| it.as_secs_f64() * 1e3)
    };
    let ops_per_second = latencies.len() as f64 / wall.as_secs_f64();
    Ok(Seen { ops_per_second, p50_ms: percentile(50), p99_ms: percentile(99) })
}

fn ask(
    mut connection: Connection,
    load: Load,
    dialect: Dialect,
    requests: u64,
    seed: u64,
) -> io::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut random = Random::new(seed);
    let value = "x".repeat(VALUE_BYTES);
    for _ in 0..requests {
        let key = crate::resp::key(random.below(load.keys));
        let request = if load.work.writes() {
            dialect.put(load.port, &key, &value)
        } else {
            dialect.get(load.port, &key)
        };
        let start = Instant::now();
        let answer = connection.call(request.as_bytes())?;
        latencies.push(start.elapsed());
        let complete = load.work.writes() || answer.body.len() >= VALUE_BYTES;
        if !(200..300).contains(&answer.status) || !complete {
            let body = String::from_utf8_lossy(answer.body);
            return Err(io::Error::other(format!("status {}: {body}", answer.status)));
        }
    }
    Ok(latencies)
}

/// xorshift64*: keys must differ, nothing more.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_cover_the_range() {
        let mut random = Random::new(0);
        let mut seen = [0; 10];
        for _ in 0..1_000 {
            seen[usize::try_from(random.below(10)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|times| *times > 50), "{seen:?}");
    }
}

//! Measures the memory engine: CPU time per operation at a million keys, and the longest pauses.
//!
//! `cargo run --release -p quorate-engine --example load [keys] [value_bytes]`
//!
//! CPU time of the thread, not wall time: the machines at hand are shared and noisy. Pauses are CPU time
//! of single calls, so that being scheduled away does not count as one.

#![expect(clippy::print_stdout, reason = "an example reports to its user")]

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use quorate_engine::{Engine, EngineError, MemoryEngine, Reader as _, View};

/// What a node does in one turn of its loop. With more at a time, the system's allocator falls behind and
/// catches up in milliseconds.
const MAINTAIN_BUDGET: usize = 64;

fn main() -> Result<(), EngineError> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let keys = arguments.next().and_then(Result::ok).unwrap_or(1_000_000);
    let value_bytes = arguments.next().and_then(Result::ok).unwrap_or(256);
    let mut order: Vec<u64> = (0..keys).collect();
    order.sort_unstable_by_key(|n| mix(!n));
    let bench = Bench { keys, value_bytes: usize::try_from(value_bytes).unwrap_or(256), order };
    println!("{keys} keys, values of {value_bytes} bytes");
    bench.order("ascending", |n| n)?;
    bench.order("random", mix)?;
    bench.pauses()
}

struct Bench {
    keys: u64,
    value_bytes: usize,
    /// `0..keys` in random order.
    order: Vec<u64>,
}

impl Bench {
    fn shuffled(&self, n: u64) -> u64 {
        usize::try_from(n).ok().and_then(|n| self.order.get(n)).copied().unwrap_or_default()
    }

    fn value(&self, n: u64) -> Bytes {
        Bytes::from(vec![n.to_be_bytes()[7]; self.value_bytes])
    }

    /// Times `run` for every key in turn; the key is made outside of the measured thing's cost as far as
    /// possible (formatting is subtracted).
    fn time(
        &self,
        what: &str,
        index: impl Fn(u64) -> u64,
        mut run: impl FnMut(u64, &[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut key = [0; KEY_BYTES];
        let start = cpu();
        for n in 0..self.keys {
            write_key(&mut key, index(n));
            std::hint::black_box(&key);
        }
        let keys_only = cpu() - start;
        let start = cpu();
        for n in 0..self.keys {
            write_key(&mut key, index(n));
            run(n, &key)?;
        }
        let spent = (cpu() - start).saturating_sub(keys_only);
        println!("  {what:<28} {:>7.3} us/op", spent.as_secs_f64() * 1e6 / as_f64(self.keys));
        Ok(())
    }

    fn order(&self, name: &str, index: impl Fn(u64) -> u64 + Copy) -> Result<(), EngineError> {
        println!("{name} keys");
        let mut engine = MemoryEngine::new();
        let shuffled = |n: u64| index(self.shuffled(n));
        self.time("load (value made inside)", index, |n, key| engine.put(key, self.value(n)))?;
        engine.write(1)?;
        let stats = engine.stats();
        println!(
            "  {:<28} {:>7.1} bytes/key over {:.1} of payload",
            "memory",
            as_f64(stats.memory_bytes) / as_f64(stats.records.max(1)),
            as_f64(stats.payload_bytes) / as_f64(stats.records.max(1)),
        );
        let mut found = 0_u64;
        for _ in 0..2 {
            self.time("get, random", shuffled, |_, key| {
                found += u64::from(engine.get(key)?.is_some());
                Ok(())
            })?;
        }
        assert_eq!(found, 2 * self.keys, "every key is found");
        self.time("overwrite, random", shuffled, |n, key| engine.put(key, self.value(n)))?;
        engine.write(2)?;
        let view = engine.view();
        self.time("overwrite beside a view", shuffled, |n, key| engine.put(key, self.value(n)))?;
        engine.write(3)?;
        drop(view);
        let start = cpu();
        while engine.maintain(MAINTAIN_BUDGET) {}
        println!("  {:<28} {:>7.3} s in all", "maintain after it", (cpu() - start).as_secs_f64());
        let start = cpu();
        let mut visited = 0_u64;
        engine.visit(b"", b"", &mut |_, _| {
            visited += 1;
            ControlFlow::Continue(())
        })?;
        let spent = (cpu() - start).as_secs_f64();
        println!("  {:<28} {:>7.3} us/op", "visit all", spent * 1e6 / as_f64(visited.max(1)));
        self.time("delete, random", shuffled, |_, key| engine.delete(key))?;
        engine.write(4)?;
        assert_eq!(engine.stats().records, 0, "every key is gone");
        Ok(())
    }

    /// The longest single calls while views come, live long and go.
    fn pauses(&self) -> Result<(), EngineError> {
        println!("longest calls with four long views at a time");
        let mut engine = MemoryEngine::new();
        let mut views: Vec<Box<dyn View>> = Vec::new();
        let mut longest = Longest::default();
        let mut key = [0; KEY_BYTES];
        let mut applied = 0;
        for n in 0..3 * self.keys {
            write_key(&mut key, mix(self.shuffled(n % self.keys)));
            let value = self.value(n);
            longest.of("nothing (noise)", || ());
            longest.of("put", || engine.put(&key, value))?;
            if n % 16 != 15 {
                continue;
            }
            applied += 1;
            engine.write(applied)?;
            longest.of("maintain", || engine.maintain(MAINTAIN_BUDGET));
            if n % (self.keys / 8).max(16) < 16 || n % (self.keys / 8).max(16) == 15 {
                views.push(longest.of("view", || engine.view()));
                if views.len() > 4 {
                    let oldest = views.remove(0);
                    longest.of("drop of a view", || drop(oldest));
                }
            }
        }
        longest.of("reset", || engine.reset());
        for view in views {
            longest.of("drop of a view", || drop(view));
        }
        // The next state arrives while the old one is being taken apart, as with a snapshot.
        for n in 0..self.keys {
            write_key(&mut key, n);
            let value = self.value(n);
            longest.of("put after reset", || engine.put(&key, value))?;
            if n % 16 == 15 {
                longest.of("maintain after it", || engine.maintain(MAINTAIN_BUDGET));
            }
        }
        let mut successor = MemoryEngine::sharing(engine.reclaim());
        longest.of("drop of an engine", || drop(engine));
        while longest.of("maintain", || successor.maintain(MAINTAIN_BUDGET)) {}
        assert_eq!(successor.stats().reclaimable, 0, "nothing is left");
        longest.print();
        Ok(())
    }
}

const KEY_BYTES: usize = 24;

/// `key:` and 20 digits.
fn write_key(key: &mut [u8; KEY_BYTES], n: u64) {
    let mut rest = n;
    for byte in key.iter_mut().rev() {
        *byte = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
    }
    if let Some(start) = key.first_chunk_mut::<4>() {
        *start = *b"key:";
    }
}

/// Scatters numbers (splitmix64), so that no order of visits helps the caches.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The longest calls of each kind.
#[derive(Default)]
struct Longest(Vec<(&'static str, Vec<Duration>)>);

impl Longest {
    fn of<T>(&mut self, what: &'static str, run: impl FnOnce() -> T) -> T {
        let start = cpu();
        let result = run();
        let spent = cpu() - start;
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, all)) => all.push(spent),
            None => self.0.push((what, vec![spent])),
        }
        result
    }

    fn print(&mut self) {
        for (what, all) in &mut self.0 {
            all.sort_unstable();
            let at = |part: usize| all.get((all.len() - 1) * part / 10_000).copied();
            println!(
                "  {what:<18} {:>8} calls, p50 {:>9.1?}, p99.99 {:>9.1?}, max {:>9.1?}",
                all.len(),
                at(5_000).unwrap_or_default(),
                at(9_999).unwrap_or_default(),
                at(10_000).unwrap_or_default(),
            );
        }
    }
}

fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn as_f64(n: u64) -> f64 {
    n as f64
}

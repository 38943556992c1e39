//! What processes have used, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::fault::{Context, Fault};

/// Ticks per second in `/proc/<pid>/stat`: `USER_HZ`, part of Linux' ABI on every architecture that we run on.
const TICKS_PER_SECOND: u64 = 100;
const TICK: Duration = Duration::from_millis(1_000 / TICKS_PER_SECOND);

/// The CPU time of one process at one moment, from two sources.
#[derive(Debug)]
pub(crate) struct Reading {
    /// utime + stime: all threads, ended ones too, but counted in ticks of 10 ms.
    process: Duration,
    /// Time on a CPU by thread, in nanoseconds: living threads only.
    threads: BTreeMap<String, Duration>,
}

pub(crate) fn read(pid: u32) -> Result<Reading, Fault> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read a server's stat")?;
    let ticks = stat_ticks(&stat).ok_or_else(|| Fault::new(format!("strange stat: {stat}")))?;
    let mut threads = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("list a server's threads")? {
        let thread = thread.context("list a server's threads")?;
        // A thread may end at any time.
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let nanos = schedstat.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0);
        threads.insert(thread.file_name().display().to_string(), Duration::from_nanos(nanos));
    }
    Ok(Reading { process: TICK * ticks, threads })
}

impl Reading {
    /// CPU time since `earlier`: by thread, unless threads ended meanwhile and took more with them than the
    /// ticks can be wrong by, or the kernel counts none.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let fine: Duration = self
            .threads
            .iter()
            .map(|(thread, time)| {
                time.saturating_sub(earlier.threads.get(thread).copied().unwrap_or_default())
            })
            .sum();
        let coarse = self.process.saturating_sub(earlier.process);
        if fine.is_zero() { coarse } else { fine.max(coarse.saturating_sub(TICK * 2)) }
    }
}

/// The 14th and 15th field; the second is a name in parentheses that may hold anything.
fn stat_ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?)
}

/// The most memory that was resident since the start or the last `reset_peak`.
pub(crate) fn peak_kib(pid: u32) -> Result<u64, Fault> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("read a server's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| Fault::new(format!("no VmHWM of process {pid}")))
}

/// The peak is the present from now on. Where that is forbidden the peak is that of the process' whole life.
pub(crate) fn reset_peak(pid: u32) {
    drop(fs::write(format!("/proc/{pid}/clear_refs"), "5"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_hostile_name() {
        let stat = "7 (a) b) c) S 1 2 3 4 -1 5 6 7 8 9 40 2 0 0 20 0 1 0 55";
        assert_eq!(stat_ticks(stat), Some(42));
    }

    #[test]
    fn own_work_is_measured() {
        let before = read(std::process::id()).unwrap();
        let mut sum = 0u64;
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(100) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 7);
        }
        let used = read(std::process::id()).unwrap().since(&before);
        assert!(used > Duration::from_millis(5), "{used:?}");
        assert!(peak_kib(std::process::id()).unwrap() > 100);
    }
}

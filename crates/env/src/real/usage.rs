//! What this process has used, from `/proc`; nothing where there is none.

use std::fs::read_to_string;
use std::time::Duration;

use crate::usage::{CpuTime, Usage};

/// Where a thread's line of figures stands: the fields behind the name, which is in brackets and may hold
/// anything, counted from the state (field 3 of `proc_pid_stat(5)`).
const USER_AT: usize = 11;
const SYSTEM_AT: usize = 12;
const USER_CHILDREN_AT: usize = 13;
const SYSTEM_CHILDREN_AT: usize = 14;

/// As it is now.
pub(super) fn usage() -> Option<Usage> {
    let process_id = std::process::id();
    let all = read_to_string("/proc/self/stat").ok()?;
    let main_thread = read_to_string(format!("/proc/self/task/{process_id}/stat")).ok()?;
    let status = read_to_string("/proc/self/status").ok()?;
    let machine = read_to_string("/proc/meminfo").ok()?;
    let ticks = rustix::param::clock_ticks_per_second();
    let name = rustix::system::uname();
    let parts = [name.sysname(), name.release(), name.machine()];
    let parts = parts.map(|part| String::from_utf8_lossy(part.to_bytes()).into_owned());
    Some(Usage {
        process_id,
        system_name: parts.join(" "),
        cpu: cpu(&all, USER_AT, SYSTEM_AT, ticks)?,
        cpu_main_thread: cpu(&main_thread, USER_AT, SYSTEM_AT, ticks)?,
        cpu_children: cpu(&all, USER_CHILDREN_AT, SYSTEM_CHILDREN_AT, ticks)?,
        resident_bytes: bytes(&status, "VmRSS:")?,
        resident_bytes_peak: bytes(&status, "VmHWM:")?,
        machine_bytes: bytes(&machine, "MemTotal:")?,
    })
}

/// Two of the fields of a `stat` file.
fn cpu(stat: &str, user_at: usize, system_at: usize, ticks_per_second: u64) -> Option<CpuTime> {
    let (_, fields) = stat.rsplit_once(')')?;
    let field = |at: usize| {
        let ticks: u64 = fields.split_whitespace().nth(at)?.parse().ok()?;
        let us = u128::from(ticks) * 1_000_000 / u128::from(ticks_per_second.max(1));
        Some(Duration::from_micros(u64::try_from(us).ok()?))
    };
    Some(CpuTime { user: field(user_at)?, system: field(system_at)? })
}

/// The line `name   123 kB`.
fn bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_whose_name_holds_brackets_and_blanks_is_read() {
        let stat = "42 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 250 50 7 3 20 0";
        let own = cpu(stat, USER_AT, SYSTEM_AT, 100).unwrap();
        assert_eq!((own.user.as_millis(), own.system.as_millis()), (2500, 500));
        let children = cpu(stat, USER_CHILDREN_AT, SYSTEM_CHILDREN_AT, 100).unwrap();
        assert_eq!((children.user.as_millis(), children.system.as_millis()), (70, 30));
        assert_eq!(cpu("42 (a) R", USER_AT, SYSTEM_AT, 100), None);
    }

    #[test]
    fn what_this_process_uses_grows_as_it_works() {
        let before = usage().unwrap();
        assert_eq!(before.process_id, std::process::id());
        assert!(before.resident_bytes > 0 && before.resident_bytes <= before.resident_bytes_peak);
        assert!(before.resident_bytes_peak < before.machine_bytes);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let mut sum = 0_u64;
        while usage().unwrap().cpu.user <= before.cpu.user {
            assert!(std::time::Instant::now() < deadline, "no processor time in 30 s of work");
            sum = (0..1_000_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
    }
}

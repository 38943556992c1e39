//! Has the allocator ask the kernel for huge pages.
//!
//! A key-value store reads its memory all over: with pages of 4 KiB nearly every lookup also misses the
//! processor's table of pages, and in a virtual machine that walk costs more than the miss itself (100,000
//! keys: GET took a third less processor time with huge pages, SET a fifth). Most systems grant huge pages to
//! those who ask (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`). glibc's allocator asks if a
//! tunable says so, and reads that at the start of the process only: so the process starts itself once more,
//! in place, with the tunable set. Whoever sets the tunable to something else is left alone.
//!
//! glibc 2.36 follows the tunable only in about half of the starts (it compares what it has read of the
//! policy without having ended the string). So the process looks whether it has huge pages now, and tries
//! a few times; how often it has, it sees by how often the tunable is named.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const TUNABLES: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.hugetlb";
const ASKING: &str = "glibc.malloc.hugetlb=1";
/// Starts at most: 1 in 250 goes without. Each takes some 3 ms.
const STARTS_MAX: usize = 8;
const POLICY: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Goes on with huge pages where the system grants them on request. Where that fails the process goes on
/// without: it is only slower.
pub(crate) fn ask() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let policy = std::fs::read_to_string(POLICY).unwrap_or_default();
    let set = std::env::var_os(TUNABLES);
    let Some(tunables) = tunables(&policy, set.as_deref(), has_them()) else { return };
    let Err(error) = start_again(&tunables);
    tracing::debug!(%error, "no huge pages");
}

/// True when some of this process' memory is marked for huge pages: the allocator does so from its first
/// growth on.
fn has_them() -> bool {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut flags = smaps.lines().filter(|line| line.starts_with("VmFlags:"));
    flags.any(|line| line.split_ascii_whitespace().any(|flag| flag == "hg"))
}

/// What the tunables have to be; `None` where they shall stay as they are.
fn tunables(policy: &str, set: Option<&OsStr>, has_them: bool) -> Option<OsString> {
    // Granted to everybody, or to nobody: nothing to ask for.
    if has_them || !policy.contains("[madvise]") {
        return None;
    }
    let set = set.unwrap_or_default();
    let text = set.to_string_lossy();
    let asked = text.matches(ASKING).count();
    if asked < text.matches(TUNABLE).count() || asked >= STARTS_MAX {
        return None;
    }
    let mut tunables = set.to_owned();
    if !tunables.is_empty() {
        tunables.push(":");
    }
    tunables.push(ASKING);
    Some(tunables)
}

fn start_again(tunables: &OsStr) -> io::Result<Infallible> {
    let mut args = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    Err(command.args(args).env(TUNABLES, tunables).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON_REQUEST: &str = "always [madvise] never\n";

    fn after(policy: &str, set: &str, has_them: bool) -> Option<String> {
        let tunables = tunables(policy, Some(OsStr::new(set)), has_them);
        tunables.map(|tunables| tunables.into_string().unwrap())
    }

    #[test]
    fn huge_pages_are_asked_for_where_the_system_wants_to_be_asked() {
        assert_eq!(after(ON_REQUEST, "", false).as_deref(), Some(ASKING));
        for policy in ["[always] madvise never\n", "always madvise [never]\n", ""] {
            assert_eq!(after(policy, "", false), None, "{policy}");
        }
    }

    #[test]
    fn other_tunables_stay_and_one_that_says_something_else_is_left_alone() {
        let others = after(ON_REQUEST, "glibc.malloc.check=1", false);
        assert_eq!(others.as_deref(), Some("glibc.malloc.check=1:glibc.malloc.hugetlb=1"));
        assert_eq!(after(ON_REQUEST, "glibc.malloc.hugetlb=0", false), None);
        assert_eq!(after(ON_REQUEST, "glibc.malloc.hugetlb=2", false), None);
    }

    #[test]
    fn the_process_starts_again_until_it_has_them_but_not_for_ever() {
        assert_eq!(after(ON_REQUEST, ASKING, true), None);
        let mut set = String::new();
        let mut starts = 0;
        while let Some(next) = after(ON_REQUEST, &set, false) {
            (set, starts) = (next, starts + 1);
        }
        assert_eq!(starts, STARTS_MAX);
    }
}

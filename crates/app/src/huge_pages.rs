//! Has the allocator ask the kernel for huge pages.
//!
//! A key-value store reads its memory all over: with pages of 4 KiB nearly every lookup also misses the
//! processor's table of pages, and in a virtual machine that walk costs more than the miss itself (100,000
//! keys: GET took a third less processor time with huge pages, SET a fifth). Most systems grant huge pages to
//! those who ask (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`). glibc's allocator asks if a
//! tunable says so, and reads that at the start of the process only: so the process starts itself once more,
//! in place, with the tunable set. Whoever sets the tunable, to 0 or otherwise, is left alone.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

const TUNABLES: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.hugetlb";
const POLICY: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Goes on with huge pages where the system grants them on request. Where that fails the process goes on
/// without: it is only slower.
pub(crate) fn ask() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let policy = std::fs::read_to_string(POLICY).unwrap_or_default();
    let Some(tunables) = tunables(&policy, std::env::var_os(TUNABLES).as_deref()) else { return };
    let Err(error) = start_again(&tunables);
    tracing::debug!(%error, "no huge pages");
}

/// What the tunables have to be; `None` where they shall stay as they are.
fn tunables(policy: &str, set: Option<&OsStr>) -> Option<OsString> {
    // Granted to everybody, or to nobody: nothing to ask for.
    if !policy.contains("[madvise]") {
        return None;
    }
    let set = set.unwrap_or_default();
    if set.to_string_lossy().contains(TUNABLE) {
        return None;
    }
    let mut tunables = set.to_owned();
    if !tunables.is_empty() {
        tunables.push(":");
    }
    tunables.push(format!("{TUNABLE}=1"));
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

    fn after(policy: &str, set: &str) -> Option<String> {
        let tunables = tunables(policy, Some(OsStr::new(set)));
        tunables.map(|tunables| tunables.into_string().unwrap())
    }

    #[test]
    fn huge_pages_are_asked_for_where_the_system_wants_to_be_asked() {
        assert_eq!(after(ON_REQUEST, "").as_deref(), Some("glibc.malloc.hugetlb=1"));
        for policy in ["[always] madvise never\n", "always madvise [never]\n", ""] {
            assert_eq!(after(policy, ""), None, "{policy}");
        }
    }

    #[test]
    fn other_tunables_stay_and_one_that_is_set_is_left_alone() {
        let others = after(ON_REQUEST, "glibc.malloc.check=1");
        assert_eq!(others.as_deref(), Some("glibc.malloc.check=1:glibc.malloc.hugetlb=1"));
        assert_eq!(after(ON_REQUEST, "glibc.malloc.hugetlb=0"), None);
        // So the process starts itself again once, and not for ever.
        assert_eq!(after(ON_REQUEST, &others.unwrap()), None);
    }
}

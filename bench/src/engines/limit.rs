//! A bound on what a process may hold in memory, its share of the page cache included.

use std::fs;
use std::path::PathBuf;

use crate::fault::{Context, Fault};

/// Where the hierarchies are mounted: version 1 of the memory controller, or the only one of version 2.
const VERSION_1: &str = "/sys/fs/cgroup/memory";
const VERSION_2: &str = "/sys/fs/cgroup";

/// A control group, which is removed when dropped: drop the processes in it first.
#[derive(Debug)]
pub(super) struct Limit {
    path: PathBuf,
}

impl Limit {
    pub(super) fn new(name: &str, bytes: u64) -> Result<Self, Fault> {
        let version_1 = PathBuf::from(VERSION_1);
        let (root, file) = if version_1.join("memory.limit_in_bytes").exists() {
            (version_1, "memory.limit_in_bytes")
        } else {
            (PathBuf::from(VERSION_2), "memory.max")
        };
        let path = root.join(format!("quorate-bench-{}-{name}", std::process::id()));
        fs::create_dir(&path).context(format_args!("create {}", path.display()))?;
        let limit = Self { path };
        limit.write(file, bytes)?;
        Ok(limit)
    }

    pub(super) fn add(&self, pid: u32) -> Result<(), Fault> {
        self.write("cgroup.procs", u64::from(pid))
    }

    fn write(&self, file: &str, value: u64) -> Result<(), Fault> {
        let path = self.path.join(file);
        fs::write(&path, value.to_string()).context(format_args!("write {}", path.display()))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.path) {
            eprintln!("left behind: {} ({error})", self.path.display());
        }
    }
}

//! How much memory this process may take: that of the machine, or less where a cgroup says so.

use std::path::{Component, Path, PathBuf};

/// Where nothing tells how much there is.
const FALLBACK_BYTES: u64 = 2 << 30;

/// The default of `--max-memory`: the last quarter is for the log's tail, connections, a snapshot
/// under way and the allocator.
pub(crate) fn default_limit() -> u64 {
    available(Path::new("/")).map_or(FALLBACK_BYTES, |bytes| bytes / 4 * 3)
}

/// What this process may take.
pub(crate) fn in_all() -> u64 {
    available(Path::new("/")).unwrap_or(FALLBACK_BYTES)
}

/// Bytes available to this process on the machine whose files are under `root`.
fn available(root: &Path) -> Option<u64> {
    [machine(root), cgroup(root)].into_iter().flatten().min()
}

/// `MemTotal:       16318480 kB`
fn machine(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// The smallest limit of the cgroups that this process is in: version 2 (`0::/path`) and version 1
/// (`9:memory:/path`), where both may be there.
fn cgroup(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let base = root.join("sys/fs/cgroup");
    text.lines().filter_map(|line| limit(&base, line)).min()
}

fn limit(base: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    if controllers.is_empty() {
        smallest(base, path, "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        smallest(&base.join("memory"), path, "memory.limit_in_bytes")
    } else {
        None
    }
}

/// The smallest number in the files called `name` from `base` down to `path`. In a container the path
/// is often that of the host and not there; then the limit is at the base. `max` is no number.
fn smallest(base: &Path, path: &str, name: &str) -> Option<u64> {
    let mut dir = base.to_owned();
    let mut dirs: Vec<PathBuf> = vec![dir.clone()];
    for component in Path::new(path).components() {
        if let Component::Normal(part) = component {
            dir.push(part);
            dirs.push(dir.clone());
        }
    }
    let read = |dir: &PathBuf| std::fs::read_to_string(dir.join(name)).ok()?.trim().parse().ok();
    dirs.iter().filter_map(read).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16318480 kB\nMemFree:  1 kB\n");

    #[test]
    fn without_a_cgroup_it_is_the_machines() {
        assert_eq!(available(root(&[MEMINFO]).path()), Some(16_318_480 * 1024));
        assert_eq!(available(root(&[]).path()), None);
    }

    #[test]
    fn the_smallest_limit_up_the_tree_counts() {
        let root = root(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "1000000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
        ]);
        assert_eq!(available(root.path()), Some(1_000_000));
    }

    #[test]
    fn in_a_container_the_limit_is_at_the_base() {
        let root = root(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/../../docker/feed\n"),
            ("sys/fs/cgroup/memory.max", "2000000\n"),
        ]);
        assert_eq!(available(root.path()), Some(2_000_000));
    }

    #[test]
    fn version_1_has_a_tree_per_controller() {
        let unlimited = "9223372036854771712\n";
        let root = root(&[
            MEMINFO,
            ("proc/self/cgroup", "11:cpu,cpuacct:/x\n9:hugetlb,memory:/docker/feed\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", unlimited),
            ("sys/fs/cgroup/memory/docker/feed/memory.limit_in_bytes", "3000000\n"),
        ]);
        assert_eq!(available(root.path()), Some(3_000_000));
    }

    #[test]
    fn a_limit_beyond_the_machine_is_none() {
        let root = root(&[
            MEMINFO,
            ("proc/self/cgroup", "9:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(available(root.path()), Some(16_318_480 * 1024));
    }
}

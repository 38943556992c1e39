//! A directory for the data of one run, on a disk: an fsync into memory would measure nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fault::{Context, Fault};

const PREFIX: &str = "quorate-bench-";
const IN_MEMORY: &[&str] = &["tmpfs", "ramfs"];

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    filesystem: String,
}

impl Place {
    /// In `wanted`, or the first of the usual places that is on a disk.
    pub(crate) fn new(wanted: Option<&Path>) -> Result<Self, Fault> {
        let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
        let usual = [std::env::temp_dir(), PathBuf::from("/var/tmp")];
        let parents: &[PathBuf] = match wanted {
            Some(path) => &[path.to_owned()],
            None => &usual,
        };
        for parent in parents {
            let parent = fs::canonicalize(parent).context(parent.display())?;
            let filesystem = filesystem_of(&parent, &mounts);
            if !IN_MEMORY.contains(&filesystem.as_str()) {
                remove_left_behind(&parent);
                let path = parent.join(format!("{PREFIX}{}", std::process::id()));
                fs::create_dir(&path).context(format_args!("create {}", path.display()))?;
                return Ok(Self { path, filesystem });
            }
        }
        let tried: Vec<_> = parents.iter().map(|it| it.display().to_string()).collect();
        Err(Fault::new(format!("{} in memory, not on a disk: give --dir", tried.join(" and "))))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn filesystem(&self) -> &str {
        &self.filesystem
    }

    pub(crate) fn subdirectory(&self, name: &str) -> Result<PathBuf, Fault> {
        let path = self.path.join(name);
        fs::create_dir(&path).context(format_args!("create {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("left behind: {} ({error})", self.path.display());
        }
    }
}

/// The type of the file system that is mounted nearest above `path`.
fn filesystem_of(path: &Path, mounts: &str) -> String {
    let mut nearest = (0, "unknown");
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(filesystem)) = (fields.next(), fields.next()) else { continue };
        // A later mount hides an earlier one at the same point.
        if path.starts_with(point) && point.len() >= nearest.0 {
            nearest = (point.len(), filesystem);
        }
    }
    nearest.1.to_owned()
}

/// What earlier runs left that were killed: their process is gone.
fn remove_left_behind(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_mount_decides() {
        let mounts = "a / ext4 rw 0 0\nb /tmp tmpfs rw 0 0\nc /tmp/x overlay rw 0 0\n";
        let of = |path| filesystem_of(Path::new(path), mounts);
        assert_eq!(of("/var/tmp"), "ext4");
        assert_eq!(of("/tmp"), "tmpfs");
        assert_eq!(of("/tmp/xy"), "tmpfs");
        assert_eq!(of("/tmp/x/y"), "overlay");
    }
}

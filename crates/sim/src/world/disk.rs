//! Disks: an in-memory file system per host that tells *written* from *durable*, for content and names.
//!
//! A loss of power applies to the durable state an arbitrary part of what was not synced, as the seed
//! says: each write kept, lost or torn at a byte; each create, rename and remove kept or lost. A process
//! that is killed loses nothing: the kernel's cache lives on. Every call counts as one operation, and
//! the power can be made to fail at any of them.

mod content;
mod control;
mod device;
mod file;
mod inode;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_env::disk::DirLock;
use quorate_env::{Disk, DiskFile, OpenMode};

pub use self::control::{DiskControl, DiskCopy};
use self::device::Device;
pub use self::device::Struck;
use self::file::SimFile;
use super::host::{HostId, Life};
use super::rng::Chance;
use super::shared::{Shared, lock};

/// The disks of all hosts.
pub(crate) struct Disks {
    seed: u64,
    hosts: BTreeMap<HostId, Device>,
}

impl Disks {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, hosts: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, host: HostId) {
        let chance = Chance::new(self.seed, &format!("disk {}", host.0));
        self.hosts.insert(host, Device::new(chance));
    }

    pub(crate) fn release_locks(&mut self, host: HostId) {
        if let Some(device) = self.hosts.get_mut(&host) {
            device.locks.clear();
        }
    }

    pub(crate) fn slowness(&self, host: HostId) -> u32 {
        self.hosts.get(&host).map_or(1, |device| device.slow.factor())
    }

    /// True, once, when the power failed in the midst of an operation.
    pub(crate) fn take_power_failure(&mut self, host: HostId) -> bool {
        let device = self.hosts.get_mut(&host);
        device.is_some_and(|device| std::mem::take(&mut device.failed))
    }
}

impl Shared {
    /// Takes from the disk of `host` what its seed does not let survive.
    pub(crate) fn power_failed(&self, host: HostId) {
        let mut disks = lock(&self.disks);
        let Some(device) = disks.hosts.get_mut(&host) else { return };
        let losses = device.lose_power();
        self.event(Some(host), format_args!("disk loses power: {losses}"));
    }

    /// One operation of a living process on its disk.
    pub(crate) fn operate<T>(
        &self,
        life: &Life,
        what: fmt::Arguments<'_>,
        operation: impl FnOnce(&mut Device) -> io::Result<T>,
    ) -> io::Result<T> {
        if life.is_dead() {
            return Err(io::Error::other("the process is dead"));
        }
        let mut disks = lock(&self.disks);
        let device = disks.hosts.get_mut(&life.host).ok_or(io::ErrorKind::NotFound)?;
        device.operations += 1;
        self.detail(Some(life.host), what);
        if device.power_fails_at != Some(device.operations) {
            return operation(device);
        }
        device.power_fails_at = None;
        // The last operation may have got through, or not.
        if device.chance.one_in(2) {
            drop(operation(device));
        }
        let losses = device.lose_power();
        device.failed = true;
        life.end();
        self.event(Some(life.host), format_args!("disk loses power: {losses}"));
        Err(io::Error::other("the power failed"))
    }
}

/// A process' view of its host's disk.
pub(crate) struct SimDisk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
}

impl SimDisk {
    fn operate<T>(
        &self,
        what: fmt::Arguments<'_>,
        operation: impl FnOnce(&mut Device) -> io::Result<T>,
    ) -> io::Result<T> {
        self.shared.operate(&self.life, what, operation)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.operate(format_args!("open {} {mode:?}", path.display()), |device| {
            device.open(path, mode)
        })?;
        Ok(Box::new(SimFile {
            shared: Arc::clone(&self.shared),
            life: Arc::clone(&self.life),
            inode,
            path: path.display().to_string(),
            writable: mode != OpenMode::Read,
        }))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.operate(format_args!("mkdir {}", dir.display()), |device| {
            device.names.create_dir_all(dir);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.operate(format_args!("list {}", dir.display()), |device| device.names.list(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(format_args!("rename {} {}", from.display(), to.display()), |device| {
            device.names.rename(from, to)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(format_args!("remove {}", path.display()), |device| device.names.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(format_args!("sync dir {}", dir.display()), |device| device.sync_dir(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.operate(format_args!("exists {}", path.display()), |device| {
            Ok(device.names.exists(path))
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.operate(format_args!("lock {}", path.display()), |device| {
            if device.locks.insert(path.to_owned()) {
                Ok(())
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        })?;
        let (shared, life) = (Arc::clone(&self.shared), Arc::clone(&self.life));
        Ok(Box::new(SimLock { shared, life, path: path.to_owned() }))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        self.operate(format_args!("free"), |device| Ok(device.free()))
    }
}

struct SimLock {
    shared: Arc<Shared>,
    life: Arc<Life>,
    path: PathBuf,
}

impl DirLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if self.life.is_dead() {
            return;
        }
        if let Some(device) = lock(&self.shared.disks).hosts.get_mut(&self.life.host) {
            device.locks.remove(&self.path);
        }
    }
}

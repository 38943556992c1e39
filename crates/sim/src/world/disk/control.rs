//! What a scenario does to a disk.

use std::path::{Path, PathBuf};

use super::device::{Copied, Device, Stray, Struck};
use crate::world::host::HostId;
use crate::world::shared::{Shared, lock};

/// All that was on a disk.
#[derive(Clone, Debug)]
pub struct DiskCopy(Copied);

/// One host's disk, from outside.
#[derive(Clone, Copy)]
pub struct DiskControl<'a> {
    shared: &'a Shared,
    host: HostId,
}

impl std::fmt::Debug for DiskControl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskControl({})", self.host)
    }
}

impl<'a> DiskControl<'a> {
    pub(crate) fn new(shared: &'a Shared, host: HostId) -> Self {
        Self { shared, host }
    }

    fn with<T: Default>(self, change: impl FnOnce(&mut Device) -> T) -> T {
        let mut disks = lock(&self.shared.disks);
        disks.hosts.get_mut(&self.host).map(change).unwrap_or_default()
    }

    fn note(self, what: std::fmt::Arguments<'_>) {
        self.shared.event(Some(self.host), what);
    }

    /// Calls so far.
    pub fn operations(self) -> u64 {
        self.with(|device| device.operations)
    }

    /// What was laid ready and has been met so far.
    pub fn struck(self) -> Struck {
        self.with(|device| device.struck.clone())
    }

    /// Lets the power fail at the `ahead`-th call from now (1 is the next one).
    pub fn fail_power_after(self, ahead: u64) {
        self.note(format_args!("power is to fail in {ahead} disk operations"));
        self.with(|device| device.power_fails_at = Some(device.operations + ahead));
    }

    /// Takes back what [`DiskControl::fail_power_after`], [`DiskControl::fail_syncs`],
    /// [`DiskControl::fail_writes`], [`DiskControl::fail_reads`], [`DiskControl::stray_writes`],
    /// [`DiskControl::fill`] and [`DiskControl::slow`] ordered.
    pub fn mend(self) {
        self.with(|device| {
            device.power_fails_at = None;
            device.failing_syncs = 0;
            device.failing_writes = 0;
            device.failing_reads = 0;
            device.stray = None;
            device.full.end_all();
            device.slow.end_all();
        });
    }

    /// Lets the next `count` syncs fail, and with them an arbitrary part of what they should have kept.
    pub fn fail_syncs(self, count: u32) {
        self.note(format_args!("{count} syncs are to fail"));
        self.with(|device| device.failing_syncs = count);
    }

    /// Lets the next `count` writes fail; an arbitrary beginning of each may be there nevertheless.
    pub fn fail_writes(self, count: u32) {
        self.note(format_args!("{count} writes are to fail"));
        self.with(|device| device.failing_writes = count);
    }

    /// Lets the next `count` reads fail: nothing is wrong with the bytes.
    pub fn fail_reads(self, count: u32) {
        self.note(format_args!("{count} reads are to fail"));
        self.with(|device| device.failing_reads = count);
    }

    /// Lets the next `count` writes to files in `dir` land elsewhere, and succeed: at another place of the same file,
    /// or in another file in one of `targets`.
    pub fn stray_writes(self, count: u32, dir: &Path, targets: &[&Path]) {
        self.note(format_args!("{count} writes to {} are to land elsewhere", dir.display()));
        let targets = targets.iter().map(|it| it.to_path_buf()).collect();
        self.with(|device| device.stray = Some(Stray { count, dir: dir.to_owned(), targets }));
    }

    /// Copies all that is on it, as of a machine that is switched off.
    pub fn copy(self) -> DiskCopy {
        DiskCopy(self.with(|device| device.copy()))
    }

    /// Puts the copy in its place: it is as it was then. Nothing may run there.
    pub fn restore(self, copy: DiskCopy) {
        self.note(format_args!("the disk is as it was when it was copied"));
        self.with(|device| device.restore(copy.0));
    }

    /// Puts an empty disk in the place of this one.
    pub fn wipe(self) {
        self.note(format_args!("the disk is replaced by an empty one"));
        self.with(Device::wipe);
    }

    /// Makes syncs do nothing and say that they did, for good: the control that every test of durability
    /// needs, for on such a disk it must fail.
    pub fn lie_about_syncs(self) {
        self.with(|device| device.lies = true);
    }

    /// Leaves `bytes` of room, or less where less was left.
    pub fn fill(self, bytes: u64) {
        self.note(format_args!("{bytes} bytes of room left"));
        self.with(|device| device.full.begin((bytes, device.used().saturating_add(bytes))));
    }

    /// Takes back what [`DiskControl::fill`] did with the same `bytes`, once.
    pub fn make_room(self, bytes: u64) {
        self.note(format_args!("room again, where {bytes} bytes were left"));
        self.with(|device| {
            let full = device.full.iter().find(|(left, _)| *left == bytes);
            full.into_iter().for_each(|full| device.full.end(full));
        });
    }

    /// Makes lanes' jobs take `factor` times as long, or more where they do already.
    pub fn slow(self, factor: u32) {
        self.note(format_args!("disk {factor} times as slow"));
        self.with(|device| device.slow.begin(factor));
    }

    /// Takes back what [`DiskControl::slow`] did with the same `factor`, once.
    pub fn hasten(self, factor: u32) {
        self.note(format_args!("disk no longer {factor} times as slow"));
        self.with(|device| device.slow.end(factor));
    }

    /// Every file.
    pub fn paths(self) -> Vec<PathBuf> {
        self.with(|device| device.names.files().map(|(path, _)| path.clone()).collect())
    }

    /// Flips a durable bit of `path`, chosen by the disk's seed; says at which offset.
    pub fn flip_bit(self, path: &Path) -> Option<u64> {
        let offset = self.with(|device| {
            let inode = device.names.get(path)?;
            device.inodes.get_mut(&inode)?.flip(&mut device.chance)
        });
        self.note(format_args!("bit flipped in {} at {offset:?}", path.display()));
        offset
    }

    /// Lets a sector of what was last synced in `dir` be all zero, chosen by the disk's seed; says in which file and at
    /// which offset. Never the last one of a write: what is left of it shows that there was more, while a write of
    /// which nothing is left can't be missed by anybody who was not told of it.
    pub fn lose_sector(self, dir: &Path) -> Option<(PathBuf, u64)> {
        let lost = self.with(|device| device.lose_sector(dir));
        self.note(format_args!("a sector is lost: {lost:?}"));
        lost
    }

    /// Lets `path` vanish, also from the platter; true when it was there.
    pub fn vanish(self, path: &Path) -> bool {
        self.note(format_args!("{} vanishes", path.display()));
        self.with(|device| device.names.vanish(path))
    }
}

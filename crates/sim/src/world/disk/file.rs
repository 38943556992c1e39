//! An open file of a simulated process.

use std::fmt;
use std::io;
use std::sync::Arc;

use quorate_env::DiskFile;

use super::device::Device;
use super::names::InodeId;
use crate::world::host::Life;
use crate::world::rng::fold;
use crate::world::shared::Shared;

/// A handle; it stays valid when the name goes, and dies with its process.
pub(crate) struct SimFile {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    pub(crate) inode: InodeId,
    pub(crate) path: String,
    pub(crate) writable: bool,
}

impl SimFile {
    fn operate<T>(
        &self,
        what: fmt::Arguments<'_>,
        operation: impl FnOnce(&mut Device) -> io::Result<T>,
    ) -> io::Result<T> {
        self.shared.operate(&self.life, what, operation)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.operate(format_args!("read {} {offset}", self.path), |device| {
            device.read(self.inode, buf, offset)
        })
    }

    fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let (len, print) = (bytes.len(), fold(0, &bytes));
        let what = format_args!("write {} {offset} {len} {print:016x}", self.path);
        self.operate(what, |device| device.write(self.inode, &bytes, offset))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.operate(format_args!("allocate {} {len}", self.path), |device| {
            // As fallocate: it never shortens a file.
            if len > device.inode(self.inode)?.cached.len {
                device.set_len(self.inode, len)?;
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.operate(format_args!("set len {} {len}", self.path), |device| {
            device.set_len(self.inode, len)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.operate(format_args!("len {}", self.path), |device| {
            Ok(device.inode(self.inode)?.cached.len)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(format_args!("sync {}", self.path), |device| device.sync(self.inode))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.operate(format_args!("sync all {}", self.path), |device| device.sync(self.inode))
    }
}

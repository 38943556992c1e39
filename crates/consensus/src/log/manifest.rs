//! Manifest: the file that names all segments, so that one which vanished is noticed.
//!
//! Two slots of the same size, each complete. A change is written to one, synced, written to the
//! other, synced; first to the one that was not read, which a crash may have left half written. So at
//! any moment one of them is whole, a flipped bit in either is harmless, and as the file never grows,
//! it can be changed on a full disk.
//!
//! ```text
//!  0          8     12      16     20      24         32      40     48     52    56
//!  +----------+-----+-------+------+-------+----------+-------+------+------+-----+-- ...
//!  | QRMANIF1 | crc | bytes | vers | count | sequence | id    | salt | size | end | id ...
//!  +----------+-----+-------+------+-------+----------+-------+------+------+-----+-- ...
//!              of what follows, `bytes` long          `- 24 bytes per segment, end 0: open
//! ```

use std::io::IoSlice;
use std::path::Path;

use quorate_env::{Disk, DiskFile, OpenMode, disk};

use super::error::{Context, LogError};
use super::record::{u32_at, u64_at};
use super::segment::{FORMAT, SEGMENT_HEADER_BYTES, SegmentName};

/// The manifest's file.
pub(super) const MANIFEST: &str = "manifest";
/// How many segments there can be.
pub(super) const SEGMENTS_MAX: usize = 1000;

const MAGIC: &[u8; 8] = b"QRMANIF1";
const SLOT_BYTES: usize = 32 * 1024;
const SEGMENT_BYTES: usize = 24;
const FIXED_BYTES: usize = 32;
const _: () = assert!(FIXED_BYTES + SEGMENTS_MAX * SEGMENT_BYTES <= SLOT_BYTES);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Counts the changes.
    pub(super) sequence: u64,
    /// Ascending by id.
    pub(super) segments: Vec<SegmentName>,
    /// The slot in which it was found, and which must stay until the other one is durable.
    pub(super) slot: usize,
}

impl Manifest {
    /// One slot.
    pub(super) fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        let mut body = Vec::with_capacity(SLOT_BYTES);
        body.extend(FORMAT.to_le_bytes());
        body.extend(count.to_le_bytes());
        body.extend(self.sequence.to_le_bytes());
        for segment in &self.segments {
            body.extend(segment.id.to_le_bytes());
            body.extend(segment.salt.to_le_bytes());
            body.extend(segment.bytes.to_le_bytes());
            body.extend(segment.end.unwrap_or(0).to_le_bytes());
        }
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &body).to_le_bytes();
        let mut out = Vec::with_capacity(SLOT_BYTES);
        out.extend(MAGIC);
        out.extend(crc);
        out.extend(bytes);
        out.extend(body);
        out
    }

    /// A slot's content; None if it isn't whole.
    pub(super) fn decode(file: &Path, slot: &[u8]) -> Result<Option<Self>, LogError> {
        let checked = || {
            let length = u32_at(slot, 12)? as usize;
            let body = slot.get(16..)?.get(..length)?;
            let crc = crc32c::crc32c_append(crc32c::crc32c(slot.get(12..16)?), body);
            (slot.starts_with(MAGIC) && u32_at(slot, 8)? == crc).then_some(body)
        };
        let Some(body) = checked() else { return Ok(None) };
        match u32_at(body, 0) {
            Some(FORMAT) => Ok(Self::parse(body)),
            found => {
                let found = found.unwrap_or(0);
                Err(LogError::Version { file: file.to_owned(), found, known: FORMAT })
            }
        }
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let count = u32_at(body, 4)? as usize;
        let list = body.get(16..)?;
        if count > SEGMENTS_MAX || list.len() != count * SEGMENT_BYTES {
            return None;
        }
        let mut segments: Vec<SegmentName> = Vec::with_capacity(count);
        for bytes in list.chunks_exact(SEGMENT_BYTES) {
            let end = u32_at(bytes, 20)?;
            let name = SegmentName {
                id: u64_at(bytes, 0)?,
                salt: u64_at(bytes, 8)?,
                bytes: u32_at(bytes, 16)?,
                end: (end != 0).then_some(end),
            };
            let sane = name.bytes >= SEGMENT_HEADER_BYTES
                && name.end.is_none_or(|end| (SEGMENT_HEADER_BYTES..=name.bytes).contains(&end))
                && segments.last().is_none_or(|last| {
                    last.id < name.id && (last.end.is_some() || name.end.is_none())
                });
            if name.id == 0 || !sane {
                return None;
            }
            segments.push(name);
        }
        Some(Self { sequence: u64_at(body, 8)?, segments, slot: 0 })
    }

    /// Reads the manifest of `dir`; None when there is none.
    pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, LogError> {
        let file = dir.join(MANIFEST);
        if !disk.exists(&file).at("look for manifest", &file)? {
            return Ok(None);
        }
        let handle = disk.open(&file, OpenMode::Read).at("open manifest", &file)?;
        if handle.len().at("measure manifest", &file)? != 2 * SLOT_BYTES as u64 {
            return Err(LogError::damage(&file, 0u64, "the manifest has another size"));
        }
        drop(handle);
        let bytes = disk::read_file(disk, &file).at("read manifest", &file)?;
        let mut best: Option<Self> = None;
        for (slot, content) in bytes.chunks(SLOT_BYTES).enumerate() {
            let found = Self::decode(&file, content)?.map(|found| Self { slot, ..found });
            if found.as_ref().map(|found| found.sequence) > best.as_ref().map(|best| best.sequence)
            {
                best = found;
            }
        }
        match best {
            Some(best) => Ok(Some(best)),
            None => Err(LogError::damage(&file, 0u64, "no slot of the manifest is valid")),
        }
    }

    /// Creates the manifest of an empty log.
    pub(super) fn create(disk: &dyn Disk, dir: &Path) -> Result<Self, LogError> {
        let file = dir.join(MANIFEST);
        let manifest = Self::default();
        let mut slot = manifest.encode();
        slot.resize(SLOT_BYTES, 0);
        let both = [slot.as_slice(), slot.as_slice()].concat();
        disk::replace_file(disk, &file, &both).at("create manifest", &file)?;
        Ok(manifest)
    }

    /// Replaces the content of `handle`, the file of a manifest.
    pub(super) fn store(&mut self, handle: &dyn DiskFile, file: &Path) -> Result<(), LogError> {
        self.sequence += 1;
        let slot = self.encode();
        let there = self.slot * SLOT_BYTES;
        for offset in [SLOT_BYTES - there, there] {
            handle.write_at(&[IoSlice::new(&slot)], offset as u64).at("write manifest", file)?;
            handle.sync_data().at("sync manifest", file)?;
        }
        Ok(())
    }
}

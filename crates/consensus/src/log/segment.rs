//! Segments: preallocated files of records, and what the log remembers of each.
//!
//! ```text
//!  0          8      12     16     24     32          64
//!  +----------+------+------+------+------+-----------+---------+---------+-- ... --+-------+
//!  | QRLOGSEG | crc  | vers |  id  | salt |  zeros    | record  | record  |         | zeros |
//!  +----------+------+------+------+------+-----------+---------+---------+-- ... --+-------+
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quorate_env::{Disk, DiskFile, OpenMode};

use super::error::{Context, LogError};
use super::record::{Place, Position, u32_at, u64_at};

/// The format of segments and manifest.
pub(super) const FORMAT: u32 = 1;
/// Bytes before the first record.
pub(super) const SEGMENT_HEADER_BYTES: u32 = 64;

const MAGIC: &[u8; 8] = b"QRLOGSEG";
const SUFFIX: &str = ".log";

/// A segment's name and size: what the manifest says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    /// Never used twice, ascending.
    pub(super) id: u64,
    /// Random; part of every checksum in the file.
    pub(super) salt: u64,
    /// The file's size.
    pub(super) bytes: u32,
    /// Where its records end; None while it may still grow.
    pub(super) end: Option<u32>,
}

impl SegmentName {
    /// Where the first record goes.
    pub(super) fn start(&self) -> Place {
        self.place(SEGMENT_HEADER_BYTES)
    }

    /// The place at `offset`.
    pub(super) fn place(&self, offset: u32) -> Place {
        Place { at: Position { segment: self.id, offset }, salt: self.salt }
    }

    /// The header of its file.
    pub(super) fn header(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut out = [0; SEGMENT_HEADER_BYTES as usize];
        let mut body = [0; SEGMENT_HEADER_BYTES as usize - 12];
        let fields: [&[u8]; 3] =
            [&FORMAT.to_le_bytes(), &self.id.to_le_bytes(), &self.salt.to_le_bytes()];
        let bytes = fields.into_iter().flatten();
        body.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let crc = crc32c::crc32c(&body).to_le_bytes();
        let all = MAGIC.iter().chain(&crc).chain(&body);
        out.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        out
    }

    /// Checks the header of a file that should be this segment.
    pub(super) fn check(&self, file: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let Some((id, salt)) = read_header(file, bytes)? else {
            return Err(LogError::damage(file, 0u64, "the segment's header is not valid"));
        };
        if (id, salt) != (self.id, self.salt) {
            return Err(LogError::damage(file, 0u64, "another segment stands in this one's place"));
        }
        Ok(())
    }
}

/// Id and salt in a segment's header; None when it isn't valid.
pub(super) fn read_header(file: &Path, bytes: &[u8]) -> Result<Option<(u64, u64)>, LogError> {
    let numbers = || {
        let body = bytes.get(12..SEGMENT_HEADER_BYTES as usize)?;
        let valid = bytes.starts_with(MAGIC) && u32_at(bytes, 8)? == crc32c::crc32c(body);
        let numbers = (u32_at(bytes, 12)?, u64_at(bytes, 16)?, u64_at(bytes, 24)?);
        valid.then_some(numbers)
    };
    match numbers() {
        Some((found, ..)) if found != FORMAT => {
            Err(LogError::Version { file: file.to_owned(), found, known: FORMAT })
        }
        Some((_, id, salt)) => Ok(Some((id, salt))),
        None => Ok(None),
    }
}

/// The file of a segment.
pub(super) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}{SUFFIX}"))
}

/// The id in a file's name.
pub(super) fn id_of(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(SUFFIX).filter(|hex| hex.len() == 16)?;
    u64::from_str_radix(hex, 16).ok()
}

/// An open segment, ready to be written to.
pub(super) struct OpenSegment {
    /// Its name.
    pub(super) name: SegmentName,
    /// Its path.
    pub(super) path: PathBuf,
    /// Its file.
    pub(super) file: Box<dyn DiskFile>,
}

impl std::fmt::Debug for OpenSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(f)
    }
}

/// Creates a segment's file, allocated and with its header, durable. A file that could not be
/// finished is removed again as far as possible; nothing names it, so the next start would do that.
pub(super) fn create(
    disk: &dyn Disk,
    dir: &Path,
    name: SegmentName,
) -> Result<OpenSegment, CreateError> {
    let path = path(dir, name.id);
    let created = fill(disk, &path, name);
    if let Err(CreateError::NoRoom(_)) = created {
        // The space is wanted back now; a failure here is one more reason to try again later.
        disk.remove(&path).unwrap_or_default();
    }
    let file = created?;
    disk.sync_dir(dir).at("sync directory", dir).map_err(CreateError::Failed)?;
    Ok(OpenSegment { name, path, file })
}

/// Why a segment wasn't created.
#[derive(Debug)]
pub(super) enum CreateError {
    /// Nothing is lost: try again later.
    NoRoom(LogError),
    /// An fsync or a write failed: the log is poisoned.
    Failed(LogError),
}

fn fill(disk: &dyn Disk, path: &Path, name: SegmentName) -> Result<Box<dyn DiskFile>, CreateError> {
    let soft = |action, error| {
        CreateError::NoRoom(LogError::Io { action, file: path.into(), source: error })
    };
    let file =
        disk.open(path, OpenMode::CreateNew).map_err(|error| soft("create segment", error))?;
    file.allocate(u64::from(name.bytes)).map_err(|error| soft("allocate segment", error))?;
    let header = name.header();
    match file.write_at(&[std::io::IoSlice::new(&header)], 0) {
        Err(error) if super::error::is_full(&error) => return Err(soft("write segment", error)),
        other => other.at("write segment", path).map_err(CreateError::Failed)?,
    }
    file.sync_all().at("sync segment", path).map_err(CreateError::Failed)?;
    Ok(file)
}

/// What the running log knows of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Its name.
    pub(super) name: SegmentName,
    /// Entries in it that some group still has in its log.
    pub(super) live: u64,
    /// The batch that killed the last of them: durable, or the segment must stay.
    pub(super) dead_since: u64,
}

impl Segment {
    /// A segment in which no entry is known yet.
    pub(super) fn new(name: SegmentName) -> Self {
        Self { name, live: 0, dead_since: 0 }
    }
}

/// All segments that hold records or soon will.
#[derive(Debug, Default)]
pub(super) struct Segments(pub(super) BTreeMap<u64, Segment>);

impl Segments {
    /// Adds a segment.
    pub(super) fn insert(&mut self, name: SegmentName) {
        self.0.insert(name.id, Segment::new(name));
    }

    /// The name of segment `id`.
    pub(super) fn name(&self, id: u64) -> Option<SegmentName> {
        self.0.get(&id).map(|segment| segment.name)
    }

    /// An entry stands in segment `id` (zero: nowhere yet).
    pub(super) fn retain(&mut self, id: u64) {
        if let Some(segment) = self.0.get_mut(&id) {
            segment.live += 1;
        }
    }

    /// An entry in segment `id` isn't part of the log any more, because of `batch`.
    pub(super) fn release(&mut self, id: u64, batch: u64) {
        if let Some(segment) = self.0.get_mut(&id) {
            segment.live = segment.live.saturating_sub(1);
            segment.dead_since = batch;
        }
    }

    /// The oldest segments, as far as nothing in them is needed: no entry, and no state, as
    /// `durable` lies in a later one, which has repeated it. Only a prefix may go: an old segment
    /// whose entries were replaced by those of a dropped one would bring them back.
    pub(super) fn dead_prefix(&self, durable: Position, settled: u64) -> Vec<u64> {
        let dead = |segment: &&Segment| {
            segment.live == 0 && segment.dead_since <= settled && segment.name.id < durable.segment
        };
        self.0.values().take_while(dead).map(|segment| segment.name.id).collect()
    }
}

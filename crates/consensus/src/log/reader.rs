//! Reader: entries from the disk. It blocks, and may be sent to another lane for that.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use quorate_env::{Disk, DiskFile, OpenMode};

use super::batch::LogEntry;
use super::error::{Context, LogError};
use super::record::{HEADER_BYTES, Header, Kind, Place};
use super::segment;
use crate::id::{GroupId, Index, Term};

/// Records that lie closer than this are read together with what is between them.
const GAP_BYTES: u32 = 4096;
/// Records are read in pieces of about this size.
const PIECE_BYTES: u32 = 4 * 1024 * 1024;

/// Where an entry should stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) index: Index,
    pub(super) term: Term,
    pub(super) place: Place,
    pub(super) data_bytes: u32,
}

impl Wanted {
    fn end(&self) -> u32 {
        self.place.at.offset.saturating_add(HEADER_BYTES).saturating_add(self.data_bytes)
    }
}

/// A read that is planned, and can be carried out anywhere.
pub struct LogReader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) group: GroupId,
    pub(super) wanted: Vec<Wanted>,
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (group, entries) = (self.group, self.wanted.len());
        f.debug_struct("LogReader").field("group", &group).field("entries", &entries).finish()
    }
}

impl LogReader {
    /// Reads and checks the entries. Blocks.
    ///
    /// # Errors
    /// [`LogError::Purged`] when the entries went away meanwhile, [`LogError::Damage`] when a byte is
    /// wrong, or what the device says.
    pub fn read(&self) -> Result<Vec<LogEntry>, LogError> {
        let mut entries = Vec::with_capacity(self.wanted.len());
        let mut rest = self.wanted.as_slice();
        let mut open: Option<(u64, PathBuf, Box<dyn DiskFile>)> = None;
        while let Some(first) = rest.first() {
            let id = first.place.at.segment;
            let (_, path, file) = match open.take().filter(|(open, ..)| *open == id) {
                Some(same) => open.insert(same),
                None => open.insert(self.open(id, first.index)?),
            };
            let run = run_length(rest);
            let (run, behind) = rest.split_at_checked(run).unwrap_or((rest, &[]));
            let start = first.place.at.offset;
            let end = run.iter().map(Wanted::end).max().unwrap_or(start);
            let bytes = read_range(&**file, start, end).at("read entries", path)?;
            for wanted in run {
                let found = self.entry(&bytes, start, wanted);
                let damage =
                    || LogError::damage(path, wanted.place.at.offset, "the entry is not valid");
                entries.push(found.ok_or_else(damage)?);
            }
            rest = behind;
        }
        Ok(entries)
    }

    fn open(&self, id: u64, index: Index) -> Result<(u64, PathBuf, Box<dyn DiskFile>), LogError> {
        let path = segment::path(&self.dir, id);
        match self.disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(LogError::Purged { group: self.group, index })
            }
            other => other.at("open segment", &path).map(|file| (id, path, file)),
        }
    }

    fn entry(&self, bytes: &Bytes, start: u32, wanted: &Wanted) -> Option<LogEntry> {
        let at = wanted.place.at.offset.checked_sub(start)? as usize;
        let header = Header::decode(bytes.get(at..)?, wanted.place)?;
        let from = at + HEADER_BYTES as usize;
        let to = from + header.data_bytes as usize;
        let data = (to <= bytes.len()).then(|| bytes.slice(from..to))?;
        let expected = header.kind == Kind::Entry
            && (header.group, header.index, header.term) == (self.group, wanted.index, wanted.term)
            && header.data_crc == crc32c::crc32c(&data);
        #[cfg(feature = "planted-bugs")]
        let expected = expected || crate::planted::is(crate::planted::Planted::TornTailAccepted);
        let (index, term) = (wanted.index, wanted.term);
        expected.then_some(LogEntry { index, term, kind: header.entry_kind, data })
    }
}

/// How many of the first of `wanted` are worth one read.
fn run_length(wanted: &[Wanted]) -> usize {
    let Some(first) = wanted.first() else { return 0 };
    let together = |pair: &&[Wanted]| match pair {
        [one, two] => {
            one.place.at.segment == two.place.at.segment
                && two.place.at.offset.checked_sub(one.end()).is_some_and(|gap| gap <= GAP_BYTES)
                && two.end() - first.place.at.offset <= PIECE_BYTES
        }
        _ => false,
    };
    1 + wanted.windows(2).take_while(together).count()
}

fn read_range(file: &dyn DiskFile, start: u32, end: u32) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; (end - start) as usize];
    read_exact(file, &mut bytes, u64::from(start))?;
    Ok(Bytes::from(bytes))
}

/// Fills `bytes` from `offset` on.
pub(super) fn read_exact(
    file: &dyn DiskFile,
    bytes: &mut [u8],
    offset: u64,
) -> std::io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => done += n,
        }
    }
    Ok(())
}

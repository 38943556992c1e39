//! The snapshot file.
//!
//! ```text
//! "QUORSNAP" | format u32 | header length u32 | header crc32c u32 | header
//! { length u32 | crc32c u32, salted by the chunk's number | bytes } ...
//! 0 u32 | crc32c u32 of the trailer | chunks u64 | bytes u64
//! ```
//!
//! All numbers little endian; the header holds group, index, term and the configuration.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quorate_env::{Disk, DiskFile, OpenMode};

use crate::codec::{Reader, put_bytes, put_varint};
use crate::configuration::Configuration;
use crate::tail::SnapshotMark;
use crate::{GroupId, Index, Term};

const MAGIC: &[u8; 8] = b"QUORSNAP";
const FORMAT: u32 = 1;
/// Bytes of a full chunk.
const CHUNK_BYTES: usize = 256 * 1024;
/// A chunk's length can't be larger, so that a damaged one is not believed.
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES;
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Why a snapshot can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The device failed, or is full.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: String,
        /// What the device said.
        source: io::Error,
    },
    /// Written by another version.
    #[error("{file}: format {found}, this version knows {FORMAT}; use the version that wrote it")]
    Version {
        /// Which file.
        file: String,
        /// Its format.
        found: u32,
    },
    /// A checksum or a count is wrong. Nothing of it may be used.
    #[error("{file}: damaged at byte {offset}: {what}")]
    Damage {
        /// Which file.
        file: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// The snapshots of one group in one directory. Cheap to clone; may be used on another thread.
#[derive(Clone)]
pub struct SnapshotStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    group: GroupId,
}

impl std::fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotStore({})", self.dir.display())
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn failed(path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Io { file: name(path), source }
}

impl SnapshotStore {
    /// The snapshots in `dir`, which is created where missing. What a crash left half done is removed.
    ///
    /// # Errors
    /// The device failed.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, group: GroupId) -> Result<Self, SnapshotError> {
        let store = Self { disk, dir: dir.to_owned(), group };
        store.disk.create_dir_all(dir).map_err(|source| failed(dir, source))?;
        for file in store.list()? {
            if file.starts_with(&store.prefix()) && file.ends_with(".tmp") {
                let path = dir.join(file);
                store.disk.remove(&path).map_err(|source| failed(&path, source))?;
            }
        }
        Ok(store)
    }

    fn list(&self) -> Result<Vec<String>, SnapshotError> {
        self.disk.list(&self.dir).map_err(|source| failed(&self.dir, source))
    }

    fn prefix(&self) -> String {
        format!("snapshot-{}-", self.group)
    }

    /// Where the snapshot of `index` lies.
    pub fn path(&self, index: Index) -> PathBuf {
        self.dir.join(format!("{}{:020}", self.prefix(), index.0))
    }

    /// Where one is built or received, before it is named.
    pub fn temporary(&self, purpose: &str) -> PathBuf {
        self.dir.join(format!("{}{purpose}.tmp", self.prefix()))
    }

    /// The newest snapshot's index.
    ///
    /// # Errors
    /// The device failed.
    pub fn newest(&self) -> Result<Option<Index>, SnapshotError> {
        let files = self.list()?;
        let prefix = self.prefix();
        let indexes = files.iter().filter_map(|file| file.strip_prefix(&prefix)?.parse().ok());
        Ok(indexes.max().map(Index))
    }

    /// Removes all snapshots but the newest.
    ///
    /// # Errors
    /// The device failed.
    pub fn prune(&self) -> Result<(), SnapshotError> {
        let newest = self.newest()?;
        let prefix = self.prefix();
        for file in self.list()? {
            let index = file.strip_prefix(&prefix).and_then(|rest| rest.parse().ok()).map(Index);
            if index.is_some() && index < newest {
                let path = self.dir.join(file);
                match self.disk.remove(&path) {
                    // Another lane was here first.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(|source| failed(&path, source))?,
                }
            }
        }
        self.disk.sync_dir(&self.dir).map_err(|source| failed(&self.dir, source))
    }

    /// Creates the temporary file `path`, replacing one that was left there.
    pub(super) fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>, SnapshotError> {
        let create = || -> io::Result<Box<dyn DiskFile>> {
            if self.disk.exists(path)? {
                self.disk.remove(path)?;
            }
            self.disk.open(path, OpenMode::CreateNew)
        };
        create().map_err(|source| failed(path, source))
    }

    pub(super) fn open_file(&self, path: &Path) -> Result<Box<dyn DiskFile>, SnapshotError> {
        self.disk.open(path, OpenMode::Read).map_err(|source| failed(path, source))
    }

    /// Gives a finished, synced temporary file its name.
    ///
    /// # Errors
    /// The device failed.
    pub fn publish(&self, temporary: &Path, index: Index) -> Result<(), SnapshotError> {
        let path = self.path(index);
        self.disk.rename(temporary, &path).map_err(|source| failed(&path, source))?;
        self.disk.sync_dir(&self.dir).map_err(|source| failed(&self.dir, source))
    }

    /// Removes a temporary file that will not be finished.
    pub fn discard(&self, temporary: &Path) {
        if let Err(error) = self.disk.remove(temporary) {
            tracing::debug!(file = %temporary.display(), %error, "temporary snapshot not removed");
        }
    }

    /// Starts writing a snapshot.
    ///
    /// # Errors
    /// The device failed, or is full.
    pub fn writer(&self, mark: &SnapshotMark) -> Result<SnapshotWriter, SnapshotError> {
        let path = self.temporary("making");
        let file = self.create(&path)?;
        let (encoder, head) = SnapshotEncoder::start(self.group, mark);
        let (store, index) = (self.clone(), mark.index);
        let mut writer =
            SnapshotWriter { store, path, index, file, offset: 0, encoder, pending: head };
        writer.write_pending(0)?;
        Ok(writer)
    }

    /// Opens a snapshot file and checks its header.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn reader(&self, path: &Path) -> Result<SnapshotReader, SnapshotError> {
        let file = self.open_file(path)?;
        let mut reader = SnapshotReader {
            file,
            name: name(path),
            offset: 0,
            chunks: 0,
            bytes: 0,
            mark: SnapshotMark::default(),
        };
        reader.read_header(self.group)?;
        Ok(reader)
    }
}

/// A chunk's sum depends on its number: chunks can't change places.
fn chunk_sum(number: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), bytes)
}

/// Makes the bytes of a snapshot file, wherever they go.
pub struct SnapshotEncoder {
    chunk: Vec<u8>,
    chunks: u64,
    bytes: u64,
}

impl std::fmt::Debug for SnapshotEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotEncoder({} bytes)", self.bytes)
    }
}

impl SnapshotEncoder {
    /// Starts the snapshot `mark` of `group`, and what it begins with.
    pub fn start(group: GroupId, mark: &SnapshotMark) -> (Self, Vec<u8>) {
        let mut header = Vec::new();
        put_varint(&mut header, group.0);
        put_varint(&mut header, mark.index.0);
        put_varint(&mut header, mark.term.0);
        put_bytes(&mut header, &mark.configuration.encode());
        let mut out = Vec::with_capacity(CHUNK_BYTES + 4096);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&u32::try_from(header.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        out.extend_from_slice(&header);
        (Self { chunk: Vec::with_capacity(CHUNK_BYTES), chunks: 0, bytes: 0 }, out)
    }

    /// Takes content in; `out` gets the chunks that became full.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK_BYTES {
                self.end_chunk(out);
            }
        }
    }

    fn end_chunk(&mut self, out: &mut Vec<u8>) {
        if self.chunk.is_empty() {
            return;
        }
        out.extend_from_slice(&u32::try_from(self.chunk.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&chunk_sum(self.chunks, &self.chunk).to_le_bytes());
        out.extend_from_slice(&self.chunk);
        self.chunks += 1;
        self.chunk.clear();
    }

    /// The end of the snapshot.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        self.end_chunk(out);
        let trailer = [self.chunks.to_le_bytes(), self.bytes.to_le_bytes()].concat();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32c::crc32c(&trailer).to_le_bytes());
        out.extend_from_slice(&trailer);
    }
}

/// Writes a snapshot chunk by chunk.
pub struct SnapshotWriter {
    store: SnapshotStore,
    path: PathBuf,
    index: Index,
    file: Box<dyn DiskFile>,
    offset: u64,
    encoder: SnapshotEncoder,
    /// Encoded, not written.
    pending: Vec<u8>,
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotWriter({}, {:?})", self.path.display(), self.encoder)
    }
}

impl SnapshotWriter {
    /// Writes what is pending, if it is at least `enough`.
    fn write_pending(&mut self, enough: usize) -> Result<(), SnapshotError> {
        if self.pending.len() < enough.max(1) {
            return Ok(());
        }
        let written = self.file.write_at(&[IoSlice::new(&self.pending)], self.offset);
        written.map_err(|source| failed(&self.path, source))?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Appends content.
    ///
    /// # Errors
    /// The device failed, or is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.encoder.push(bytes, &mut self.pending);
        self.write_pending(CHUNK_BYTES)
    }

    /// Ends the snapshot: it is durable and has its name when this returns. Its size in bytes.
    ///
    /// # Errors
    /// The device failed, or is full.
    pub fn finish(mut self) -> Result<u64, SnapshotError> {
        self.encoder.end_chunk(&mut self.pending);
        self.write_pending(0)?;
        self.encoder.end(&mut self.pending);
        self.write_pending(0)?;
        self.file.sync_all().map_err(|source| failed(&self.path, source))?;
        self.store.publish(&self.path, self.index)?;
        Ok(self.offset)
    }

    /// Gives the snapshot up.
    pub fn abandon(self) {
        self.store.discard(&self.path);
    }
}

/// Reads a snapshot chunk by chunk; every byte is checked before it is given out.
pub struct SnapshotReader {
    file: Box<dyn DiskFile>,
    name: String,
    offset: u64,
    chunks: u64,
    bytes: u64,
    mark: SnapshotMark,
}

impl std::fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotReader({})", self.name)
    }
}

impl SnapshotReader {
    /// What it is a snapshot of.
    pub fn mark(&self) -> &SnapshotMark {
        &self.mark
    }

    /// The file's length.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn total_bytes(&self) -> Result<u64, SnapshotError> {
        self.file.len().map_err(|source| SnapshotError::Io { file: self.name.clone(), source })
    }

    /// How much of it was read.
    pub fn read_bytes(&self) -> u64 {
        self.offset
    }

    fn damage(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Damage { file: self.name.clone(), offset: self.offset, what }
    }

    fn read(&mut self, len: usize) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = vec![0; len];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let read = self.file.read_at(rest, self.offset + done as u64);
            let n = read.map_err(|source| SnapshotError::Io { file: self.name.clone(), source })?;
            if n == 0 {
                return Err(self.damage("ends too early"));
            }
            done += n;
        }
        self.offset += len as u64;
        Ok(bytes)
    }

    fn read_u32(&mut self) -> Result<u32, SnapshotError> {
        let bytes = self.read(4)?;
        let array =
            <[u8; 4]>::try_from(bytes.as_slice()).map_err(|_| self.damage("short number"))?;
        Ok(u32::from_le_bytes(array))
    }

    fn read_checked_header(&mut self) -> Result<Vec<u8>, SnapshotError> {
        let len = self.read_u32()? as usize;
        let sum = self.read_u32()?;
        if len > HEADER_BYTES_MAX {
            return Err(self.damage("header too long"));
        }
        let header = self.read(len)?;
        if crc32c::crc32c(&header) == sum {
            Ok(header)
        } else {
            Err(self.damage("header checksum"))
        }
    }

    fn read_header(&mut self, group: GroupId) -> Result<(), SnapshotError> {
        if self.read(8)? != MAGIC {
            return Err(self.damage("not a Quorate snapshot"));
        }
        let found = self.read_u32()?;
        let header = self.read_checked_header();
        if found != FORMAT {
            // Later formats salt the checksum with their number: who passes ours is of ours.
            return Err(match header {
                Ok(_) => self.damage("format number"),
                Err(_) => SnapshotError::Version { file: self.name.clone(), found },
            });
        }
        let header = header?;
        let mut reader = Reader::new(header.into());
        let mut parse = || -> Result<(u64, SnapshotMark), crate::codec::DecodeError> {
            let group = reader.varint()?;
            let (index, term) = (Index(reader.varint()?), Term(reader.varint()?));
            let configuration = Configuration::decode(reader.bytes()?)?;
            reader.end()?;
            Ok((group, SnapshotMark { index, term, configuration }))
        };
        let (of, mark) = parse().map_err(|_| self.damage("header content"))?;
        if of != group.0 {
            return Err(self.damage("of another group"));
        }
        self.mark = mark;
        Ok(())
    }

    /// The next chunk; `None` behind the last, when the counts are right as well.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, SnapshotError> {
        let len = self.read_u32()? as usize;
        let sum = self.read_u32()?;
        if len == 0 {
            let trailer = self.read(16)?;
            let counts = [self.chunks.to_le_bytes(), self.bytes.to_le_bytes()].concat();
            if crc32c::crc32c(&trailer) != sum || trailer != counts {
                return Err(self.damage("trailer"));
            }
            return Ok(None);
        }
        if len > CHUNK_BYTES_MAX {
            return Err(self.damage("chunk too long"));
        }
        let chunk = self.read(len)?;
        if chunk_sum(self.chunks, &chunk) != sum {
            return Err(self.damage("chunk checksum"));
        }
        self.chunks += 1;
        self.bytes += len as u64;
        Ok(Some(chunk.into()))
    }
}

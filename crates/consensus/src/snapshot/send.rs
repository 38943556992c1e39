//! The sender's side: the snapshot file in pieces, as they travel.

use bytes::Bytes;
use quorate_env::DiskFile;

use super::{SnapshotError, SnapshotStore};
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::{GroupId, Index, Term};

/// Bytes of the file in one piece.
pub const PIECE_BYTES: usize = 256 * 1024;

/// A piece of a snapshot file on its way; the frame around it carries the checksum, and the file has
/// its own for the whole way from disk to disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of which group.
    pub group: GroupId,
    /// The sender's term.
    pub term: Term,
    /// The snapshot's last entry.
    pub index: Index,
    /// Tells one transfer from another of the same snapshot.
    pub transfer: u64,
    /// Where the piece lies in the file.
    pub offset: u64,
    /// The file's length. Where it is not known before its end, the largest number, but for the last piece.
    pub total_bytes: u64,
    /// The piece.
    pub bytes: Bytes,
}

impl Piece {
    /// Appends the bytes that travel.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for number in
            [self.group.0, self.term.0, self.index.0, self.transfer, self.offset, self.total_bytes]
        {
            put_varint(out, number);
        }
        put_bytes(out, &self.bytes);
    }

    /// Reads what [`Piece::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are not a piece.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let piece = Self {
            group: GroupId(reader.varint()?),
            term: Term(reader.varint()?),
            index: Index(reader.varint()?),
            transfer: reader.varint()?,
            offset: reader.varint()?,
            total_bytes: reader.varint()?,
            bytes: reader.bytes()?,
        };
        reader.end()?;
        Ok(piece)
    }

    /// True for the last piece of its file.
    pub fn is_last(&self) -> bool {
        self.offset.saturating_add(self.bytes.len() as u64) >= self.total_bytes
    }
}

/// Appends the answer to a transfer.
pub fn encode_done(out: &mut Vec<u8>, group: GroupId, transfer: u64, arrived: bool) {
    put_varint(out, group.0);
    put_varint(out, transfer);
    out.push(u8::from(arrived));
}

/// Reads the answer to a transfer: group, transfer, arrived.
///
/// # Errors
/// The bytes are not an answer.
pub fn decode_done(bytes: Bytes) -> Result<(GroupId, u64, bool), DecodeError> {
    let mut reader = Reader::new(bytes);
    let done = (GroupId(reader.varint()?), reader.varint()?, reader.bool()?);
    reader.end()?;
    Ok(done)
}

/// Reads a snapshot file piece by piece. Blocks: use it on a lane.
pub struct PieceSource {
    file: Box<dyn DiskFile>,
    name: String,
    total_bytes: u64,
    offset: u64,
}

impl std::fmt::Debug for PieceSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PieceSource({}, at {})", self.name, self.offset)
    }
}

impl PieceSource {
    /// Opens the snapshot of `index`.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn open(store: &SnapshotStore, index: Index) -> Result<Self, SnapshotError> {
        let path = store.path(index);
        let file = store.open_file(&path)?;
        let name = path.display().to_string();
        let total_bytes =
            file.len().map_err(|source| SnapshotError::Io { file: name.clone(), source })?;
        Ok(Self { file, name, total_bytes, offset: 0 })
    }

    /// The file's length.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The next piece and its offset; `None` behind the last.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn next_piece(&mut self) -> Result<Option<(u64, Bytes)>, SnapshotError> {
        if self.offset >= self.total_bytes {
            return Ok(None);
        }
        let left = usize::try_from(self.total_bytes - self.offset).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(PIECE_BYTES)];
        let read = self.file.read_at(&mut bytes, self.offset);
        let n = read.map_err(|source| SnapshotError::Io { file: self.name.clone(), source })?;
        if n == 0 {
            let (file, offset) = (self.name.clone(), self.offset);
            return Err(SnapshotError::Damage { file, offset, what: "ends too early" });
        }
        bytes.truncate(n);
        let at = self.offset;
        self.offset += n as u64;
        Ok(Some((at, bytes.into())))
    }
}

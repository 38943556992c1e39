//! The receiver's side: pieces into a temporary file, in order, checked as a whole at the end.

use std::io::IoSlice;
use std::path::PathBuf;

use quorate_env::DiskFile;

use super::{Piece, SnapshotError, SnapshotStore};
use crate::{Index, NodeId, Term};

/// A snapshot file that has arrived and is durable under its temporary name. Its content is not
/// checked yet: read it once with [`SnapshotStore::reader`], then publish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// From whom.
    pub from: NodeId,
    /// The sender's term.
    pub term: Term,
    /// The snapshot's last entry.
    pub index: Index,
    /// The transfer to answer.
    pub transfer: u64,
    /// The file.
    pub path: PathBuf,
}

/// Which transfer is being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    from: NodeId,
    transfer: u64,
    next_offset: u64,
}

/// Receives one snapshot at a time. Blocks: use it on a lane.
pub struct Receiver {
    store: SnapshotStore,
    incoming: Option<Incoming>,
    file: Option<Box<dyn DiskFile>>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receiver({:?})", self.incoming)
    }
}

impl Receiver {
    /// Nothing received yet.
    pub fn new(store: SnapshotStore) -> Self {
        Self { store, incoming: None, file: None }
    }

    fn path(&self) -> PathBuf {
        self.store.temporary("receiving")
    }

    /// Takes a piece; the arrival when it was the last. A piece out of order ends its transfer: the
    /// sender has lost one and begins anew.
    ///
    /// # Errors
    /// The device failed, or is full; the transfer has ended.
    pub fn take(&mut self, from: NodeId, piece: &Piece) -> Result<Option<Arrival>, SnapshotError> {
        if piece.offset == 0 {
            self.file = Some(self.store.create(&self.path())?);
            self.incoming = Some(Incoming { from, transfer: piece.transfer, next_offset: 0 });
        }
        let expected = Incoming { from, transfer: piece.transfer, next_offset: piece.offset };
        let Some(file) = self.file.as_ref().filter(|_| self.incoming == Some(expected)) else {
            return Ok(None);
        };
        let io = |source| SnapshotError::Io { file: self.path().display().to_string(), source };
        let mut written = file.write_at(&[IoSlice::new(&piece.bytes)], piece.offset);
        if written.is_ok() && piece.is_last() {
            written = file.sync_all();
        }
        if let Err(source) = written {
            let error = io(source);
            self.give_up();
            return Err(error);
        }
        let next_offset = piece.offset + piece.bytes.len() as u64;
        self.incoming = Some(Incoming { next_offset, ..expected });
        if !piece.is_last() {
            return Ok(None);
        }
        (self.incoming, self.file) = (None, None);
        let Piece { term, index, transfer, .. } = *piece;
        Ok(Some(Arrival { from, term, index, transfer, path: self.path() }))
    }

    fn give_up(&mut self) {
        (self.incoming, self.file) = (None, None);
        self.store.discard(&self.path());
    }
}

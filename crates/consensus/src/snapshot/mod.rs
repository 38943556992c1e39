//! Snapshots: a frozen state as one durable, checksummed file, and its way to another member.
//!
//! A file becomes visible only whole: temporary name, sync, rename, directory sync. Only then may the
//! log be cut. What the bytes mean is the node room's business.

mod file;
mod receive;
mod send;

pub use file::{SnapshotEncoder, SnapshotError, SnapshotReader, SnapshotStore, SnapshotWriter};
pub use receive::{Arrival, Incoming, Receiver};
pub use send::{PIECE_BYTES, Piece, PieceSource, decode_done, encode_done};

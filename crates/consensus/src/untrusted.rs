//! One door for fuzzers: bytes from a wire or a disk through every decoder of this room.
//!
//! Each decoder must refuse or understand; none may panic, loop or allocate more than it was given.

use bytes::{Bytes, BytesMut};

use crate::codec::Reader;
use crate::configuration::{Change, Configuration};
use crate::message;
use crate::peers;
use crate::snapshot::{Piece, decode_done};

/// Feeds `bytes` to every decoder of peers' and snapshots' bytes; how many took them.
pub fn decode_everything(bytes: &[u8]) -> usize {
    let shared = Bytes::copy_from_slice(bytes);
    let mut taken = usize::from(message::decode(shared.clone()).is_ok());
    taken += usize::from(Change::decode(shared.clone()).is_ok());
    taken += usize::from(Configuration::decode(shared.clone()).is_ok());
    taken += usize::from(Piece::decode(shared.clone()).is_ok());
    taken += usize::from(decode_done(shared.clone()).is_ok());
    taken += peers::decode_handshake(&shared);
    taken += peers::decode_frames(&mut BytesMut::from(bytes));
    let mut reader = Reader::new(shared);
    while reader.left() > 0 && reader.text().is_ok() {
        taken += 1;
    }
    taken
}

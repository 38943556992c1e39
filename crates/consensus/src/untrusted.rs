//! One door for fuzzers: bytes from a wire or a disk through every decoder of this room.
//!
//! Each decoder must refuse or understand; none may panic, loop or allocate more than it was given.

use bytes::{Bytes, BytesMut};

use crate::codec::Reader;
use crate::configuration::{Change, Configuration};
use crate::message;
use crate::peers;
use crate::snapshot::{Piece, decode_done, encode_done};

/// What `decode` makes of `bytes`, `encode` makes bytes of that mean the same. 1 where it makes something of them.
///
/// # Panics
/// They do not.
fn come_back<T: std::fmt::Debug, E>(
    bytes: &Bytes,
    decode: impl Fn(Bytes) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> usize {
    let Ok(first) = decode(bytes.clone()) else { return 0 };
    let second = decode(encode(&first).into()).ok().map(|again| format!("{again:?}"));
    assert_eq!(second, Some(format!("{first:?}")), "it comes back as something else");
    1
}

/// Feeds `bytes` to every decoder of peers' and snapshots' bytes; how many took them.
///
/// # Panics
/// What was understood is something else when it is encoded and decoded again.
pub fn decode_everything(bytes: &[u8]) -> usize {
    let shared = Bytes::copy_from_slice(bytes);
    let mut taken = come_back(&shared, message::decode, |message| {
        let mut out = Vec::new();
        message::encode(message, &mut out);
        out
    });
    taken += come_back(&shared, Change::decode, |change| change.encode().to_vec());
    taken += come_back(&shared, Configuration::decode, Configuration::encode);
    taken += come_back(&shared, Piece::decode, |piece| {
        let mut out = Vec::new();
        piece.encode(&mut out);
        out
    });
    taken += come_back(&shared, decode_done, |(group, transfer, arrived)| {
        let mut out = Vec::new();
        encode_done(&mut out, *group, *transfer, *arrived);
        out
    });
    taken += peers::decode_handshake(&shared);
    taken += peers::decode_frames(&mut BytesMut::from(bytes));
    let mut reader = Reader::new(shared);
    while reader.left() > 0 && reader.text().is_ok() {
        taken += 1;
    }
    taken
}

//! Replies as bytes, for the idempotency table and between members: a numbered tag, then what belongs to it.

use std::borrow::Cow;

use bytes::Bytes;
use quorate_api::limits::NESTING_MAX;
use quorate_api::{ErrorCode, Reply};

use crate::codec::{Decoder, put_slice};

/// Tags; never changed, never reused.
const OK: u8 = 1;
const SIMPLE: u8 = 2;
const ERROR: u8 = 3;
const INT: u8 = 4;
const BULK: u8 = 5;
const NIL: u8 = 6;
const NIL_ARRAY: u8 = 7;
const ARRAY: u8 = 8;
const MAP: u8 = 9;
const SET: u8 = 10;
const DOUBLE: u8 = 11;
const BOOL: u8 = 12;
const VERBATIM: u8 = 13;

/// Appends `reply`; false, with some of it appended, when it would pass `bytes_max`.
pub fn encode(reply: &Reply, out: &mut Vec<u8>, bytes_max: usize) -> bool {
    let variable = match reply {
        Reply::Simple(text) => text.len(),
        Reply::Error(error) => error.message.len(),
        Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => bytes.len(),
        _ => 0,
    };
    if out.len() + variable > bytes_max {
        return false;
    }
    match reply {
        Reply::Ok => out.push(OK),
        Reply::Simple(text) => put_tagged(out, SIMPLE, text.as_bytes()),
        Reply::Error(error) => {
            out.extend_from_slice(&[ERROR, error.code as u8]);
            put_slice(out, error.message.as_bytes());
        }
        Reply::Int(number) => {
            out.push(INT);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Reply::Bulk(bytes) => put_tagged(out, BULK, bytes),
        Reply::Nil => out.push(NIL),
        Reply::NilArray => out.push(NIL_ARRAY),
        Reply::Array(items) => {
            return put_items(out, ARRAY, items.len(), &mut items.iter(), bytes_max);
        }
        Reply::Map(pairs) => {
            let mut items = pairs.iter().flat_map(|(key, value)| [key, value]);
            return put_items(out, MAP, pairs.len(), &mut items, bytes_max);
        }
        Reply::Set(items) => return put_items(out, SET, items.len(), &mut items.iter(), bytes_max),
        Reply::Double(number) => {
            out.push(DOUBLE);
            out.extend_from_slice(&number.to_bits().to_be_bytes());
        }
        Reply::Bool(truth) => out.extend_from_slice(&[BOOL, u8::from(*truth)]),
        Reply::Verbatim(format, bytes) => {
            out.push(VERBATIM);
            out.extend_from_slice(format);
            put_slice(out, bytes);
        }
    }
    true
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_slice(out, bytes);
}

fn put_items(
    out: &mut Vec<u8>,
    tag: u8,
    count: usize,
    items: &mut dyn Iterator<Item = &Reply>,
    bytes_max: usize,
) -> bool {
    let Ok(count) = u32::try_from(count) else { return false };
    out.push(tag);
    out.extend_from_slice(&count.to_be_bytes());
    for item in items {
        if !encode(item, out, bytes_max) {
            return false;
        }
    }
    true
}

/// The reply in `bytes`, all of them; `None` for what [`encode`] never wrote.
pub fn decode(bytes: &[u8]) -> Option<Reply> {
    let mut decoder = Decoder::new(bytes);
    let reply = decode_nested(&mut decoder, NESTING_MAX)?;
    decoder.is_empty().then_some(reply)
}

fn decode_nested(decoder: &mut Decoder<'_>, nesting: usize) -> Option<Reply> {
    let nesting = nesting.checked_sub(1)?;
    let reply = match decoder.u8()? {
        OK => Reply::Ok,
        SIMPLE => Reply::Simple(text(decoder)?),
        ERROR => {
            let code = ErrorCode::from_u8(decoder.u8()?)?;
            Reply::error(code, text(decoder)?)
        }
        INT => Reply::Int(decoder.u64()?.cast_signed()),
        BULK => Reply::bulk(decoder.slice()?),
        NIL => Reply::Nil,
        NIL_ARRAY => Reply::NilArray,
        ARRAY => Reply::Array(items(decoder, 1, nesting)?),
        MAP => {
            let mut pairs = Vec::new();
            let mut flat = items(decoder, 2, nesting)?.into_iter();
            while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                pairs.push((key, value));
            }
            Reply::Map(pairs)
        }
        SET => Reply::Set(items(decoder, 1, nesting)?),
        DOUBLE => Reply::Double(f64::from_bits(decoder.u64()?)),
        BOOL => Reply::Bool(match decoder.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        }),
        VERBATIM => {
            let format = decoder.take(3)?.try_into().ok()?;
            Reply::Verbatim(format, Bytes::copy_from_slice(decoder.slice()?))
        }
        _ => return None,
    };
    Some(reply)
}

fn items(decoder: &mut Decoder<'_>, each: u64, nesting: usize) -> Option<Vec<Reply>> {
    // Nothing is reserved by a count that was read: each item must prove that it is there.
    let count = u64::from(decoder.u32()?) * each;
    (0..count).map(|_| decode_nested(decoder, nesting)).collect()
}

fn text(decoder: &mut Decoder<'_>) -> Option<Cow<'static, str>> {
    let text = std::str::from_utf8(decoder.slice()?).ok()?;
    Some(Cow::Owned(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(encode(reply, &mut bytes, usize::MAX));
        bytes
    }

    fn every_kind() -> Vec<(Reply, &'static [u8])> {
        let bulk = || Reply::bulk(b"x");
        vec![
            (Reply::Ok, b"\x01"),
            (Reply::Simple("PONG".into()), b"\x02\0\0\0\x04PONG"),
            (Reply::err("no"), b"\x03\x01\0\0\0\x02no"),
            (Reply::error(ErrorCode::Conflict, "no"), b"\x03\x08\0\0\0\x02no"),
            (Reply::Int(-2), b"\x04\xff\xff\xff\xff\xff\xff\xff\xfe"),
            (bulk(), b"\x05\0\0\0\x01x"),
            (Reply::Nil, b"\x06"),
            (Reply::NilArray, b"\x07"),
            (Reply::Array(vec![Reply::Ok, Reply::Nil]), b"\x08\0\0\0\x02\x01\x06"),
            (Reply::Map(vec![(bulk(), Reply::Ok)]), b"\x09\0\0\0\x01\x05\0\0\0\x01x\x01"),
            (Reply::Set(vec![Reply::Ok]), b"\x0a\0\0\0\x01\x01"),
            (Reply::Double(1.5), b"\x0b\x3f\xf8\0\0\0\0\0\0"),
            (Reply::Bool(true), b"\x0c\x01"),
            (Reply::Verbatim(*b"txt", Bytes::from_static(b"x")), b"\x0dtxt\0\0\0\x01x"),
        ]
    }

    #[test]
    fn every_kind_of_reply_has_its_documented_bytes_and_comes_back() {
        for (reply, bytes) in every_kind() {
            assert_eq!(encoded(&reply), bytes, "{reply:?}");
            assert_eq!(decode(bytes), Some(reply));
        }
    }

    #[test]
    fn truncated_or_prolonged_bytes_are_refused() {
        for (_, bytes) in every_kind() {
            for len in 0..bytes.len() {
                assert_eq!(decode(&bytes[..len]), None, "{bytes:?} cut to {len}");
            }
            assert_eq!(decode(&[bytes, b"\0"].concat()), None);
        }
        assert_eq!(decode(b"\xff"), None);
        assert_eq!(decode(b"\x0c\x02"), None);
        assert_eq!(decode(b"\x08\xff\xff\xff\xff\x01"), None);
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let nested = |depth: usize| [b"\x08\0\0\0\x01".repeat(depth), b"\x01".to_vec()].concat();
        assert!(decode(&nested(NESTING_MAX - 1)).is_some());
        assert!(decode(&nested(NESTING_MAX)).is_none());
    }

    #[test]
    fn a_reply_beyond_the_given_bytes_is_not_encoded() {
        let items = vec![Reply::bulk(&[b'x'; 100]); 10];
        assert!(!encode(&Reply::Array(items), &mut Vec::new(), 500));
    }
}

//! A reply as a client owns it, and its incremental decoder.

use bytes::Bytes;
use quorate_api::limits::{INLINE_BYTES_MAX, NESTING_MAX};

/// The largest bulk string that a client accepts (as Redis).
const BULK_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Items of an aggregate for which memory is reserved before they arrive.
const ITEMS_RESERVED_MAX: usize = 1024;

/// A reply of either version of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`.
    Simple(String),
    /// `-ERR ...`, with its first word.
    Error(String),
    /// A number.
    Int(i64),
    /// Bytes.
    Bulk(Bytes),
    /// No value, of any kind.
    Nil,
    /// A list.
    Array(Vec<Self>),
    /// Pairs (RESP3).
    Map(Vec<(Self, Self)>),
    /// A set (RESP3).
    Set(Vec<Self>),
    /// What the server says unasked (RESP3).
    Push(Vec<Self>),
    /// A floating point number (RESP3).
    Double(f64),
    /// A truth value (RESP3).
    Bool(bool),
    /// Text with its three-letter format (RESP3).
    Verbatim(String, Bytes),
    /// A number of any size (RESP3).
    BigNumber(String),
}

/// What a first byte tells that begins no reply.
fn strange(byte: u8) -> String {
    if byte == b'H' {
        return "the answer is HTTP, not the Redis protocol: that port takes HTTP only".to_owned();
    }
    format!("unexpected byte {byte:#04x} at the start of a reply")
}

/// Bytes that are no reply. The connection can't be understood any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A byte that begins no reply.
    #[error("{}", strange(*.0))]
    Kind(u8),
    /// A line that does not say what it should.
    #[error("malformed reply line")]
    Line,
    /// A line without an end.
    #[error("reply line too long")]
    LongLine,
    /// A bulk string beyond every limit.
    #[error("reply too large")]
    TooLarge,
    /// Aggregates within aggregates beyond the limit.
    #[error("reply nested too deeply")]
    TooDeep,
}

/// An aggregate under way.
#[derive(Debug)]
struct Frame {
    kind: u8,
    missing: usize,
    items: Vec<Value>,
}

/// Decodes one reply after the other, remembering how far it came.
#[derive(Debug, Default)]
pub struct Decoder {
    frames: Vec<Frame>,
}

/// An element without the aggregates around it.
enum Element {
    Value(Value),
    Frame(Frame),
}

impl Decoder {
    /// At a reply's start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what it can from `input` and says how many bytes that were, and the reply when it is
    /// complete. Bytes that were taken must not be handed in again.
    ///
    /// # Errors
    /// The bytes are no reply.
    pub fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Value>), ValueError> {
        let mut taken = 0;
        while let Some((length, element)) = element(input.get(taken..).unwrap_or_default())? {
            taken += length;
            let mut value = match element {
                Element::Frame(frame) if frame.missing > 0 => {
                    if self.frames.len() >= NESTING_MAX {
                        return Err(ValueError::TooDeep);
                    }
                    self.frames.push(frame);
                    continue;
                }
                Element::Frame(frame) => close(frame),
                Element::Value(value) => value,
            };
            // A value may complete the aggregate around it, and that the one around it.
            loop {
                let Some(mut frame) = self.frames.pop() else { return Ok((taken, Some(value))) };
                frame.items.push(value);
                frame.missing -= 1;
                if frame.missing > 0 {
                    self.frames.push(frame);
                    break;
                }
                value = close(frame);
            }
        }
        Ok((taken, None))
    }
}

/// The value of a complete aggregate.
fn close(frame: Frame) -> Value {
    match frame.kind {
        b'%' => {
            let mut pairs = Vec::with_capacity(frame.items.len() / 2);
            let mut items = frame.items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
        b'~' => Value::Set(frame.items),
        b'>' => Value::Push(frame.items),
        _ => Value::Array(frame.items),
    }
}

/// The element at the start of `input` and its length; `None` when it has not arrived in full.
fn element(input: &[u8]) -> Result<Option<(usize, Element)>, ValueError> {
    let Some((&kind, rest)) = input.split_first() else { return Ok(None) };
    let Some(end) = rest.iter().take(INLINE_BYTES_MAX).position(|byte| *byte == b'\r') else {
        return if rest.len() >= INLINE_BYTES_MAX { Err(ValueError::LongLine) } else { Ok(None) };
    };
    let line = rest.get(..end).unwrap_or_default();
    match rest.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(ValueError::Line),
    }
    let length = end + 3;
    let value = match kind {
        b'+' => Value::Simple(text(line)),
        b'-' => Value::Error(text(line)),
        b':' => Value::Int(number(line)?),
        b'_' => Value::Nil,
        b',' => Value::Double(double(line)?),
        b'#' => Value::Bool(line == b"t"),
        b'(' => Value::BigNumber(text(line)),
        b'$' | b'=' | b'!' => return bulk(kind, line, input, length),
        b'*' | b'%' | b'~' | b'>' => {
            let Ok(count) = usize::try_from(number(line)?) else {
                return Ok(Some((length, Element::Value(Value::Nil))));
            };
            let missing = if kind == b'%' { count.saturating_mul(2) } else { count };
            let items = Vec::with_capacity(missing.min(ITEMS_RESERVED_MAX));
            return Ok(Some((length, Element::Frame(Frame { kind, missing, items }))));
        }
        other => return Err(ValueError::Kind(other)),
    };
    Ok(Some((length, Element::Value(value))))
}

/// A bulk string, verbatim text or bulk error whose header takes `length` bytes.
fn bulk(
    kind: u8,
    line: &[u8],
    input: &[u8],
    length: usize,
) -> Result<Option<(usize, Element)>, ValueError> {
    let Ok(count) = usize::try_from(number(line)?) else {
        return Ok(Some((length, Element::Value(Value::Nil))));
    };
    if count > BULK_BYTES_MAX {
        return Err(ValueError::TooLarge);
    }
    let end = length + count;
    match input.get(end..end + 2) {
        None => return Ok(None),
        Some(b"\r\n") => {}
        Some(_) => return Err(ValueError::Line),
    }
    let bytes = input.get(length..end).unwrap_or_default();
    let value = match (kind, bytes) {
        (b'=', [a, b, c, b':', rest @ ..]) => {
            Value::Verbatim(text(&[*a, *b, *c]), Bytes::copy_from_slice(rest))
        }
        (b'!', bytes) => Value::Error(text(bytes)),
        (_, bytes) => Value::Bulk(Bytes::copy_from_slice(bytes)),
    };
    Ok(Some((end + 2, Element::Value(value))))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn number(line: &[u8]) -> Result<i64, ValueError> {
    str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(ValueError::Line)
}

fn double(line: &[u8]) -> Result<f64, ValueError> {
    str::from_utf8(line).ok().and_then(|text| text.parse().ok()).ok_or(ValueError::Line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All replies in `input`, handed in byte by byte.
    fn decode(input: &[u8]) -> Result<Vec<Value>, ValueError> {
        let (mut decoder, mut values, mut held) = (Decoder::new(), Vec::new(), Vec::new());
        for byte in input {
            held.push(*byte);
            let (taken, value) = decoder.decode(&held)?;
            drop(held.drain(..taken));
            values.extend(value);
        }
        Ok(values)
    }

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn an_answer_in_http_is_known_for_what_it_is() {
        let error = decode(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
        assert!(error.to_string().contains("that port takes HTTP only"), "{error}");
        assert_eq!(
            ValueError::Kind(b'x').to_string(),
            "unexpected byte 0x78 at the start of a reply"
        );
    }

    #[test]
    fn every_kind_of_reply_is_understood_byte_by_byte() {
        let input = b"+OK\r\n-ERR no\r\n:-7\r\n$2\r\nhi\r\n$0\r\n\r\n$-1\r\n*-1\r\n_\r\n,1.5\r\n,inf\r\n#t\r\n#f\r\n(123\r\n=6\r\ntxt:hi\r\n!5\r\nERR x\r\n*0\r\n";
        let expected = vec![
            Value::Simple("OK".into()),
            Value::Error("ERR no".into()),
            Value::Int(-7),
            bulk("hi"),
            bulk(""),
            Value::Nil,
            Value::Nil,
            Value::Nil,
            Value::Double(1.5),
            Value::Double(f64::INFINITY),
            Value::Bool(true),
            Value::Bool(false),
            Value::BigNumber("123".into()),
            Value::Verbatim("txt".into(), Bytes::from_static(b"hi")),
            Value::Error("ERR x".into()),
            Value::Array(vec![]),
        ];
        assert_eq!(decode(input), Ok(expected));
    }

    #[test]
    fn aggregates_nest() {
        let input = b"*2\r\n%1\r\n+a\r\n~2\r\n:1\r\n*0\r\n>1\r\n$1\r\nx\r\n";
        let map = Value::Map(vec![(
            Value::Simple("a".into()),
            Value::Set(vec![Value::Int(1), Value::Array(vec![])]),
        )]);
        assert_eq!(decode(input), Ok(vec![Value::Array(vec![map, Value::Push(vec![bulk("x")])])]));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        assert_eq!(decode(b"hello\r\n"), Err(ValueError::Kind(b'h')));
        assert_eq!(decode(b":x\r\n"), Err(ValueError::Line));
        assert_eq!(decode(b"$1\r\nabc"), Err(ValueError::Line));
        assert_eq!(decode(b"$999999999999\r\n"), Err(ValueError::TooLarge));
        assert_eq!(decode(&b"*1\r\n".repeat(NESTING_MAX + 1)), Err(ValueError::TooDeep));
        assert!(decode(&b"*1\r\n".repeat(NESTING_MAX)).is_ok());
    }

    #[test]
    fn a_large_count_reserves_little() {
        assert_eq!(decode(b"*9223372036854775807\r\n:1\r\n"), Ok(vec![]));
        assert_eq!(decode(b"%9223372036854775807\r\n:1\r\n"), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(input in "[-+:$*%~>=!,#_(0-9a-z\r\n]{0,80}") {
            drop(decode(input.as_bytes()));
        }
    }
}

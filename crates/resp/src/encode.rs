//! Replies to bytes, for either version of the protocol, appended to a buffer that is used again.

use quorate_api::{Answer, Reply};

use crate::error;

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The one every client knows.
    #[default]
    Resp2,
    /// With maps, sets, doubles and one null; asked for by HELLO 3.
    Resp3,
}

impl Protocol {
    /// 2 or 3.
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Appends a reply, or a failure of the node.
pub fn put_answer(out: &mut Vec<u8>, protocol: Protocol, answer: &Answer) {
    match answer {
        Ok(reply) => put(out, protocol, reply),
        Err(failure) => error::put_failure(out, failure),
    }
}

/// Appends a reply.
pub fn put(out: &mut Vec<u8>, protocol: Protocol, reply: &Reply) {
    let resp3 = protocol == Protocol::Resp3;
    match reply {
        Reply::Ok => out.extend_from_slice(b"+OK\r\n"),
        Reply::Bulk(bytes) => put_bulk(out, bytes),
        Reply::Int(number) => put_integer(out, *number),
        Reply::Nil => out.extend_from_slice(if resp3 { b"_\r\n" } else { b"$-1\r\n" }),
        Reply::NilArray => out.extend_from_slice(if resp3 { b"_\r\n" } else { b"*-1\r\n" }),
        Reply::Simple(text) => {
            out.push(b'+');
            error::put_line(out, &**text);
        }
        Reply::Error(failure) => error::put_reply(out, failure),
        Reply::Array(items) => put_items(out, protocol, b'*', items),
        Reply::Set(items) => put_items(out, protocol, if resp3 { b'~' } else { b'*' }, items),
        Reply::Map(pairs) => {
            let (kind, count) = if resp3 { (b'%', pairs.len()) } else { (b'*', pairs.len() * 2) };
            put_header(out, kind, count);
            for (key, value) in pairs {
                put(out, protocol, key);
                put(out, protocol, value);
            }
        }
        Reply::Double(number) if resp3 => {
            out.push(b',');
            out.extend_from_slice(double(*number).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Reply::Double(number) => put_bulk(out, double(*number).as_bytes()),
        Reply::Bool(truth) => out.extend_from_slice(match (resp3, truth) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        }),
        Reply::Verbatim(format, bytes) if resp3 => {
            put_header(out, b'=', bytes.len() + 4);
            out.extend_from_slice(format);
            out.push(b':');
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Verbatim(_, bytes) => put_bulk(out, bytes),
    }
}

fn put_items(out: &mut Vec<u8>, protocol: Protocol, kind: u8, items: &[Reply]) {
    put_header(out, kind, items.len());
    for item in items {
        put(out, protocol, item);
    }
}

/// Appends a bulk string.
pub(crate) fn put_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    put_header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a type byte, a count and CR LF.
pub(crate) fn put_header(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    put_digits(out, count as u64);
    out.extend_from_slice(b"\r\n");
}

fn put_integer(out: &mut Vec<u8>, number: i64) {
    out.push(b':');
    if number < 0 {
        out.push(b'-');
    }
    put_digits(out, number.unsigned_abs());
    out.extend_from_slice(b"\r\n");
}

/// Decimal digits; the formatting machinery costs several times as much.
#[inline]
fn put_digits(out: &mut Vec<u8>, number: u64) {
    if let Ok(small @ 0..10) = u8::try_from(number) {
        out.push(b'0' + small);
        return;
    }
    let mut digits = [0; 20];
    let mut rest = number;
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// A double as Redis 7.2 prints it: the shortest digits that read back the same.
pub(crate) fn double(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = mantissa.chars().filter(char::is_ascii_digit).count();
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    // `trailing` zeros or, negative, digits behind the point: the rule of Redis' fpconv.
    let trailing = exponent + 1 - digits;
    let plain =
        if trailing >= 0 { exponent < digits + 7 } else { trailing > -7 || exponent.abs() < 4 };
    if plain {
        return format!("{number}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{}", exponent.abs())
}

/// About how many bytes `reply` takes; exact enough to refuse before memory is spent.
pub(crate) fn bytes(reply: &Reply) -> usize {
    /// More than any header.
    const HEADER_BYTES: usize = 24;
    HEADER_BYTES
        + match reply {
            Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => bytes.len(),
            Reply::Array(items) | Reply::Set(items) => items.iter().map(bytes).sum(),
            Reply::Map(pairs) => pairs.iter().map(|(key, value)| bytes(key) + bytes(value)).sum(),
            Reply::Simple(text) => text.len(),
            Reply::Error(error) => error.message.len(),
            Reply::Ok
            | Reply::Int(_)
            | Reply::Nil
            | Reply::NilArray
            | Reply::Double(_)
            | Reply::Bool(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn both(reply: &Reply) -> [String; 2] {
        [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
            let mut out = Vec::new();
            put(&mut out, protocol, reply);
            assert!(out.len() <= bytes(reply));
            out.escape_ascii().to_string()
        })
    }

    #[test]
    fn every_reply_has_its_form_in_both_versions() {
        let one = || vec![Reply::Int(1)];
        let cases: [(Reply, &str, &str); 17] = [
            (Reply::Ok, r"+OK\r\n", r"+OK\r\n"),
            (Reply::Simple("a\nb".into()), r"+a b\r\n", r"+a b\r\n"),
            (Reply::wrong_type(), WRONGTYPE, WRONGTYPE),
            (Reply::Int(i64::MIN), r":-9223372036854775808\r\n", r":-9223372036854775808\r\n"),
            (Reply::Int(120), r":120\r\n", r":120\r\n"),
            (Reply::bulk(b"a\r\n"), r"$3\r\na\r\n\r\n", r"$3\r\na\r\n\r\n"),
            (Reply::bulk(b""), r"$0\r\n\r\n", r"$0\r\n\r\n"),
            (Reply::Nil, r"$-1\r\n", r"_\r\n"),
            (Reply::NilArray, r"*-1\r\n", r"_\r\n"),
            (Reply::Array(one()), r"*1\r\n:1\r\n", r"*1\r\n:1\r\n"),
            (Reply::Set(one()), r"*1\r\n:1\r\n", r"~1\r\n:1\r\n"),
            (
                Reply::Map(vec![(Reply::Ok, Reply::Nil)]),
                r"*2\r\n+OK\r\n$-1\r\n",
                r"%1\r\n+OK\r\n_\r\n",
            ),
            (Reply::Double(1.5), r"$3\r\n1.5\r\n", r",1.5\r\n"),
            (Reply::Double(f64::NEG_INFINITY), r"$4\r\n-inf\r\n", r",-inf\r\n"),
            (Reply::Bool(true), r":1\r\n", r"#t\r\n"),
            (Reply::Bool(false), r":0\r\n", r"#f\r\n"),
            (
                Reply::Verbatim(*b"txt", Bytes::from_static(b"hi")),
                r"$2\r\nhi\r\n",
                r"=6\r\ntxt:hi\r\n",
            ),
        ];
        for (reply, resp2, resp3) in cases {
            assert_eq!(both(&reply), [resp2, resp3], "{reply:?}");
        }
    }

    const WRONGTYPE: &str =
        r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

    #[test]
    fn doubles_are_printed_as_redis_does() {
        let cases = [
            (0.0, "0"),
            (3.0, "3"),
            (-3.5, "-3.5"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (1e7, "10000000"),
            (123_456.789, "123456.789"),
            (1e-7, "1e-7"),
            (0.001, "0.001"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::MAX, "1.7976931348623157e+308"),
        ];
        for (number, text) in cases {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn digits_of_any_length_are_right() {
        for power in 0..20 {
            for number in [10_u64.pow(power) - 1, 10_u64.pow(power), u64::MAX] {
                let mut out = Vec::new();
                put_digits(&mut out, number);
                assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
            }
        }
    }
}

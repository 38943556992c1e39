//! Keys in paths: percent-decoded once, to bytes.

use axum::http::Uri;
use quorate_api::limits;

use crate::error::{Kind, Problem};

/// The key that is the whole rest of the path behind `prefix`; slashes belong to it.
///
/// # Errors
/// Empty, too long, or wrongly encoded.
pub(crate) fn rest(uri: &Uri, prefix: &str) -> Result<Vec<u8>, Problem> {
    key(uri.path().strip_prefix(prefix).unwrap_or_default())
}

/// The key that is the one segment behind `prefix`; a slash within it must be written as `%2F`.
///
/// # Errors
/// As [`rest`], or there are more segments.
pub(crate) fn segment(uri: &Uri, prefix: &str) -> Result<Vec<u8>, Problem> {
    one(uri.path().strip_prefix(prefix).unwrap_or_default())
}

/// As [`segment`], with `suffix` behind it.
///
/// # Errors
/// As [`segment`].
pub(crate) fn segment_before(uri: &Uri, prefix: &str, suffix: &str) -> Result<Vec<u8>, Problem> {
    let raw = uri.path().strip_prefix(prefix).unwrap_or_default();
    one(raw.strip_suffix(suffix).unwrap_or(raw))
}

/// As [`segment`], with or without a slash at the end.
///
/// # Errors
/// As [`segment`].
pub(crate) fn segment_then_slash(uri: &Uri, prefix: &str) -> Result<Vec<u8>, Problem> {
    let raw = uri.path().strip_prefix(prefix).unwrap_or_default();
    one(raw.strip_suffix('/').unwrap_or(raw))
}

/// The key in `/<any name>/key/<key>`.
///
/// # Errors
/// As [`segment`].
pub(crate) fn third_segment(uri: &Uri) -> Result<Vec<u8>, Problem> {
    one(uri.path().splitn(4, '/').nth(3).unwrap_or_default())
}

/// A key that is to be shown in JSON.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn text(key: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(key).map_err(|_| {
        Problem::bad("The key is not UTF-8 and can't be shown in JSON. Use /v1/kv/<key>.")
    })
}

fn one(raw: &str) -> Result<Vec<u8>, Problem> {
    if raw.contains('/') {
        return Err(Problem::bad(
            "The key is one segment of the path. Write a slash within it as %2F, or use \
             /v1/kv/<key>, where the rest of the path is the key.",
        ));
    }
    key(raw)
}

fn key(raw: &str) -> Result<Vec<u8>, Problem> {
    let key = decode(raw).ok_or_else(|| {
        Problem::bad("A % in the path is not followed by two hexadecimal digits. Write % as %25.")
    })?;
    if key.is_empty() {
        return Err(Problem::bad(
            "The path ends before the key. Put the key behind the last slash.",
        ));
    }
    if key.len() > limits::KEY_BYTES_MAX {
        let (length, limit) = (key.len(), limits::KEY_BYTES_MAX);
        let detail = format!("The key has {length} bytes; {limit} are possible. Shorten it.");
        return Err(Problem::new(Kind::KeyTooLong, detail));
    }
    Ok(key)
}

/// Percent-decodes; `None` when a `%` is not followed by two hexadecimal digits. `+` is itself.
pub(crate) fn decode(raw: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_once() {
        assert_eq!(decode("a%2Fb%252F+%ff").unwrap(), b"a/b%2F+\xff");
        for wrong in ["%", "%a", "%zz", "a%2", "%+1"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_over_the_limit_is_too_long() {
        let long = "a".repeat(limits::KEY_BYTES_MAX + 1);
        assert_eq!(key(&long).unwrap_err().kind(), Kind::KeyTooLong);
        assert!(key(&long[1..]).is_ok());
    }

    #[test]
    fn the_rest_of_a_path_keeps_its_slashes() {
        let uri = Uri::from_static("/v1/kv//a//b/?x");
        assert_eq!(rest(&uri, "/v1/kv/").unwrap(), b"/a//b/");
        assert!(segment(&uri, "/v1/kv/").is_err());
        let uri = Uri::from_static("/n/key/k%2Fl");
        assert_eq!(third_segment(&uri).unwrap(), b"k/l");
    }
}

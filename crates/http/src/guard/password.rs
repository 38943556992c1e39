//! HTTP Basic: the node has one password; the user name does not matter.

use std::fmt;
use std::hint::black_box;

use axum::http::{HeaderMap, HeaderValue, header};

use super::base64;
use crate::error::{Kind, Problem};

/// What a client is to send, in the words of RFC 7617.
pub(crate) const CHALLENGE: &str = "Basic realm=\"quorate\", charset=\"UTF-8\"";

/// The password, which stays out of logs.
pub(super) struct Password(Box<[u8]>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(set)")
    }
}

impl Password {
    /// The password `text`.
    pub(super) fn new(text: &str) -> Self {
        Self(text.as_bytes().into())
    }

    /// Lets a request with the password pass.
    ///
    /// # Errors
    /// It has none, or another.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let given = headers.get(header::AUTHORIZATION).and_then(password);
        if given.is_some_and(|given| equal(&given, &self.0)) {
            return Ok(());
        }
        let detail = "This node has a password. Send it with HTTP Basic under any user name, as \
                      curl does with -u default:PASSWORD.";
        Err(Problem::new(Kind::Unauthorized, detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)))
    }
}

/// The password in `Basic base64(user:password)`.
fn password(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::decode(credentials.trim())?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    decoded.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Takes as long for a wrong password as for the right one, whichever byte is wrong; only the
/// length of what was given shows.
fn equal(given: &[u8], password: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != password.len());
    for (at, byte) in given.iter().enumerate() {
        let expected = password.get(at).copied().unwrap_or_default();
        difference = black_box(difference | (byte ^ expected));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_password_is_equal() {
        assert!(equal(b"secret", b"secret") && equal(b"", b""));
        for wrong in [b"secre".as_slice(), b"secrets", b"", b"secreT", b"secret\0"] {
            assert!(!equal(wrong, b"secret"), "{wrong:?}");
        }
    }

    #[test]
    fn a_password_may_contain_colons() {
        // default:a:b
        let value = HeaderValue::from_static("basic ZGVmYXVsdDphOmI=");
        assert_eq!(password(&value).unwrap(), b"a:b");
        for wrong in ["Bearer ZGVmYXVsdDphOmI=", "Basic", "Basic !!!", "Basic ZGVm"] {
            assert_eq!(password(&HeaderValue::from_static(wrong)), None, "{wrong}");
        }
    }
}

//! Host and port, as requests name them.

use axum::http::header;
use axum::http::request::Parts;

use crate::error::Problem;

/// A host in lower case, without the brackets of an IPv6 address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// The host.
    pub(super) host: String,
    /// Its port, where one is named.
    pub(super) port: Option<u16>,
}

impl Authority {
    /// Parses `host`, `host:port` or `[address]:port`; a dot at the end of a name is dropped.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => text.split_at_checked(text.find(':').unwrap_or(text.len()))?,
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        (!host.is_empty() && host.chars().all(fits)).then_some(Self { host, port })
    }
}

/// The authority that a request is meant for; `None` when it names none, as HTTP/1.0 may.
///
/// # Errors
/// It is missing where it must not be, doubled, or malformed.
pub(super) fn of(head: &Parts) -> Result<Option<Authority>, Problem> {
    let wrong =
        || Problem::bad("The Host header is wrong. Send one: a name or address, and a port.");
    if let Some(authority) = head.uri.authority() {
        return Authority::parse(authority.as_str()).map(Some).ok_or_else(wrong);
    }
    let mut values = head.headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => {
            let authority = value.to_str().ok().and_then(Authority::parse);
            authority.map(Some).ok_or_else(wrong)
        }
        (None, None) if head.version == axum::http::Version::HTTP_10 => Ok(None),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_maybe_a_port() {
        for (text, host, port) in [
            ("Node1:7000", "node1", Some(7000)),
            ("node1", "node1", None),
            ("node1.:80", "node1", Some(80)),
            ("10.0.0.1:1", "10.0.0.1", Some(1)),
            ("[::1]:7000", "::1", Some(7000)),
            ("[::1]", "::1", None),
            ("a:", "a", None),
        ] {
            let expected = Authority { host: host.to_owned(), port };
            assert_eq!(Authority::parse(text), Some(expected), "{text}");
        }
        for text in ["", ":80", "a:b", "a:99999", "[::1", "[::1]x", "u@a", "a/b", "a b", "a:+1"] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }
}

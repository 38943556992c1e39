//! A page on another site can't write: browsers say where a request comes from, and can't be made
//! to lie about it by the page. Programs that are no browsers send neither header and pass.

use axum::http::{HeaderMap, header};

use super::authority::Authority;
use crate::error::{Kind, Problem};

/// Lets a write pass that no browser sent, or that a page of this very node sent.
///
/// # Errors
/// It comes from elsewhere.
pub(super) fn check(headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), Problem> {
    for site in headers.get_all("sec-fetch-site") {
        if !matches!(site.as_bytes(), b"same-origin" | b"none") {
            return Err(refused());
        }
    }
    for origin in headers.get_all(header::ORIGIN) {
        let same = origin.to_str().ok().zip(authority).is_some_and(|(origin, own)| is(origin, own));
        if !same {
            return Err(refused());
        }
    }
    Ok(())
}

fn refused() -> Problem {
    Problem::new(
        Kind::ForeignOrigin,
        "Nothing was changed: the request comes from a page of another site. Send it from a \
         program, or from a page that this node itself serves.",
    )
}

/// True when `origin` is the site of `own`; a port that is not named is the scheme's.
fn is(origin: &str, own: &Authority) -> bool {
    let (rest, default) = match origin.split_once("://") {
        Some(("http", rest)) => (rest, 80),
        Some(("https", rest)) => (rest, 443),
        _ => return false,
    };
    Authority::parse(rest).is_some_and(|origin| {
        origin.host == own.host && origin.port.unwrap_or(default) == own.port.unwrap_or(default)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_ours_when_host_and_port_are() {
        let own = |text| Authority::parse(text).unwrap();
        assert!(is("http://10.0.0.1:7000", &own("10.0.0.1:7000")));
        assert!(is("http://node1", &own("node1:80")));
        assert!(is("https://NODE1:443", &own("node1")));
        for (origin, host) in [
            ("http://10.0.0.1:7001", "10.0.0.1:7000"),
            ("http://evil.example:7000", "10.0.0.1:7000"),
            ("null", "10.0.0.1:7000"),
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("chrome-extension://10.0.0.1:7000", "10.0.0.1:7000"),
            ("http://node1", "node1:7000"),
            ("http://10.0.0.1:7000/", "10.0.0.1:7000"),
        ] {
            assert!(!is(origin, &own(host)), "{origin} {host}");
        }
    }
}

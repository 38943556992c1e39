//! Conditional requests: a key's revision is its (strong) entity tag.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::error::{Kind, Problem};

/// Under which condition a write takes effect, in the words of `KV.PUT` and `KV.DELETE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Always.
    None,
    /// Only when the key does not exist.
    Absent,
    /// Only when the key exists.
    Exists,
    /// Only at this revision, which is above 0: to the node, 0 would mean an absent key.
    Revision(u64),
    /// Never: no revision looks like the tag that is asked for.
    Never,
}

impl Condition {
    /// What `PUT` asks for.
    ///
    /// # Errors
    /// Both headers, several tags, or `If-None-Match` with a tag.
    pub(crate) fn of_put(headers: &HeaderMap) -> Result<Self, Problem> {
        match (value(headers, &header::IF_MATCH)?, value(headers, &header::IF_NONE_MATCH)?) {
            (None, None) => Ok(Self::None),
            (Some(tags), None) => Self::of_match(&tags),
            (None, Some(tags)) if tags.trim() == "*" => Ok(Self::Absent),
            (None, Some(_)) => Err(Problem::bad(
                "If-None-Match on a PUT can only be * (the key must not exist). To write only over \
                 a certain revision, send it as If-Match.",
            )),
            (Some(_), Some(_)) => Err(Problem::bad(
                "If-Match and If-None-Match exclude each other on a PUT. Send one of them.",
            )),
        }
    }

    /// What `DELETE` asks for.
    ///
    /// # Errors
    /// Several tags, or `If-None-Match`.
    pub(crate) fn of_delete(headers: &HeaderMap) -> Result<Self, Problem> {
        if headers.contains_key(header::IF_NONE_MATCH) {
            return Err(Problem::bad("DELETE knows no If-None-Match. Send If-Match, or neither."));
        }
        value(headers, &header::IF_MATCH)?.map_or(Ok(Self::None), |tags| Self::of_match(&tags))
    }

    fn of_match(tags: &str) -> Result<Self, Problem> {
        let tag = tags.trim();
        if tag == "*" {
            return Ok(Self::Exists);
        }
        if tag.contains(',') {
            return Err(Problem::bad("If-Match takes one ETag on a write. Send the one you read."));
        }
        Ok(revision(tag).map_or(Self::Never, Self::Revision))
    }

    /// The argument of `KV.PUT` and `KV.DELETE`.
    pub(crate) fn argument(&self) -> Option<String> {
        match self {
            Self::None => Some(String::new()),
            Self::Absent => Some("*".to_owned()),
            Self::Exists => Some("+".to_owned()),
            Self::Revision(revision) => Some(revision.to_string()),
            Self::Never => None,
        }
    }
}

/// What becomes of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Send the value.
    Send,
    /// The client has it.
    NotModified,
    /// `If-Match` asks for another revision.
    Failed,
}

/// What becomes of the read of a key at `current`.
///
/// # Errors
/// A header is not text.
pub(crate) fn freshness(headers: &HeaderMap, current: u64) -> Result<Freshness, Problem> {
    if let Some(tags) = value(headers, &header::IF_MATCH)?
        && !lists(&tags, current, Comparison::Strong)
    {
        return Ok(Freshness::Failed);
    }
    if let Some(tags) = value(headers, &header::IF_NONE_MATCH)?
        && lists(&tags, current, Comparison::Weak)
    {
        return Ok(Freshness::NotModified);
    }
    Ok(Freshness::Send)
}

/// The entity tag of `revision`.
pub(crate) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// The condition of a write did not hold at `current` (0: the key does not exist).
pub(crate) fn failed(current: Option<u64>) -> Problem {
    match current {
        Some(0) => Problem::new(
            Kind::PreconditionFailed,
            "Nothing was changed: the key does not exist, and the condition asks for it.",
        ),
        Some(current) => Problem::new(
            Kind::PreconditionFailed,
            format!(
                "Nothing was changed: the key is at revision {current}. Read it again and send \
                 the ETag you get as If-Match."
            ),
        )
        .with_header(header::ETAG, etag(current)),
        None => Problem::new(
            Kind::PreconditionFailed,
            "Nothing was changed: no revision looks like the ETag in If-Match. Send the ETag of a \
             GET, in its quotes.",
        ),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn lists(tags: &str, current: u64, comparison: Comparison) -> bool {
    tags.split(',').map(str::trim).any(|tag| {
        let tag = match comparison {
            Comparison::Strong => tag,
            Comparison::Weak => tag.strip_prefix("W/").unwrap_or(tag),
        };
        tag == "*" || revision(tag) == Some(current)
    })
}

/// The revision in a tag; its quotes may be missing, as shells eat them.
fn revision(tag: &str) -> Option<u64> {
    let unquoted = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(tag);
    let revision = unquoted.parse::<u64>().ok().filter(|revision| *revision > 0)?;
    (revision.to_string() == unquoted).then_some(revision)
}

/// The header's values as one list.
fn value(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut joined: Option<String> = None;
    for value in headers.get_all(name) {
        let value = value
            .to_str()
            .map_err(|_| Problem::bad(format!("The header {name} is not text. Correct it.")))?;
        joined =
            Some(joined.map_or_else(|| value.to_owned(), |before| format!("{before},{value}")));
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_write_names_one_condition() {
        for (value, expected) in [
            ("*", Condition::Exists),
            ("\"12\"", Condition::Revision(12)),
            ("12", Condition::Revision(12)),
            ("\"0\"", Condition::Never),
            ("\"012\"", Condition::Never),
            ("W/\"12\"", Condition::Never),
            ("\"abc\"", Condition::Never),
            ("\"99999999999999999999\"", Condition::Never),
        ] {
            let headers = with(header::IF_MATCH, value);
            assert_eq!(Condition::of_put(&headers).unwrap(), expected, "{value}");
            assert_eq!(Condition::of_delete(&headers).unwrap(), expected, "{value}");
        }
        assert!(Condition::of_put(&with(header::IF_MATCH, "\"1\", \"2\"")).is_err());
        assert!(Condition::of_put(&with(header::IF_NONE_MATCH, "\"1\"")).is_err());
        assert!(Condition::of_delete(&with(header::IF_NONE_MATCH, "*")).is_err());
    }

    #[test]
    fn a_read_compares_weakly_for_none_match_and_strongly_for_match() {
        for (value, expected) in [
            ("\"7\"", Freshness::NotModified),
            ("W/\"7\"", Freshness::NotModified),
            ("\"6\", \"7\"", Freshness::NotModified),
            ("*", Freshness::NotModified),
            ("\"6\"", Freshness::Send),
        ] {
            let headers = with(header::IF_NONE_MATCH, value);
            assert_eq!(freshness(&headers, 7).unwrap(), expected, "{value}");
        }
        let headers = with(header::IF_MATCH, "W/\"7\"");
        assert_eq!(freshness(&headers, 7).unwrap(), Freshness::Failed);
        let headers = with(header::IF_MATCH, "\"6\",\"7\"");
        assert_eq!(freshness(&headers, 7).unwrap(), Freshness::Send);
    }
}

//! JSON request bodies, whatever content type they claim: curl's `-d` claims a form.

use std::collections::BTreeMap;
use std::fmt;

use axum::body::Body;
use quorate_api::limits;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};

use crate::body::{self, Held};
use crate::door::Door;
use crate::error::{Kind, Problem};

/// The body of a request about members: names and addresses.
pub(crate) const ADMIN_BYTES_MAX: usize = 64 * 1024;

/// Reads the JSON in `body`; `expected` shows the caller what it should look like.
///
/// # Errors
/// As [`body::read`], or it is not what is expected.
pub(crate) async fn read<T: DeserializeOwned>(
    door: &Door,
    body: Body,
    bytes_max: usize,
    expected: &str,
) -> Result<T, Problem> {
    parse(&body::read(door, body, bytes_max).await?, expected)
}

/// The JSON in `held`; `expected` as for [`read`].
///
/// # Errors
/// It is not what is expected.
pub(crate) fn parse<T: DeserializeOwned>(held: &Held, expected: &str) -> Result<T, Problem> {
    serde_json::from_slice(&held.bytes)
        .map_err(|error| Problem::bad(format!("The body is wrong: {error}. Send {expected}.")))
}

/// Pairs of strings; the last of several values for one key counts.
#[derive(Debug)]
pub(crate) struct Pairs(pub(crate) BTreeMap<String, String>);

/// MSET's arguments are its name and two for each pair.
const PAIRS_MAX: usize = (limits::ARGS_MAX - 1) / 2;

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are strings")
    }

    /// Counts while reading: a body of the permitted size could hold pairs for gigabytes of memory.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            pairs.insert(key, value);
            if pairs.len() > PAIRS_MAX {
                return Err(A::Error::custom(format_args!("more than {PAIRS_MAX} pairs")));
            }
        }
        Ok(Pairs(pairs))
    }
}

/// Checks a key and a value that came in a body.
///
/// # Errors
/// One of them is over its limit.
pub(crate) fn check_pair(key: &str, value: &str) -> Result<(), Problem> {
    if key.len() > limits::KEY_BYTES_MAX {
        let detail = format!(
            "A key has {} bytes; {} are possible. Shorten it.",
            key.len(),
            limits::KEY_BYTES_MAX
        );
        return Err(Problem::bad(detail));
    }
    check_value(value)
}

/// Checks a value that came in a body.
///
/// # Errors
/// It is over its limit.
pub(crate) fn check_value(value: &str) -> Result<(), Problem> {
    if value.len() > limits::VALUE_BYTES_MAX {
        let detail = format!(
            "A value has {} bytes; {} are possible. Split it over several keys.",
            value.len(),
            limits::VALUE_BYTES_MAX
        );
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    Ok(())
}

//! Query strings. Parameters that are not known are refused: a mistyped `ttl` would otherwise keep a key for
//! good, and so would one that is given to an ancestor's dialect. Only reads in those take what they don't know.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use quorate_api::{Caution, Consistency};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::duration;
use crate::error::Problem;

/// Parameters of a read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadParameters {
    consistency: Option<String>,
    max_staleness: Option<String>,
}

/// As [`ReadParameters`], beside others: the ancestors ignored what they did not know, and pages add parameters to
/// get past caches.
#[derive(Debug, Deserialize)]
struct LooseReadParameters {
    consistency: Option<String>,
    max_staleness: Option<String>,
}

/// Parameters of a PUT.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutParameters {
    ttl: Option<String>,
}

/// Parameters of a stream of events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventParameters {
    after: Option<String>,
}

/// Parameters of a change of members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeParameters {
    force: Option<String>,
}

/// No parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

/// The consistency that a `/v1` read asks for.
///
/// # Errors
/// An unknown parameter or value.
pub(crate) fn consistency(uri: &Uri) -> Result<Consistency, Problem> {
    let ReadParameters { consistency, max_staleness } = parse(uri)?;
    chosen(consistency.as_deref(), max_staleness.as_deref())
}

/// The consistency that a read in an ancestor's dialect asks for.
///
/// # Errors
/// An unknown value.
pub(crate) fn loose_consistency(uri: &Uri) -> Result<Consistency, Problem> {
    let LooseReadParameters { consistency, max_staleness } = parse(uri)?;
    chosen(consistency.as_deref(), max_staleness.as_deref())
}

/// The milliseconds that a PUT gives its key to live.
///
/// # Errors
/// An unknown parameter, or no time.
pub(crate) fn ttl_ms(uri: &Uri) -> Result<Option<u64>, Problem> {
    let PutParameters { ttl } = parse(uri)?;
    ttl.map(|ttl| duration::milliseconds("ttl", &ttl)).transpose()
}

/// The event after which a reader wants to go on.
///
/// # Errors
/// An unknown parameter.
pub(crate) fn after(uri: &Uri) -> Result<Option<String>, Problem> {
    parse(uri).map(|EventParameters { after }| after)
}

/// Whether a change is made though no majority would be left that can be reached.
///
/// # Errors
/// An unknown parameter or value.
pub(crate) fn caution(uri: &Uri) -> Result<Caution, Problem> {
    let ChangeParameters { force } = parse(uri)?;
    match force.as_deref() {
        None | Some("false") => Ok(Caution::KeepMajority),
        Some("true") => Ok(Caution::Force),
        Some(other) => Err(Problem::bad(format!("force={other} is neither true nor false."))),
    }
}

/// Checks that there are no parameters.
///
/// # Errors
/// There are.
pub(crate) fn none(uri: &Uri) -> Result<(), Problem> {
    parse(uri).map(|NoParameters {}| ())
}

fn parse<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let Query(parameters) = Query::try_from_uri(uri).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let cause = cause.unwrap_or_else(|| error.to_string());
        Problem::bad(format!("The query string is wrong: {cause}. Correct or remove it."))
    })?;
    Ok(parameters)
}

fn chosen(consistency: Option<&str>, bound: Option<&str>) -> Result<Consistency, Problem> {
    let bound = bound.map(|bound| duration::milliseconds("max_staleness", bound)).transpose()?;
    match (consistency, bound) {
        (Some("stale"), bound) => {
            Ok(Consistency::Stale { max_staleness: bound.map(Duration::from_millis) })
        }
        (_, Some(_)) => Err(Problem::bad(
            "max_staleness bounds stale reads only. Add consistency=stale, or remove it.",
        )),
        (None, None) => Ok(Consistency::Configured),
        (Some("linearizable"), None) => Ok(Consistency::Linearizable),
        (Some("lease"), None) => Ok(Consistency::Lease),
        (Some(other), None) => Err(Problem::bad(format!(
            "consistency={other} is not known. Choose linearizable, lease or stale."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_chooses_its_consistency() {
        let stale = |max_staleness| Consistency::Stale { max_staleness };
        for (query, expected) in [
            ("/k", Consistency::Configured),
            ("/k?consistency=linearizable", Consistency::Linearizable),
            ("/k?consistency=lease", Consistency::Lease),
            ("/k?consistency=stale", stale(None)),
            ("/k?consistency=stale&max_staleness=500ms", stale(Some(Duration::from_millis(500)))),
        ] {
            assert_eq!(consistency(&Uri::from_static(query)).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn mistyped_parameters_are_refused() {
        for query in [
            "/k?consistency=weak",
            "/k?consistancy=stale",
            "/k?max_staleness=1s",
            "/k?consistency=lease&max_staleness=1s",
            "/k?consistency=stale&consistency=stale",
        ] {
            assert!(consistency(&Uri::from_static(query)).is_err(), "{query}");
        }
        assert!(ttl_ms(&Uri::from_static("/k?tll=10")).is_err());
        assert!(none(&Uri::from_static("/k?ttl=10")).is_err());
        assert!(loose_consistency(&Uri::from_static("/k?_=1")).is_ok());
    }
}

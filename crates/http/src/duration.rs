//! Times in query strings: `10` and `10s` are seconds; `500ms`, `5m`, `2h`, `1d`.

use crate::error::Problem;

/// A hundred years: more is a mistake of unit.
const MILLISECONDS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// The milliseconds in `text`, above zero; `name` is the parameter's, for the problem.
///
/// # Errors
/// It is none of these, or zero, or above a hundred years.
pub(crate) fn milliseconds(name: &str, text: &str) -> Result<u64, Problem> {
    match parse(text) {
        Some(milliseconds @ 1..=MILLISECONDS_MAX) => Ok(milliseconds),
        Some(_) => Err(Problem::bad(format!(
            "{name}={text} is out of range. It must be above zero and at most 100 years (36500d)."
        ))),
        None => Err(Problem::bad(format!(
            "{name}={text} is not a time. Write whole seconds, or a whole number with a unit: \
             500ms, 10s, 5m, 2h, 1d."
        ))),
    }
}

/// Saturates: what does not fit is out of range anyhow.
fn parse(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    if number.is_empty() {
        return None;
    }
    let factor: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    Some(number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_with_or_without_a_unit() {
        let times = [("10", 10_000), ("500ms", 500), ("10s", 10_000), ("5m", 300_000)];
        let more = [("2h", 7_200_000), ("1d", 86_400_000), ("36500d", MILLISECONDS_MAX)];
        for (text, expected) in times.into_iter().chain(more) {
            assert_eq!(milliseconds("ttl", text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in ["", "s", "-1", "+1", "1.5s", "1 s", "1S", "0", "0ms", "36501d", "é", "1é"] {
            assert!(milliseconds("ttl", text).is_err(), "{text}");
        }
        assert!(milliseconds("ttl", "99999999999999999999").is_err());
    }
}

//! From the arguments of SET, GETEX and EXPIRE to a moment in Unix milliseconds.
//!
//! Relative times count from the entry's stamp, so that they are absolute before anything is stored.

use quorate_api::Reply;

use crate::number;
use crate::stop::Stop;

/// What a time argument is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// What a time argument counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The entry's stamp.
    Stamp,
    /// 1 January 1970.
    Epoch,
}

/// A time argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time<'a> {
    /// As the client wrote it.
    pub(crate) text: &'a [u8],
    /// Its unit.
    pub(crate) unit: Unit,
    /// Its origin.
    pub(crate) origin: Origin,
}

impl Time<'_> {
    /// The moment for SET and its kin, which refuse 0 and negative times.
    pub(crate) fn positive(&self, now_ms: u64, name: &str) -> Result<u64, Stop> {
        let number = number::parse_or_error(self.text)?;
        if number <= 0 {
            return Err(invalid(name));
        }
        let moment = self.absolute(number, now_ms).ok_or_else(|| invalid(name))?;
        u64::try_from(moment).map_err(|_| invalid(name))
    }

    /// The moment for EXPIRE and its kin, which may lie in the past or before 1970.
    pub(crate) fn any(&self, now_ms: u64, name: &str) -> Result<i64, Stop> {
        let number = number::parse_or_error(self.text)?;
        self.absolute(number, now_ms).ok_or_else(|| invalid(name))
    }

    fn absolute(&self, number: i64, now_ms: u64) -> Option<i64> {
        let ms = match self.unit {
            Unit::Seconds => number.checked_mul(1000)?,
            Unit::Milliseconds => number,
        };
        match self.origin {
            Origin::Stamp => ms.checked_add_unsigned(now_ms),
            Origin::Epoch => Some(ms),
        }
    }
}

/// Redis' error for a time that can't be.
pub(crate) fn invalid(name: &str) -> Stop {
    Reply::err(format!("invalid expire time in '{}' command", name.to_lowercase())).into()
}

/// Milliseconds as seconds, rounded as TTL does.
pub(crate) fn rounded_seconds(ms: i64) -> i64 {
    ms / 1000 + i64::from(ms % 1000 >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn time(text: &str, unit: Unit, origin: Origin) -> Time<'_> {
        Time { text: text.as_bytes(), unit, origin }
    }

    #[test]
    fn relative_times_count_from_the_stamp() {
        let ten = time("10", Unit::Seconds, Origin::Stamp);
        assert_eq!(ten.positive(NOW, "SET").unwrap(), NOW + 10_000);
        let ten = time("10", Unit::Milliseconds, Origin::Stamp);
        assert_eq!(ten.any(NOW, "SET").unwrap(), NOW.cast_signed() + 10);
        let ten = time("10", Unit::Seconds, Origin::Epoch);
        assert_eq!(ten.positive(NOW, "SET").unwrap(), 10_000);
    }

    #[test]
    fn times_that_overflow_are_refused() {
        for (text, unit) in [
            ("9223372036854775807", Unit::Seconds),
            ("9223372036854775", Unit::Seconds),
            ("9223372036854775807", Unit::Milliseconds),
        ] {
            let time = time(text, unit, Origin::Stamp);
            assert!(time.positive(NOW, "SET").is_err(), "{text} {unit:?}");
            assert!(time.any(NOW, "SET").is_err(), "{text} {unit:?}");
        }
    }

    #[test]
    fn zero_and_the_past_are_only_for_expire() {
        for text in ["0", "-1", "-9223372036854775808"] {
            let time = time(text, Unit::Milliseconds, Origin::Stamp);
            assert!(time.positive(NOW, "SET").is_err(), "{text}");
            assert!(time.any(NOW, "EXPIRE").is_ok(), "{text}");
        }
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        for (ms, seconds) in
            [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (i64::MAX, i64::MAX / 1000 + 1)]
        {
            assert_eq!(rounded_seconds(ms), seconds, "{ms}");
        }
    }
}

//! Sizes as people write them: `512mb`, with Redis' units.

/// Units, a longer one before the one that it ends in.
const UNITS: [(&str, u64); 9] = [
    ("kb", 1 << 10),
    ("mb", 1 << 20),
    ("gb", 1 << 30),
    ("tb", 1 << 40),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("b", 1),
];

/// Bytes from text.
///
/// # Errors
/// It is no size; the text says what it must be.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)));
    let (digits, factor) = unit.unwrap_or((&lower, 1));
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(
            "it must be a whole number of bytes, or one with a unit, such as 512mb".to_owned()
        );
    }
    let number = digits.parse::<u64>().ok();
    number.and_then(|number| number.checked_mul(factor)).ok_or_else(|| "it is too large".to_owned())
}

/// Text that [`parse`] reads as `bytes`.
pub(crate) fn show(bytes: u64) -> String {
    for (unit, factor) in [("gb", 1_u64 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_redis() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("12b", 12),
            ("1k", 1000),
            ("1kb", 1024),
            ("512mb", 512 << 20),
            ("2G", 2_000_000_000),
            ("2GB", 2 << 30),
            (" 1tb ", 1 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "mb",
            "-1",
            "+1",
            "1.5gb",
            "1 mb",
            "1xb",
            "1kib",
            "99999999999999999999",
            "99999999tb",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for bytes in [0, 1, 1023, 1024, 3 << 20, 5 << 30, (5 << 30) + 1, u64::MAX] {
            assert_eq!(parse(&show(bytes)), Ok(bytes));
        }
        assert_eq!(show(3 << 20), "3mb");
    }
}

//! Integers as Redis reads and writes them.

use quorate_api::Reply;

use crate::stop::Stop;

/// The most bytes of an `i64` in decimal.
const DECIMAL_BYTES_MAX: usize = 20;

/// The integer that `bytes` are the *only* decimal form of: no blanks, no `+`, no leading zeros, no
/// `-0`. Whatever passes can be stored as a number and given back without a difference.
pub(crate) fn parse(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if !negative => return Some(0),
        [b'0', ..] => return None,
        _ if digits.len() >= DECIMAL_BYTES_MAX => return None,
        _ => {}
    }
    let mut magnitude: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits can't overflow 64 bits.
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// As [`parse`], or the error that Redis gives.
pub(crate) fn parse_or_error(bytes: &[u8]) -> Result<i64, Stop> {
    parse(bytes).ok_or_else(|| Reply::not_an_integer().into())
}

/// An unsigned number in decimal, as SCAN's cursors are.
pub(crate) fn parse_u64(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// An integer in decimal, without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal {
    bytes: [u8; DECIMAL_BYTES_MAX],
    start: usize,
}

impl Decimal {
    /// `number` in decimal.
    pub(crate) fn new(number: i64) -> Self {
        let mut bytes = [b'0'; DECIMAL_BYTES_MAX];
        let mut rest = number.unsigned_abs();
        let mut start = DECIMAL_BYTES_MAX;
        for (at, room) in bytes.iter_mut().enumerate().rev() {
            *room = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            start = at;
            if rest == 0 {
                break;
            }
        }
        if let Some(sign) = start.checked_sub(1).filter(|_| number < 0) {
            if let Some(room) = bytes.get_mut(sign) {
                *room = b'-';
            }
            start = sign;
        }
        Self { bytes, start }
    }

    /// The digits.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_its_only_decimal_form() {
        let numbers = [0, 1, -1, 9, 10, -10, 1_234_567_890, i64::MAX, i64::MIN];
        for number in numbers {
            let text = number.to_string();
            assert_eq!(parse(text.as_bytes()), Some(number));
            assert_eq!(Decimal::new(number).as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn other_forms_are_not_integers() {
        let others = [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "00",
            "1.0",
            "0x10",
            "1e3",
            "a",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
        ];
        for text in others {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_cursor_is_an_unsigned_64_bit_number() {
        assert_eq!(parse_u64(b"0"), Some(0));
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "+1", "18446744073709551616", "1x"] {
            assert_eq!(parse_u64(text.as_bytes()), None, "{text:?}");
        }
    }
}

//! x87's 80-bit floating point in software: what INCRBYFLOAT computes with in Redis.
//!
//! Done by hand because replicas must agree to the last digit whatever machine they run on, and
//! because 64-bit floats would answer `0.1 + 0.2` with 0.30000000000000004 where Redis says 0.3.
//! A value is `mantissa * 2^exponent`; every operation rounds once, to nearest, ties to even.

mod big;

use std::borrow::Cow;

use big::Big;

/// The exponent of the largest finite values.
const EXPONENT_MAX: i64 = 16_320;
/// Values below 2 to this power round to zero, which counts as "no number" (ERANGE).
const TOP_BIT_MIN: i64 = -16_446;
/// The longest text that is read (as Redis).
const TEXT_BYTES_MAX: usize = 5 * 1024;
/// Digits behind the point that are written.
const FRACTION_DIGITS: usize = 17;
const FRACTION_SCALE: u128 = 10u128.pow(17);

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LongDouble {
    /// Zero (mantissa 0), or a mantissa whose highest bit is set.
    Finite {
        /// The sign.
        negative: bool,
        /// The 64 bits of the significand.
        mantissa: u64,
        /// The power of two it is multiplied with.
        exponent: i64,
    },
    /// Either infinity: nothing can be computed with it.
    Infinite,
}

impl LongDouble {
    /// 0.
    pub(crate) const ZERO: Self = Self::Finite { negative: false, mantissa: 0, exponent: 0 };

    /// The number in `text`, all of it, as C's `strtold` reads it; `None` when it is none, or is too
    /// large or too small.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= TEXT_BYTES_MAX {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite);
        }
        match digits {
            [b'0', b'x' | b'X', rest @ ..] => {
                let (digits, exponent) = Scanned::new(rest, 16, b'p')?.into_parts(4)?;
                Self::from_ratio(negative, digits, exponent, Big::from(1))
            }
            digits => {
                let (digits, exponent) = Scanned::new(digits, 10, b'e')?.into_parts(1)?;
                // Beyond these powers nothing is finite, or anything but zero.
                let magnitude = digits.decimal_digits_about().saturating_add(exponent);
                if !digits.is_zero() && !(-4_970..=4_940).contains(&magnitude) {
                    return None;
                }
                let power = u32::try_from(exponent.unsigned_abs()).unwrap_or(0);
                let power = if digits.is_zero() { 0 } else { power };
                if exponent >= 0 {
                    Self::from_ratio(negative, digits.times_power_of_ten(power), 0, Big::from(1))
                } else {
                    Self::from_ratio(negative, digits, 0, Big::from(1).times_power_of_ten(power))
                }
            }
        }
    }

    /// `numerator / denominator * 2^exponent`, rounded.
    fn from_ratio(negative: bool, numerator: Big, exponent: i64, denominator: Big) -> Option<Self> {
        if numerator.is_zero() {
            return Some(Self::Finite { negative, mantissa: 0, exponent: 0 });
        }
        // Scaled so that the quotient has 66 or 67 bits: two more than are kept, at least.
        let scale = 66 - (numerator.bits() - denominator.bits());
        let (numerator, denominator) = if scale >= 0 {
            (numerator.shifted(scale.unsigned_abs()), denominator)
        } else {
            (numerator, denominator.shifted(scale.unsigned_abs()))
        };
        let (quotient, inexact) = numerator.divide(&denominator, 67);
        let exponent = exponent.checked_sub(scale)?;
        let top_bit = exponent.checked_add(128 - i64::from(quotient.leading_zeros()))?;
        if top_bit <= TOP_BIT_MIN {
            return None;
        }
        Self::round(negative, quotient, exponent, inexact)
    }

    /// `value * 2^exponent`, and a little more where `inexact`; `None` when it is too large.
    fn round(negative: bool, value: u128, exponent: i64, inexact: bool) -> Option<Self> {
        if value == 0 {
            return Some(Self::ZERO);
        }
        let excess = 64u32.saturating_sub(value.leading_zeros());
        let (mut mantissa, mut exponent) =
            (u128_low(value >> excess), exponent + i64::from(excess));
        if excess > 0 {
            let lost = value & ((1 << excess) - 1);
            let half = 1 << (excess - 1);
            if lost > half || (lost == half && (inexact || mantissa & 1 == 1)) {
                let (sum, carried) = mantissa.overflowing_add(1);
                mantissa = if carried { 1 << 63 } else { sum };
                exponent += i64::from(carried);
            }
        } else {
            let shift = mantissa.leading_zeros();
            mantissa <<= shift;
            exponent -= i64::from(shift);
        }
        (exponent <= EXPONENT_MAX).then_some(Self::Finite { negative, mantissa, exponent })
    }

    /// The sum; `None` when it is infinite or no number.
    pub(crate) fn add(self, other: Self) -> Option<Self> {
        let (Some(one), Some(two)) = (self.parts(), other.parts()) else { return None };
        let (large, small) = if one.rank() >= two.rank() { (one, two) } else { (two, one) };
        if small.mantissa == 0 {
            let (negative, mantissa) = (large.negative, large.mantissa);
            return Some(Self::Finite { negative, mantissa, exponent: large.exponent });
        }
        let distance = u32::try_from(large.exponent - small.exponent).unwrap_or(u32::MAX);
        let high = u128::from(large.mantissa) << 63;
        let low = u128::from(small.mantissa) << 63;
        let aligned = low.checked_shr(distance).unwrap_or(0);
        let inexact = aligned.checked_shl(distance).unwrap_or(0) != low;
        let value = if large.negative == small.negative {
            high + aligned
        } else {
            // What was shifted out would have been taken off, too.
            high - aligned - u128::from(inexact)
        };
        Self::round(large.negative, value, large.exponent - 63, inexact)
    }

    fn parts(self) -> Option<Parts> {
        match self {
            Self::Finite { negative, mantissa, exponent } => {
                Some(Parts { negative, mantissa, exponent })
            }
            Self::Infinite => None,
        }
    }

    /// As C's `%.17Lf` without what is superfluous: no zeros behind the last digit, no `-0`.
    pub(crate) fn to_decimal(self) -> Cow<'static, str> {
        let Some(Parts { negative, mantissa, exponent }) = self.parts() else {
            return "inf".into();
        };
        let mut text = if let Ok(shift) = u64::try_from(exponent) {
            Big::from(mantissa).shifted(shift).to_decimal()
        } else {
            let scaled = u128::from(mantissa) * FRACTION_SCALE;
            let shift = u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX);
            let rounded = shift_rounded(scaled, shift);
            let (whole, fraction) = (rounded / FRACTION_SCALE, rounded % FRACTION_SCALE);
            let digits = format!("{whole}.{fraction:0FRACTION_DIGITS$}");
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        if negative && text != "0" {
            text.insert(0, '-');
        }
        text.into()
    }
}

/// A finite number, taken apart.
#[derive(Clone, Copy)]
struct Parts {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

impl Parts {
    /// Orders by magnitude; zero comes first.
    fn rank(self) -> (bool, i64, u64) {
        (self.mantissa != 0, self.exponent, self.mantissa)
    }
}

/// `value / 2^shift`, to nearest, ties to even.
fn shift_rounded(value: u128, shift: u32) -> u128 {
    let Some(quotient) = value.checked_shr(shift) else { return 0 };
    let lost = value - (quotient << shift);
    let half = 1u128 << (shift - 1);
    quotient + u128::from(lost > half || (lost == half && quotient & 1 == 1))
}

#[expect(clippy::cast_possible_truncation, reason = "the caller shifted it to 64 bits")]
fn u128_low(value: u128) -> u64 {
    value as u64
}

/// Digits with a point and an exponent, as they stand.
struct Scanned {
    digits: Big,
    any: bool,
    behind_point: i64,
    exponent: i64,
}

impl Scanned {
    /// Scans all of `text`.
    fn new(text: &[u8], base: u32, exponent_mark: u8) -> Option<Self> {
        let mut scanned = Self { digits: Big::from(0), any: false, behind_point: 0, exponent: 0 };
        let mut point = false;
        let mut bytes = text.iter();
        for byte in bytes.by_ref() {
            match char::from(*byte) {
                '.' if !point => point = true,
                digit if digit.is_digit(base) => {
                    scanned.digits.multiply_add(base, digit.to_digit(base)?);
                    scanned.any = true;
                    scanned.behind_point += i64::from(point);
                }
                _ if byte.eq_ignore_ascii_case(&exponent_mark) && scanned.any => {
                    scanned.exponent = scan_exponent(bytes.as_slice())?;
                    return Some(scanned);
                }
                _ => return None,
            }
        }
        scanned.any.then_some(scanned)
    }

    /// The digits as an integer, and the power it is multiplied with; a digit behind the point
    /// weighs `bits` powers.
    fn into_parts(self, bits: i64) -> Option<(Big, i64)> {
        Some((self.digits, self.exponent.checked_sub(self.behind_point * bits)?))
    }
}

/// A decimal exponent; one that is absurd is as good as the largest.
fn scan_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests;

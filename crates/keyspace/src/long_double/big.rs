//! Natural numbers of any size, as far as reading and writing floating point needs them.

use std::cmp::Ordering;

/// A natural number: 32-bit limbs, the lowest first, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(number: u64) -> Self {
        let (low, high) = split(number);
        let mut big = Self(vec![low, split(high).0]);
        big.trim();
        big
    }
}

/// The low limb, and what is above it.
#[expect(clippy::cast_possible_truncation, reason = "the low limb is what is wanted")]
fn split(number: u64) -> (u32, u64) {
    (number as u32, number >> 32)
}

impl Big {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// True for 0.
    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bits it has.
    pub(super) fn bits(&self) -> i64 {
        let top = self.0.last().map_or(0, |limb| i64::from(limb.leading_zeros()));
        i64::try_from(self.0.len()).unwrap_or(i64::MAX / 32) * 32 - top
    }

    /// How many decimal digits it has, within one.
    pub(super) fn decimal_digits_about(&self) -> i64 {
        self.bits() * 30_103 / 100_000 + 1
    }

    /// Multiplies it with `factor` and adds `summand`.
    pub(super) fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.0 {
            (*limb, carry) = split(u64::from(*limb) * u64::from(factor) + carry);
        }
        if carry > 0 {
            self.0.push(split(carry).0);
        }
    }

    /// `self * 10^power`.
    pub(super) fn times_power_of_ten(mut self, power: u32) -> Self {
        for _ in 0..power / 9 {
            self.multiply_add(1_000_000_000, 0);
        }
        self.multiply_add(10u32.pow(power % 9), 0);
        self
    }

    /// `self * 2^bits`.
    pub(super) fn shifted(&self, bits: u64) -> Self {
        let limbs = usize::try_from(bits / 32).unwrap_or(usize::MAX);
        let mut shifted = Self(vec![0; limbs]);
        let mut carry = 0;
        for limb in &self.0 {
            let (low, high) = split((u64::from(*limb) << (bits % 32)) | carry);
            shifted.0.push(low);
            carry = high;
        }
        shifted.0.push(split(carry).0);
        shifted.trim();
        shifted
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.0.iter_mut().rev() {
            let next = *limb << 31;
            *limb = (*limb >> 1) | carry;
            carry = next;
        }
        self.trim();
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Takes off `other`, which is not larger.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        for (limb, other) in self.0.iter_mut().zip(others) {
            let (difference, first) = limb.overflowing_sub(other);
            let (difference, second) = difference.overflowing_sub(u32::from(borrow));
            *limb = difference;
            borrow = first || second;
        }
        self.trim();
    }

    /// The quotient, which has at most `bits` bits, and whether there is a remainder.
    pub(super) fn divide(mut self, divisor: &Self, bits: u32) -> (u128, bool) {
        let mut quotient = 0;
        let mut step = divisor.shifted(u64::from(bits) - 1);
        for _ in 0..bits {
            quotient <<= 1;
            if self.compare(&step) != Ordering::Less {
                self.subtract(&step);
                quotient |= 1;
            }
            step.halve();
        }
        (quotient, !self.is_zero())
    }

    /// Its decimal digits.
    pub(super) fn to_decimal(&self) -> String {
        let mut rest = self.0.clone();
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let mut remainder = 0u64;
            for limb in rest.iter_mut().rev() {
                let value = (remainder << 32) | u64::from(*limb);
                *limb = split(value / 1_000_000_000).0;
                remainder = value % 1_000_000_000;
            }
            while rest.last() == Some(&0) {
                rest.pop();
            }
            groups.push(remainder);
        }
        let mut groups = groups.into_iter().rev();
        let first = groups.next().unwrap_or(0).to_string();
        groups.fold(first, |text, group| format!("{text}{group:09}"))
    }
}

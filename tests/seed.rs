//! Chance, from one number that a failure prints and `QUORATE_TEST_SEED` brings back.

use std::hash::{BuildHasher, RandomState};

const VARIABLE: &str = "QUORATE_TEST_SEED";

/// A generator (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// The seed of this run: from the environment, or a new one.
pub(crate) fn draw() -> u64 {
    match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is no number: {text}")),
        Err(_) => RandomState::new().hash_one(std::process::id()),
    }
}

/// What sets the seed, for a command line.
pub(crate) fn assignment(seed: u64) -> String {
    format!("{VARIABLE}={seed}")
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

//! Chance: SplitMix64 streams, each derived from the seed and a label, so that drawing more from one
//! stream never shifts another.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quorate_env::Rng;

use super::host::Life;
use super::time::nanos;

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's finalizer: every input bit changes half of the output bits.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Folds `bytes` into `state`, eight at a time: for traces and labels, not against an adversary.
pub(crate) fn fold(mut state: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = (state.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(GAMMA);
    }
    for byte in rest {
        state = (state.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(GAMMA);
    }
    (state ^ bytes.len() as u64).wrapping_mul(GAMMA)
}

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// The stream called `label` of `seed`.
    pub fn new(seed: u64, label: &str) -> Self {
        Self { state: mix(fold(mix(seed.wrapping_add(GAMMA)), label.as_bytes())) }
    }

    /// 64 uniformly distributed bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// An index below `len`; 0 when `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number in `range`; its start when it is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// A duration in `range`.
    pub fn duration(&mut self, range: Range<Duration>) -> Duration {
        Duration::from_nanos(self.within(nanos(range.start)..nanos(range.end)))
    }

    /// True once in `n` times; never when `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    /// An element of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(items.len()))
    }
}

/// A process' stream, as its code sees it.
pub(crate) struct SimRng {
    state: AtomicU64,
}

impl SimRng {
    /// Each incarnation draws from a stream of its own: a restarted process must not draw the ids
    /// of its predecessor again.
    pub(crate) fn new(seed: u64, life: &Arc<Life>) -> Self {
        let label = format!("rng {} {}", life.host.0, life.incarnation);
        Self { state: AtomicU64::new(Chance::new(seed, &label).state) }
    }
}

impl Rng for SimRng {
    fn next_u64(&self) -> u64 {
        mix(self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_label_and_seed() {
        let draw = |seed, label| {
            let mut chance = Chance::new(seed, label);
            (0..8).map(|_| chance.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut chance = Chance::new(7, "range");
        for _ in 0..1000 {
            assert!((5..9).contains(&chance.within(5..9)));
            assert!(chance.index(3) < 3);
        }
        assert_eq!(chance.below(0), 0);
        assert!(!chance.one_in(0));
    }
}

//! Chance: 64 random bits at a time.

/// Draws random numbers.
///
/// Must: be unpredictable to a peer in the real environment (ids and nonces come from here), and a
/// pure function of the seed in the simulated one.
pub trait Rng: Send + Sync {
    /// 64 uniformly distributed bits.
    fn next_u64(&self) -> u64;
    /// A number in `0..bound`; `bound` must not be zero. The bias is below 2^-32 for small bounds.
    fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

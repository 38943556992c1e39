//! The leader's clock: Unix milliseconds that never go backwards and never jump.
//!
//! Expiry is judged by stamps alone. A new leader starts from the highest stamp in its log, or from
//! its wall clock where that is later; from then on stamps follow *monotonic* time, up to
//! [`SLEW_PERCENT`] faster or slower to close in on the wall clock. So an operator who sets the clock
//! ahead by an hour does not expire an hour's worth of keys at once.
//!
//! Between the votes and the first entry of the term there is time for the clock to jump, too. So a new
//! leader does not take its wall clock at its word either, but follows it from where it was last found
//! near the majority's.

#[cfg(feature = "planted-bugs")]
use quorate_consensus::planted::{self, Planted};
use quorate_env::{Clock, Mono};

/// How much faster or slower than monotonic time stamps may run.
const SLEW_PERCENT: u64 = 10;

/// Microseconds are kept inside, so that many small steps do not lose their fractions.
#[derive(Debug, Default)]
pub(crate) struct StampClock {
    last_us: u64,
    read_at: Mono,
    /// The wall clock when it was last found near those of a majority, and when that was.
    near: Option<(u64, Mono)>,
}

impl StampClock {
    /// The wall clock shows `wall_ms` and is near those of a majority.
    pub(crate) fn found_near(&mut self, wall_ms: u64, now: Mono) {
        self.near = Some((wall_ms, now));
    }

    /// Starts a leader's term: `highest_ms` is the highest stamp of its log.
    pub(crate) fn lead_from(&mut self, highest_ms: u64, clock: &dyn Clock) {
        self.read_at = clock.now();
        let wall_us = clock.wall_ms().saturating_mul(1000);
        let start_us = self.near.map_or(wall_us, |(near_ms, at)| {
            let from_us = near_ms.saturating_mul(1000);
            let (slowest, fastest) = followed(from_us, at, self.read_at);
            // Wall clocks are read in milliseconds: each reading may have lost almost one.
            wall_us.clamp(slowest.saturating_sub(1000), fastest.saturating_add(1000))
        });
        self.last_us = start_us.max(highest_ms.saturating_mul(1000));
        #[cfg(feature = "planted-bugs")]
        if planted::is(Planted::StampsAhead) {
            self.last_us += 1_000_000;
        }
    }

    /// The time for an entry or a read.
    pub(crate) fn now_ms(&mut self, clock: &dyn Clock) -> u64 {
        let now = clock.now();
        let (slowest, fastest) = followed(self.last_us, self.read_at, now);
        if slowest == self.last_us {
            return self.last_us / 1000;
        }
        self.read_at = now;
        let wall_us = clock.wall_ms().saturating_mul(1000);
        self.last_us = wall_us.clamp(slowest, fastest);
        self.last_us / 1000
    }
}

/// How far a stamp of `from_us` at `since` may have come by `now`, at the least and at the most.
fn followed(from_us: u64, since: Mono, now: Mono) -> (u64, u64) {
    let passed_us = u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX);
    let slack = passed_us.saturating_mul(SLEW_PERCENT) / 100;
    let slowest = from_us.saturating_add(passed_us - slack);
    (slowest, from_us.saturating_add(passed_us.saturating_add(slack)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// Time that the test sets.
    #[derive(Default)]
    struct Hands {
        mono_ms: AtomicU64,
        wall_ms: AtomicU64,
    }

    impl Clock for Hands {
        fn now(&self) -> Mono {
            Mono(Duration::from_millis(self.mono_ms.load(Ordering::Relaxed)))
        }
        fn wall_ms(&self) -> u64 {
            self.wall_ms.load(Ordering::Relaxed)
        }
        fn sleep_until(&self, _: Mono) -> quorate_env::clock::Sleep {
            Box::pin(std::future::pending())
        }
    }

    fn set(hands: &Hands, mono_ms: u64, wall_ms: u64) {
        hands.mono_ms.store(mono_ms, Ordering::Relaxed);
        hands.wall_ms.store(wall_ms, Ordering::Relaxed);
    }

    #[test]
    fn a_new_leader_never_stamps_below_its_log() {
        let (hands, mut stamps) = (Hands::default(), StampClock::default());
        set(&hands, 0, 5_000);
        stamps.lead_from(9_000, &hands);
        assert_eq!(stamps.now_ms(&hands), 9_000);
        set(&hands, 1_000, 6_000);
        assert_eq!(stamps.now_ms(&hands), 9_900, "slowly, until the wall clock has caught up");
    }

    #[test]
    fn a_wall_clock_that_jumps_ahead_is_followed_slowly() {
        let (hands, mut stamps) = (Hands::default(), StampClock::default());
        set(&hands, 0, 10_000);
        stamps.lead_from(0, &hands);
        set(&hands, 1_000, 3_600_000);
        assert_eq!(stamps.now_ms(&hands), 11_100);
    }

    #[test]
    fn a_wall_clock_that_jumps_back_never_turns_stamps_back() {
        let (hands, mut stamps) = (Hands::default(), StampClock::default());
        set(&hands, 0, 10_000);
        stamps.lead_from(0, &hands);
        set(&hands, 100, 0);
        assert_eq!(stamps.now_ms(&hands), 10_090);
    }

    #[test]
    fn a_wall_clock_that_jumps_between_the_votes_and_the_term_is_not_believed() {
        for jumped_ms in [5 * 3_600_000, 0] {
            let hands = Hands::default();
            let mut stamps = StampClock::default();
            set(&hands, 0, 1_000_000);
            stamps.found_near(1_000_000, hands.now());
            set(&hands, 100, jumped_ms);
            stamps.lead_from(0, &hands);
            let began_ms = stamps.now_ms(&hands);
            assert!((1_000_089..=1_000_111).contains(&began_ms), "{began_ms}");
        }
    }

    #[test]
    fn a_steady_wall_clock_is_kept_exactly() {
        let (hands, mut stamps) = (Hands::default(), StampClock::default());
        set(&hands, 0, 10_000);
        stamps.lead_from(0, &hands);
        for step in 1..100 {
            set(&hands, step * 7, 10_000 + step * 7);
            assert_eq!(stamps.now_ms(&hands), 10_000 + step * 7);
        }
    }
}

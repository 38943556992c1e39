//! Simulated time: nanoseconds since the world began, as nobody inside the world can read them.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of the world's own time. Hosts see it only through their drifting clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimTime(pub u64);

impl SimTime {
    /// The beginning.
    pub const ZERO: Self = Self(0);

    /// That many milliseconds after the beginning.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Whole microseconds since the beginning, for traces.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }
}

/// A duration in nanoseconds; what does not fit (584 years) is cut.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for SimTime {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl Sub for SimTime {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(rhs.0))
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.as_micros() % 1_000_000)
    }
}

//! Time: a monotonic reading for durations, a wall reading for expiry, and timers.

use std::future::Future;
use std::ops::{Add, Sub};
use std::pin::Pin;
use std::time::Duration;

/// A monotonic reading: the time since an arbitrary origin, the same for the whole process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mono(pub Duration);

impl Mono {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0 + rhs)
    }
}

impl Sub for Mono {
    type Output = Duration;
    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

/// A timer's future.
pub type Sleep = Pin<Box<dyn Future<Output = ()>>>;

/// Reads time and waits for it.
///
/// Must: [`Clock::now`] never goes backwards; [`Clock::wall_ms`] (and [`Clock::wall_us`], which shows the same time) may jump either way at any moment.
pub trait Clock: Send + Sync {
    /// The monotonic time.
    fn now(&self) -> Mono;
    /// Unix time in milliseconds, as the machine believes it.
    fn wall_ms(&self) -> u64;
    /// The same in microseconds, as finely as the clock shows them.
    fn wall_us(&self) -> u64 {
        self.wall_ms().saturating_mul(1000)
    }
    /// Resolves at or after `at`, never before.
    fn sleep_until(&self, at: Mono) -> Sleep;
    /// Resolves at or after `duration` from now.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }
}

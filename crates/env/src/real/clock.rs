//! The machine's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::clock::{Clock, Mono, Sleep};

/// Monotonic time counted from when the clock was made.
#[derive(Debug)]
pub(super) struct RealClock {
    origin: Instant,
}

impl Default for RealClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for RealClock {
    fn now(&self) -> Mono {
        Mono(self.origin.elapsed())
    }

    fn wall_ms(&self) -> u64 {
        // A clock set before 1970 reads as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        // A time beyond what the machine can represent is never.
        match self.origin.checked_add(at.0) {
            Some(deadline) => Box::pin(tokio::time::sleep_until(deadline.into())),
            None => Box::pin(std::future::pending()),
        }
    }
}

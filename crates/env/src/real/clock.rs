//! The machine's clocks.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::{Clock, Mono, Sleep};

/// One origin for the process, so that readings of two environments (one per shard) compare.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A clock set before 1970 reads as 1970.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Monotonic time since the process first asked for it. It stands still while the machine sleeps.
#[derive(Debug)]
pub(super) struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Mono {
        Mono(ORIGIN.elapsed())
    }

    fn wall_ms(&self) -> u64 {
        u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall_us(&self) -> u64 {
        u64::try_from(since_1970().as_micros()).unwrap_or(u64::MAX)
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        // A time beyond what the machine can represent is never.
        match ORIGIN.checked_add(at.0) {
            Some(deadline) => Box::pin(tokio::time::sleep_until(deadline.into())),
            None => Box::pin(std::future::pending()),
        }
    }
}

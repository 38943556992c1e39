//! Latency: how long the last fsyncs took.

use std::collections::VecDeque;
use std::time::Duration;

/// How many are remembered.
const REMEMBERED: usize = 256;

/// How many are lately.
const LATELY: usize = 16;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    recent: VecDeque<Duration>,
    count: u64,
}

impl Latency {
    /// One more.
    pub(super) fn note(&mut self, duration: Duration) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(duration);
        self.count += 1;
    }

    /// How many there were since the start.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The latest.
    pub(super) fn last(&self) -> Duration {
        self.recent.back().copied().unwrap_or_default()
    }

    /// The median of the latest few: what a write takes lately, whatever a single one took.
    pub(super) fn lately(&self) -> Duration {
        let mut sorted: Vec<_> = self.recent.iter().rev().take(LATELY).copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The one that 99 of 100 remembered ones do not exceed.
    pub(super) fn p99(&self) -> Duration {
        let mut sorted: Vec<_> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p99_forgets_what_is_long_past() {
        let mut latency = Latency::default();
        assert_eq!(latency.p99(), Duration::ZERO);
        latency.note(Duration::from_secs(9));
        for ms in 0..REMEMBERED {
            latency.note(Duration::from_millis(ms as u64));
        }
        assert_eq!(latency.p99(), Duration::from_millis(253));
        assert_eq!(latency.last(), Duration::from_millis(255));
        assert_eq!(latency.count(), 257);
    }

    #[test]
    fn one_slow_write_is_not_slow_lately_and_many_are() {
        let mut latency = Latency::default();
        assert_eq!(latency.lately(), Duration::ZERO);
        (0..REMEMBERED).for_each(|_| latency.note(Duration::from_millis(1)));
        latency.note(Duration::from_secs(9));
        assert_eq!(latency.lately(), Duration::from_millis(1));
        (0..LATELY / 2).for_each(|_| latency.note(Duration::from_secs(9)));
        assert_eq!(latency.lately(), Duration::from_secs(9));
    }
}

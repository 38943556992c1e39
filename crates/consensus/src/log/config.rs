//! Settings of the log.

use std::time::Duration;

use super::error::LogError;

/// No segment is larger, so that an offset fits into 32 bits with room to spare.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// No segment is smaller.
pub const SEGMENT_BYTES_MIN: u64 = 4096;

const _: () = assert!(SEGMENT_BYTES_MAX * 3 < u32::MAX as u64);

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The size of a segment. Two are allocated at least: the one in use, and the next one. (A start begins a smaller one.)
    pub segment_bytes: u64,
    /// Of the allocated space, what new proposals leave alone, so that on a full disk votes, terms,
    /// commit indexes and purge points still have a place.
    pub reserve_bytes: u64,
    /// On a full disk, how long to wait before asking again for space.
    pub retry_after: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            reserve_bytes: 4 * 1024 * 1024,
            retry_after: Duration::from_secs(1),
        }
    }
}

impl LogConfig {
    /// Checks the settings; the size of a segment as a file offset.
    pub(super) fn checked(&self) -> Result<u32, LogError> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !sizes.contains(&self.segment_bytes) {
            return Err(LogError::Config(format!(
                "segment_bytes is {}, must be from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            )));
        }
        if self.reserve_bytes > self.segment_bytes / 4 {
            return Err(LogError::Config(format!(
                "reserve_bytes is {}, must not exceed a quarter of segment_bytes",
                self.reserve_bytes
            )));
        }
        u32::try_from(self.segment_bytes).map_err(|_| LogError::Config("segment_bytes".to_owned()))
    }
}

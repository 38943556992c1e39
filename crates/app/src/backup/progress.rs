//! How far a long piece of work is, on a terminal; elsewhere nothing is said.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);
const MIB: u64 = 1 << 20;

/// One line on standard error, written again and again, gone in the end.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    total_bytes: Option<u64>,
    shown_at: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub(super) fn new(what: &'static str, total_bytes: Option<u64>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { what, total_bytes, shown_at: None, is_terminal }
    }

    /// So many bytes are done.
    pub(super) fn show(&mut self, bytes: u64) {
        let recently = self.shown_at.is_some_and(|at| at.elapsed() < EVERY);
        if !self.is_terminal || recently {
            return;
        }
        self.shown_at = Some(Instant::now());
        say(&format!("\r{}\x1b[K", self.line(bytes)));
    }

    fn line(&self, bytes: u64) -> String {
        let done = bytes / MIB;
        match self.total_bytes {
            Some(total) if total > 0 => {
                let (total_mib, percent) = (total / MIB, bytes.saturating_mul(100) / total);
                let bars = usize::try_from(percent.min(100) / 4).unwrap_or_default();
                format!(
                    "[{:<25}] {percent:>3} %  {done} of {total_mib} MiB {}",
                    "#".repeat(bars),
                    self.what
                )
            }
            _ => format!("{done} MiB {}", self.what),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_at.is_some() {
            say("\r\x1b[K");
        }
    }
}

/// Nobody is left to tell when standard error is closed.
fn say(text: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_what_is_known() {
        let line = |total| {
            Progress { what: "read", total_bytes: total, shown_at: None, is_terminal: true }
                .line(5 * MIB)
        };
        assert_eq!(line(None), "5 MiB read");
        assert_eq!(line(Some(10 * MIB)), "[############             ]  50 %  5 of 10 MiB read");
        assert_eq!(line(Some(0)), "5 MiB read");
    }

    #[test]
    fn without_a_terminal_nothing_is_said() {
        let mut progress =
            Progress { what: "read", total_bytes: None, shown_at: None, is_terminal: false };
        progress.show(7);
        assert!(progress.shown_at.is_none());
    }
}

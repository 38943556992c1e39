//! How far a long piece of work is, on a terminal; elsewhere nothing is said.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(200);
const MIB: u64 = 1 << 20;
/// To the line's beginning, and what stood there is gone.
pub(crate) const CLEAR: &str = "\r\x1b[K";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes, shown as MiB.
    Bytes,
    /// Entries of the log.
    Entries,
    /// Records of a state.
    Records,
}

/// One line on standard error, written again and again, gone in the end.
#[derive(Debug)]
pub(crate) struct Progress {
    shown_at: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        Self { shown_at: None, is_terminal: is_shown() }
    }

    /// So much is done, of so much in all, where that is known.
    pub(crate) fn show(&mut self, what: &str, unit: Unit, done: u64, total: Option<u64>) {
        let recently = self.shown_at.is_some_and(|at| at.elapsed() < EVERY);
        if !self.is_terminal || recently {
            return;
        }
        self.shown_at = Some(Instant::now());
        say(&format!("{CLEAR}{}", line(what, unit, done, total)));
    }
}

/// True when somebody sees what is shown.
pub(crate) fn is_shown() -> bool {
    std::io::stderr().is_terminal()
}

fn line(what: &str, unit: Unit, done: u64, total: Option<u64>) -> String {
    let (divisor, unit) = match unit {
        Unit::Bytes => (MIB, "MiB"),
        Unit::Entries => (1, "entries"),
        Unit::Records => (1, "records"),
    };
    match total {
        Some(total) if total > 0 => {
            let percent = done.saturating_mul(100) / total;
            let bars = usize::try_from(percent.min(100) / 4).unwrap_or_default();
            let (done, total, bar) = (done / divisor, total / divisor, "#".repeat(bars));
            format!("[{bar:<25}] {percent:>3} %  {done} of {total} {unit} {what}")
        }
        _ => format!("{} {unit} {what}", done / divisor),
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_at.is_some() {
            say(CLEAR);
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
        let line = |total| line("read", Unit::Bytes, 5 * MIB, total);
        assert_eq!(line(None), "5 MiB read");
        assert_eq!(line(Some(10 * MIB)), "[############             ]  50 %  5 of 10 MiB read");
        assert_eq!(line(Some(0)), "5 MiB read");
    }

    #[test]
    fn entries_are_counted_one_by_one() {
        let line = line("n4 has", Unit::Entries, 30, Some(40));
        assert_eq!(line, "[##################       ]  75 %  30 of 40 entries n4 has");
    }

    #[test]
    fn without_a_terminal_nothing_is_said() {
        let mut progress = Progress { shown_at: None, is_terminal: false };
        progress.show("read", Unit::Bytes, 7, None);
        assert!(progress.shown_at.is_none());
    }
}

//! The trace: one line per event, folded into a digest, kept as text only when asked for.
//!
//! "Same seed, same bytes" is judged here: two runs of a seed must have the same digest, and, when
//! recorded, the same text. What the real code logs is part of the text but not of the digest, so that
//! recording does not change it.

use std::fmt::{self, Write as _};

use super::host::HostId;
use super::rng::fold;
use super::time::SimTime;

/// Whether the text of a run is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Only the digest.
    #[default]
    Digest,
    /// The digest and the lines that tell what happened, without messages and disk operations.
    Story,
    /// The digest and every line, with what the real code logs.
    Text,
}

/// What happened so far.
#[derive(Debug)]
pub(crate) struct Trace {
    recording: Recording,
    digest: u64,
    lines: u64,
    line: String,
    text: String,
}

impl Trace {
    pub(crate) fn new(seed: u64, recording: Recording) -> Self {
        Self { recording, digest: seed, lines: 0, line: String::new(), text: String::new() }
    }

    /// Folds one line in that is too small for a story.
    pub(crate) fn detail(&mut self, at: SimTime, host: Option<HostId>, what: fmt::Arguments<'_>) {
        self.fold_in(at, host, what);
        if self.recording == Recording::Text {
            self.text.push_str(&self.line);
        }
    }

    /// Folds one line in.
    pub(crate) fn event(&mut self, at: SimTime, host: Option<HostId>, what: fmt::Arguments<'_>) {
        self.fold_in(at, host, what);
        if self.recording != Recording::Digest {
            self.text.push_str(&self.line);
        }
    }

    fn fold_in(&mut self, at: SimTime, host: Option<HostId>, what: fmt::Arguments<'_>) {
        self.line.clear();
        self.lines += 1;
        let written = match host {
            Some(host) => writeln!(self.line, "{at} {host} {what}"),
            None => writeln!(self.line, "{at} -- {what}"),
        };
        debug_assert!(written.is_ok(), "a String takes all");
        self.digest = fold(self.digest, self.line.as_bytes());
    }

    /// Folds a number in without a line: what happens too often for text.
    pub(crate) fn count(&mut self, number: u64) {
        self.digest = fold(self.digest, &number.to_le_bytes());
    }

    /// Adds a line of the real code's own log; not part of the digest.
    pub(crate) fn log(&mut self, at: SimTime, host: Option<HostId>, what: &str) {
        if self.recording != Recording::Digest {
            let who = host.map_or_else(|| "--".to_owned(), |host| host.to_string());
            let written = writeln!(self.text, "{at} {who} log {what}");
            debug_assert!(written.is_ok(), "a String takes all");
        }
    }

    pub(crate) fn recording(&self) -> Recording {
        self.recording
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

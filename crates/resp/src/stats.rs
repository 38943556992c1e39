//! What the front-end counts: plain figures for INFO and metrics.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use quorate_api::{CommandId, Spec, command};
use quorate_env::Mono;

/// Kinds of errors that are counted apart; a client can't invent more.
const ERROR_KINDS_MAX: usize = 64;

/// The counters of one [`crate::Server`], since start or CONFIG RESETSTAT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections open now.
    pub connections: usize,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections refused because there were too many.
    pub connections_refused: u64,
    /// Commands executed.
    pub commands: u64,
    /// Commands executed in the last full second.
    pub commands_per_second: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Error replies by their first word.
    pub errors: BTreeMap<&'static str, u64>,
}

/// The same, being counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Cell<u64>,
    pub(crate) refused: Cell<u64>,
    pub(crate) commands: Cell<u64>,
    pub(crate) bytes_in: Cell<u64>,
    pub(crate) bytes_out: Cell<u64>,
    errors: RefCell<BTreeMap<&'static str, u64>>,
    /// Commands executed, by their numbers.
    calls: Calls,
    /// The second under way, its commands, and those of the second before.
    rate: Cell<(u64, u64, u64)>,
}

/// A counter for each command of the table.
#[derive(Debug)]
struct Calls(Vec<Cell<u64>>);

impl Default for Calls {
    fn default() -> Self {
        let numbers = command::all().map(|spec| spec.id as usize);
        Self(vec![Cell::new(0); numbers.max().unwrap_or_default() + 1])
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get().wrapping_add(count));
}

impl Counters {
    /// Commands executed in one turn of a connection.
    pub(crate) fn count_commands(&self, now: Mono, count: u64) {
        add(&self.commands, count);
        let (second, current, last) = self.rate_at(now);
        self.rate.set((second, current + count, last));
    }

    fn rate_at(&self, now: Mono) -> (u64, u64, u64) {
        let (second, current, last) = self.rate.get();
        match now.0.as_secs().checked_sub(second) {
            Some(0) | None => (second, current, last),
            Some(1) => (second + 1, 0, current),
            Some(more) => (second + more, 0, 0),
        }
    }

    /// A command that was executed here, or handed to the node.
    #[inline]
    pub(crate) fn count_call(&self, id: CommandId) {
        if let Some(counter) = self.calls.0.get(id as usize) {
            add(counter, 1);
        }
    }

    /// The commands that were executed, and how often.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |spec: &Spec| self.calls.0.get(spec.id as usize).map_or(0, Cell::get);
        let called = command::all().map(move |spec| (spec.name, count(spec)));
        called.filter(|(_, count)| *count > 0)
    }

    /// An error reply.
    pub(crate) fn count_error(&self, word: &'static str) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < ERROR_KINDS_MAX || errors.contains_key(word) {
            *errors.entry(word).or_default() += 1;
        }
    }

    /// Starts again from zero.
    pub(crate) fn reset(&self) {
        for counter in
            [&self.accepted, &self.refused, &self.commands, &self.bytes_in, &self.bytes_out]
        {
            counter.set(0);
        }
        self.calls.0.iter().for_each(|counter| counter.set(0));
        self.errors.borrow_mut().clear();
    }

    /// The figures.
    pub(crate) fn stats(&self, connections: usize, now: Mono) -> Stats {
        Stats {
            connections,
            connections_accepted: self.accepted.get(),
            connections_refused: self.refused.get(),
            commands: self.commands.get(),
            commands_per_second: self.rate_at(now).2,
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            errors: self.errors.borrow().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_full_second() {
        let counters = Counters::default();
        let at = |ms| Mono(Duration::from_millis(ms));
        counters.count_commands(at(1_100), 5);
        counters.count_commands(at(1_900), 2);
        assert_eq!(counters.stats(0, at(1_999)).commands_per_second, 0);
        assert_eq!(counters.stats(0, at(2_500)).commands_per_second, 7);
        assert_eq!(counters.stats(0, at(3_500)).commands_per_second, 0);
        assert_eq!(counters.stats(0, at(3_500)).commands, 7);
    }
}

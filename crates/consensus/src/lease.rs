//! The leader's lease: the right to read without asking, for a while, under a bound on clock rates.
//!
//! A follower that hears from a leader grants no other candidate a vote before an election timeout
//! has passed on *its* monotonic clock. The leader counts from the moment at which it *sent* what a
//! quorum then acknowledged, which lies before every one of those moments, and takes off what the
//! clocks' rates may differ by ([`RATE_BOUND_PERCENT`]). raft-rs' own `in_lease()` counts ticks from
//! receipt and is unsafe. See Ongaro's thesis, section 6.4.1.

use std::time::Duration;

use quorate_env::Mono;

use crate::Term;

/// By how much the rates of any two members' monotonic clocks may differ, in percent. NTP slews by at
/// most 0.05 %; virtual machines with broken timers have been seen at a few percent.
pub const RATE_BOUND_PERCENT: u32 = 10;

/// When the leader may read alone.
#[derive(Debug)]
pub(crate) struct Lease {
    length: Duration,
    term: Term,
    until: Mono,
    /// The term in which leadership was given up: its TimeoutNow may arrive late, and the receiver
    /// then wins an election which ignores every follower's promise.
    barred: Option<Term>,
}

impl Lease {
    /// For followers that wait for `election_ticks` of `tick` each. A follower's first tick may come
    /// right behind the heartbeat, so one of them does not count.
    pub(crate) fn new(tick: Duration, election_ticks: u32) -> Self {
        let promise = tick * election_ticks.saturating_sub(1);
        let length = promise * (100 - RATE_BOUND_PERCENT) / 100;
        Self { length, term: Term(0), until: Mono::default(), barred: None }
    }

    /// A quorum of `term` has acknowledged something sent at `sent`.
    pub(crate) fn acknowledged(&mut self, term: Term, sent: Mono) {
        if self.barred == Some(term) {
            return;
        }
        let until = sent + self.length;
        if self.term != term {
            (self.term, self.until) = (term, until);
        }
        self.until = self.until.max(until);
    }

    /// Leadership of `term` is about to be handed over.
    pub(crate) fn give_up(&mut self, term: Term) {
        self.barred = Some(term);
        self.until = Mono::default();
    }

    pub(crate) fn holds(&self, term: Term, now: Mono) -> bool {
        self.term == term && self.barred != Some(term) && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Mono {
        Mono(Duration::from_millis(ms))
    }

    fn lease() -> Lease {
        Lease::new(Duration::from_millis(10), 11)
    }

    #[test]
    fn it_runs_from_the_send_time_and_is_shorter_than_the_promise() {
        let mut lease = lease();
        lease.acknowledged(Term(3), at(1000));
        assert!(lease.holds(Term(3), at(1089)));
        assert!(!lease.holds(Term(3), at(1090)));
    }

    #[test]
    fn it_does_not_survive_a_change_of_term() {
        let mut lease = lease();
        lease.acknowledged(Term(3), at(1000));
        assert!(!lease.holds(Term(4), at(1001)));
        lease.acknowledged(Term(4), at(500));
        assert!(!lease.holds(Term(4), at(1001)));
    }

    #[test]
    fn once_given_up_it_is_not_regained_in_that_term() {
        let mut lease = lease();
        lease.acknowledged(Term(3), at(1000));
        lease.give_up(Term(3));
        assert!(!lease.holds(Term(3), at(1001)));
        lease.acknowledged(Term(3), at(1002));
        assert!(!lease.holds(Term(3), at(1003)));
    }
}

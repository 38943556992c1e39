//! The judges: one file per property. Those of what was promised look at nothing but the clients' history;
//! those of how it is kept ([`election`], [`log_matching`], [`completeness`], [`machine`]) are told by
//! members what they do; [`whole`] looks at what they say of their disks. [`lifetime`] needs clocks that were
//! right all the time.
//!
//! [`witness`] and [`linearizable`] are the strongest: the one where replies carry a place in the order of writes,
//! on keys that live as long as the run, the other by search, on keys with short histories. The others are
//! implied by them, cheaper to read when they fail, and catch what these must leave undecided.

pub mod completeness;
pub mod durable;
pub mod election;
pub mod expiry;
pub mod honest;
pub mod lifetime;
pub mod linearizable;
pub mod live;
pub mod log_matching;
pub mod machine;
pub mod model;
pub mod monotonic;
pub mod once;
pub mod panics;
pub mod quiet;
pub mod removed;
pub mod replies;
#[cfg(test)]
mod tests;
pub mod votes;
pub mod whole;
pub mod witness;
mod writers;

use std::fmt;

use crate::history::History;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub property: &'static str,
    /// The evidence.
    pub evidence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.evidence)
    }
}

impl Violation {
    /// A violation of `property`.
    pub fn new(property: &'static str, evidence: impl Into<String>) -> Self {
        Self { property, evidence: evidence.into() }
    }
}

/// What the judges say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// Groups of keys on which the search was given up.
    pub undecided: u64,
    /// Operations that were judged by the revisions in replies.
    pub placed: u64,
    /// Operations on the same keys whose place nobody knows.
    pub loose: u64,
}

/// Asks all judges.
pub fn judge(history: &History) -> Judgement {
    let mut judgement = linearizable::check(history);
    let witnessed = witness::check(history);
    (judgement.placed, judgement.loose) = (witnessed.placed, witnessed.loose);
    judgement.violations.extend(witnessed.violations);
    let violations = &mut judgement.violations;
    violations.extend(durable::check(history));
    violations.extend(honest::check(history));
    violations.extend(monotonic::check(history));
    violations.extend(replies::check(history));
    violations.extend(once::check(history));
    violations.extend(expiry::check(history));
    judgement
}

//! Votes come back: a member that gave its vote up because of damage gets it again when it has fetched what it lacks
//! (`GUARANTEES`, *from damage it recovers by fetching from its peers, without a vote until then*), and so do a newcomer
//! that has caught up and one that was promoted. A member that stays a learner is one of a majority less, and nobody
//! notices.

use std::collections::BTreeMap;

use quorate_api::limits::VOTERS_MAX;

use super::Violation;

/// What a member must have in the end, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A vote, up to the maximal number of voters.
    Vote,
    /// None: an operator took it.
    None,
}

/// The names of those in `members` (who votes) that have not what is `due`.
pub fn missing(due: &BTreeMap<String, Due>, members: &BTreeMap<String, bool>) -> Vec<String> {
    let full = members.values().filter(|votes| **votes).count() >= VOTERS_MAX;
    let fits = |name: &String, due: Due| match (members.get(name), due) {
        (None, due) => due == Due::None,
        (Some(votes), Due::Vote) => *votes || full,
        (Some(votes), Due::None) => !votes,
    };
    due.iter().filter(|(name, due)| !fits(name, **due)).map(|(name, _)| name.clone()).collect()
}

/// Judges who votes in the end, if anybody said so.
pub fn check(due: &BTreeMap<String, Due>, members: &BTreeMap<String, bool>) -> Option<Violation> {
    let missing = missing(due, members);
    let evidence =
        || format!("votes of {missing:?} are not as they should be: {members:?}, {due:?}");
    (!members.is_empty() && !missing.is_empty()).then(|| Violation::new("votes", evidence()))
}

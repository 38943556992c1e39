//! What a group shows of itself to a judge. Nobody listens outside of the gym.

use crate::{Index, NodeId, Term};

/// An entry as it enters a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The term of the entry before it; `None` where the log does not know it any more.
    pub before: Option<Term>,
    /// A checksum of its content.
    pub print: u32,
}

/// A moment at which a fault hurts most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A leader tells its successor to stand for election.
    HandsOver,
    /// A leader has appended a change of members.
    ChangesMembers,
    /// A member cuts its log.
    CutsLog,
    /// A leader asks whether it still leads.
    AsksQuorum,
}

/// Listens to the groups of a run.
///
/// Must: change nothing; it is called in the midst of things.
pub trait GroupObserver {
    /// The vote of `node` leaves it: for `candidate`, which may be itself.
    fn voted(&self, node: NodeId, term: Term, candidate: NodeId);
    /// `node` leads in `term`; `term_at` reads its log.
    fn elected(&self, node: NodeId, term: Term, term_at: &dyn Fn(Index) -> Option<Term>);
    /// `node` appends an entry.
    fn appended(&self, node: NodeId, entry: Appended);
    /// This is such a moment, for `node`.
    fn at(&self, node: NodeId, moment: Moment);
}

//! Observation: what members show of themselves, passed on to the judges at once.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::ControlFlow;
use std::rc::Rc;

use quorate_consensus::observer::{Appended, GroupObserver, Moment};
use quorate_consensus::{Index, NodeId, Term};
use quorate_keyspace::Keyspace;
use quorate_keyspace::snapshot::export;
use quorate_node::observer::{Applied, Observer};

use crate::check::Violation;
use crate::check::completeness::Committed;
use crate::check::election::Elections;
use crate::check::log_matching::Logs;
use crate::check::machine::{Machines, State};
use crate::world::HostId;
use crate::world::rng::fold;

/// All records are hashed at each index of which this is a divisor, unless all are looked at.
const CONTENT_EVERY: u64 = 16;
/// Violations that are told; the others follow from them.
const TOLD_MAX: usize = 3;

/// What a run's members are watched by.
#[derive(Default)]
pub struct Watch {
    judges: RefCell<Judges>,
    moments: RefCell<Vec<(HostId, Moment)>>,
    leased: Cell<u64>,
    /// All records are hashed at every index.
    every_index: Cell<bool>,
}

/// One process' place before the judges: they know nodes, faults know hosts.
#[derive(Debug)]
pub struct Seat {
    /// Where it runs.
    pub host: HostId,
    /// Who watches.
    pub watch: Rc<Watch>,
}

#[derive(Debug, Default)]
struct Judges {
    elections: Elections,
    logs: Logs,
    committed: Committed,
    machines: Machines,
    violations: Vec<Violation>,
}

impl Judges {
    fn tell(&mut self, violation: Option<Violation>) {
        if self.violations.len() < TOLD_MAX {
            self.violations.extend(violation);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    /// From now on all records are hashed at every index.
    pub fn look_at_every_index(&self) {
        self.every_index.set(true);
    }

    /// The moments since the last call, and where.
    pub fn take_moments(&self) -> Vec<(HostId, Moment)> {
        self.moments.take()
    }

    /// True when there has been a moment since.
    pub fn has_moments(&self) -> bool {
        !self.moments.borrow().is_empty()
    }

    /// How often reads were served by nothing but a lease.
    pub fn leased(&self) -> u64 {
        self.leased.get()
    }

    /// True when anybody ever led: toys don't, and have no votes.
    pub fn has_leaders(&self) -> bool {
        self.judges.borrow().elections.any()
    }

    /// What was seen to be broken.
    pub fn violations(&self) -> Vec<Violation> {
        self.judges.borrow().violations.clone()
    }
}

fn content(state: &Keyspace) -> Option<u64> {
    let mut hash = 0;
    let mut take = |bytes: &[u8]| {
        hash = fold(hash, bytes);
        ControlFlow::Continue(())
    };
    export(&*state.view(), &mut take).ok()?;
    Some(hash)
}

impl GroupObserver for Seat {
    fn voted(&self, node: NodeId, term: Term, candidate: NodeId) {
        let judges = &mut *self.watch.judges.borrow_mut();
        let violation = judges.elections.voted(node, term, candidate);
        judges.tell(violation);
    }

    fn elected(&self, node: NodeId, term: Term, term_at: &dyn Fn(Index) -> Option<Term>) {
        let judges = &mut *self.watch.judges.borrow_mut();
        let violation = judges.elections.elected(node, term);
        judges.tell(violation);
        let violation = judges.committed.elected(node, term, term_at);
        judges.tell(violation);
    }

    fn appended(&self, _: NodeId, entry: Appended) {
        let judges = &mut *self.watch.judges.borrow_mut();
        let violation = judges.logs.appended(entry);
        judges.tell(violation);
    }

    fn at(&self, _: NodeId, moment: Moment) {
        self.watch.moments.borrow_mut().push((self.host, moment));
    }
}

impl Observer for Seat {
    fn stood(&self, node: NodeId, state: &Keyspace) {
        let judges = &mut *self.watch.judges.borrow_mut();
        let held = State { digest: state.digest(), content: content(state) };
        let violation = judges.machines.stood(node, Index(state.applied()), held);
        judges.tell(violation);
    }

    fn leased(&self, _: NodeId) {
        self.watch.leased.set(self.watch.leased.get() + 1);
    }

    fn applied(&self, node: NodeId, entry: Applied, state: &Keyspace) {
        let judges = &mut *self.watch.judges.borrow_mut();
        let Applied { index, term, known_in } = entry;
        let looks = self.watch.every_index.get() || index.0.is_multiple_of(CONTENT_EVERY);
        let content = if looks { content(state) } else { None };
        let held = State { digest: state.digest(), content };
        let violation = judges.machines.applied(node, index, term, held);
        judges.tell(violation);
        judges.committed.applied(index, term, known_in);
    }
}

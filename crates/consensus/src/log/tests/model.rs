//! The oracle: what a log may hold after a crash.
//!
//! Every batch is a few steps (one per record), in the order of submission. After a crash the log
//! must hold what the first `n` steps amount to, for some `n` that covers each acknowledged batch.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::Random;
use super::world::{World, drain, read};
use crate::id::{GroupId, Index, NodeId, Term};
use crate::log::{HardState, Log, LogBatch, LogEntry, LogError, Recovered, Ticket};

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupModel {
    pub(super) entries: Vec<LogEntry>,
    pub(super) hard: HardState,
    pub(super) purged: (Index, Term),
}

impl GroupModel {
    pub(super) fn last(&self) -> (Index, Term) {
        self.entries.last().map_or(self.purged, |entry| (entry.index, entry.term))
    }

    fn step(&mut self, step: &LogBatch) {
        if let Some(to) = step.reset_to {
            self.entries.clear();
            self.purged = to;
            self.hard.commit = self.hard.commit.max(to.0);
        }
        for entry in &step.entries {
            self.entries.retain(|old| old.index < entry.index);
            self.entries.push(entry.clone());
        }
        if let Some(hard) = step.hard_state {
            self.hard = hard;
        }
        if let Some(to) = step.purge.filter(|to| to.0 > self.purged.0) {
            self.purged = to;
            self.entries.retain(|old| old.index > to.0);
        }
    }

    /// What recovery makes of it.
    fn normal(mut self) -> Self {
        let (last, term) = self.last();
        if term > self.hard.term {
            (self.hard.term, self.hard.vote) = (term, NodeId(0));
        }
        self.hard.commit = self.hard.commit.clamp(self.purged.0, last);
        self
    }
}

/// All groups, without those that hold nothing.
pub(super) type LogModel = BTreeMap<GroupId, GroupModel>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    steps: Vec<LogBatch>,
    /// How many steps there are up to each ticket of the current run.
    ends: Vec<usize>,
    acknowledged: usize,
}

impl Oracle {
    pub(super) fn submitted(&mut self, batch: &LogBatch) {
        let group = batch.group;
        let plain = LogBatch { group, ..LogBatch::default() };
        let reset = batch.reset_to.map(|to| LogBatch { reset_to: Some(to), ..plain.clone() });
        self.steps.extend(reset);
        let entries = batch.entries.iter();
        let entries = entries.map(|one| LogBatch { entries: vec![one.clone()], ..plain.clone() });
        self.steps.extend(entries);
        let hard =
            batch.hard_state.map(|hard| LogBatch { hard_state: Some(hard), ..plain.clone() });
        self.steps.extend(hard);
        let purge = batch.purge.map(|to| LogBatch { purge: Some(to), ..plain.clone() });
        self.steps.extend(purge);
        self.ends.push(self.steps.len());
    }

    pub(super) fn acknowledged(&mut self, ticket: Ticket) {
        self.acknowledged = self.ends[usize::try_from(ticket.0).unwrap() - 1];
    }

    /// All that was submitted, whether durable or not.
    pub(super) fn now(&self) -> LogModel {
        self.after(self.steps.len())
    }

    fn after(&self, steps: usize) -> LogModel {
        let mut model = LogModel::new();
        for step in &self.steps[..steps] {
            model.entry(step.group).or_default().step(step);
        }
        let normal = model.into_iter().map(|(id, group)| (id, group.normal()));
        normal.filter(|(_, group)| *group != GroupModel::default()).collect()
    }

    /// Checks what was found; from here on it is the truth, and all of it is durable.
    pub(super) fn check(&mut self, found: &LogModel) {
        let least = self.acknowledged;
        let matching = (least..=self.steps.len()).find(|steps| self.after(*steps) == *found);
        let Some(steps) = matching else {
            let expected = self.after(least);
            panic!("expected at least {}\nfound {}", brief(&expected), brief(found));
        };
        self.truth(steps, found);
    }

    /// As [`Oracle::check`], but a vote from behind a cut may have been kept: it is a promise.
    pub(super) fn check_with_later_votes(&mut self, found: &LogModel) {
        let alike = |expected: &LogModel| {
            let ids: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
            ids.into_iter().all(|id| {
                let expected = expected.get(id).cloned().unwrap_or_default();
                let found = found.get(id).cloned().unwrap_or_default();
                (expected.entries, expected.purged) == (found.entries, found.purged)
                    && expected.hard.commit == found.hard.commit
                    && (expected.hard.term, expected.hard.vote)
                        <= (found.hard.term, found.hard.vote)
            })
        };
        let least = self.acknowledged;
        let steps = (least..=self.steps.len()).find(|steps| alike(&self.after(*steps)));
        self.truth(steps.expect("a prefix of what was submitted"), found);
    }

    fn truth(&mut self, steps: usize, found: &LogModel) {
        self.steps.truncate(steps);
        for (group, model) in found {
            // What recovery has made of a hard state stays.
            let (group, hard_state) = (*group, Some(model.hard));
            self.steps.push(LogBatch { group, hard_state, ..LogBatch::default() });
        }
        self.acknowledged = self.steps.len();
        self.ends.clear();
    }

    /// True when all that was acknowledged is in `found`.
    pub(super) fn holds(&self, found: &LogModel) -> bool {
        (self.acknowledged..=self.steps.len()).any(|steps| self.after(steps) == *found)
    }

    /// Checks a log that was cut in doubt: a prefix, and each entry that is missing is covered.
    pub(super) fn check_doubt(&self, found: &LogModel, recovered: &Recovered) {
        assert!(
            (0..=self.steps.len()).any(|steps| self.after(steps) == *found),
            "{}",
            brief(found)
        );
        for (id, group) in self.after(self.acknowledged) {
            let last = found.get(&id).map(GroupModel::last).unwrap_or_default();
            let doubt = recovered.groups.get(&id).and_then(|state| state.doubt);
            let reached = doubt.map_or(last.0, |doubt| doubt.index).max(last.0);
            assert!(reached >= group.last().0, "group {id}: {doubt:?} for {:?}", group.last());
        }
    }
}

impl Oracle {
    /// Checks that the log holds nothing but what was once written, in its order.
    pub(super) fn check_doubt_or_prefix(&self, found: &LogModel) {
        assert!(
            (0..=self.steps.len()).any(|steps| self.after(steps) == *found),
            "{}",
            brief(found)
        );
    }
}

/// A model on few lines.
fn brief(model: &LogModel) -> String {
    let group = |(id, group): (&GroupId, &GroupModel)| {
        let entries = group.entries.iter().map(|entry| format!("{}@{}", entry.index, entry.term));
        let entries = entries.collect::<Vec<_>>().join(" ");
        format!("\n{id}: {:?} {:?} {entries}", group.purged, group.hard)
    };
    model.iter().map(group).collect()
}

/// What an open log holds, with every byte read.
pub(super) fn content(log: &Log, recovered: &Recovered) -> LogModel {
    let mut model = LogModel::new();
    for (id, state) in &recovered.groups {
        let group =
            GroupModel { entries: read(log, *id), hard: state.hard_state, purged: state.purged };
        assert_eq!(state.last, group.last().0);
        if group != GroupModel::default() {
            model.insert(*id, group);
        }
    }
    model
}

/// Opens and reads everything.
pub(super) fn open(world: &World) -> Result<(Log, LogModel, Recovered), LogError> {
    let (log, recovered) = world.open()?;
    let found = content(&log, &recovered);
    Ok((log, found, recovered))
}

/// Submits `batch` and takes the completions that are there; false when the log is closed.
pub(super) fn submit(log: &mut Log, oracle: &mut Oracle, batch: LogBatch) -> bool {
    if log.failure().is_some() {
        return false;
    }
    oracle.submitted(&batch);
    log.submit(batch).unwrap();
    take(log, oracle)
}

/// Takes the completions that are there; false when the log is closed.
pub(super) fn take(log: &mut Log, oracle: &mut Oracle) -> bool {
    let mut alive = true;
    for done in drain(log) {
        match done.result {
            Ok(()) => oracle.acknowledged(done.ticket),
            Err(_) => alive = false,
        }
    }
    alive
}

/// A batch that fits to `now`, of any kind.
pub(super) fn random_batch(random: &mut Random, now: &LogModel) -> LogBatch {
    let id = GroupId(1 + random.below(2));
    let group = now.get(&id).cloned().unwrap_or_default();
    let (last, last_term) = group.last();
    let term = Term(group.hard.term.0.max(last_term.0).max(1) + random.below(8) / 7);
    let mut batch = LogBatch { group: id, sync: random.below(4) > 0, ..LogBatch::default() };
    let kind = random.below(12);
    let mut next = last.next();
    if kind == 0 {
        let to = (Index(last.0 + random.below(5)), last_term.max(Term(1)));
        batch.reset_to = Some(to);
        next = to.0.next();
    } else if kind == 1 && !group.entries.is_empty() {
        let back = random.below(group.entries.len() as u64);
        next = Index(last.0 - back);
    } else if kind < 4 && !group.entries.is_empty() {
        let at = usize::try_from(random.below(group.entries.len() as u64)).unwrap();
        batch.purge = Some((group.entries[at].index, group.entries[at].term));
    }
    if kind > 2 || kind == 1 {
        // Replaced entries are of another term: Raft never has two for one index and term.
        let term = if kind == 1 { Term(term.0 + 1) } else { term };
        for index in next.0..next.0 + 1 + random.below(3) {
            let bytes = usize::try_from(random.below(300)).unwrap();
            batch.entries.push(super::world::entry(index, term.0, bytes));
        }
    }
    if random.below(3) == 0 {
        let top = batch.entries.last().map(|entry| (entry.index, entry.term));
        let (index, entry_term) = top.or(batch.reset_to).unwrap_or((last, last_term));
        let commit = index.max(group.purged.0);
        batch.hard_state =
            Some(HardState { term: term.max(entry_term), vote: NodeId(random.below(4)), commit });
    }
    batch
}

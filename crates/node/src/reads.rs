//! The read barrier: reads wait here until this node may answer them.
//!
//! Those that need to ask nobody are executed at the end of the turn they came in, so that the lookups of
//! many run side by side and their answers leave together. The others:
//! `gathering` -> a round (leader) or a question to the leader (follower) -> `indexed`, with the index
//! that must be applied -> executed. One round, or one question, is under way at a time and serves all
//! reads that were waiting when it started.

use std::collections::VecDeque;

use quorate_api::Consistency;
use quorate_api::limits::PENDING_BYTES_MAX;
use quorate_consensus::{Index, NodeId, Term};
use quorate_env::Mono;

use crate::session::{Scale, Waiter};

/// Reads, encoded as parts, with those who wait for the answers.
#[derive(Debug, Default)]
pub(crate) struct ReadBatch {
    pub(crate) parts: Vec<u8>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) since: Mono,
}

impl ReadBatch {
    /// Adds one read.
    pub(crate) fn push(
        &mut self,
        now: impl FnOnce() -> Mono,
        waiter: Waiter,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.is_empty() {
            self.since = now();
        }
        encode(&mut self.parts);
        self.waiters.push(waiter);
    }

    fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

/// A member that wants to know an index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) node: NodeId,
    pub(crate) number: u64,
}

/// A round under way, at the leader.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) batch: ReadBatch,
    pub(crate) askers: Vec<Asker>,
}

/// A question under way, at a follower.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) number: u64,
    pub(crate) batch: ReadBatch,
    pub(crate) asked_at: Mono,
    pub(crate) leader: NodeId,
}

/// Reads that know what they wait for.
#[derive(Debug)]
pub(crate) struct Indexed {
    pub(crate) index: Index,
    pub(crate) stamp_ms: u64,
    /// The leader's time at which expiry is judged.
    pub(crate) now_ms: u64,
    pub(crate) batch: ReadBatch,
}

/// All reads that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) gathering: ReadBatch,
    /// Executed at the end of this turn. That they need not ask was found out when they came in, and
    /// holds whatever happens in the turn: the state only gets newer.
    pub(crate) immediate: ReadBatch,
    /// Executed at the end of this turn if the lease holds then. All that had been committed was applied when each
    /// came in, and a lease that holds later in the same term held then: so it is looked at once for all of them.
    pub(crate) leased: ReadBatch,
    /// The term in which those of `leased` came in.
    leased_in: Term,
    /// True while one of `gathering` insists on more than a lease.
    strict: bool,
    pub(crate) askers: Vec<Asker>,
    pub(crate) round: Option<Round>,
    pub(crate) question: Option<Question>,
    pub(crate) indexed: VecDeque<Indexed>,
    /// Numbers begin at the epoch: an answer to the process before a restart is not ours.
    pub(crate) next_question: u64,
    pub(crate) rounds: u64,
    pub(crate) served: u64,
    /// Answers that wait for their front-ends, where they have memory of their own.
    pub(crate) untaken: Scale,
    /// Reused memory of the reader of parts.
    pub(crate) spans: Vec<quorate_api::Span>,
    spare: Vec<ReadBatch>,
}

impl Reads {
    /// Adds one read.
    pub(crate) fn push(
        &mut self,
        now: impl FnOnce() -> Mono,
        consistency: Consistency,
        waiter: Waiter,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.gathering.is_empty() {
            self.strict = false;
        }
        self.strict |= consistency != Consistency::Lease;
        self.gathering.push(now, waiter, encode);
    }

    /// Adds one read for which the lease of `term` will do.
    pub(crate) fn push_leased(
        &mut self,
        now: impl FnOnce() -> Mono,
        term: Term,
        waiter: Waiter,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.leased.is_empty() {
            self.leased_in = term;
        }
        if self.leased_in == term {
            self.leased.push(now, waiter, encode);
        } else {
            self.push(now, Consistency::Lease, waiter, encode);
        }
    }

    /// The reads that a lease will do for, and the term whose lease that must be.
    pub(crate) fn take_leased(&mut self) -> Option<(Term, ReadBatch)> {
        if self.leased.is_empty() {
            return None;
        }
        let next = self.spare.pop().unwrap_or_default();
        Some((self.leased_in, std::mem::replace(&mut self.leased, next)))
    }

    /// Adds reads that have found no lease: somebody has to be asked.
    pub(crate) fn gather_leased(&mut self, batch: ReadBatch) {
        let strict = self.has_gathered() && self.strict;
        self.put_back(batch);
        self.strict = strict;
    }

    /// True when no more may be taken in, with `elsewhere` bytes of reads under way on lanes.
    pub(crate) fn is_full(&self, elsewhere: usize) -> bool {
        let asked = self.round.iter().map(|round| &round.batch);
        let asked = asked.chain(self.question.iter().map(|question| &question.batch));
        let waiting = asked.chain(self.indexed.iter().map(|indexed| &indexed.batch));
        let all = waiting.chain([&self.gathering, &self.immediate, &self.leased]);
        all.map(|batch| batch.parts.len()).sum::<usize>() + elsewhere > PENDING_BYTES_MAX
    }

    pub(crate) fn has_gathered(&self) -> bool {
        !self.gathering.is_empty()
    }

    /// True when a lease is enough for all that have gathered.
    pub(crate) fn lease_will_do(&self) -> bool {
        !self.strict
    }

    /// Everything gathered so far.
    pub(crate) fn take(&mut self) -> ReadBatch {
        let next = self.spare.pop().unwrap_or_default();
        std::mem::replace(&mut self.gathering, next)
    }

    /// The reads that wait for the end of this turn only.
    pub(crate) fn take_immediate(&mut self) -> Option<ReadBatch> {
        if self.immediate.is_empty() {
            return None;
        }
        let next = self.spare.pop().unwrap_or_default();
        Some(std::mem::replace(&mut self.immediate, next))
    }

    /// Puts reads back that have to ask again; they are older than what has gathered.
    pub(crate) fn put_back(&mut self, mut batch: ReadBatch) {
        if batch.is_empty() {
            return;
        }
        let later = std::mem::take(&mut self.gathering);
        batch.parts.extend_from_slice(&later.parts);
        batch.waiters.extend(later.waiters);
        self.gathering = batch;
        self.strict = true;
    }

    pub(crate) fn next_question(&mut self) -> u64 {
        self.next_question += 1;
        self.next_question
    }

    pub(crate) fn recycle(&mut self, mut batch: ReadBatch) {
        if batch.parts.capacity() < 1024 * 1024 && self.spare.len() < 4 {
            batch.parts.clear();
            batch.waiters.clear();
            self.spare.push(batch);
        }
    }

    /// Adds reads whose index is known. Indexes may come out of order; the queue is scanned.
    pub(crate) fn index(&mut self, indexed: Indexed) {
        if !indexed.batch.is_empty() {
            self.indexed.push_back(indexed);
        }
    }

    /// The next batch for which `applied` and `stamp_ms` are far enough.
    pub(crate) fn pop_ready(&mut self, applied: Index, stamp_ms: u64) -> Option<Indexed> {
        let ready = |one: &Indexed| one.index <= applied && one.stamp_ms <= stamp_ms;
        let at = self.indexed.iter().position(ready)?;
        self.indexed.remove(at)
    }

    /// Reads that wait for an entry behind `last`.
    pub(crate) fn take_behind(&mut self, last: Index) -> Vec<ReadBatch> {
        let behind = |at: &usize| self.indexed.get(*at).is_some_and(|one| one.index > last);
        let places: Vec<usize> = (0..self.indexed.len()).filter(behind).collect();
        let taken = places.into_iter().rev().filter_map(|at| self.indexed.remove(at));
        taken.map(|one| one.batch).collect()
    }

    /// Reads that have waited since before `limit`.
    pub(crate) fn take_overdue(&mut self, limit: Mono) -> Vec<ReadBatch> {
        let mut overdue = Vec::new();
        if !self.immediate.is_empty() && self.immediate.since < limit {
            overdue.push(std::mem::take(&mut self.immediate));
        }
        if !self.leased.is_empty() && self.leased.since < limit {
            overdue.push(std::mem::take(&mut self.leased));
        }
        if self.has_gathered() && self.gathering.since < limit {
            overdue.push(self.take());
        }
        if self.question.as_ref().is_some_and(|question| question.batch.since < limit) {
            overdue.extend(self.question.take().map(|question| question.batch));
        }
        if let Some(round) = self.round.as_mut().filter(|round| round.batch.since < limit) {
            overdue.push(std::mem::take(&mut round.batch));
        }
        while let Some(at) = self.indexed.iter().position(|one| one.batch.since < limit) {
            overdue.extend(self.indexed.remove(at).map(|one| one.batch));
        }
        overdue
    }
}

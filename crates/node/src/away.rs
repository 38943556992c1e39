//! Long entries: one command on a million keys, or a block of thousands, takes seconds to apply. On the
//! loop's thread it would keep back heartbeats, votes and fsyncs that have nothing to do with it, and cost
//! the leader its lead. So the state machine goes to a lane with the entry, and a twin takes its place: the
//! state from before the entry, frozen, for everything that reads. Entries behind it wait.
//!
//! Only where the engine has a twin (in memory: a second owner of the tree's root). Elsewhere the loop applies it.

use std::collections::VecDeque;

use quorate_api::Answer;
use quorate_consensus::{Body, Committed, Index};
use quorate_env::{Lane, Tasks};

use crate::backlog::{BACKLOG_BYTES_MAX, bytes_of};
use crate::core::{Core, Stop};
use crate::entry;
use crate::jobs::Job;
use crate::machine::{ApplyError, Machine, Owner};

/// The machine, and what the entry came to.
pub(crate) struct Returned {
    machine: Machine,
    entry: Committed,
    answers: Vec<(Owner, Answer)>,
    applied: Result<(), ApplyError>,
}

/// The lane, and what waits for it.
pub(crate) struct Away {
    lane: Box<dyn Lane>,
    /// The entry that is applied there. Another one, or none, when the machine was replaced meanwhile.
    under_way: Option<Index>,
    queue: VecDeque<Committed>,
    queued_bytes: usize,
}

impl Away {
    pub(crate) fn new(tasks: &dyn Tasks) -> Self {
        let lane = tasks.lane("long-entries");
        Self { lane, under_way: None, queue: VecDeque::new(), queued_bytes: 0 }
    }

    /// True while an entry is applied there.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }
}

impl Core {
    /// Applies a committed entry behind those that wait.
    pub(crate) fn apply_or_send_away(&mut self, entry: Committed) -> Result<(), Stop> {
        if self.away.under_way.is_some() {
            self.away.queued_bytes += bytes_of(&entry);
            self.away.queue.push_back(entry);
            self.judge_queue();
            return Ok(());
        }
        match &entry.body {
            Body::Normal(bytes) if entry::is_long(bytes) => self.send_away(entry),
            Body::Normal(_) | Body::Empty | Body::Change { .. } => self.apply(&entry),
        }
    }

    fn send_away(&mut self, entry: Committed) -> Result<(), Stop> {
        let twin = self.machine.twin().map_err(|error| Stop(error.to_string()))?;
        let Some(twin) = twin else { return self.apply(&entry) };
        let mut machine = std::mem::replace(&mut self.machine, twin);
        self.away.under_way = Some(entry.index);
        self.snapshots.run(&*self.away.lane, move || {
            let mut answers = Vec::new();
            let applied = machine.apply(&entry, &mut |owner, answer| answers.push((owner, answer)));
            Job::AppliedAway(Box::new(Returned { machine, entry, answers, applied }))
        });
        Ok(())
    }

    /// The machine comes back.
    pub(crate) fn applied_away(&mut self, returned: Returned) -> Result<(), Stop> {
        let Returned { mut machine, entry, answers, applied } = returned;
        if self.away.under_way.take_if(|index| *index == entry.index).is_none() {
            // Freeing a large state takes long: not on this thread.
            self.away.lane.submit(Box::new(move || drop(machine)));
            return Ok(());
        }
        self.apply_by(&entry, |twin, out| {
            machine.keyspace_mut().take_counts(twin.keyspace());
            *twin = machine;
            answers.into_iter().for_each(|(owner, answer)| out(owner, answer));
            applied
        })?;
        while self.away.under_way.is_none()
            && let Some(next) = self.away.queue.pop_front()
        {
            self.away.queued_bytes -= bytes_of(&next);
            self.apply_or_send_away(next)?;
        }
        self.judge_queue();
        Ok(())
    }

    /// Another state has taken the machine's place: what comes back is of no use, nor is what waits. Order matters:
    /// a queue that was full must not go on keeping appends away when it is gone.
    pub(crate) fn forget_away(&mut self) {
        self.away.under_way = None;
        self.away.queue.clear();
        self.away.queued_bytes = 0;
        if !self.storage.blocks() {
            self.judge_queue();
        }
    }

    fn judge_queue(&mut self) {
        let crowded = self.away.queued_bytes > BACKLOG_BYTES_MAX;
        if let Some(group) = &mut self.group {
            group.set_crowded(crowded);
        }
    }
}

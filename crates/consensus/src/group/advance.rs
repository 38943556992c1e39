//! The turn of the wheel: what raft-rs wants sent, written and applied, in the order that is safe.

use std::task::{Context, Poll};

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use raft::{Ready, StateRole};

use super::{Body, Committed, ENTRY_OVERHEAD, Group, Outgoing, Output, Waiting};
use crate::configuration::{Change, Configuration};
use crate::log::{Done, HardState, LogBatch, LogEntry, Ticket};
use crate::observer::{Appended, GroupObserver, Moment};
use crate::tail::SnapshotMark;
use crate::{Index, NodeId, Term, message};

/// This node can't go on: its log can't be written, or not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log can't be used: {0}")]
pub struct LogFailed(pub String);

/// Whether a write carries entries.
#[derive(Clone, Copy)]
struct HasEntries(bool);

impl Group {
    /// Does what is to be done now. Call after ticks, steps, proposals and log completions, until it
    /// says that nothing is left.
    ///
    /// # Errors
    /// The log refuses what raft has already counted on: the node must stop.
    pub fn advance(&mut self, out: &mut Output) -> Result<bool, LogFailed> {
        self.settle_doubt()?;
        self.lead_alone()?;
        self.prepare_committed()?;
        if !self.raw.has_ready() {
            return Ok(false);
        }
        let mut ready = self.raw.ready();
        self.note_role(out);
        for state in ready.take_read_states() {
            self.finish_round(&state.request_ctx, state.index, out);
        }
        for message in ready.take_messages() {
            self.send(message, out);
        }
        let (ticket, entries) = self.write(&mut ready, out)?;
        #[cfg(feature = "planted-bugs")]
        let ticket =
            ticket.filter(|_| !crate::planted::is(crate::planted::Planted::ReplyBeforeFsync));
        self.hold_back(&mut ready, ticket, entries, out);
        let committed = ready.take_committed_entries();
        let (number, waits) = (ready.number(), ticket.is_some() || !self.waiting.is_empty());
        self.raw.advance_append_async(ready);
        if !waits {
            self.persisted(number);
        }
        self.hand_out(committed, out)?;
        Ok(true)
    }

    /// Reads what raft is about to hand out for applying, where it is not in memory: after a restart.
    fn prepare_committed(&mut self) -> Result<(), LogFailed> {
        let log = &self.raw.raft.raft_log;
        let (low, high) = (log.applied + 1, log.committed.min(log.persisted) + 1);
        let prepared = if low < high { self.raw.mut_store().prepare(low, high) } else { Ok(()) };
        prepared.map_err(|error| LogFailed(format!("committed entries can't be read: {error}")))
    }

    /// Hands raft's news to the log; the ticket when something must be durable before it counts.
    fn write(
        &mut self,
        ready: &mut Ready,
        out: &mut Output,
    ) -> Result<(Option<Ticket>, HasEntries), LogFailed> {
        let mut batch =
            LogBatch { group: self.group, sync: ready.must_sync(), ..LogBatch::default() };
        if !ready.snapshot().is_empty() {
            let metadata = ready.snapshot().get_metadata();
            let mark = SnapshotMark {
                index: Index(metadata.index),
                term: Term(metadata.term),
                configuration: Configuration::from_raft(metadata.get_conf_state()),
            };
            batch.reset_to = Some((mark.index, mark.term));
            self.raw.mut_store().reset(&mark);
            self.installed = Some(mark.index);
            out.install = Some(mark);
        }
        let entries = ready.take_entries();
        batch.entries = entries.iter().map(message::to_log).collect();
        if let Some(observer) = &self.observer {
            self.show_appended(&**observer, &entries);
        }
        self.raw.mut_store().append(&entries);
        if let Some(state) = ready.hs() {
            batch.hard_state = Some(HardState {
                term: Term(state.term),
                vote: NodeId(state.vote),
                commit: Index(state.commit),
            });
            #[cfg(feature = "planted-bugs")]
            if crate::planted::is(crate::planted::Planted::VoteNotPersisted)
                && let Some(state) = &mut batch.hard_state
            {
                state.vote = NodeId(0);
            }
            self.raw.mut_store().set_hard_state(state.clone());
        }
        if batch.reset_to.is_none() && batch.entries.is_empty() && batch.hard_state.is_none() {
            return Ok((None, HasEntries(false)));
        }
        let sync = batch.sync;
        let ticket = self.submit_in_pieces(batch)?;
        Ok((sync.then_some(ticket), HasEntries(!entries.is_empty())))
    }

    /// A follower that was behind may take in more at once than one batch of the log holds. The hard
    /// state goes with the last piece: a commit index is never ahead of its entries.
    fn submit_in_pieces(&mut self, mut batch: LogBatch) -> Result<Ticket, LogFailed> {
        let most = self.log.borrow().batch_bytes_max() / 2;
        let size = |entry: &LogEntry| (entry.data.len() + ENTRY_OVERHEAD) as u64;
        while batch.entries.len() > 1 && batch.entries.iter().map(size).sum::<u64>() > most {
            let mut taken = 0;
            let mut fits = |entry: &LogEntry| {
                taken += size(entry);
                taken <= most
            };
            let count = batch.entries.iter().take_while(|entry| fits(entry)).count();
            let rest = batch.entries.split_off(count.max(1));
            let entries = std::mem::replace(&mut batch.entries, rest);
            let reset_to = batch.reset_to.take();
            let (group, sync) = (batch.group, batch.sync);
            self.submit(LogBatch { group, reset_to, entries, sync, ..LogBatch::default() })?;
        }
        self.submit(batch)
    }

    fn submit(&mut self, batch: LogBatch) -> Result<Ticket, LogFailed> {
        self.log.borrow_mut().submit(batch).map_err(|error| LogFailed(error.to_string()))
    }

    /// Keeps a follower's messages until what they promise is durable.
    fn hold_back(
        &mut self,
        ready: &mut Ready,
        ticket: Option<Ticket>,
        entries: HasEntries,
        out: &mut Output,
    ) {
        let number = ready.number();
        let mut messages = ready.take_persisted_messages();
        let waits_for = ticket.or_else(|| self.waiting.back().map(|waiting| waiting.ticket));
        let Some(ticket) = waits_for else {
            for message in messages {
                self.send(message, out);
            }
            return;
        };
        let durable_term = self.durable_term.0;
        let early = messages.extract_if(.., |message| {
            message.get_msg_type() == MessageType::MsgHeartbeatResponse
                && message.term == durable_term
        });
        for message in early {
            self.send(message, out);
        }
        let term = self.term();
        self.waiting.push_back(Waiting { ticket, number, term, entries: entries.0, messages });
    }

    /// The log's completions: what waited for them goes out. `Pending` when none is left.
    ///
    /// # Errors
    /// A write or an fsync failed: the node is poisoned and must stop.
    pub fn poll_log(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Output,
    ) -> Poll<Result<(), LogFailed>> {
        let polled = self.log.borrow_mut().poll_done(cx);
        polled.map(|done| self.log_done(&done, out))
    }

    fn log_done(&mut self, done: &Done, out: &mut Output) -> Result<(), LogFailed> {
        if let Err(failure) = &done.result {
            return Err(LogFailed(failure.to_string()));
        }
        while self.waiting.front().is_some_and(|waiting| waiting.ticket <= done.ticket) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            self.durable_term = self.durable_term.max(waiting.term);
            self.persisted(waiting.number);
            for message in waiting.messages {
                self.send(message, out);
            }
        }
        Ok(())
    }

    /// What raft handed out as `number` is durable.
    fn persisted(&mut self, number: u64) {
        self.raw.on_persist_ready(number);
        // The owner has switched to the snapshot in the turn in which it came. Until raft-rs is told, it looks
        // for the entries below when it campaigns, and panics because they are gone.
        let log = &self.raw.raft.raft_log;
        if let Some(index) = self.installed.take_if(|index| index.0 <= log.persisted)
            && log.applied < index.0
        {
            self.raw.advance_apply_to(index.0);
        }
    }

    fn send(&self, message: Message, out: &mut Output) {
        let to = NodeId(message.to);
        match message.get_msg_type() {
            MessageType::MsgSnapshot => {
                let metadata = message.get_snapshot().get_metadata();
                let mark = SnapshotMark {
                    index: Index(metadata.index),
                    term: Term(metadata.term),
                    configuration: Configuration::from_raft(metadata.get_conf_state()),
                };
                out.send_snapshot.push((to, mark));
            }
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
                if !self.guard.may_ask() => {}
            MessageType::MsgHeartbeat if self.asking.spares(&message) => {}
            kind => {
                if message::travels(kind) {
                    self.show_vote(&message);
                    if kind == MessageType::MsgTimeoutNow {
                        self.show(Moment::HandsOver);
                    }
                    let bulk = kind == MessageType::MsgAppend;
                    out.messages.push(Outgoing { to, bulk, message });
                }
            }
        }
    }

    fn hand_out(&mut self, entries: Vec<Entry>, out: &mut Output) -> Result<(), LogFailed> {
        let Some(last) = entries.last().map(|entry| entry.index) else { return Ok(()) };
        for entry in entries {
            let body = self.body(&entry)?;
            out.committed.push(Committed {
                index: Index(entry.index),
                term: Term(entry.term),
                body,
            });
        }
        // The owner applies in the same turn, before anything else is asked of the group.
        self.raw.advance_apply_to(last);
        self.raw.mut_store().shrink(last);
        Ok(())
    }

    fn body(&mut self, entry: &Entry) -> Result<Body, LogFailed> {
        if entry.get_entry_type() == EntryType::EntryNormal {
            let empty = entry.data.is_empty();
            return Ok(if empty { Body::Empty } else { Body::Normal(entry.data.clone()) });
        }
        let damaged = |error| LogFailed(format!("entry {}: {error}", entry.index));
        let change = Change::decode(Bytes::copy_from_slice(&entry.context)).map_err(damaged)?;
        #[cfg(feature = "planted-bugs")]
        if change.steps.len() > 1
            && crate::planted::is(crate::planted::Planted::MembersWithoutJoint)
        {
            return Ok(self.jump(change));
        }
        let state = match self.raw.apply_conf_change(&change.to_raft()) {
            Ok(state) => state,
            Err(error) => {
                // Every member comes to the same verdict: the change has no effect anywhere.
                tracing::warn!(%error, index = entry.index, "change of members has no effect");
                return Ok(Body::Empty);
            }
        };
        self.step_down_when_gone();
        let configuration = Configuration::from_raft(&state);
        self.raw.mut_store().set_configuration(configuration.clone());
        Ok(Body::Change { change, configuration })
    }

    /// raft-rs lets a leader that was removed lead on, and looks for it among the members at the next answer, or
    /// when its disk has caught up: it would panic.
    fn step_down_when_gone(&mut self) {
        let raft = &mut self.raw.raft;
        if raft.state == StateRole::Leader && raft.prs().get(self.node.0).is_none() {
            raft.become_follower(raft.term, raft::INVALID_ID);
            self.redraw_timeout();
        }
    }

    /// Step by step, but all of them at one entry: from the old members to the new ones at once.
    #[cfg(feature = "planted-bugs")]
    fn jump(&mut self, change: Change) -> Body {
        let mut configuration = self.raw.store().configuration().clone();
        for step in &change.steps {
            let single = Change { steps: vec![*step], context: Bytes::new() };
            if let Ok(state) = self.raw.apply_conf_change(&single.to_raft()) {
                configuration = Configuration::from_raft(&state);
            }
        }
        self.raw.mut_store().set_configuration(configuration.clone());
        Body::Change { change, configuration }
    }

    fn note_role(&mut self, out: &mut Output) {
        let raft = &self.raw.raft;
        let now = (raft.state, raft.term, raft.leader_id);
        if now == self.was {
            return;
        }
        if now.0 == StateRole::Leader && (self.was.0 != StateRole::Leader || self.was.1 != now.1) {
            self.elections_won += 1;
            if let Some(observer) = &self.observer {
                observer.elected(self.node, self.term(), &|index| self.term_at(index));
            }
        }
        if (now.0, now.1) != (self.was.0, self.was.1) {
            self.drop_rounds();
        }
        self.was = now;
        out.role_changed = true;
    }

    fn show_appended(&self, observer: &dyn GroupObserver, entries: &[Entry]) {
        let first = entries.first().map_or(0, |entry| entry.index);
        let mut before = self.term_at(Index(first.saturating_sub(1)));
        for entry in entries {
            let term = Term(entry.term);
            let print = crc32c::crc32c_append(crc32c::crc32c(&entry.data), &entry.context);
            observer
                .appended(self.node, Appended { index: Index(entry.index), term, before, print });
            before = Some(term);
        }
    }

    pub(super) fn show(&self, moment: Moment) {
        if let Some(observer) = &self.observer {
            observer.at(self.node, moment);
        }
    }

    fn show_vote(&self, message: &Message) {
        let Some(observer) = &self.observer else { return };
        let candidate = match message.get_msg_type() {
            MessageType::MsgRequestVote => self.node,
            MessageType::MsgRequestVoteResponse if !message.reject => NodeId(message.to),
            _ => return,
        };
        observer.voted(self.node, Term(message.term), candidate);
    }

    fn settle_doubt(&mut self) -> Result<(), LogFailed> {
        if self.guard.doubt().is_none() {
            return Ok(());
        }
        let (index, term) = self.last();
        let others = self.possible_voters();
        if self.guard.settle((term, index), others.as_deref()) {
            let batch = LogBatch { group: self.group, settle_doubt: true, ..LogBatch::default() };
            self.submit(batch)?;
            tracing::info!("the tail of the log is no longer in doubt");
        }
        Ok(())
    }

    /// Everybody else who may have a vote by what our log says; `None` while not all of it that was
    /// known to be committed is applied: the configuration is then older than the votes that count.
    fn possible_voters(&self) -> Option<Vec<NodeId>> {
        let applied = self.raw.raft.raft_log.applied;
        if applied < self.commit_at_start.0 {
            return None;
        }
        let configuration = self.raw.store().configuration();
        let mut voters = configuration.members();
        voters.retain(|node| configuration.is_voter(*node));
        voters.extend(self.raw.store().voters_to_come(applied));
        voters.retain(|node| *node != self.node);
        Some(voters)
    }

    /// Tells the followers the commit index now instead of with the next entry or heartbeat: one of
    /// them waits for it.
    pub fn announce_commit(&mut self) {
        self.ask_all_again();
        self.raw.ping();
    }
}

//! The turn: what has arrived in, what is due out, until nothing is left to do.
//!
//! Connections hand in commands as they are read; the turn runs behind them, so that everything which
//! arrived in one round of the event loop goes into one entry, one read round, one write per link.

use std::task::{Context, Poll};

use quorate_consensus::codec::put_varint;
use quorate_consensus::peers::{Event, Kind as FrameKind, Lane};
use quorate_consensus::{Body, Committed, GroupRole, LogFailed};
use quorate_env::clock::Sleep;

use crate::core::{Core, GROUP, Stop};
use crate::machine::{Answers, ApplyError, Machine, Owner};
use crate::observer::Applied;

/// Reclaiming steps per turn: some ten microseconds.
const MAINTAIN_STEPS: usize = 64;

impl Core {
    /// Runs until nothing is left to do; ready when the node has stopped.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>, tick: &mut Sleep) -> Poll<Stop> {
        if self.stopped.is_none()
            && let Err(stop) = self.turn(cx, tick)
        {
            self.stop(stop.0);
        }
        self.release_held();
        if let Some(reason) = &self.stopped {
            return Poll::Ready(Stop(reason.clone()));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn turn(&mut self, cx: &mut Context<'_>, tick: &mut Sleep) -> Result<(), Stop> {
        loop {
            let mut busy = false;
            while tick.as_mut().poll(cx).is_ready() {
                *tick = self.env.clock.sleep(self.config.pace.tick);
                self.tick()?;
                busy = true;
            }
            busy |= self.take_events(cx)?;
            busy |= self.take_log_done(cx)?;
            busy |= self.take_jobs(cx)?;
            busy |= self.send_writes(cx)?;
            busy |= self.ask_for_reads();
            busy |= self.advance()?;
            busy |= self.apply_backlog()?;
            busy |= self.pay_owed();
            busy |= self.serve_reads()?;
            busy |= self.pass_reads(cx);
            busy |= self.release_held();
            if !busy {
                break;
            }
        }
        self.machine.keyspace_mut().engine_mut().maintain(MAINTAIN_STEPS);
        Ok(())
    }

    fn take_events(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let mut any = false;
        while let Some(event) = self.inbox.pop() {
            any = true;
            match event {
                Event::Frame { from, kind: FrameKind::Raft, payload } => {
                    self.raft_frame(from, payload);
                }
                Event::Frame { from, kind: FrameKind::Node, payload } => {
                    self.node_frame(from, payload);
                }
                Event::Frame { from, kind: FrameKind::Snapshot, payload } => {
                    let payload_bytes = payload.len();
                    if !self.snapshot_piece(from, payload) {
                        self.inbox.settle(payload_bytes);
                    }
                }
                Event::Frame { from, kind: FrameKind::SnapshotDone, payload } => {
                    self.snapshot_done(from, payload);
                }
                Event::Up(node, lane) => self.link_up(node, lane),
                Event::Down(node, lane) => self.link_down(node, lane),
            }
        }
        // Only now, when it is empty, does the inbox keep our waker.
        any |= self.inbox.poll_ready(cx).is_ready();
        Ok(any)
    }

    fn take_log_done(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let mut any = false;
        let Some(group) = &mut self.group else { return Ok(false) };
        while let Poll::Ready(done) = group.poll_log(cx, &mut self.out) {
            done.map_err(|failed| stop_for_log(&failed))?;
            any = true;
        }
        self.send_messages();
        Ok(any)
    }

    fn advance(&mut self) -> Result<bool, Stop> {
        let mut any = false;
        while let Some(group) = &mut self.group
            && group.advance(&mut self.out).map_err(|failed| stop_for_log(&failed))?
        {
            any = true;
            self.carry_out()?;
        }
        Ok(any)
    }

    fn carry_out(&mut self) -> Result<(), Stop> {
        self.send_messages();
        if let Some(mark) = self.out.install.take() {
            self.install(&mark)?;
        }
        if std::mem::take(&mut self.out.role_changed) {
            self.role_changed();
        }
        let mut committed = std::mem::take(&mut self.out.committed);
        for entry in committed.drain(..) {
            self.take_committed(entry)?;
        }
        self.out.committed = committed;
        for (number, index) in std::mem::take(&mut self.out.reads) {
            self.round_over(number, index);
        }
        for (to, mark) in std::mem::take(&mut self.out.send_snapshot) {
            self.send_snapshot(to, mark);
        }
        Ok(())
    }

    fn send_messages(&mut self) {
        let Some(peers) = &self.peers else { return };
        for message in self.out.messages.drain(..) {
            let lane = if message.bulk { Lane::Bulk } else { Lane::Control };
            let sent = peers.send(message.to, lane, FrameKind::Raft, |out| {
                put_varint(out, GROUP.0);
                message.encode(out);
            });
            if !sent
                && message.bulk
                && let Some(group) = &mut self.group
            {
                group.unreachable(message.to);
            }
        }
    }

    pub(crate) fn apply(&mut self, entry: &Committed) -> Result<(), Stop> {
        self.apply_by(entry, |machine, answers| machine.apply(entry, answers))
    }

    /// Whatever goes with applying `entry`, which `by` does.
    pub(crate) fn apply_by(
        &mut self,
        entry: &Committed,
        by: impl FnOnce(&mut Machine, Answers<'_>) -> Result<(), ApplyError>,
    ) -> Result<(), Stop> {
        let was_leading = self.is_leading();
        if entry.term != self.machine.applied_term() {
            self.settle_older_than(entry.term);
        }
        let before = match entry.body {
            Body::Change { .. } => Some(self.before_change()),
            Body::Empty | Body::Normal(_) => None,
        };
        let (own, before_ms) = (self.identity.node, self.machine.keyspace().stamp_ms());
        let Self { machine, writes, released, owed, .. } = self;
        let at = (entry.index, entry.term);
        let ours = writes.proposed.pop_front_if(|first| (first.index, first.term) == at);
        let mut answered = ours.as_ref().map(|proposed| (proposed.answers, proposed.since));
        let mut local = ours.map(|proposed| proposed.waiters).unwrap_or_default().into_iter();
        let mut forward = (0, Vec::new().into_iter());
        let index = entry.index.0;
        let applied = by(machine, &mut |owner, answer| match owner {
            Owner::Proposer => {
                if let Some(waiter) = local.next() {
                    released.extend(waiter.answer(answer, index));
                }
            }
            Owner::Origin { node, forward: number } if node == own => {
                if forward.0 != number {
                    let sent = writes.remove_sent(number);
                    answered = sent.as_ref().map(|sent| (sent.batch.waiters.len(), sent.since));
                    let waiters = sent.map(|sent| sent.batch.waiters).unwrap_or_default();
                    forward = (number, waiters.into_iter());
                }
                if let Some(waiter) = forward.1.next() {
                    released.extend(waiter.answer(answer, index));
                }
            }
            Owner::Origin { node, .. } => {
                if was_leading {
                    owed.insert(node, entry.index);
                }
            }
        });
        applied.map_err(|error| Stop(format!("entry {index} can't be applied: {error}")))?;
        if let Some((answers, since)) = answered {
            let now = self.now();
            let expected = self.writes.gathered() + answers;
            self.gather.answered(expected, now.since(since), now);
        }
        if let Some(observer) = &self.observer {
            let applied = Applied { index: entry.index, term: entry.term, known_in: self.term() };
            observer.applied(own, applied, self.machine.keyspace());
        }
        self.begin_scrub_if_due(before_ms);
        self.settle_changes(Some(entry));
        if let Some(before) = before {
            self.members_changed(before)?;
        }
        if !was_leading && self.is_leading() {
            self.dispel_doubts();
            let highest_ms = self.machine.keyspace().stamp_ms();
            self.stamp.lead_from(highest_ms, &*self.env.clock);
        }
        Ok(())
    }

    /// Members that wait for an entry hear of its commit as soon as they have it.
    fn pay_owed(&mut self) -> bool {
        if self.owed.is_empty() {
            return false;
        }
        let Some(group) = self.group.as_mut().filter(|group| group.role() == GroupRole::Leader)
        else {
            self.owed.clear();
            return false;
        };
        let progress = group.progress();
        let before = self.owed.len();
        self.owed.retain(|node, index| {
            let member = progress.iter().find(|progress| progress.node == *node);
            member.is_some_and(|member| member.matched < *index)
        });
        let paid = self.owed.len() < before;
        if paid {
            group.announce_commit();
        }
        paid
    }

    /// Commands held behind others of their session go on.
    pub(crate) fn release_held(&mut self) -> bool {
        let released = std::mem::take(&mut self.released);
        let mut any = false;
        for thread in released {
            while let Some((waiter, part)) = thread.release() {
                any = true;
                self.execute_held(waiter, &part);
            }
        }
        any
    }
}

fn stop_for_log(failed: &LogFailed) -> Stop {
    Stop(format!(
        "{failed}. Restart the node when the disk is well: it then reads back what is durable"
    ))
}

//! The read barrier at work: rounds, questions, leases, and the reads themselves.

use quorate_api::{Answer, Consistency, Error, Reply};
use quorate_consensus::peers::Lane;
#[cfg(feature = "planted-bugs")]
use quorate_consensus::planted::{self, Planted};
use quorate_consensus::{GroupRole, Index, NodeId};
use quorate_engine::EngineError;
use quorate_keyspace::Read;

use crate::core::{Core, Stop};
use crate::entry::{self, Command, Part, Parts};
use crate::frames::Frame;
use crate::reads::{Asker, Indexed, Question, ReadBatch, Round};
use crate::session::Waiter;
use crate::storage::stop_for_engine;

/// What executing a read came to.
pub(crate) enum Outcome {
    Reply(Reply),
    NeedsStamp(u64),
}

/// Executes `part` with `read`, command by command.
pub(crate) fn outcome_of(
    part: &Part,
    read: impl Fn(&Command) -> Result<Read, EngineError>,
) -> Result<Outcome, EngineError> {
    match part {
        Part::Command(command) => Ok(match read(command)? {
            Read::Reply(reply) => Outcome::Reply(reply),
            Read::NeedsStamp(stamp_ms) => Outcome::NeedsStamp(stamp_ms),
        }),
        Part::Transaction { commands, .. } => {
            let mut replies = Vec::with_capacity(commands.len());
            for command in commands {
                match read(command)? {
                    Read::Reply(reply) => replies.push(reply),
                    Read::NeedsStamp(stamp_ms) => return Ok(Outcome::NeedsStamp(stamp_ms)),
                }
            }
            Ok(Outcome::Reply(Reply::Array(replies)))
        }
        Part::Once { .. } | Part::Origin { .. } | Part::Housekeep { .. } => {
            Err(EngineError::Io(std::io::Error::other("a write among the reads")))
        }
    }
}

impl Core {
    /// The leader's time: what reads judge expiry by.
    pub(crate) fn now_ms(&mut self) -> u64 {
        let applied_ms = self.machine.keyspace().stamp_ms();
        if self.is_leading() {
            self.stamp.now_ms(&*self.env.clock).max(applied_ms)
        } else {
            applied_ms
        }
    }

    /// True when a read may be executed at once, without asking anybody.
    pub(crate) fn may_read_now(&self, consistency: Consistency) -> Result<bool, Error> {
        let (Some(group), true) = (&self.group, self.stopped.is_none()) else {
            return Err(self.no_leader());
        };
        match consistency {
            Consistency::Stale { max_staleness: None } => Ok(true),
            Consistency::Stale { max_staleness: Some(max) } => {
                let age = self.now().since(self.led_at);
                if age <= max || self.is_leading() {
                    return Ok(true);
                }
                Err(Error::not_applied(format!(
                    "this node has not heard of a leader for {} ms, {} ms are allowed",
                    age.as_millis(),
                    max.as_millis()
                )))
            }
            Consistency::Configured | Consistency::Linearizable => {
                Ok(group.is_alone() && self.is_current())
            }
            Consistency::Lease => Ok(self.is_current() && self.may_lead_reads()),
        }
    }

    /// True when this node leads and has applied all that is committed: a follower may have answered
    /// its client before our own disk was ready.
    pub(crate) fn is_current(&self) -> bool {
        let committed = self.group.as_ref().map(quorate_consensus::Group::commit);
        self.is_leading() && committed == Some(self.machine.applied())
    }

    /// Starts a round, or asks the leader, for what has gathered.
    pub(crate) fn ask_for_reads(&mut self) -> bool {
        let Some(group) = &self.group else { return false };
        if group.role() != GroupRole::Leader {
            return self.ask_leader();
        }
        let waiting = self.reads.has_gathered() || !self.reads.askers.is_empty();
        if self.reads.round.is_some() || !waiting {
            return false;
        }
        self.start_round()
    }

    fn may_ask(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        if planted::is(Planted::ReadBeforeOwnTermCommit) {
            return true;
        }
        self.is_leading()
    }

    fn start_round(&mut self) -> bool {
        #[cfg(feature = "planted-bugs")]
        if planted::is(Planted::ReadWithoutQuorum) {
            return self.read_at_once();
        }
        if !self.may_ask() {
            return false;
        }
        let now = self.now();
        let Some(group) = &mut self.group else { return false };
        let asking: Vec<NodeId> = self.reads.askers.iter().map(|asker| asker.node).collect();
        let Some(number) = group.start_round(now, &asking) else { return false };
        let commit = group.commit();
        let progress = group.progress();
        let askers = std::mem::take(&mut self.reads.askers);
        for asker in &askers {
            // The round's own heartbeat tells the commit index to those who have the entry by now.
            let behind = progress.iter().any(|p| p.node == asker.node && p.matched < commit);
            if behind {
                self.owed.insert(asker.node, commit);
            }
        }
        let batch = self.reads.take();
        self.reads.rounds += 1;
        self.reads.round = Some(Round { number, batch, askers });
        true
    }

    /// Takes what is applied here for what is committed.
    #[cfg(feature = "planted-bugs")]
    fn read_at_once(&mut self) -> bool {
        let (index, now_ms) = (self.machine.applied(), self.now_ms());
        for asker in std::mem::take(&mut self.reads.askers) {
            let answer = Frame::ReadAnswer { number: asker.number, index, now_ms };
            self.send_frame(asker.node, Lane::Control, &answer);
        }
        let batch = self.reads.take();
        self.reads.index(Indexed { index, stamp_ms: 0, now_ms, batch });
        true
    }

    /// A quorum has confirmed round `number`.
    pub(crate) fn round_over(&mut self, number: u64, index: Index) {
        let Some(round) = self.reads.round.take_if(|round| round.number == number) else { return };
        let now_ms = self.now_ms();
        for asker in round.askers {
            let answer = Frame::ReadAnswer { number: asker.number, index, now_ms };
            self.send_frame(asker.node, Lane::Control, &answer);
        }
        self.reads.index(Indexed { index, stamp_ms: 0, now_ms, batch: round.batch });
    }

    fn ask_leader(&mut self) -> bool {
        if self.reads.question.is_some() || !self.reads.has_gathered() {
            return false;
        }
        let Some(leader) = self.leader().filter(|leader| *leader != self.identity.node) else {
            return false;
        };
        let number = self.reads.next_question();
        let lease = self.reads.lease_will_do();
        if !self.send_frame(leader, Lane::Control, &Frame::ReadAsk { number, lease }) {
            return false;
        }
        let asked_at = self.now();
        let batch = self.reads.take();
        self.reads.question = Some(Question { number, batch, asked_at, leader });
        true
    }

    /// A member asks for an index.
    pub(crate) fn read_asked(&mut self, node: NodeId, number: u64, lease: bool) {
        if lease && self.may_read_now(Consistency::Lease) == Ok(true) {
            let (index, now_ms) = (self.machine.applied(), self.now_ms());
            self.send_frame(node, Lane::Control, &Frame::ReadAnswer { number, index, now_ms });
            self.owed.insert(node, index);
            return;
        }
        // Not the leader (any more): the asker asks again when it knows who is.
        if self.group.as_ref().is_some_and(|group| group.role() == GroupRole::Leader) {
            self.reads.askers.retain(|asker| asker.node != node);
            self.reads.askers.push(Asker { node, number });
        }
    }

    /// The leader has answered.
    pub(crate) fn read_answered(&mut self, from: NodeId, number: u64, index: Index, now_ms: u64) {
        let ours = |question: &mut Question| question.number == number && question.leader == from;
        if let Some(question) = self.reads.question.take_if(ours) {
            self.reads.index(Indexed { index, stamp_ms: 0, now_ms, batch: question.batch });
        }
    }

    /// A question that was lost is asked again.
    pub(crate) fn repeat_question(&mut self) {
        let (now, leader) = (self.now(), self.leader());
        let limit = self.config.pace.election_timeout();
        let lost = self.reads.question.take_if(|question| {
            Some(question.leader) != leader || now.since(question.asked_at) > limit
        });
        if let Some(question) = lost {
            self.reads.put_back(question.batch);
        }
    }

    /// Rounds die with leadership.
    pub(crate) fn drop_round(&mut self) {
        self.reads.askers.clear();
        if let Some(round) = self.reads.round.take() {
            self.reads.put_back(round.batch);
        }
    }

    /// Executes the reads whose index is applied.
    pub(crate) fn serve_reads(&mut self) -> Result<bool, Stop> {
        let mut any = self.serve_immediate()?;
        loop {
            let (applied, stamp_ms) = (self.machine.applied(), self.machine.keyspace().stamp_ms());
            #[cfg(feature = "planted-bugs")]
            let applied =
                if planted::is(Planted::ReadBeforeApplied) { Index(u64::MAX) } else { applied };
            let Some(ready) = self.reads.pop_ready(applied, stamp_ms) else { return Ok(any) };
            any = true;
            self.execute_reads(ready)?;
        }
    }

    /// Executes the reads which this node may answer by itself.
    fn serve_immediate(&mut self) -> Result<bool, Stop> {
        let leased = self.serve_leased()?;
        let Some(batch) = self.reads.take_immediate() else { return Ok(leased) };
        let now_ms = self.now_ms();
        self.execute_reads(Indexed { index: Index(0), stamp_ms: 0, now_ms, batch })?;
        Ok(true)
    }

    /// Executes the reads for which a lease will do, or has them wait for a round.
    fn serve_leased(&mut self) -> Result<bool, Stop> {
        let Some((term, batch)) = self.reads.take_leased() else { return Ok(false) };
        if term == self.term() && self.may_lead_reads() {
            if let (Some(observer), Some(group)) = (&self.observer, &self.group)
                && !group.is_alone()
            {
                observer.leased(self.identity.node);
            }
            let now_ms = self.now_ms();
            self.execute_reads(Indexed { index: Index(0), stamp_ms: 0, now_ms, batch })?;
        } else {
            self.reads.gather_leased(batch);
        }
        Ok(true)
    }

    /// True while this node knows, without asking, that nobody else leads.
    fn may_lead_reads(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.is_alone() || group.lease_holds(self.now()))
    }

    fn execute_reads(&mut self, ready: Indexed) -> Result<(), Stop> {
        let Indexed { now_ms, mut batch, .. } = ready;
        let bytes = std::mem::take(&mut batch.parts);
        let mut parts = Parts::bare(&bytes, std::mem::take(&mut self.reads.spans));
        let mut cold: Option<ReadBatch> = None;
        for waiter in batch.waiters.drain(..) {
            let start = parts.position();
            self.machine.hint(&mut parts);
            let part = parts.next().map_err(|error| Stop(format!("a read of ours: {error}")))?;
            let Some(part) = part else { break };
            let keyspace = self.machine.keyspace();
            let outcome = if entry::is_long_read(&part, &parts) {
                Err(EngineError::Cold)
            } else {
                outcome_of(&part, |command| {
                    keyspace.read(now_ms, command.db, command.spec, parts.args(command))
                })
            };
            let part = || bytes.get(start..parts.position()).unwrap_or_default();
            match outcome {
                Ok(Outcome::Reply(reply)) => self.answer_read(waiter, Ok(reply)),
                Ok(Outcome::NeedsStamp(stamp_ms)) => {
                    self.wait_for_stamp(stamp_ms, now_ms, part().to_vec(), waiter);
                }
                Err(EngineError::Cold) => {
                    let since = batch.since;
                    let cold =
                        cold.get_or_insert_with(|| ReadBatch { since, ..Default::default() });
                    cold.parts.extend_from_slice(part());
                    cold.waiters.push(waiter);
                }
                Err(error) => return Err(stop_for_engine(&error)),
            }
        }
        if let Some(cold) = cold {
            self.read_cold(now_ms, cold);
        }
        self.reads.spans = parts.into_spans();
        batch.parts = bytes;
        self.reads.recycle(batch);
        Ok(())
    }

    pub(crate) fn answer_read(&mut self, waiter: Waiter, answer: Answer) {
        self.reads.served += 1;
        self.answer(waiter, answer);
    }

    /// Rule 8: a key that expires between the last stamp and now is gone for good only when that time
    /// is committed; otherwise a successor with a slower clock would show it again.
    pub(crate) fn wait_for_stamp(
        &mut self,
        stamp_ms: u64,
        now_ms: u64,
        parts: Vec<u8>,
        waiter: Waiter,
    ) {
        let since = self.now();
        let batch = ReadBatch { parts, waiters: vec![waiter], since };
        self.reads.index(Indexed {
            index: Index(0),
            stamp_ms,
            now_ms: now_ms.max(stamp_ms),
            batch,
        });
        self.want_stamp(stamp_ms);
    }

    /// Has a stamp of at least `stamp_ms` committed, here or by asking the leader.
    pub(crate) fn want_stamp(&mut self, stamp_ms: u64) {
        if self.is_leading() {
            self.stamp_wanted_ms = self.stamp_wanted_ms.max(stamp_ms);
        } else if let Some(leader) = self.leader() {
            self.send_frame(leader, Lane::Control, &Frame::StampAsk { stamp_ms });
        }
    }
}

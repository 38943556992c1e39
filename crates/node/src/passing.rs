//! Reads that this node can't answer for want of room, passed to the leader.
//!
//! A follower whose disk is full stores nothing more and so gets no further: a read that must see later
//! entries would wait in vain. The leader executes it instead, behind its own barrier, as if one of its
//! own clients had sent it, and the answer comes back with the index it was true at. Reads change
//! nothing: whatever is lost on the way, or meets a member that leads no more, is sent again.
//!
//! Writes are not passed: what becomes of them is seen when they are applied *here*.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll};

use bytes::Bytes;
use quorate_api::{Answer, Consistency, Error};
use quorate_consensus::codec::{DecodeError, Reader};
use quorate_consensus::peers::{FRAME_BYTES_MAX, Lane};
use quorate_consensus::{GroupRole, Index, NodeId};
use quorate_env::Mono;
use quorate_keyspace::reply_codec;

use crate::core::Core;
use crate::entry::{self, Parts};
use crate::failure;
use crate::frames::Frame;
use crate::reads::ReadBatch;
use crate::session::{Kind, Load, Scale, Thread, Turn, Waiter};

/// Reads that a member has with the leader at a time: the others wait at home, where they belong.
const PASSED_MAX: usize = 32;
/// Reads of one member that a leader has in hands at most: those of a window, and their repetitions.
const TAKEN_MAX: usize = 2 * PASSED_MAX;
/// Bytes queued for a member above which its further answers wait.
const QUEUED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An answer at most; the rest of a frame is for what stands around it.
const ANSWER_BYTES_MAX: usize = FRAME_BYTES_MAX - 1024;

/// One read on its way to the leader.
#[derive(Debug)]
struct Passed {
    part: Vec<u8>,
    waiter: Waiter,
    /// When its client asked.
    since: Mono,
    _load: Load,
}

/// One that is with the leader.
#[derive(Debug)]
struct Sent {
    passed: Passed,
    leader: NodeId,
    at: Mono,
}

/// One that a member has passed to us.
#[derive(Debug)]
struct Taken {
    from: NodeId,
    number: u64,
    thread: Thread,
}

/// Reads that are passed, of both sides.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    waiting: VecDeque<Passed>,
    sent: BTreeMap<u64, Sent>,
    taken: Vec<Taken>,
    /// What waits here weighs on it.
    scale: Scale,
    /// The log has been told that reads are passed.
    told: bool,
}

impl Passing {
    /// Bytes of reads that wait here.
    pub(crate) fn bytes(&self) -> usize {
        self.scale.bytes()
    }

    /// Takes a batch apart.
    fn put(&mut self, batch: ReadBatch) -> Result<(), entry::EntryError> {
        let ReadBatch { parts: bytes, waiters, since } = batch;
        let mut parts = Parts::bare(&bytes, Vec::new());
        for waiter in waiters {
            let start = parts.position();
            parts.next()?;
            let part = bytes.get(start..parts.position()).unwrap_or_default().to_vec();
            let _load = self.scale.put(part.len());
            self.waiting.push_back(Passed { part, waiter, since, _load });
        }
        Ok(())
    }

    /// What was sent and won't be answered any more waits again, in front.
    fn take_back(&mut self, lost: impl Fn(&Sent) -> bool) {
        for (_, sent) in self.sent.extract_if(.., |_, sent| lost(sent)).collect::<Vec<_>>() {
            self.waiting.push_front(sent.passed);
        }
    }

    fn take_overdue(&mut self, limit: Mono) -> Vec<Waiter> {
        let late = self.sent.extract_if(.., |_, sent| sent.passed.since < limit);
        let mut overdue: Vec<Waiter> = late.map(|(_, sent)| sent.passed.waiter).collect();
        let (late, waiting): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|passed| passed.since < limit);
        self.waiting = waiting.into();
        overdue.extend(late.into_iter().map(|passed| passed.waiter));
        overdue
    }
}

impl Core {
    /// Sends reads that would wait in vain to the leader, and answers those that members have passed here.
    pub(crate) fn pass_reads(&mut self, cx: &mut Context<'_>) -> bool {
        self.pass_unreachable();
        let mut any = self.send_passed();
        any |= self.answer_taken(cx);
        any
    }

    /// Finds reads that wait for what this node has no room for.
    fn pass_unreachable(&mut self) {
        if self.reads.indexed.is_empty() || self.is_leading() || !self.lacks_room() {
            return;
        }
        let applied = self.machine.applied();
        let last = match &self.group {
            Some(group) if !self.is_engine_full() => group.last().0.max(applied),
            _ => applied,
        };
        for batch in self.reads.take_behind(last) {
            if !std::mem::replace(&mut self.passing.told, true) {
                tracing::warn!(
                    node = self.identity.name,
                    "reads are passed to the leader: the disk is full"
                );
            }
            if let Err(error) = self.passing.put(batch) {
                tracing::error!(%error, "a read of ours can't be passed on");
            }
        }
    }

    fn send_passed(&mut self) -> bool {
        if self.passing.waiting.is_empty() {
            return false;
        }
        if self.is_leading() || !self.lacks_room() {
            let waiting = std::mem::take(&mut self.passing.waiting);
            for Passed { part, waiter, since, _load } in waiting.into_iter().rev() {
                self.reads.put_back(ReadBatch { parts: part, waiters: vec![waiter], since });
            }
            return true;
        }
        let own = self.identity.node;
        let Some(leader) = self.leader().filter(|leader| *leader != own) else { return false };
        let mut any = false;
        while self.passing.sent.len() < PASSED_MAX
            && let Some(passed) = self.passing.waiting.pop_front()
        {
            let number = self.reads.next_question();
            let part = Bytes::copy_from_slice(&passed.part);
            if !self.send_frame(leader, Lane::Bulk, &Frame::ReadPass { number, part }) {
                self.passing.waiting.push_front(passed);
                return any;
            }
            let at = self.now();
            self.passing.sent.insert(number, Sent { passed, leader, at });
            any = true;
        }
        any
    }

    /// By the clock: what was lost is sent again, what has waited for too long is answered.
    pub(crate) fn tend_passed(&mut self) {
        self.passing.told &= self.lacks_room();
        let (now, leader) = (self.now(), self.leader());
        // Long enough for a large answer, short enough for two more attempts.
        let limit = self.config.patience / 3;
        self.passing.take_back(|sent| Some(sent.leader) != leader || now.since(sent.at) > limit);
        let Some(limit) = now.0.checked_sub(self.patience()) else { return };
        let error = self
            .no_room("it has fallen behind the leader, and the leader did not answer in its stead");
        let overdue = self.passing.take_overdue(Mono(limit));
        self.answer_all(overdue, &error);
    }

    /// A member without room passes a read to us.
    pub(crate) fn read_passed(&mut self, from: NodeId, number: u64, part: &[u8]) {
        // Not the leader (any more): the member sends it again when it knows who is.
        if self.group.as_ref().is_none_or(|group| group.role() != GroupRole::Leader) {
            return;
        }
        let of_member = self.passing.taken.iter().filter(|taken| taken.from == from).count();
        let refusal = match entry::check_passed(part) {
            Err(error) => {
                tracing::warn!(from = from.0, %error, "malformed read from a member");
                Some(Error::not_applied("the leader can't read what was passed to it"))
            }
            Ok(()) if of_member >= TAKEN_MAX => {
                Some(Error::Overloaded { reason: "the leader has too much to do".into() })
            }
            Ok(()) => self.failure(),
        };
        if let Some(error) = refusal {
            self.send_answer(from, number, self.machine.applied(), &Err(error));
            return;
        }
        let thread = Thread::default();
        let Turn::Go(waiter) = thread.enter(Kind::Read(Consistency::Linearizable)) else { return };
        self.take_read(Consistency::Linearizable, waiter, |out| out.extend_from_slice(part));
        self.passing.taken.push(Taken { from, number, thread });
    }

    fn answer_taken(&mut self, cx: &mut Context<'_>) -> bool {
        if self.passing.taken.is_empty() {
            return false;
        }
        let mut any = false;
        for taken in std::mem::take(&mut self.passing.taken) {
            let queued =
                self.peers.as_ref().map_or(0, |peers| peers.queued_bytes(taken.from, Lane::Bulk));
            if queued > QUEUED_BYTES_MAX {
                self.passing.taken.push(taken);
                continue;
            }
            match taken.thread.poll_answer(cx) {
                Poll::Ready(answer) => {
                    any = true;
                    let index = Index(taken.thread.seen());
                    self.send_answer(taken.from, taken.number, index, &answer);
                }
                Poll::Pending => self.passing.taken.push(taken),
            }
        }
        any
    }

    fn send_answer(&self, to: NodeId, number: u64, index: Index, answer: &Answer) {
        let frame = Frame::ReadPassed { number, index, answer: encode_answer(answer) };
        if !self.send_frame(to, Lane::Bulk, &frame) {
            tracing::debug!(to = to.0, number, "an answer is lost; its member asks again");
        }
    }

    /// The leader has answered a read that was passed to it.
    pub(crate) fn passed_answered(&mut self, number: u64, index: Index, answer: Bytes) {
        let Some(sent) = self.passing.sent.remove(&number) else { return };
        let answer = decode_answer(answer)
            .unwrap_or_else(|_| Err(Error::not_applied("the leader's answer can't be read")));
        self.reads.served += 1;
        // The session's stale reads must not fall behind what it has been told here.
        self.released.extend(sent.passed.waiter.answer(answer, index.0));
    }
}

/// `0 | reply`, or a failure's bytes, whose tags begin at 10.
fn encode_answer(answer: &Answer) -> Bytes {
    let mut out = Vec::new();
    match answer {
        Ok(reply) => {
            out.push(0);
            if !reply_codec::encode(reply, &mut out, ANSWER_BYTES_MAX) {
                let text = "the answer is too large to be passed on by a node whose disk is full; ask the leader";
                out.clear();
                failure::encode(&Error::not_applied(text), &mut out);
            }
        }
        Err(error) => failure::encode(error, &mut out),
    }
    out.into()
}

fn decode_answer(bytes: Bytes) -> Result<Answer, DecodeError> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        0 => reply_codec::decode(&reader.rest()).map(Ok).ok_or(DecodeError::Tag(0)),
        tag => Ok(Err(failure::decode(tag, &mut reader)?)),
    }
}

#[cfg(test)]
mod tests;

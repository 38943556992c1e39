//! Writes on their way: into an entry where this node leads, to the leader where it does not.

use std::task::Context;

use quorate_api::Error;
use quorate_consensus::peers::{Kind as FrameKind, Lane};
#[cfg(feature = "planted-bugs")]
use quorate_consensus::planted::{self, Planted};
use quorate_consensus::{GroupRole, NodeId, ProposeError, Term};

use crate::batch::{Forwarded, Proposed, Sealed, Sent};
use crate::core::{Core, GROUP, Stop};
use crate::entry;
use crate::frames::{Frame, Refusal};

/// Expired keys and garbage records removed by one entry: well below a millisecond.
const EXPIRE_MAX: usize = 256;
const CLEAR_MAX: usize = 512;

const FULL: &str =
    "the disk of the leader is full; free space on it, writes then resume by themselves";

impl Core {
    /// Sends what waits, where it can be sent.
    pub(crate) fn send_writes(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let Some(group) = &self.group else { return Ok(false) };
        if group.role() == GroupRole::Leader {
            return Ok(self.propose(cx));
        }
        if self.writes.has_open() { Ok(self.forward(cx)) } else { Ok(false) }
    }

    fn propose(&mut self, cx: &mut Context<'_>) -> bool {
        let wanted = self.stamp_wanted_ms > self.machine.keyspace().stamp_ms();
        if !(self.writes.has_any() || self.housekeep || wanted) || !self.is_leading() {
            return false;
        }
        if self.is_engine_full() {
            return self.refuse_full();
        }
        let Some(group) = &mut self.group else { return false };
        // One entry on its way to the local disk: what arrives meanwhile becomes the next one.
        if group.is_writing() || (!self.housekeep && !wanted && self.gathers_on(cx)) {
            return false;
        }
        let Some(group) = &mut self.group else { return false };
        match group.accepts(self.writes.next_bytes()) {
            Ok(()) => {}
            Err(ProposeError::Full) => return self.refuse_full(),
            Err(ProposeError::Busy | ProposeError::NotLeader | ProposeError::TooLarge) => {
                return false;
            }
        }
        let stamp_ms = self.stamp.now_ms(&*self.env.clock).max(self.stamp_wanted_ms);
        let mut sealed = self.writes.seal().unwrap_or_else(|| {
            let mut bytes = Vec::with_capacity(entry::HEADER_BYTES + 8);
            entry::put_header(&mut bytes);
            Sealed { bytes, waiters: Vec::new(), forwarded: Vec::new(), answers: 0 }
        });
        if std::mem::take(&mut self.housekeep) {
            entry::put_housekeep(&mut sealed.bytes, EXPIRE_MAX, CLEAR_MAX);
        }
        self.stamp_wanted_ms = 0;
        entry::seal(&mut sealed.bytes, stamp_ms, self.env.rng.next_u64());
        self.propose_sealed(sealed);
        true
    }

    /// True while the next batch shall gather more.
    fn gathers_on(&mut self, cx: &mut Context<'_>) -> bool {
        let (gathered, on_their_way) = (self.writes.gathered(), self.writes.on_their_way());
        let clock = &*self.env.clock;
        !self.writes.is_sealed() && self.gather.goes_on(gathered, on_their_way, clock, cx)
    }

    fn propose_sealed(&mut self, sealed: Sealed) {
        let Sealed { bytes, waiters, forwarded, answers } = sealed;
        let since = self.now();
        self.gather.start_over();
        let Some(group) = &mut self.group else { return };
        let ahead = group.last().0.next();
        self.fetch_early(ahead, &bytes);
        let Some(group) = &mut self.group else { return };
        match group.propose(bytes) {
            Ok((index, term)) => {
                self.writes.proposed.push_back(Proposed { index, term, waiters, answers, since });
            }
            Err(error) => {
                let reason =
                    if error == ProposeError::Full { FULL.into() } else { error.to_string() };
                self.answer_all(waiters, &Error::not_applied(reason));
                let why = match error {
                    ProposeError::Full => Refusal::Full,
                    ProposeError::TooLarge => Refusal::TooLarge,
                    ProposeError::Busy | ProposeError::NotLeader => Refusal::Busy,
                };
                for (node, number) in forwarded {
                    self.send_frame(node, Lane::Control, &Frame::Refused { number, why });
                }
            }
        }
    }

    /// Nothing can be written: say so at once instead of letting clients wait. Reads go on.
    fn refuse_full(&mut self) -> bool {
        let any = self.refuse_open(&Error::not_applied(FULL)) | !self.writes.inbound.is_empty();
        self.refuse_inbound(Refusal::Full);
        any
    }

    /// What becomes of a write is seen when it is applied here. A follower without room applies nothing more: so it
    /// sends nothing.
    fn refuse_unseen(&mut self) -> bool {
        self.refuse_open(&self.no_room("it can't see what becomes of a write"))
    }

    /// Answers what was sent nowhere yet; false where there is nothing.
    fn refuse_open(&mut self, error: &Error) -> bool {
        let mut any = false;
        while let Some(batch) = self.writes.pop() {
            any = true;
            self.answer_all(batch.waiters, error);
        }
        any
    }

    fn refuse_inbound(&mut self, why: Refusal) {
        for Forwarded { from, number, .. } in self.writes.take_inbound() {
            self.send_frame(from, Lane::Control, &Frame::Refused { number, why });
        }
    }

    fn forward(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(leader) = self.leader().filter(|leader| *leader != self.identity.node) else {
            return false;
        };
        if self.lacks_room() {
            return self.refuse_unseen();
        }
        let term = self.term();
        // Order matters: what went to a leader before this one may come back, and then goes first. The
        // new leader's own first entry settles it, if no refusal does.
        if self.writes.any_sent(|sent| sent.term != term) {
            return false;
        }
        if self.gathers_on(cx) {
            return false;
        }
        self.gather.start_over();
        let mut any = false;
        while let Some(batch) = self.writes.pop() {
            let number = self.writes.number_forward(self.membership.epoch);
            let sent = self.peers.as_ref().is_some_and(|peers| {
                peers.send(leader, Lane::Bulk, FrameKind::Node, |out| {
                    let head = Frame::Forward { term, number, parts: bytes::Bytes::new() };
                    head.encode(GROUP, out);
                    out.extend_from_slice(&batch.parts);
                })
            });
            if !sent {
                self.writes.put_back(batch, number);
                return any;
            }
            self.forwarded += batch.waiters.len() as u64;
            let since = self.now();
            self.writes.insert_sent(number, Sent { term, batch, since });
            any = true;
        }
        any
    }

    /// A member has forwarded writes to us.
    pub(crate) fn forwarded_to_us(
        &mut self,
        from: NodeId,
        term: Term,
        number: u64,
        parts: bytes::Bytes,
    ) {
        let leads = self
            .group
            .as_ref()
            .is_some_and(|group| group.role() == GroupRole::Leader && group.term() == term);
        let why = match entry::check_forwarded(&parts) {
            Err(error) => {
                tracing::warn!(from = from.0, %error, "malformed batch from a member");
                Refusal::Unusable
            }
            Ok(_) if !leads => Refusal::NotLeader,
            Ok(_) if self.writes.inbound_is_full() => Refusal::Busy,
            Ok((answers, long)) => {
                if self.writes.take_in(Forwarded { from, number, answers, long, parts }) {
                    return;
                }
                Refusal::Unusable
            }
        };
        self.send_frame(from, Lane::Control, &Frame::Refused { number, why });
    }

    /// The leader says that batch `number` was certainly not proposed.
    pub(crate) fn refused(&mut self, number: u64, why: Refusal) {
        let Some(sent) = self.writes.remove_sent(number) else { return };
        let error = match why {
            Refusal::NotLeader => return self.writes.put_back(sent.batch, number),
            Refusal::Full => Error::not_applied(FULL),
            Refusal::Busy => Error::Overloaded { reason: "the leader has too much to do".into() },
            Refusal::TooLarge => Error::not_applied(ProposeError::TooLarge.to_string()),
            Refusal::Unusable => Error::not_applied("the way to the leader broke; retry"),
        };
        self.answer_all(sent.batch.waiters, &error);
    }

    /// An entry of `term` is applied: no entry of an older term can follow. Whatever of those has not
    /// been seen was never applied and never will be.
    pub(crate) fn settle_older_than(&mut self, term: Term) {
        let error = Error::not_applied("another node took the lead before this was replicated");
        while let Some(lost) = self.writes.proposed.pop_front_if(|first| first.term < term) {
            self.answer_all(lost.waiters, &error);
        }
        // What was forwarded is still here, as it was: it goes to the next leader. Order matters: nothing that
        // came later has gone there before (see `forward`).
        for (number, sent) in self.writes.take_sent_numbered(|sent| sent.term < term) {
            self.writes.put_back(sent.batch, number);
        }
    }

    /// Leadership is lost: what members gave us and was not proposed goes back to them.
    pub(crate) fn give_back_inbound(&mut self) {
        #[cfg(feature = "planted-bugs")]
        if planted::is(Planted::LostLeadIsNotApplied) {
            let mut lost = Vec::new();
            for proposed in &mut self.writes.proposed {
                lost.append(&mut proposed.waiters);
            }
            self.answer_all(lost, &Error::not_applied("another node took the lead"));
        }
        self.refuse_inbound(Refusal::NotLeader);
    }

    /// A leader that did not get to a write in time has more to do than its disk, or the others', can take.
    fn too_much(&self) -> Error {
        let reason =
            "the leader did not get to this write in time; send fewer at a time, and retry later";
        Error::Overloaded { reason: reason.into() }
    }

    /// Answers what has waited for too long.
    pub(crate) fn expire_writes(&mut self) {
        let now = self.now();
        let brief = self.patience();
        while self.writes.oldest().is_some_and(|since| now.since(since) > brief) {
            let error = if self.is_leading() { self.too_much() } else { self.no_leader() };
            if let Some(batch) = self.writes.pop() {
                self.answer_all(batch.waiters, &error);
            }
        }
        // What may have been proposed is worth the whole wait: a leader may yet confirm it.
        let patience = self.long_patience();
        let overdue = |since: quorate_env::Mono| now.since(since) > patience;
        #[cfg(feature = "planted-bugs")]
        if planted::is(Planted::ForwardRetried) {
            let hasty = |since: quorate_env::Mono| now.since(since) > patience / 4;
            for sent in self.writes.take_sent(|sent| hasty(sent.since)) {
                self.writes.put_back(sent.batch, 0);
            }
        }
        let unknown = Error::unknown(
            "no majority confirmed this write in time; it may have been applied, or may yet be",
        );
        #[cfg(feature = "planted-bugs")]
        let unknown = if planted::is(Planted::TimeoutIsNotApplied) {
            Error::not_applied("no majority confirmed this write in time")
        } else {
            unknown
        };
        let mut late = Vec::new();
        for proposed in self.writes.proposed.iter_mut().filter(|proposed| overdue(proposed.since)) {
            // The entry keeps its place in the queue: it may still be applied.
            late.append(&mut proposed.waiters);
        }
        let gone = self.writes.take_sent(|sent| overdue(sent.since));
        late.extend(gone.into_iter().flat_map(|sent| sent.batch.waiters));
        self.answer_all(late, &unknown);
    }
}

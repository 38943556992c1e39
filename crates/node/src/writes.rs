//! Writes on their way: into an entry where this node leads, to the leader where it does not.

use quorate_api::Error;
use quorate_consensus::peers::{Kind as FrameKind, Lane};
use quorate_consensus::{GroupRole, NodeId, ProposeError, Term};

use crate::batch::{Forwarded, Proposed, Sealed, Sent};
use crate::core::{Core, GROUP, Stop};
use crate::entry;
use crate::frames::Frame;

/// Expired keys and garbage records removed by one entry: well below a millisecond.
const EXPIRE_MAX: usize = 256;
const CLEAR_MAX: usize = 512;

const FULL: &str =
    "the disk of the leader is full; free space on it, writes then resume by themselves";

impl Core {
    /// Sends what waits, where it can be sent.
    pub(crate) fn send_writes(&mut self) -> Result<bool, Stop> {
        let Some(group) = &self.group else { return Ok(false) };
        if group.role() == GroupRole::Leader {
            return Ok(self.propose());
        }
        if self.writes.has_open() { Ok(self.forward()) } else { Ok(false) }
    }

    fn propose(&mut self) -> bool {
        let wanted = self.stamp_wanted_ms > self.machine.keyspace().stamp_ms();
        if !(self.writes.has_any() || self.housekeep || wanted) || !self.is_leading() {
            return false;
        }
        let Some(group) = &mut self.group else { return false };
        // One entry on its way to the local disk: what arrives meanwhile becomes the next one.
        if group.is_writing() {
            return false;
        }
        match group.accepts() {
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
            Sealed { bytes, waiters: Vec::new(), forwarded: Vec::new() }
        });
        if std::mem::take(&mut self.housekeep) {
            entry::put_housekeep(&mut sealed.bytes, EXPIRE_MAX, CLEAR_MAX);
        }
        self.stamp_wanted_ms = 0;
        entry::seal(&mut sealed.bytes, stamp_ms, self.env.rng.next_u64());
        self.propose_sealed(sealed);
        true
    }

    fn propose_sealed(&mut self, sealed: Sealed) {
        let Sealed { bytes, waiters, forwarded } = sealed;
        let since = self.now();
        let Some(group) = &mut self.group else { return };
        match group.propose(bytes) {
            Ok((index, term)) => {
                self.writes.proposed.push_back(Proposed { index, term, waiters, since });
            }
            Err(error) => {
                let reason =
                    if error == ProposeError::Full { FULL.into() } else { error.to_string() };
                self.answer_all(waiters, &Error::not_applied(reason));
                for (node, number) in forwarded {
                    self.send_frame(node, Lane::Control, &Frame::Refused { number });
                }
            }
        }
    }

    /// Nothing can be written: say so at once instead of letting clients wait. Reads go on.
    fn refuse_full(&mut self) -> bool {
        let mut any = false;
        while let Some(batch) = self.writes.pop() {
            any = true;
            self.answer_all(batch.waiters, &Error::not_applied(FULL));
        }
        any |= !self.writes.inbound.is_empty();
        self.refuse_inbound();
        any
    }

    fn refuse_inbound(&mut self) {
        for Forwarded { from, number, .. } in std::mem::take(&mut self.writes.inbound) {
            self.send_frame(from, Lane::Control, &Frame::Refused { number });
        }
    }

    fn forward(&mut self) -> bool {
        let Some(leader) = self.leader().filter(|leader| *leader != self.identity.node) else {
            return false;
        };
        let term = self.term();
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
                self.writes.put_back(batch);
                return any;
            }
            self.forwarded += batch.waiters.len() as u64;
            let since = self.now();
            self.writes.sent.insert(number, Sent { term, leader, batch, since });
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
        let checked = entry::check_forwarded(&parts);
        match checked {
            Ok(answers) if leads && !self.draining => {
                self.writes.inbound.push(Forwarded { from, number, answers, parts });
            }
            _ => {
                if let Err(error) = checked {
                    tracing::warn!(from = from.0, %error, "malformed batch from a member");
                }
                self.send_frame(from, Lane::Control, &Frame::Refused { number });
            }
        }
    }

    /// The leader has refused batch `number`: it and all that were sent to the same term behind it
    /// were certainly not proposed, and go to the next leader in their order.
    pub(crate) fn refused(&mut self, from: NodeId, number: u64) {
        let Some(term) = self.writes.sent.get(&number).map(|sent| sent.term) else { return };
        let later = self.writes.sent.split_off(&number);
        for (number, sent) in later.into_iter().rev() {
            if sent.term == term && sent.leader == from {
                self.writes.put_back(sent.batch);
            } else {
                self.writes.sent.insert(number, sent);
            }
        }
    }

    /// An entry of `term` is applied: no entry of an older term can follow. Whatever of those has not
    /// been seen was never applied and never will be.
    pub(crate) fn settle_older_than(&mut self, term: Term) {
        let error = Error::not_applied("another node took the lead before this was replicated");
        while let Some(lost) = self.writes.proposed.pop_front_if(|first| first.term < term) {
            self.answer_all(lost.waiters, &error);
        }
        let older: Vec<_> = self
            .writes
            .sent
            .iter()
            .filter(|(_, sent)| sent.term < term)
            .map(|(at, _)| *at)
            .collect();
        for number in older {
            if let Some(sent) = self.writes.sent.remove(&number) {
                self.answer_all(sent.batch.waiters, &error);
            }
        }
    }

    /// Leadership is lost: what members gave us and was not proposed goes back to them.
    pub(crate) fn give_back_inbound(&mut self) {
        self.refuse_inbound();
    }

    /// Answers what has waited for too long.
    pub(crate) fn expire_writes(&mut self) {
        let now = self.now();
        let patience = self.config.patience;
        let overdue = |since: quorate_env::Mono| now.since(since) > patience;
        while self.writes.oldest().is_some_and(overdue) {
            let error = self.no_leader();
            if let Some(batch) = self.writes.pop() {
                self.answer_all(batch.waiters, &error);
            }
        }
        let unknown = Error::unknown(
            "no majority confirmed this write in time; it may have been applied, or may yet be",
        );
        let mut late = Vec::new();
        for proposed in self.writes.proposed.iter_mut().filter(|proposed| overdue(proposed.since)) {
            // The entry keeps its place in the queue: it may still be applied.
            late.append(&mut proposed.waiters);
        }
        let gone: Vec<_> = self
            .writes
            .sent
            .iter()
            .filter(|(_, sent)| overdue(sent.since))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            late.extend(
                self.writes.sent.remove(&number).into_iter().flat_map(|sent| sent.batch.waiters),
            );
        }
        self.answer_all(late, &unknown);
    }
}

//! Commands that wait to become a log entry, and the batches that are on their way.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use quorate_api::limits::{
    COMMAND_BYTES_MAX, ENTRY_BYTES_MAX, ENTRY_BYTES_TARGET, ENTRY_COMMANDS_MAX, PENDING_BYTES_MAX,
};
use quorate_consensus::{Index, NodeId, Term};
use quorate_env::Mono;

use crate::entry;
use crate::session::{Scale, Waiter};

/// Commands of this node's own sessions, encoded, with those who wait for the answers.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) parts: Vec<u8>,
    pub(crate) waiters: Vec<Waiter>,
    /// Commands, those inside of transactions counted.
    commands: usize,
    /// One of its parts takes long.
    long: bool,
    pub(crate) since: Mono,
    /// Its number when it was sent before; 0: never. Batches keep their order by it.
    pub(crate) sent_as: u64,
}

/// What a member has forwarded to this leader.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) from: NodeId,
    pub(crate) number: u64,
    pub(crate) answers: usize,
    /// One of its parts takes long.
    pub(crate) long: bool,
    pub(crate) parts: Bytes,
}

/// An entry of ours that is appended but not applied.
#[derive(Debug)]
pub(crate) struct Proposed {
    pub(crate) index: Index,
    pub(crate) term: Term,
    pub(crate) waiters: Vec<Waiter>,
    /// Answers that it will give, here and to members.
    pub(crate) answers: usize,
    pub(crate) since: Mono,
}

/// A batch that was sent to the leader of `term`.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) term: Term,
    pub(crate) batch: Batch,
    pub(crate) since: Mono,
}

/// All writes of this node that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    /// Not sent anywhere yet; the last one is open.
    open: VecDeque<Batch>,
    pub(crate) inbound: Vec<Forwarded>,
    pub(crate) proposed: VecDeque<Proposed>,
    sent: BTreeMap<u64, Sent>,
    /// The last forward taken from each member: an older one that comes late must not overtake it.
    taken: BTreeMap<NodeId, u64>,
    inbound_bytes: usize,
    next_forward: u64,
    pending_bytes: usize,
    /// Commands of sessions that wait for earlier ones; they count like what is pending.
    pub(crate) held: Scale,
    spare: Vec<Vec<u8>>,
}

/// An entry ready to be proposed.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) forwarded: Vec<(NodeId, u64)>,
    /// Answers that it will give, here and to members.
    pub(crate) answers: usize,
}

/// Reused buffers beyond this are given back.
const SPARE_BYTES_MAX: usize = 4 * ENTRY_BYTES_TARGET;

impl Writes {
    /// True when no more may be taken in.
    pub(crate) fn is_full(&self) -> bool {
        self.pending_bytes + self.held.bytes() > PENDING_BYTES_MAX
    }

    pub(crate) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(crate) fn has_any(&self) -> bool {
        self.has_open() || !self.inbound.is_empty()
    }

    /// How many commands wait to be sealed or forwarded next.
    pub(crate) fn gathered(&self) -> usize {
        let own = self.open.front().map_or(0, |batch| batch.waiters.len());
        own + self.inbound.iter().map(|one| one.answers).sum::<usize>()
    }

    /// How large the next entry may become at most.
    pub(crate) fn next_bytes(&self) -> usize {
        let own = self.open.front().map_or(0, |batch| batch.parts.len());
        let first = self.inbound.first().map_or(0, |one| one.parts.len());
        own + self.inbound_bytes.min(first.max(ENTRY_BYTES_MAX - COMMAND_BYTES_MAX))
    }

    /// How many commands are on their way: in entries that are not applied, and at the leader.
    pub(crate) fn on_their_way(&self) -> usize {
        self.proposed.iter().map(|one| one.answers).sum::<usize>()
            + self.sent.values().map(|sent| sent.batch.waiters.len()).sum::<usize>()
    }

    /// True when batches are complete: what comes now goes into a later one.
    pub(crate) fn is_sealed(&self) -> bool {
        self.open.len() > 1
    }

    /// Adds one part of `commands` commands. Asks what the time is only where it opens a batch: that would be much
    /// of what a command costs here.
    pub(crate) fn push(
        &mut self,
        now: impl FnOnce() -> Mono,
        commands: usize,
        waiter: Waiter,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        let fits = |batch: &Batch| {
            batch.sent_as == 0
                && batch.parts.len() < ENTRY_BYTES_TARGET
                && batch.commands + commands < ENTRY_COMMANDS_MAX
        };
        if !self.open.back().is_some_and(fits) {
            let parts = self.spare.pop().unwrap_or_default();
            self.open.push_back(Batch { parts, since: now(), ..Batch::default() });
        }
        let Some(batch) = self.open.back_mut() else { return };
        let before = batch.parts.len();
        encode(&mut batch.parts);
        batch.long |= entry::is_long_part(batch.parts.get(before..).unwrap_or_default());
        batch.commands += commands;
        batch.waiters.push(waiter);
        self.pending_bytes += batch.parts.len() - before;
    }

    /// The oldest batch that was not sent anywhere.
    pub(crate) fn pop(&mut self) -> Option<Batch> {
        let batch = self.open.pop_front()?;
        self.pending_bytes -= batch.parts.len();
        Some(batch)
    }

    /// Puts batch `number`, which was certainly not proposed, back to where it was among the others.
    pub(crate) fn put_back(&mut self, mut batch: Batch, number: u64) {
        batch.sent_as = number;
        self.pending_bytes += batch.parts.len();
        let later = |other: &Batch| other.sent_as == 0 || other.sent_as > number;
        let at = self.open.iter().position(later).unwrap_or(self.open.len());
        self.open.insert(at, batch);
    }

    /// Notes a batch as sent; it counts as pending until it is answered.
    pub(crate) fn insert_sent(&mut self, number: u64, sent: Sent) {
        self.pending_bytes += sent.batch.parts.len();
        self.sent.insert(number, sent);
    }

    /// The batch that was sent as `number`.
    pub(crate) fn remove_sent(&mut self, number: u64) -> Option<Sent> {
        let sent = self.sent.remove(&number)?;
        self.pending_bytes -= sent.batch.parts.len();
        Some(sent)
    }

    /// All sent batches for which `fits` holds.
    pub(crate) fn take_sent(&mut self, fits: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        self.take_sent_numbered(fits).into_iter().map(|(_, sent)| sent).collect()
    }

    /// The same, with their numbers.
    pub(crate) fn take_sent_numbered(&mut self, fits: impl Fn(&Sent) -> bool) -> Vec<(u64, Sent)> {
        let numbers: Vec<_> =
            self.sent.iter().filter(|(_, sent)| fits(sent)).map(|(number, _)| *number).collect();
        let taken = numbers.into_iter();
        taken.filter_map(|number| Some((number, self.remove_sent(number)?))).collect()
    }

    pub(crate) fn any_sent(&self, fits: impl Fn(&Sent) -> bool) -> bool {
        self.sent.values().any(fits)
    }

    /// Who sent us what, as numbered there, is taken once and in order.
    pub(crate) fn take_in(&mut self, forwarded: Forwarded) -> bool {
        const EPOCH: u64 = !0xffff_ffff;
        let (from, number) = (forwarded.from, forwarded.number);
        let last = self.taken.get(&from).copied().unwrap_or(0);
        if last & EPOCH == number & EPOCH && number <= last {
            return false;
        }
        self.taken.insert(from, number);
        self.inbound_bytes += forwarded.parts.len();
        self.inbound.push(forwarded);
        true
    }

    /// True when no more may be taken in from members.
    pub(crate) fn inbound_is_full(&self) -> bool {
        self.inbound_bytes > PENDING_BYTES_MAX
    }

    /// Everything members have sent that is not proposed.
    pub(crate) fn take_inbound(&mut self) -> Vec<Forwarded> {
        self.inbound_bytes = 0;
        std::mem::take(&mut self.inbound)
    }

    /// When the oldest batch came in.
    pub(crate) fn oldest(&self) -> Option<Mono> {
        self.open.front().map(|batch| batch.since)
    }

    /// Numbers a batch that goes to the leader.
    pub(crate) fn number_forward(&mut self, epoch: u64) -> u64 {
        self.next_forward += 1;
        // A restarted node must not take its predecessor's entries for its own.
        epoch.wrapping_add(self.next_forward)
    }

    /// Makes an entry of the oldest batch and what members have forwarded; `None` when there is nothing.
    pub(crate) fn seal(&mut self) -> Option<Sealed> {
        if !self.has_any() {
            return None;
        }
        let batch = self.pop().unwrap_or_default();
        let mut bytes = Vec::with_capacity(entry::HEADER_BYTES + batch.parts.len() + 64);
        entry::put_header(&mut bytes);
        bytes.extend_from_slice(&batch.parts);
        let mut forwarded = Vec::with_capacity(self.inbound.len());
        // What does not fit any more becomes the next entry.
        let mut room = ENTRY_BYTES_MAX - COMMAND_BYTES_MAX;
        let mut fits = |one: &Forwarded| {
            let first = room == ENTRY_BYTES_MAX - COMMAND_BYTES_MAX && batch.parts.is_empty();
            let fits = first || one.parts.len() < room;
            room = room.saturating_sub(one.parts.len());
            fits
        };
        let count = self.inbound.iter().take_while(|one| fits(one)).count();
        let (mut answers, mut long) = (batch.waiters.len(), batch.long);
        for one in self.inbound.drain(..count) {
            answers += one.answers;
            long |= one.long;
            self.inbound_bytes -= one.parts.len();
            entry::put_origin(&mut bytes, one.from, one.number, one.answers);
            bytes.extend_from_slice(&one.parts);
            forwarded.push((one.from, one.number));
        }
        if long {
            entry::mark_long(&mut bytes);
        }
        self.recycle(batch.parts);
        Some(Sealed { bytes, waiters: batch.waiters, forwarded, answers })
    }

    pub(crate) fn recycle(&mut self, mut parts: Vec<u8>) {
        if parts.capacity() <= SPARE_BYTES_MAX && self.spare.len() < 4 {
            parts.clear();
            self.spare.push(parts);
        }
    }
}

#[cfg(test)]
mod tests;

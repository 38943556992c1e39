//! What has arrived from peers and waits for the group's next turn. Bounded: a link whose frames are
//! not taken is not read. Pieces of snapshots count until they are on the disk: a slow disk keeps the
//! link that brings them waiting, and no other one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Kind, Lane};
use crate::NodeId;

/// Bytes that may wait; beyond it the links wait.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of snapshots that may be in memory; beyond it whoever brings them waits.
const SNAPSHOT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a connection brings, as far as it matters to how much of it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freight {
    /// Messages.
    Messages,
    /// Pieces of a snapshot among them.
    Snapshots,
}

/// Something a link has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame from a member.
    Frame {
        /// From whom.
        from: NodeId,
        /// What it carries.
        kind: Kind,
        /// Its payload.
        payload: Bytes,
    },
    /// Our link to a member came up.
    Up(NodeId, Lane),
    /// Our link to a member broke: what was queued may be lost.
    Down(NodeId, Lane),
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    snapshot_bytes: usize,
    reader: Option<Waker>,
    writers: Vec<Waker>,
}

/// A queue between the links and their owner, on one thread.
#[derive(Clone, Default)]
pub struct Inbox(Rc<RefCell<State>>);

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({})", self.0.borrow().events.len())
    }
}

impl Inbox {
    /// Queues an event and wakes the owner.
    pub(super) fn push(&self, event: Event) {
        let mut state = self.0.borrow_mut();
        match &event {
            Event::Frame { kind: Kind::Snapshot, payload, .. } => {
                state.snapshot_bytes += payload.len();
            }
            Event::Frame { payload, .. } => state.bytes += payload.len(),
            Event::Up(..) | Event::Down(..) => {}
        }
        state.events.push_back(event);
        if let Some(waker) = state.reader.take() {
            waker.wake();
        }
    }

    /// Ready when there is room for more.
    pub(super) fn poll_room(&self, freight: Freight, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        let snapshots = freight == Freight::Snapshots;
        if state.bytes <= WAITING_BYTES_MAX
            && !(snapshots && state.snapshot_bytes > SNAPSHOT_BYTES_MAX)
        {
            return Poll::Ready(());
        }
        state.writers.push(cx.waker().clone());
        Poll::Pending
    }

    /// The next event, in the order of arrival. A piece of a snapshot goes on counting until
    /// [`Inbox::settle`] is called for it.
    pub fn pop(&self) -> Option<Event> {
        let mut state = self.0.borrow_mut();
        let event = state.events.pop_front()?;
        match &event {
            Event::Frame { kind, payload, .. } if *kind != Kind::Snapshot => {
                state.bytes -= payload.len();
                state.wake_writers();
            }
            _ => {}
        }
        Some(event)
    }

    /// A piece of a snapshot, whose payload had so many bytes, is in memory no more.
    pub fn settle(&self, payload_bytes: usize) {
        let mut state = self.0.borrow_mut();
        state.snapshot_bytes = state.snapshot_bytes.saturating_sub(payload_bytes);
        state.wake_writers();
    }

    /// Wakes `cx` at the next event; ready when there is one already.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if !state.events.is_empty() {
            return Poll::Ready(());
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn wake_writers(&mut self) {
        if self.bytes <= WAITING_BYTES_MAX {
            self.writers.drain(..).for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, bytes: usize) -> Event {
        Event::Frame { from: NodeId(1), kind, payload: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn pieces_of_a_snapshot_count_until_they_are_settled_and_keep_nobody_else_waiting() {
        let inbox = Inbox::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut is_open = |freight| inbox.poll_room(freight, &mut cx).is_ready();
        inbox.push(frame(Kind::Snapshot, SNAPSHOT_BYTES_MAX + 1));
        assert!(inbox.pop().is_some());
        assert!(!is_open(Freight::Snapshots), "taken, but not written yet");
        assert!(is_open(Freight::Messages));
        inbox.settle(SNAPSHOT_BYTES_MAX + 1);
        assert!(is_open(Freight::Snapshots));
    }

    #[test]
    fn a_link_whose_frames_are_not_taken_waits() {
        let inbox = Inbox::default();
        let mut cx = Context::from_waker(Waker::noop());
        inbox.push(frame(Kind::Raft, WAITING_BYTES_MAX + 1));
        assert!(inbox.poll_room(Freight::Messages, &mut cx).is_pending());
        assert!(inbox.pop().is_some());
        assert!(inbox.poll_room(Freight::Messages, &mut cx).is_ready());
    }
}

//! What has arrived from peers and waits for the group's next turn. Bounded: a link whose frames are
//! not taken is not read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{Kind, Lane};
use crate::NodeId;

/// Bytes that may wait; beyond it the links wait.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

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
        if let Event::Frame { payload, .. } = &event {
            state.bytes += payload.len();
        }
        state.events.push_back(event);
        if let Some(waker) = state.reader.take() {
            waker.wake();
        }
    }

    /// Ready when there is room for more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if state.bytes <= WAITING_BYTES_MAX {
            return Poll::Ready(());
        }
        state.writers.push(cx.waker().clone());
        Poll::Pending
    }

    /// The next event, in the order of arrival.
    pub fn pop(&self) -> Option<Event> {
        let mut state = self.0.borrow_mut();
        let event = state.events.pop_front()?;
        if let Event::Frame { payload, .. } = &event {
            state.bytes -= payload.len();
            if state.bytes <= WAITING_BYTES_MAX {
                state.writers.drain(..).for_each(Waker::wake);
            }
        }
        Some(event)
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

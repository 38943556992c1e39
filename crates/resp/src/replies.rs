//! The queue of replies: every command's answer has its place, whoever gives it and whenever.
//!
//! The answers of the node come later than those of the front-end. While none is awaited, replies go
//! straight to the output; otherwise they wait in slots. A run of awaited answers is one slot.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quorate_api::Answer;
use quorate_api::limits::{OUTPUT_BYTES_PAUSE, PIPELINE_COMMANDS_MAX, UNREAD_BYTES_FREE};
use quorate_env::Stream;
use tokio::io::AsyncWrite;

use crate::encode::{self, Protocol};
use crate::server::{BUFFER_BYTES, BUFFER_KEPT_BYTES_MAX, Server};
use crate::transaction::Splice;
use crate::unread::Share;

/// Whether an answer may be withheld for want of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Of a read: refusing it changes nothing.
    Read,
    /// Of a write, which has happened: it is told.
    Write,
}

/// What becomes of an awaited answer.
#[derive(Debug)]
pub(crate) enum Awaited {
    /// It is sent.
    Sent(Due),
    /// It is dropped (CLIENT REPLY).
    Dropped,
    /// It holds the revisions of these keys, then that of the state read; OK is sent.
    Revisions { db: u8, keys: Vec<Bytes>, muted: bool },
    /// It is a block's answer, into which local replies are spliced.
    Block { splice: Splice, muted: bool },
}

#[derive(Debug)]
enum Slot {
    /// So many answers of the node that are sent as they come.
    Sent(Due, usize),
    /// An answer of the node with which something is to be done.
    Other(Awaited),
    /// Encoded replies of the front-end.
    Local(Vec<u8>),
}

/// What comes next.
pub(crate) enum Next {
    /// Nothing is awaited.
    Nothing,
    /// An answer of the node.
    Answer,
}

/// Replies on their way out, in the order of their commands.
pub(crate) struct Replies {
    server: Rc<Server>,
    pub(crate) protocol: Protocol,
    slots: VecDeque<Slot>,
    /// Answers of the node that are awaited.
    awaited: usize,
    /// Bytes in slots.
    slot_bytes: usize,
    output: Vec<u8>,
    /// Bytes of `output` that have been sent.
    sent: usize,
    /// For all of these bytes.
    share: Share,
}

impl Replies {
    pub(crate) fn new(server: Rc<Server>) -> Self {
        Self {
            share: Share::new(Rc::clone(&server)),
            server,
            protocol: Protocol::Resp2,
            slots: VecDeque::new(),
            awaited: 0,
            slot_bytes: 0,
            output: Vec::new(),
            sent: 0,
        }
    }

    /// True when every answer is in.
    pub(crate) fn all_answered(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes in the output that have not been sent.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.output.len() - self.sent
    }

    /// True while the client must read before more is answered.
    pub(crate) fn is_output_full(&self) -> bool {
        self.is_much(self.unsent_bytes())
    }

    /// True for more unread bytes than a connection may have before its client reads some of them.
    #[inline]
    fn is_much(&self, bytes: usize) -> bool {
        bytes >= OUTPUT_BYTES_PAUSE
            || (bytes >= UNREAD_BYTES_FREE && self.server.unread.is_crowded())
    }

    /// True while no more commands may be executed.
    pub(crate) fn is_full(&self) -> bool {
        self.awaited >= PIPELINE_COMMANDS_MAX || self.is_much(self.unsent_bytes() + self.slot_bytes)
    }

    /// The node owes one more answer, to be sent as it comes.
    #[inline]
    pub(crate) fn await_answer(&mut self, due: Due) {
        self.awaited += 1;
        match self.slots.back_mut() {
            Some(Slot::Sent(of, count)) if *of == due => *count += 1,
            _ => self.slots.push_back(Slot::Sent(due, 1)),
        }
    }

    /// The node owes one more answer.
    pub(crate) fn await_other(&mut self, awaited: Awaited) {
        self.awaited += 1;
        self.slots.push_back(Slot::Other(awaited));
    }

    /// A reply of the front-end takes its place.
    pub(crate) fn push(&mut self, answer: &Answer) {
        self.push_with(|out, protocol| encode::put_answer(out, protocol, answer));
    }

    /// What `write` appends, which must be one reply, takes its place.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>, Protocol)) {
        let protocol = self.protocol;
        if self.slots.is_empty() {
            write(self.output(), protocol);
            return self.weigh();
        }
        if !matches!(self.slots.back(), Some(Slot::Local(_))) {
            self.slots.push_back(Slot::Local(Vec::new()));
        }
        if let Some(Slot::Local(bytes)) = self.slots.back_mut() {
            let before = bytes.len();
            write(bytes, protocol);
            self.slot_bytes += bytes.len() - before;
            self.weigh();
        }
    }

    /// Moves local replies that are first in the queue to the output, and says what is next.
    #[inline]
    pub(crate) fn next(&mut self) -> Next {
        loop {
            match self.slots.front_mut() {
                None => return Next::Nothing,
                Some(Slot::Sent(..) | Slot::Other(_)) => return Next::Answer,
                Some(Slot::Local(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    self.slot_bytes -= bytes.len();
                    self.output().extend_from_slice(&bytes);
                    drop(self.slots.pop_front());
                    self.weigh();
                }
            }
        }
    }

    /// An answer of the node has come: what becomes of it?
    #[inline]
    pub(crate) fn take_awaited(&mut self) -> Awaited {
        self.awaited = self.awaited.saturating_sub(1);
        match self.slots.front_mut() {
            Some(Slot::Sent(due, count)) if *count > 1 => {
                *count -= 1;
                return Awaited::Sent(*due);
            }
            _ => {}
        }
        match self.slots.pop_front() {
            Some(Slot::Other(awaited)) => awaited,
            Some(Slot::Sent(due, _)) => Awaited::Sent(due),
            Some(Slot::Local(_)) | None => Awaited::Sent(Due::Write),
        }
    }

    /// Appends an answer of the node to the output.
    #[inline]
    pub(crate) fn put(&mut self, answer: &Answer) {
        let protocol = self.protocol;
        encode::put_answer(self.output(), protocol, answer);
        self.weigh();
    }

    /// Makes room for a large reply at once: growing step by step would take up to twice as much.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.output().reserve_exact(bytes);
    }

    /// Has what is held counted among what all connections hold.
    #[inline]
    fn weigh(&mut self) {
        self.share.set(self.output.capacity() + self.slot_bytes);
    }

    fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = self.server.take_buffer();
        }
        &mut self.output
    }

    /// A slow but steady reader must not make us keep what it has read.
    fn forget_sent(&mut self) {
        if self.sent > BUFFER_KEPT_BYTES_MAX && self.sent >= self.unsent_bytes() {
            drop(self.output.drain(..self.sent));
            self.output.shrink_to(BUFFER_BYTES);
            self.sent = 0;
        }
    }

    /// Sends the output; `Ready` when all of it is sent.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Box<dyn Stream>,
    ) -> Poll<io::Result<()>> {
        let sent = self.poll_write(cx, stream);
        if sent.is_pending() {
            self.forget_sent();
        }
        self.weigh();
        sent
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Box<dyn Stream>,
    ) -> Poll<io::Result<()>> {
        while let Some(unsent) = self.output.get(self.sent..).filter(|bytes| !bytes.is_empty()) {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, unsent))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            crate::stats::add(&self.server.counters.bytes_out, count as u64);
            self.sent += count;
        }
        self.sent = 0;
        if self.output.capacity() > 0 {
            self.output.clear();
            self.server.give_buffer(std::mem::take(&mut self.output));
        }
        ready!(Pin::new(&mut *stream).poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }
}

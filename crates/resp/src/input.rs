//! A connection's read buffer: small while there is little to read, grown exactly for large
//! arguments, and none at all while the connection is idle.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use quorate_env::Stream;
use tokio::io::AsyncReadExt;

use crate::server::{Account, BUFFER_BYTES, BUFFER_KEPT_BYTES_MAX, Server};

/// Room below which it is not worth asking the socket.
const ROOM_BYTES_MIN: usize = 4 * 1024;

/// Bytes received and not yet consumed.
pub(crate) struct Input {
    server: Rc<Server>,
    account: Account,
    bytes: Vec<u8>,
    /// Where the unread bytes begin.
    start: usize,
}

/// All connections together hold too many bytes of unfinished commands.
#[derive(Debug)]
pub(crate) struct Overloaded;

impl Input {
    pub(crate) fn new(server: Rc<Server>) -> Self {
        let account = Account::new(Rc::clone(&server));
        Self { server, account, bytes: Vec::new(), start: 0 }
    }

    /// What has not been consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Bytes that could be read without growing.
    pub(crate) fn free_bytes(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// The first `length` unread bytes are done with.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start = self.start.saturating_add(length).min(self.bytes.len());
    }

    /// Makes room for a command of `needed` bytes, as far as it pays.
    ///
    /// A client is believed only so far: the buffer at most doubles, so that nobody can make us
    /// reserve more than was really sent.
    pub(crate) fn make_room(&mut self, needed: usize) -> Result<(), Overloaded> {
        let unread = self.bytes.len() - self.start;
        if unread == 0 {
            self.bytes.clear();
            self.start = 0;
            if self.bytes.capacity() == 0 || self.bytes.capacity() > BUFFER_KEPT_BYTES_MAX {
                self.bytes = self.server.take_buffer();
            }
        }
        let wanted = needed.saturating_sub(unread).max(ROOM_BYTES_MIN);
        if self.free_bytes() < wanted {
            drop(self.bytes.drain(..self.start));
            self.start = 0;
        }
        if self.free_bytes() < wanted {
            self.bytes.reserve_exact(wanted.min(unread.max(BUFFER_BYTES)));
        }
        self.hold()
    }

    /// Accounts for a large buffer; small ones are what a connection costs anyway.
    fn hold(&mut self) -> Result<(), Overloaded> {
        let capacity = self.bytes.capacity();
        let held = if capacity > BUFFER_KEPT_BYTES_MAX { capacity } else { 0 };
        if self.account.hold(held) { Ok(()) } else { Err(Overloaded) }
    }

    /// Reads what the socket has, up to the room there is. `Ready(Ok(0))`: the client has closed.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Box<dyn Stream>,
    ) -> Poll<io::Result<usize>> {
        pin!(stream.read_buf(&mut self.bytes)).poll(cx)
    }

    /// At the end of a turn: an empty buffer goes to whoever needs one next.
    pub(crate) fn rest(&mut self) {
        if self.start == self.bytes.len() && self.bytes.capacity() > 0 {
            self.start = 0;
            self.server.give_buffer(std::mem::take(&mut self.bytes));
            // Holding nothing is always allowed.
            let _nothing = self.hold();
        }
    }
}

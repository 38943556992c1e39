//! One connection: a single poll function that reads, executes, answers and writes.
//!
//! A turn executes what has arrived, takes what the node has answered, and ends with one write. Work
//! per turn is bounded; a client that does not read is not read from. No task is ever started here.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use quorate_api::{Args, Error, Span};
use quorate_env::Stream;
use tokio::io::AsyncWrite;

use crate::decode::{Decoded, Decoder};
use crate::error;
use crate::input::Input;
use crate::server::Server;
use crate::session::{Flow, Session};
use crate::stats;

/// Commands of one turn; then other connections have theirs.
const TURN_COMMANDS_MAX: usize = 1024;
/// Bytes read in one turn.
const TURN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes read ahead while no command may be executed, so that a closed connection is noticed.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Spans kept between commands; a command with more arguments gives its memory back.
const SPANS_KEPT_MAX: usize = 1024;
/// Bytes thrown away before closing, lest the client lose our last words to a reset.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// A connection under way.
pub(crate) struct Connection {
    server: Rc<Server>,
    stream: Box<dyn Stream>,
    session: Session,
    input: Input,
    decoder: Decoder,
    spans: Vec<Span>,
    /// Bytes that the unfinished command at the start of the input has in all, as far as is known.
    needed: usize,
    /// The input holds no complete command.
    is_starved: bool,
    /// The client sends no more.
    is_at_end: bool,
}

/// What is left of a turn.
struct Budget {
    commands: usize,
    bytes: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.commands == 0 || self.bytes == 0
    }
}

impl Connection {
    pub(crate) fn new(server: Rc<Server>, stream: Box<dyn Stream>) -> Self {
        let now = server.env.clock.now();
        let profile = server.registry.enter(stream.peer_addr(), stream.local_addr(), now);
        Self {
            session: Session::new(Rc::clone(&server), profile),
            input: Input::new(Rc::clone(&server)),
            decoder: Decoder::new(),
            spans: Vec::new(),
            needed: 0,
            is_starved: false,
            is_at_end: false,
            server,
            stream,
        }
    }

    /// A turn. `Ready`: the connection is done with.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.turn(cx) {
            Poll::Ready(Err(error)) => {
                tracing::debug!(addr = %self.session.profile.addr, %error, "connection lost");
                Poll::Ready(())
            }
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.profile.keep_waker(cx.waker());
        if self.session.profile.is_killed() {
            return Poll::Ready(Ok(()));
        }
        let mut budget = Budget { commands: TURN_COMMANDS_MAX, bytes: TURN_BYTES_MAX };
        loop {
            let mut progress = self.work(cx, &mut budget)?;
            progress |= self.session.poll_answers(cx);
            progress |= self.session.poll_blocked(cx);
            if !progress || budget.is_spent() {
                break;
            }
        }
        self.finish_turn(&budget);
        let was_full = self.session.replies.is_full();
        let before = self.session.replies.unsent_bytes();
        let sent = match self.session.replies.poll_send(cx, &mut self.stream) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        self.note_progress(sent, before);
        self.session.profile.output_bytes.set(self.session.replies.unsent_bytes());
        if sent && self.is_done() {
            return self.poll_close(cx);
        }
        if budget.is_spent() || (was_full && !self.session.replies.is_full()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Executes what has arrived and reads more, until nothing is left to do or the turn is over.
    fn work(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> io::Result<bool> {
        let mut progress = false;
        loop {
            progress |= self.execute(budget);
            if budget.is_spent() || !self.wants_to_read() {
                return Ok(progress);
            }
            if self.input.make_room(self.needed).is_err() {
                let reason = "too many bytes of unfinished commands".into();
                self.session.end_with(&Err(Error::Overloaded { reason }));
                return Ok(true);
            }
            match self.input.poll_read(cx, &mut self.stream) {
                Poll::Pending => return Ok(progress),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(0)) => {
                    self.is_at_end = true;
                    return Ok(true);
                }
                Poll::Ready(Ok(count)) => {
                    stats::add(&self.server.counters.bytes_in, count as u64);
                    budget.bytes = budget.bytes.saturating_sub(count);
                    progress = true;
                }
            }
        }
    }

    /// True when the input holds no command that could be executed first.
    fn wants_to_read(&self) -> bool {
        if self.is_at_end || self.session.ending || self.server.is_draining() {
            return false;
        }
        if self.session.is_ready() {
            return true;
        }
        !self.session.replies.is_full() && self.input.unread().len() < READ_AHEAD_BYTES
    }

    /// Executes complete commands; true when there was one.
    fn execute(&mut self, budget: &mut Budget) -> bool {
        let before = budget.commands;
        while budget.commands > 0 && self.session.is_ready() {
            (self.needed, self.is_starved) = (0, false);
            let unread = self.input.unread();
            let decoded = self.decoder.decode(unread, &mut self.spans, self.session.trust());
            let (length, args) = match decoded {
                Ok(Decoded::Command { length }) => (length, Args::new(unread, &self.spans)),
                Ok(Decoded::Inline { length }) => {
                    (length, Args::new(self.decoder.line(), &self.spans))
                }
                Ok(Decoded::Nothing { length }) => {
                    self.input.consume(length);
                    continue;
                }
                Ok(Decoded::Incomplete { needed }) => {
                    (self.needed, self.is_starved) = (needed, true);
                    break;
                }
                Err(error) => {
                    self.session.end_with(&Ok(error::protocol(error)));
                    break;
                }
            };
            budget.commands -= 1;
            self.session.profile.input_bytes.set(unread.len());
            // Invariant: the decoder's spans lie within what it was given.
            let Some(args) = args else { break };
            if self.session.execute(args) == Flow::Done {
                self.input.consume(length);
            }
        }
        before != budget.commands
    }

    /// Remembers since when the client takes nothing of what waits for it.
    fn note_progress(&self, sent: bool, before: usize) {
        let stalled = &self.session.profile.stalled;
        if sent {
            stalled.set(None);
        } else if stalled.get().is_none() || self.session.replies.unsent_bytes() < before {
            stalled.set(Some(self.server.env.clock.now()));
        }
    }

    /// Leaves everything as the next turn, or another connection's command, expects it.
    fn finish_turn(&mut self, budget: &Budget) {
        let executed = TURN_COMMANDS_MAX - budget.commands;
        let profile = &self.session.profile;
        if executed > 0 {
            let now = self.server.env.clock.now();
            self.server.counters.count_commands(now, executed as u64);
            profile.active.set(now);
        }
        self.input.rest();
        if self.spans.capacity() > SPANS_KEPT_MAX && self.input.unread().is_empty() {
            self.spans = Vec::new();
        }
        profile.input_bytes.set(self.input.unread().len());
        profile.input_free_bytes.set(self.input.free_bytes());
    }

    /// True when nothing will come of this connection any more.
    fn is_done(&self) -> bool {
        if self.is_at_end && self.session.is_blocked_forever() {
            return true;
        }
        let no_input = self.is_at_end || self.server.is_draining();
        let no_more =
            self.session.ending || (no_input && self.is_starved && self.session.is_ready());
        no_more && self.session.replies.all_answered()
    }

    /// Says goodbye so that the client sees all that was sent.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(std::pin::Pin::new(&mut self.stream).poll_shutdown(cx))?;
        let mut thrown = 0;
        while !self.is_at_end && thrown < LINGER_BYTES_MAX {
            self.input.consume(usize::MAX);
            if self.input.make_room(0).is_err() {
                break;
            }
            match self.input.poll_read(cx, &mut self.stream) {
                Poll::Ready(Ok(count)) if count > 0 => thrown += count,
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.registry.leave(self.session.profile.id);
    }
}

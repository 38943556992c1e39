//! One connection's thread of commands, as the node keeps it.
//!
//! Answers come back in the order of submission. Reads and writes of one session never overtake each
//! other: while writes are unfinished a read is *held* (and everything behind it), and the other way
//! round, so that a pipeline sees exactly what it would see if each command waited for the one before.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use quorate_api::limits::UNREAD_BYTES_MAX;
use quorate_api::{Answer, Consistency, Error, Reply};

/// A command that waits for the session's earlier ones, encoded as a part.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) part: Vec<u8>,
    /// Counts it among what waits on the node, for as long as it is held.
    pub(crate) _load: Load,
}

/// Bytes that the sessions of a node hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scale(Rc<Cell<usize>>);

impl Scale {
    pub(crate) fn bytes(&self) -> usize {
        self.0.get()
    }

    /// Adds `bytes` until the load is dropped, however that comes about: a connection may end at any time.
    pub(crate) fn put(&self, bytes: usize) -> Load {
        self.0.set(self.0.get() + bytes);
        Load { scale: self.clone(), bytes }
    }
}

/// A part of what lies on a [`Scale`].
#[derive(Debug)]
pub(crate) struct Load {
    scale: Scale,
    bytes: usize,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.scale.0.set(self.scale.0.get() - self.bytes);
    }
}

/// Which street a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Read(Consistency),
}

impl Kind {
    pub(crate) fn is_write(self) -> bool {
        self == Self::Write
    }
}

/// An answer, and what it counts for.
type Weighed = (Answer, Option<Load>);

/// Smaller answers are not worth weighing.
const WEIGHED_BYTES_MIN: usize = 4 * 1024;

/// Bytes that an answer keeps in memory.
fn bytes_of(reply: &Reply) -> usize {
    match reply {
        Reply::Bulk(bytes) => bytes.len(),
        Reply::Array(items) => items.iter().map(bytes_of).sum(),
        _ => 0,
    }
}

#[derive(Debug, Default)]
struct State {
    /// Answers from number `base` on; `None` where it is not there yet.
    answers: VecDeque<Option<Weighed>>,
    /// Where answers are weighed until the front-end takes them; `None`: nowhere.
    scale: Option<Scale>,
    base: u64,
    writes: usize,
    reads: usize,
    held: VecDeque<Held>,
    waker: Option<Waker>,
    seen: u64,
    consistency: Option<Consistency>,
}

/// A session's state, shared by its front-end and by what waits for its answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Thread(Rc<RefCell<State>>);

/// What to do with a command that a session hands in.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Execute it now.
    Go(Waiter),
    /// Keep it, under this number, until the session's earlier ones are answered.
    Hold(u64),
}

impl Thread {
    /// With an engine that reads from a disk, each answer has memory of its own, and a client that sends reads
    /// faster than it takes their answers must not fill it. (In memory, answers are those that the engine keeps
    /// anyhow.)
    pub(crate) fn weighing(scale: Scale) -> Self {
        Self(Rc::new(RefCell::new(State { scale: Some(scale), ..State::default() })))
    }

    /// Numbers a new command.
    pub(crate) fn enter(&self, kind: Kind) -> Turn {
        let mut state = self.0.borrow_mut();
        let number = state.base + state.answers.len() as u64;
        state.answers.push_back(None);
        if !state.held.is_empty() || !state.begin(kind) {
            return Turn::Hold(number);
        }
        drop(state);
        Turn::Go(Waiter::new(self, number, kind))
    }

    /// Numbers and answers a command that will not be executed; it keeps its place among the answers.
    pub(crate) fn refuse(&self, answer: Answer) {
        let mut state = self.0.borrow_mut();
        let first = state.answers.is_empty();
        state.answers.push_back(Some((answer, None)));
        if first && let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn hold(&self, held: Held) {
        self.0.borrow_mut().held.push_back(held);
    }

    /// The next held command whose turn has come, and its bytes.
    pub(crate) fn release(&self) -> Option<(Waiter, Vec<u8>)> {
        let mut state = self.0.borrow_mut();
        let kind = state.held.front()?.kind;
        if !state.begin(kind) {
            return None;
        }
        let Held { number, kind, part, _load } = state.held.pop_front()?;
        drop(state);
        Some((Waiter::new(self, number, kind), part))
    }

    pub(crate) fn seen(&self) -> u64 {
        self.0.borrow().seen
    }

    pub(crate) fn set_consistency(&self, consistency: Option<Consistency>) {
        self.0.borrow_mut().consistency = consistency;
    }

    pub(crate) fn consistency(&self) -> Option<Consistency> {
        self.0.borrow().consistency
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.0.borrow().answers.len()
    }

    pub(crate) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut state = self.0.borrow_mut();
        if let Some(Some(_)) = state.answers.front() {
            state.base += 1;
            if let Some(Some((answer, _load))) = state.answers.pop_front() {
                return Poll::Ready(answer);
            }
        }
        if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Answers everything that is held.
    fn forget_held(&self, error: &Error) {
        let mut state = self.0.borrow_mut();
        for held in std::mem::take(&mut state.held) {
            let at = usize::try_from(held.number - state.base).unwrap_or(usize::MAX);
            if let Some(slot) = state.answers.get_mut(at) {
                *slot = Some((Err(error.clone()), None));
            }
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Gives the answer to command `number`. True when held commands may go on now.
    fn answer(&self, number: u64, kind: Kind, answer: Answer, index: u64) -> bool {
        let mut state = self.0.borrow_mut();
        state.seen = state.seen.max(index);
        if kind.is_write() {
            state.writes -= 1;
        } else {
            state.reads -= 1;
        }
        let at = usize::try_from(number - state.base).unwrap_or(usize::MAX);
        let weighed = state.weigh(kind, answer);
        if let Some(slot) = state.answers.get_mut(at) {
            *slot = Some(weighed);
        }
        // One wake-up per turn is enough: the front-end takes all that is there.
        if at == 0
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        }
        !state.held.is_empty() && state.writes + state.reads == 0
    }
}

impl State {
    /// Puts a large answer on the scale, or refuses it where there is no room: that of a write has happened,
    /// and is told in any case.
    fn weigh(&self, kind: Kind, answer: Answer) -> Weighed {
        let (Some(scale), Ok(reply @ (Reply::Bulk(_) | Reply::Array(_)))) = (&self.scale, &answer)
        else {
            return (answer, None);
        };
        let bytes = bytes_of(reply);
        if bytes < WEIGHED_BYTES_MIN {
            return (answer, None);
        }
        // One that is too large by itself is for the front-end to refuse: it would be so tomorrow.
        let held = scale.bytes();
        if !kind.is_write() && held > 0 && held + bytes > UNREAD_BYTES_MAX {
            let reason =
                "answers that clients have not taken fill the memory which this node has for them";
            return (Err(Error::Overloaded { reason: reason.into() }), None);
        }
        let load = scale.put(bytes);
        (answer, Some(load))
    }

    /// Counts a command as begun, unless it has to wait for those of the other kind.
    fn begin(&mut self, kind: Kind) -> bool {
        let blocked = if kind.is_write() { self.reads > 0 } else { self.writes > 0 };
        if blocked {
            return false;
        }
        if kind.is_write() {
            self.writes += 1;
        } else {
            self.reads += 1;
        }
        true
    }
}

/// Somebody who waits for the answer to a command. Dropped without one, it answers by itself that
/// there is none: no path may leave a client waiting.
#[derive(Debug)]
pub(crate) struct Waiter {
    thread: Thread,
    number: u64,
    kind: Kind,
    answered: bool,
}

impl Waiter {
    /// For a command that has begun.
    fn new(thread: &Thread, number: u64, kind: Kind) -> Self {
        Self { thread: thread.clone(), number, kind, answered: false }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The highest index at which an answer to its session was true.
    pub(crate) fn seen(&self) -> u64 {
        self.thread.seen()
    }

    /// Answers; the session's thread, when its held commands may go on now.
    pub(crate) fn answer(mut self, answer: Answer, index: u64) -> Option<Thread> {
        self.answered = true;
        let resumes = self.thread.answer(self.number, self.kind, answer, index);
        resumes.then(|| self.thread.clone())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let reason = "this node stopped before it had the answer";
        let error =
            if self.kind.is_write() { Error::unknown(reason) } else { Error::not_applied(reason) };
        // Nobody is left who would execute what was held behind it.
        if self.thread.answer(self.number, self.kind, Err(error.clone()), 0) {
            self.thread.forget_held(&error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_api::Reply;
    use std::task::Waker;

    const READ: Kind = Kind::Read(Consistency::Linearizable);

    fn answers(thread: &Thread) -> Vec<Reply> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut out = Vec::new();
        while let Poll::Ready(answer) = thread.poll_answer(&mut cx) {
            out.push(answer.unwrap());
        }
        out
    }

    fn go(thread: &Thread, kind: Kind) -> Waiter {
        let Turn::Go(waiter) = thread.enter(kind) else { panic!("held") };
        waiter
    }

    fn hold(thread: &Thread, kind: Kind) {
        let Turn::Hold(number) = thread.enter(kind) else { panic!("not held") };
        let load = Scale::default().put(0);
        thread.hold(Held { number, kind, part: Vec::new(), _load: load });
    }

    #[test]
    fn answers_come_in_the_order_of_submission_whatever_finishes_first() {
        let thread = Thread::default();
        let (first, second) = (go(&thread, Kind::Write), go(&thread, Kind::Write));
        assert!(second.answer(Ok(Reply::Int(2)), 7).is_none());
        assert_eq!(answers(&thread), []);
        assert!(first.answer(Ok(Reply::Int(1)), 6).is_none());
        assert_eq!(answers(&thread), [Reply::Int(1), Reply::Int(2)]);
        assert_eq!((thread.outstanding(), thread.seen()), (0, 7));
    }

    #[test]
    fn a_waiter_that_is_forgotten_says_that_the_outcome_is_unknown() {
        let thread = Thread::default();
        drop(go(&thread, Kind::Write));
        let answer = thread.poll_answer(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(answer, Poll::Ready(Err(Error::Unknown { .. }))));
    }

    #[test]
    fn what_is_held_behind_a_forgotten_waiter_is_answered_too() {
        let thread = Thread::default();
        let write = go(&thread, Kind::Write);
        hold(&thread, READ);
        drop(write);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(matches!(thread.poll_answer(&mut cx), Poll::Ready(Err(_))));
        }
        assert_eq!(thread.outstanding(), 0);
    }

    #[test]
    fn what_is_held_weighs_until_it_is_released_or_its_session_ends() {
        let (thread, scale) = (Thread::default(), Scale::default());
        let write = go(&thread, Kind::Write);
        for bytes in [10, 20] {
            let Turn::Hold(number) = thread.enter(READ) else { panic!("not held") };
            thread.hold(Held { number, kind: READ, part: vec![0; bytes], _load: scale.put(bytes) });
        }
        assert_eq!(scale.bytes(), 30);
        let thread = write.answer(Ok(Reply::Ok), 1).unwrap();
        let released = thread.release().unwrap();
        assert_eq!(scale.bytes(), 20);
        drop((thread, released));
        assert_eq!(scale.bytes(), 0);
    }

    #[test]
    fn answers_that_nobody_takes_are_bounded_where_they_have_memory_of_their_own() {
        let scale = Scale::default();
        let threads = [Thread::weighing(scale.clone()), Thread::weighing(scale.clone())];
        // Shared, so that the test itself costs little.
        let value = bytes::Bytes::from(vec![0; UNREAD_BYTES_MAX / 3]);
        let reply = || Ok(Reply::Array(vec![Reply::Bulk(value.clone())]));
        let read = |at: usize| drop(go(&threads[at], READ).answer(reply(), 1));
        (0..3).for_each(|_| read(0));
        read(1);
        let mut cx = Context::from_waker(Waker::noop());
        let refused = threads[1].poll_answer(&mut cx);
        assert!(matches!(refused, Poll::Ready(Err(Error::Overloaded { .. }))), "{refused:?}");
        // A write has happened, and small answers cost nothing.
        drop(go(&threads[1], Kind::Write).answer(reply(), 1));
        drop(go(&threads[1], READ).answer(Ok(Reply::bulk(b"v")), 1));
        assert_eq!(answers(&threads[1]).len(), 2);
        // What is taken, or belongs to a connection that has ended, makes room.
        assert!(threads[0].poll_answer(&mut cx).is_ready());
        read(1);
        assert_eq!(answers(&threads[1]).len(), 1);
        drop(threads);
        assert_eq!(scale.bytes(), 0);
    }

    #[test]
    fn a_read_waits_for_the_writes_before_it_and_holds_what_is_behind_it() {
        let thread = Thread::default();
        let write = go(&thread, Kind::Write);
        hold(&thread, READ);
        hold(&thread, Kind::Write);
        assert!(thread.release().is_none());
        let thread = write.answer(Ok(Reply::Ok), 1).unwrap();
        let (read, _) = thread.release().unwrap();
        assert_eq!(read.kind(), READ);
        assert!(thread.release().is_none(), "the write behind it waits for the read");
        let thread = read.answer(Ok(Reply::Nil), 1).unwrap();
        let (write, _) = thread.release().unwrap();
        assert!(write.kind().is_write());
        assert!(write.answer(Ok(Reply::Ok), 2).is_none());
        assert_eq!(answers(&thread), [Reply::Ok, Reply::Nil, Reply::Ok]);
    }
}

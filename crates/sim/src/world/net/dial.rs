//! An attempt to connect: it is answered, refused, or tried again until it times out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorate_env::Stream;

use super::connection::{Connection, Side};
use super::stream::SimStream;
use super::{ConnectionId, DialId, Turn, Wire, WireEvent};
use crate::world::host::{HostId, Life};
use crate::world::shared::Shared;

/// Connections that wait to be accepted; beyond it attempts go unanswered.
const BACKLOG_MAX: usize = 128;
/// The wait before the second attempt; it doubles each time.
const RETRY: Duration = Duration::from_secs(1);
/// Attempts before the dialer is told that there is no answer: after 15 seconds.
const ATTEMPTS_MAX: u32 = 4;

/// An attempt under way.
pub(crate) struct Dial {
    pub(crate) from: HostId,
    to: HostId,
    port: u16,
    attempts: u32,
    outcome: Option<Result<ConnectionId, io::ErrorKind>>,
    /// The outcome has reached the dialer.
    known: bool,
    pub(crate) waker: Option<Waker>,
}

impl Wire {
    pub(crate) fn dial(&mut self, turn: &mut Turn, from: HostId, addr: &str) -> io::Result<DialId> {
        let (to, port) = self.resolve(from, addr)?;
        let id = self.id();
        let dial = Dial { from, to, port, attempts: 0, outcome: None, known: false, waker: None };
        self.dials.insert(id, dial);
        turn.later(self.links.latency(from, to), WireEvent::Syn(id));
        turn.tell(from, format!("dial {id} {to}:{port}"));
        Ok(id)
    }

    pub(crate) fn syn(&mut self, turn: &mut Turn, id: DialId) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        let (from, to, port) = (dial.from, dial.to, dial.port);
        dial.attempts += 1;
        let attempts = dial.attempts;
        let cut = self.links.is_cut(from, to) || self.links.is_cut(to, from);
        let backlog = self.backlogs.get(&(to, port)).map(|backlog| backlog.waiting.len());
        let outcome = match backlog {
            _ if cut || !self.is_powered(to) => None,
            Some(waiting) if waiting >= BACKLOG_MAX => None,
            Some(_) => Some(Ok(self.establish(turn, from, (to, port)))),
            None => Some(Err(io::ErrorKind::ConnectionRefused)),
        };
        let after = match outcome {
            Some(_) => self.links.latency(to, from),
            None if attempts < ATTEMPTS_MAX => {
                turn.later(RETRY * (1 << (attempts - 1)), WireEvent::Syn(id));
                return;
            }
            None => RETRY * (1 << (attempts - 1)),
        };
        turn.tell(from, format!("dial {id} {outcome:?}"));
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.outcome = Some(outcome.unwrap_or(Err(io::ErrorKind::TimedOut)));
        }
        turn.later(after, WireEvent::Dialed(id));
    }

    fn establish(&mut self, turn: &mut Turn, from: HostId, to: (HostId, u16)) -> ConnectionId {
        let port = self.free_port(from);
        let dialer = (from, self.address(from, port));
        let acceptor = (to.0, self.address(to.0, to.1));
        let id = self.id();
        self.connections.insert(id, Connection::new(dialer, acceptor));
        if let Some(backlog) = self.backlogs.get_mut(&to) {
            backlog.waiting.push_back(id);
            turn.wake(&mut backlog.waker);
        }
        id
    }

    pub(crate) fn dialed(&mut self, turn: &mut Turn, id: DialId) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.known = true;
            turn.wake(&mut dial.waker);
        }
    }

    fn poll_dial(
        &mut self,
        turn: &mut Turn,
        id: DialId,
        waker: &Waker,
    ) -> Poll<io::Result<ConnectionId>> {
        let Some(dial) = self.dials.get_mut(&id) else { return Poll::Pending };
        match dial.outcome {
            Some(outcome) if dial.known => {
                self.dials.remove(&id);
                Poll::Ready(outcome.map_err(io::Error::from))
            }
            _ => {
                turn.dropped.extend(dial.waker.replace(waker.clone()));
                Poll::Pending
            }
        }
    }

    /// The dialer lost interest.
    fn give_up(&mut self, turn: &mut Turn, id: DialId) {
        let Some(dial) = self.dials.remove(&id) else { return };
        turn.dropped.extend(dial.waker);
        if let Some(Ok(connection)) = dial.outcome {
            self.close(turn, connection, Side::Dialer);
        }
    }
}

/// The future of an attempt.
pub(crate) struct SimConnecting {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    pub(crate) dial: DialId,
}

impl Future for SimConnecting {
    type Output = io::Result<Box<dyn Stream>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.shared.turn(|wire, turn| wire.poll_dial(turn, self.dial, cx.waker()));
        polled.map_ok(|connection| {
            let stream: Box<dyn Stream> =
                Box::new(SimStream::new(&self.shared, &self.life, connection, Side::Dialer));
            stream
        })
    }
}

impl Drop for SimConnecting {
    fn drop(&mut self) {
        if !self.life.is_dead() {
            self.shared.turn(|wire, turn| wire.give_up(turn, self.dial));
        }
    }
}

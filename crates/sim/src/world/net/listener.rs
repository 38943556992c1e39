//! A bound port of a simulated process.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use quorate_env::{Listener, Stream};

use super::ConnectionId;
use super::connection::Side;
use super::stream::SimStream;
use crate::world::host::Life;
use crate::world::shared::Shared;

/// Connections that wait to be accepted.
#[derive(Default)]
pub(crate) struct Backlog {
    pub(crate) waiting: VecDeque<ConnectionId>,
    pub(crate) waker: Option<Waker>,
}

/// A listener.
pub(crate) struct SimListener {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    pub(crate) port: u16,
    pub(crate) addr: String,
}

impl Listener for SimListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        if self.life.is_dead() {
            return Poll::Pending;
        }
        let key = (self.life.host, self.port);
        let accepted = self.shared.turn(|wire, turn| {
            let backlog = wire.backlogs.get_mut(&key)?;
            let connection = backlog.waiting.pop_front();
            if connection.is_none() {
                turn.dropped.extend(backlog.waker.replace(cx.waker().clone()));
            }
            connection
        });
        accepted.map_or(Poll::Pending, |connection| {
            let stream = SimStream::new(&self.shared, &self.life, connection, Side::Acceptor);
            Poll::Ready(Ok(Box::new(stream)))
        })
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if self.life.is_dead() {
            return;
        }
        let key = (self.life.host, self.port);
        self.shared.turn(|wire, turn| {
            let Some(backlog) = wire.backlogs.remove(&key) else { return };
            turn.dropped.extend(backlog.waker);
            for connection in backlog.waiting {
                wire.close(turn, connection, Side::Acceptor);
            }
        });
    }
}

//! One end of a connection, as a simulated process holds it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quorate_env::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ConnectionId;
use super::connection::Side;
use crate::world::host::Life;
use crate::world::shared::{Shared, lock};

/// A byte stream.
pub(crate) struct SimStream {
    shared: Arc<Shared>,
    life: Arc<Life>,
    connection: ConnectionId,
    side: Side,
    local: String,
    peer: String,
}

impl SimStream {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        life: &Arc<Life>,
        connection: ConnectionId,
        side: Side,
    ) -> Self {
        let wire = lock(&shared.wire);
        let addr = |side| {
            let it = wire.connections.get(&connection);
            it.map_or_else(String::new, |it| it.end(side).addr.clone())
        };
        let (local, peer) = (addr(side), addr(side.other()));
        drop(wire);
        let (shared, life) = (Arc::clone(shared), Arc::clone(life));
        Self { shared, life, connection, side, local, peer }
    }
}

impl Stream for SimStream {
    fn peer_addr(&self) -> String {
        self.peer.clone()
    }

    fn local_addr(&self) -> String {
        self.local.clone()
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.life.is_dead() {
            return Poll::Pending;
        }
        let end = (self.connection, self.side);
        let room = buf.remaining();
        let read = self.shared.turn(|wire, turn| wire.read(turn, end, cx.waker(), room));
        read.map_ok(|bytes| buf.put_slice(&bytes))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.life.is_dead() {
            return Poll::Pending;
        }
        let end = (self.connection, self.side);
        self.shared.turn(|wire, turn| wire.write(turn, end, cx.waker(), bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.life.is_dead() {
            self.shared.turn(|wire, turn| wire.finish(turn, self.connection, self.side));
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if !self.life.is_dead() {
            self.shared.turn(|wire, turn| wire.close(turn, self.connection, self.side));
        }
    }
}

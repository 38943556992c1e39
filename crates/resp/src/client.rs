//! The other side of the protocol: sends commands, owns what comes back. For the command line and
//! the simulator; simple rather than fast.

use std::io;

use quorate_env::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::encode::{put_bulk, put_header};
use crate::value::{Decoder, Value, ValueError};

/// Bytes asked of the stream at a time.
const READ_BYTES: usize = 16 * 1024;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection. What was sent may have taken effect.
    #[error("the server closed the connection")]
    Closed,
    /// The server does not speak the protocol.
    #[error("protocol: {0}")]
    Protocol(#[from] ValueError),
}

/// A connection to a server.
pub struct Client {
    stream: Box<dyn Stream>,
    output: Vec<u8>,
    input: Vec<u8>,
    /// Bytes of `input` that are decoded.
    taken: usize,
    decoder: Decoder,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("peer", &self.stream.peer_addr()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client on an open stream.
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, output: Vec::new(), input: Vec::new(), taken: 0, decoder: Decoder::new() }
    }

    /// Queues a command, the name first; [`Client::flush`] sends it.
    pub fn push<P>(&mut self, parts: P)
    where
        P: IntoIterator<Item: AsRef<[u8]>, IntoIter: ExactSizeIterator>,
    {
        let parts = parts.into_iter();
        put_header(&mut self.output, b'*', parts.len());
        for part in parts {
            put_bulk(&mut self.output, part.as_ref());
        }
    }

    /// Sends what was queued.
    ///
    /// # Errors
    /// The connection broke; what was queued may have arrived in part.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        self.stream.flush().await?;
        Ok(())
    }

    /// The next reply. Error replies are values.
    ///
    /// # Errors
    /// The connection broke, or can't be understood; then it is of no further use.
    pub async fn receive(&mut self) -> Result<Value, ClientError> {
        loop {
            let unread = self.input.get(self.taken..).unwrap_or_default();
            let (taken, value) = self.decoder.decode(unread)?;
            self.taken += taken;
            if self.taken == self.input.len() {
                self.input.clear();
                self.taken = 0;
            }
            if let Some(value) = value {
                return Ok(value);
            }
            drop(self.input.drain(..self.taken));
            self.taken = 0;
            self.input.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ClientError::Closed);
            }
        }
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub async fn call<P>(&mut self, parts: P) -> Result<Value, ClientError>
    where
        P: IntoIterator<Item: AsRef<[u8]>, IntoIter: ExactSizeIterator>,
    {
        self.push(parts);
        self.flush().await?;
        self.receive().await
    }
}

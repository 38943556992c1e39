//! Beats: how either end of a connection notices that the other one has gone without a word.
//!
//! A machine that loses power and a network that drops packets close no connection, and TCP takes
//! minutes to notice. So each end says something in every beat, an empty frame if there is nothing
//! else, and gives a connection up on which nothing has arrived for [`SILENT_BEATS_MAX`] of them.
//! Time is counted in beats, not read from a clock: a process that was stopped for a while must not
//! blame the others for it.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use quorate_env::Env;
use quorate_env::clock::Sleep;

use super::frame;

/// Beats in which nothing has arrived. A busy machine may be late by a beat or two.
const SILENT_BEATS_MAX: u32 = 5;

/// One end's sense of the other one.
pub(super) struct Beat {
    env: Env,
    every: Duration,
    timer: Sleep,
    silent: u32,
    spoken: bool,
}

impl Beat {
    /// For a connection that has just come about; `every` is the same on both ends.
    pub(super) fn new(env: &Env, every: Duration) -> Self {
        let timer = env.clock.sleep(every);
        Self { env: env.clone(), every, timer, silent: 0, spoken: false }
    }

    /// Something has arrived.
    pub(super) fn heard(&mut self) {
        self.silent = 0;
    }

    /// Something was sent.
    pub(super) fn spoke(&mut self) {
        self.spoken = true;
    }

    /// Ready when it is time to say that we are here.
    ///
    /// Must: be polled behind reading. What has arrived counts before the time that has passed.
    ///
    /// # Errors
    /// The other end has been silent for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.timer.as_mut().poll(cx).is_ready() {
            self.timer = self.env.clock.sleep(self.every);
            self.silent += 1;
            if self.silent >= SILENT_BEATS_MAX {
                let text = "the other side has fallen silent";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
            if !std::mem::take(&mut self.spoken) {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }
}

/// What an acceptor says: beats, one behind the other, and nothing else.
pub(super) struct Beats {
    one: Vec<u8>,
    heard: usize,
}

impl Beats {
    pub(super) fn new() -> Self {
        let mut one = Vec::new();
        frame::put_beat(&mut one);
        Self { one, heard: 0 }
    }

    /// Takes what has arrived.
    ///
    /// # Errors
    /// Something else was said.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            if self.one.get(self.heard % self.one.len().max(1)) != Some(byte) {
                let text = "the acceptor says more than that it is here";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.heard = (self.heard + 1) % self.one.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_known_however_they_are_cut_and_nothing_else_is() {
        let mut wire = Vec::new();
        (0..3).for_each(|_| frame::put_beat(&mut wire));
        for step in 1..wire.len() {
            let mut beats = Beats::new();
            assert!(wire.chunks(step).all(|piece| beats.take(piece).is_ok()));
        }
        wire.push(9);
        assert!(Beats::new().take(&wire).is_err());
    }
}

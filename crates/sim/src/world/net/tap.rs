//! The tap: what a peer says on a connection that it dialled, frame by frame, for the trace and for whoever repeats it.
//!
//! The only place of the world that knows something of what is said on it: magic, two messages of a handshake, then
//! frames of `length u32 | checksum u32 | kind u8 | payload`, little endian.

use std::collections::VecDeque;

use quorate_env::mux::PEER_MAGIC;

const HEADER: usize = 9;
/// What is longer is no handshake.
const MESSAGE_MAX: usize = 64 * 1024;
/// Frames that are remembered, of so many bytes at the most each.
const RECENT: usize = 12;
const RECENT_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Magic,
    /// So many messages of the handshake are still to come.
    Handshake(u8),
    Frames,
    /// A client's connection.
    Foreign,
}

/// One direction of one connection.
#[derive(Debug)]
pub(crate) struct Tap {
    stage: Stage,
    buffer: Vec<u8>,
    /// The last whole frames.
    pub(crate) recent: VecDeque<Vec<u8>>,
}

impl Default for Tap {
    fn default() -> Self {
        Self { stage: Stage::Magic, buffer: Vec::new(), recent: VecDeque::new() }
    }
}

impl Tap {
    /// Listens to `bytes`; the names of the frames that end in them.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<&'static str> {
        let mut names = Vec::new();
        if self.stage == Stage::Foreign {
            return names;
        }
        self.buffer.extend_from_slice(bytes);
        while let Some(len) = self.next_len() {
            let whole: Vec<u8> = self.buffer.drain(..len).collect();
            self.stage = match self.stage {
                Stage::Magic if whole == PEER_MAGIC => Stage::Handshake(2),
                Stage::Handshake(left @ 2..) => Stage::Handshake(left - 1),
                Stage::Handshake(_) => Stage::Frames,
                Stage::Frames => {
                    names.push(name(&whole));
                    self.remember(whole);
                    Stage::Frames
                }
                Stage::Magic | Stage::Foreign => Stage::Foreign,
            };
        }
        if self.stage == Stage::Foreign {
            self.buffer = Vec::new();
        }
        names
    }

    /// How long the next piece is, if it is there.
    fn next_len(&mut self) -> Option<usize> {
        let announced = || Some(u32::from_le_bytes(*self.buffer.first_chunk()?) as usize);
        let len = match self.stage {
            Stage::Magic => PEER_MAGIC.len(),
            Stage::Handshake(_) => 4 + announced()?,
            Stage::Frames => HEADER + announced()?,
            Stage::Foreign => return None,
        };
        if matches!(self.stage, Stage::Handshake(_)) && len > MESSAGE_MAX {
            self.stage = Stage::Foreign;
            return None;
        }
        (self.buffer.len() >= len).then_some(len)
    }

    fn remember(&mut self, frame: Vec<u8>) {
        if frame.len() <= RECENT_BYTES && may_repeat(&frame) {
            self.recent.push_back(frame);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
    }

    /// True behind a whole frame: another one may stand here.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.stage == Stage::Frames && self.buffer.is_empty()
    }
}

/// Raft's own messages, and what the node room says of itself. Not what it passes on for others: that is done as often
/// as it arrives, and nobody but the transport keeps it from arriving twice.
fn may_repeat(frame: &[u8]) -> bool {
    match (frame.get(HEADER - 1), frame.get(HEADER)) {
        (Some(1), _) => true,
        (Some(4), Some(kind)) => !matches!(kind, 1 | 7 | 10),
        _ => false,
    }
}

/// What a frame says.
fn name(frame: &[u8]) -> &'static str {
    let payload = frame.get(HEADER..).unwrap_or_default();
    match frame.get(HEADER - 1) {
        Some(1) => {
            // The group's number stands in front.
            let group = payload.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
            match payload.get(group) {
                Some(1) => "append",
                Some(2) => "appended",
                Some(3) => "ask-vote",
                Some(4) => "vote",
                Some(5) => "heartbeat",
                Some(6) => "heartbeat-heard",
                Some(7) => "stand-now",
                Some(8) => "ask-pre-vote",
                Some(9) => "pre-vote",
                _ => "raft",
            }
        }
        Some(2) => "snapshot",
        Some(3) => "snapshot-done",
        Some(4) => match payload.first() {
            Some(1) => "forward",
            Some(2) => "refused",
            Some(3) => "ask-index",
            Some(4) => "index",
            Some(6) => "pulse",
            Some(7) => "ask-admin",
            Some(10) => "pass-read",
            Some(11) => "read-passed",
            _ => "node",
        },
        Some(5) => "beat",
        _ => "frame",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [&len[..], &[0; 4], &[kind], payload].concat()
    }

    #[test]
    fn frames_are_named_wherever_the_stream_is_cut() {
        let message = |bytes: &[u8]| [&[2, 0, 0, 0][..], bytes].concat();
        let said = [
            PEER_MAGIC.to_vec(),
            message(b"hi"),
            message(b"me"),
            frame(1, &[0, 1, 9]),
            frame(5, &[]),
            frame(4, &[1, 1]),
            frame(1, &[0x81, 0x01, 4]),
        ]
        .concat();
        for piece in 1..said.len() {
            let mut tap = Tap::default();
            let names: Vec<_> = said.chunks(piece).flat_map(|bytes| tap.hear(bytes)).collect();
            assert_eq!(names, ["append", "beat", "forward", "vote"], "{piece}");
            assert!(tap.is_between_frames());
            assert_eq!(tap.recent, [frame(1, &[0, 1, 9]), frame(1, &[0x81, 0x01, 4])]);
        }
    }

    #[test]
    fn clients_are_not_listened_to() {
        let mut tap = Tap::default();
        assert!(tap.hear(&[b'*'; 100]).is_empty() && tap.buffer.is_empty());
        assert!(!tap.is_between_frames());
    }
}

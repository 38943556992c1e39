//! Frames, handshakes, Raft messages, snapshot pieces: whatever a peer may send.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    quorate_consensus::untrusted::decode_everything(bytes);
});

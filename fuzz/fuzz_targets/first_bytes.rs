//! The decision between RESP, HTTP and peer: once made, more bytes must not change it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_env::mux::decide;

fuzz_target!(|bytes: &[u8]| {
    let whole = decide(bytes);
    for end in 0..bytes.len() {
        if let Some(early) = decide(&bytes[..end]) {
            assert_eq!(whole, Some(early));
        }
    }
});

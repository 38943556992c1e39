//! A RESP session with a real node: whatever a client says, each reply is one that a client can read, and how
//! the bytes were cut makes no difference to how many there are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_fuzz::frame::count;
use quorate_fuzz::node::converse;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (step, bytes) = (usize::from(input.0) + 1, input.1);
    // First bytes that another protocol claims are another target's.
    let bytes = [b"*1\r\n$4\r\nPING\r\n", &*bytes].concat();
    let whole = count(&converse(&bytes, bytes.len()));
    assert!(whole > 0);
    assert_eq!(count(&converse(&bytes, step)), whole);
});

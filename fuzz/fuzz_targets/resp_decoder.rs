//! RESP requests: however the bytes are cut, the decoder finds the same commands, inside of the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_api::{Args, Span};
use quorate_resp::decode::{Decoded, Decoder, Trust};

/// All commands of `input`, which arrives in steps of `step` bytes, and whether an error ended it.
fn commands(input: &[u8], step: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let (mut decoder, mut spans, mut found) = (Decoder::new(), Vec::<Span>::new(), Vec::new());
    let (mut start, mut end) = (0, 0);
    loop {
        let rest = &input[start..end];
        let (length, buffer) = match decoder.decode(rest, &mut spans, Trust::Known) {
            Err(_) => return (found, true),
            Ok(Decoded::Incomplete { .. }) if end == input.len() => return (found, false),
            Ok(Decoded::Incomplete { .. }) => {
                end = (end + step).min(input.len());
                continue;
            }
            Ok(Decoded::Nothing { length }) => {
                start += length;
                continue;
            }
            Ok(Decoded::Command { length }) => (length, rest),
            Ok(Decoded::Inline { length }) => (length, decoder.line()),
        };
        let args = Args::new(buffer, &spans).expect("spans lie in the input");
        found.push(args.iter_from(0).map(<[u8]>::to_vec).collect());
        start += length;
    }
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (step, bytes) = (usize::from(input.0) + 1, input.1);
    assert_eq!(commands(&bytes, bytes.len().max(1)), commands(&bytes, step));
});

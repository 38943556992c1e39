//! Tests of the decoder.

use proptest::prelude::*;

use super::*;

/// Everything in `input`, handed in by pieces that end at `cuts`.
fn decode_in_pieces(input: &[u8], cuts: &[usize]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let mut decoder = Decoder::new();
    let (mut spans, mut commands, mut start) = (Vec::new(), Vec::new(), 0);
    for cut in cuts.iter().copied().chain([input.len()]) {
        loop {
            let bytes = &input[start..cut.max(start)];
            let (length, buffer) = match decoder.decode(bytes, &mut spans, Trust::Known) {
                Err(error) => return (commands, Some(error)),
                Ok(Decoded::Incomplete { needed }) => {
                    assert!(needed > bytes.len());
                    break;
                }
                Ok(Decoded::Nothing { length }) => {
                    assert!(length > 0);
                    start += length;
                    continue;
                }
                Ok(Decoded::Command { length }) => (length, bytes),
                Ok(Decoded::Inline { length }) => (length, decoder.line()),
            };
            let slice = |span: &Span| buffer[span.start as usize..span.end as usize].to_vec();
            commands.push(spans.iter().map(slice).collect());
            start += length;
        }
    }
    (commands, None)
}

fn decode(input: &[u8]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    decode_in_pieces(input, &[])
}

fn encode(commands: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        bytes.extend(format!("*{}\r\n", command.len()).bytes());
        for argument in command {
            bytes.extend(format!("${}\r\n", argument.len()).bytes());
            bytes.extend(argument);
            bytes.extend(b"\r\n");
        }
    }
    bytes
}

#[test]
fn a_pipeline_of_both_forms_is_decoded_in_order() {
    let input =
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING 'a b'\r\n\r\n*0\r\n*-1\r\nPING\n*1\r\n$0\r\n\r\n";
    let expected: Vec<Vec<Vec<u8>>> = vec![
        vec![b"GET".into(), b"k".into()],
        vec![b"PING".into(), b"a b".into()],
        vec![b"PING".into()],
        vec![b"".into()],
    ];
    assert_eq!(decode(input), (expected, None));
}

#[test]
fn protocol_errors_have_redis_own_words() {
    let cases: [(&[u8], &str); 17] = [
        (b"*a\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*03\r\n", "invalid multibulk length"),
        (b"*+3\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\rx", "invalid multibulk length"),
        (b"*1\r\nX4\r\n", "expected '$', got 'X'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$a\r\n", "invalid bulk length"),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2000000000\r\n", "invalid bulk length"),
        (b"*1\r\n$1\r\nabc", "expected CR LF after an argument"),
        (b"PING \"abc\r\n", "unbalanced quotes in request"),
        (b"PING \"a\"b\r\n", "unbalanced quotes in request"),
        (&[b'a'; 70_000], "too big inline request"),
        (&[[b'*'].as_slice(), &[b'1'; 70_000]].concat(), "too big mbulk count string"),
        (&[b"*1\r\n$".as_slice(), &[b'1'; 70_000]].concat(), "too big bulk count string"),
    ];
    for (input, text) in cases {
        let error = decode(input).1.map(|error| error.to_string());
        let shown = input[..input.len().min(40)].escape_ascii();
        assert_eq!(error, Some(format!("Protocol error: {text}")), "{shown}");
    }
}

#[test]
fn arguments_that_are_too_large_together_are_refused_at_their_header() {
    let header = format!("${VALUE_BYTES_MAX}\r\n");
    let mut input = [b"*2\r\n", header.as_bytes()].concat();
    input.resize(input.len() + VALUE_BYTES_MAX, b'x');
    input.extend(b"\r\n");
    input.extend(header.bytes());
    assert_eq!(decode(&input).1, Some(ProtocolError::Request));
}

#[test]
fn a_stranger_may_send_only_a_handshake() {
    let mut decoder = Decoder::new();
    let mut spans = Vec::new();
    let mut decode = |input: &[u8]| decoder.decode(input, &mut spans, Trust::Stranger);
    assert_eq!(decode(b"*11\r\n"), Err(ProtocolError::StrangerMultibulk));
    assert!(decode(b"*10\r\n").is_ok());
    assert_eq!(decode(b"*10\r\n$16385\r\n"), Err(ProtocolError::StrangerBulk));
}

#[test]
fn a_large_argument_says_how_many_bytes_it_needs() {
    let mut decoder = Decoder::new();
    let mut spans = Vec::new();
    let decoded = decoder.decode(b"*2\r\n$3\r\nGET\r\n$1000000\r\nab", &mut spans, Trust::Known);
    assert_eq!(decoded, Ok(Decoded::Incomplete { needed: 23 + 1_000_000 + 2 }));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        input in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(0..200_usize, 0..5),
    ) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decode_in_pieces(&input, &cuts).0, decode(&input).0);
    }

    #[test]
    fn arbitrary_headers_never_panic(input in "[*$0-9a-c\r\n\" '-]{0,60}") {
        let cuts: Vec<usize> = (0..input.len()).collect();
        let (whole, pieces) = (decode(input.as_bytes()), decode_in_pieces(input.as_bytes(), &cuts));
        prop_assert_eq!(whole.0, pieces.0);
    }

    #[test]
    fn any_split_of_a_pipeline_gives_the_same_commands(
        commands in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..5), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = encode(&commands);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decode_in_pieces(&bytes, &cuts), (commands, None));
    }
}

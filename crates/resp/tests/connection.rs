//! The connection itself: pieces, pressure, fairness and memory.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code outside of test functions"
)]

mod support;

use bytes::Bytes;
use quorate_api::limits::{
    COMMAND_BYTES_MAX, OUTPUT_BYTES_PAUSE, PENDING_BYTES_MAX, PIPELINE_COMMANDS_MAX,
    VALUE_BYTES_MAX,
};
use quorate_resp::Options;
use support::{PIPE_BYTES, World};

fn world() -> (World, usize) {
    let mut world = World::new(Options::default());
    let link = world.connect();
    (world, link)
}

/// The command in RESP.
fn encode(command: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        bytes.extend(format!("${}\r\n", part.len()).bytes());
        bytes.extend_from_slice(part);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// `CLIENT LIST`'s figure for the first connection, as another one sees it.
fn figure(world: &mut World, name: &str) -> usize {
    let other = world.connect();
    let list = String::from_utf8(world.send(other, b"CLIENT LIST ID 1\r\n")).unwrap();
    world.hang_up(other);
    let field = list.split(' ').find_map(|field| field.strip_prefix(&format!("{name}=")));
    field.unwrap().parse().unwrap()
}

#[test]
fn a_conversation_byte_by_byte_has_the_same_answers() {
    let mut input = Vec::new();
    input.extend(encode(&[b"SET", b"k", b"a\r\nb"]));
    input.extend(b"MULTI\r\nPING 'x y'\r\n");
    input.extend(encode(&[b"GET", b"k"]));
    input.extend(b"EXEC\r\nHELLO 3\r\n");
    input.extend(encode(&[b"GET", b"nosuch"]));
    input.extend(b"WATCH k\r\nINFO cluster\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n*x\r\n");
    let (mut whole, link) = world();
    let expected = whole.send(link, &input);
    assert!(expected.ends_with(b"+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"));
    let (mut pieces, link) = world();
    let mut received = Vec::new();
    for byte in &input {
        received.extend(pieces.send(link, &[*byte]));
    }
    assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert!(pieces.is_closed(link) && whole.is_closed(link));
}

#[test]
fn a_large_value_arrives_and_leaves_again() {
    let (mut world, link) = world();
    let value: Vec<u8> = (0..VALUE_BYTES_MAX).map(|at| u8::try_from(at % 251).unwrap()).collect();
    assert_eq!(world.send(link, &encode(&[b"SET", b"k", &value])), b"+OK\r\n");
    let expected = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    assert!(world.send(link, &encode(&[b"GET", b"k"])) == expected);
    // The memory was given back.
    assert_eq!((figure(&mut world, "qbuf"), figure(&mut world, "qbuf-free")), (0, 0));
}

#[test]
fn a_large_value_costs_few_turns() {
    let (mut world, link) = world();
    let input = encode(&[b"SET", b"k", &vec![b'x'; 8 << 20]]);
    let before = world.turns;
    assert_eq!(world.send(link, &input), b"+OK\r\n");
    let pieces = input.len() / PIPE_BYTES;
    assert!(world.turns - before < pieces * 3, "{} turns", world.turns - before);
}

#[test]
fn a_promised_value_reserves_no_more_than_twice_what_was_sent() {
    let (mut world, link) = world();
    let header = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${VALUE_BYTES_MAX}\r\n");
    assert!(world.send(link, header.as_bytes()).is_empty());
    assert!(figure(&mut world, "qbuf-free") <= 64 * 1024);
    let sent = 1 << 20;
    assert!(world.send(link, &vec![b'x'; sent]).is_empty());
    assert!(figure(&mut world, "qbuf") >= sent);
    assert!(figure(&mut world, "qbuf-free") <= sent + 64 * 1024);
}

#[test]
fn a_client_that_does_not_read_costs_bounded_memory() {
    let (mut world, link) = world();
    world.fake.put(b"k", Bytes::from(vec![b'v'; 5_000]));
    let get = encode(&[b"GET", b"k"]);
    let input = get.repeat(30_000);
    let pushed = world.push(link, &input);
    assert!(pushed < input.len(), "the socket was read although nothing was");
    assert!(figure(&mut world, "obl") <= OUTPUT_BYTES_PAUSE + 10_000);
    assert!(world.fake.submitted.get() <= PIPELINE_COMMANDS_MAX);
    // When it does read, everything comes, in order and complete.
    let mut received = 0;
    let mut sent = pushed;
    loop {
        sent += world.push(link, &input[sent..]);
        let some = world.receive_some(link, PIPE_BYTES).len();
        received += some;
        if some == 0 && sent == input.len() {
            break;
        }
    }
    assert_eq!(received, 30_000 * (b"$5000\r\n".len() + 5_000 + 2));
}

#[test]
fn local_answers_behind_an_awaited_one_cost_bounded_memory() {
    let (mut world, link) = world();
    world.fake.hold();
    let mut input = b"GET k\r\n".to_vec();
    input.extend(b"COMMAND DOCS\r\n".repeat(400));
    world.push(link, &input);
    let commands = usize::try_from(world.server.stats().commands).unwrap();
    assert!(commands < 200, "{commands} commands were executed");
    world.release(usize::MAX);
    assert!(!world.receive(link).is_empty());
}

#[test]
fn no_more_commands_are_submitted_than_the_pipeline_holds() {
    let (mut world, link) = world();
    world.fake.hold();
    let count = PIPELINE_COMMANDS_MAX + 5_000;
    let input = encode(&[b"GET", b"k"]).repeat(count);
    let pushed = world.push(link, &input);
    assert_eq!(world.fake.submitted.get(), PIPELINE_COMMANDS_MAX);
    world.release(10);
    assert_eq!(world.fake.submitted.get(), PIPELINE_COMMANDS_MAX + 10);
    world.release(usize::MAX);
    let mut received = world.send(link, &input[pushed..]);
    received.extend(world.receive(link));
    assert_eq!(received.len() + 50, count * 5 + 50, "every command was answered once");
}

#[test]
fn a_busy_connection_lets_others_have_their_turn() {
    let (mut world, link) = world();
    let before = world.turns;
    let input = b"PING\r\n".repeat(10_000);
    let received = world.send(link, &input);
    assert_eq!(received.len(), 10_000 * 7);
    assert!(world.turns - before >= 10_000 / 1024, "turns are bounded");
}

#[test]
fn half_sent_commands_of_all_connections_together_are_bounded() {
    let mut world = World::new(Options::default());
    let part = encode(&[b"SET", b"k", &vec![b'x'; VALUE_BYTES_MAX]]);
    let part = &part[..VALUE_BYTES_MAX - 1];
    let links: Vec<usize> = (0..PENDING_BYTES_MAX / VALUE_BYTES_MAX + 2)
        .map(|_| {
            let link = world.connect();
            let received = world.send(link, part);
            assert!(received.is_empty() || received.starts_with(b"-OVERLOADED"));
            link
        })
        .collect();
    assert!(links.iter().any(|link| world.is_closed(*link)), "nobody was refused");
    assert!(links.iter().any(|link| !world.is_closed(*link)), "everybody was refused");
    let fresh = world.connect();
    assert_eq!(world.send(fresh, b"PING\r\n"), b"+PONG\r\n");
    // What is given up is free again.
    for link in links {
        world.hang_up(link);
    }
    let link = world.connect();
    assert!(world.send(link, part).is_empty());
}

#[test]
fn a_transaction_is_bounded_too() {
    let (mut world, link) = world();
    let big = encode(&[b"SET", b"k", &vec![b'x'; COMMAND_BYTES_MAX / 3]]);
    assert_eq!(world.send(link, b"MULTI\r\n"), b"+OK\r\n");
    assert_eq!(world.send(link, &big), b"+QUEUED\r\n");
    assert_eq!(world.send(link, &big), b"+QUEUED\r\n");
    assert!(world.send(link, &big).starts_with(b"-ERR a transaction has at most"));
    assert!(world.send(link, b"EXEC\r\n").starts_with(b"-EXECABORT"));
    assert_eq!(world.send(link, b"PING\r\n"), b"+PONG\r\n");
}

#[test]
fn a_client_that_has_gone_is_forgotten_even_while_it_waits() {
    let (mut world, link) = world();
    world.fake.hold();
    assert!(world.send(link, b"GET k\r\n").is_empty());
    assert_eq!(world.server.stats().connections, 1);
    world.hang_up(link);
    world.release(usize::MAX);
    assert!(world.is_closed(link));
    assert_eq!(world.server.stats().connections, 0);
}

#[test]
fn answers_that_come_one_by_one_wake_the_connection_each_time() {
    let (mut world, link) = world();
    world.fake.hold();
    assert!(world.send(link, &b"INCR k\r\n".repeat(3)).is_empty());
    for answer in [":1\r\n", ":2\r\n", ":3\r\n"] {
        world.release(1);
        assert_eq!(world.receive(link), answer.as_bytes());
    }
}

#[test]
fn an_idle_connection_holds_no_buffers() {
    let (mut world, link) = world();
    assert_eq!(world.send(link, b"PING\r\n"), b"+PONG\r\n");
    assert_eq!((figure(&mut world, "tot-mem"), figure(&mut world, "qbuf-free")), (0, 0));
}

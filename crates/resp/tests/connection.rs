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
    UNREAD_BYTES_FREE, UNREAD_BYTES_MAX, UNREAD_STALL_MS_MAX, VALUE_BYTES_MAX,
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

/// Bytes that wait for clients to read them, of all connections together.
fn unread(world: &mut World) -> usize {
    let other = world.connect();
    let list = String::from_utf8(world.send(other, b"CLIENT LIST\r\n")).unwrap();
    world.hang_up(other);
    let fields = list.split(' ').filter_map(|field| field.strip_prefix("obl="));
    fields.map(|number| number.parse::<usize>().unwrap()).sum()
}

/// A member with a value of 1 MB, and what asks for it so many times.
fn world_with_a_big_value(times: usize) -> (World, Vec<u8>) {
    let world = World::new(Options::default());
    world.fake.put(b"big", Bytes::from(vec![b'v'; BIG]));
    let mut command: Vec<&[u8]> = vec![b"MGET"];
    command.resize(times + 1, b"big");
    (world, encode(&command))
}

const BIG: usize = 1_000_000;
const OVERLOADED: &[u8] =
    b"-OVERLOADED nothing was changed, retry later: replies that clients have not read";

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

#[test]
fn what_all_clients_together_have_not_read_is_bounded() {
    const TIMES: usize = 50;
    let (mut world, get) = world_with_a_big_value(TIMES);
    let links: Vec<usize> = (0..30).map(|_| world.connect()).collect();
    for link in &links {
        world.push(*link, &get);
    }
    let held = unread(&mut world);
    assert!(held <= UNREAD_BYTES_MAX, "{held} bytes wait for clients that do not read");
    // Small replies go on, and whoever is refused can go on as well.
    let other = world.connect();
    assert_eq!(world.send(other, b"SET k v\r\nGET k\r\n"), b"+OK\r\n$1\r\nv\r\n");
    let whole = format!("*{TIMES}\r\n").len() + TIMES * (b"$1000000\r\n".len() + BIG + 2);
    let (mut answered, mut refused) = (0, Vec::new());
    for link in links {
        let received = world.receive(link);
        if received.starts_with(OVERLOADED) {
            refused.push(link);
        } else {
            assert_eq!(received.len(), whole, "a reply under way is lost");
            answered += 1;
        }
        assert_eq!(world.send(link, b"PING\r\n"), b"+PONG\r\n");
    }
    assert_eq!(answered, UNREAD_BYTES_MAX / whole);
    // Now that they have read, there is room again.
    for link in refused {
        assert_eq!(world.send(link, &get).len(), whole);
    }
    assert_eq!(unread(&mut world), 0);
}

#[test]
fn where_there_is_no_room_connections_with_unread_replies_are_not_read_from() {
    let (mut world, get) = world_with_a_big_value(UNREAD_BYTES_MAX / BIG);
    let hog = world.connect();
    world.push(hog, &get);
    world.fake.put(b"k", Bytes::from(vec![b'v'; 5_000]));
    let (link, before) = (world.connect(), unread(&mut world));
    let input = encode(&[b"GET", b"k"]).repeat(30_000);
    let pushed = world.push(link, &input);
    let more = unread(&mut world) - before;
    assert!((1..UNREAD_BYTES_FREE + 10_000).contains(&more), "{more} bytes");
    // It reads on, and so does the server.
    let (mut received, mut sent) = (0, pushed);
    while sent < input.len() || received % 5_009 != 0 || received < 30_000 * 5_009 {
        sent += world.push(link, &input[sent..]);
        let some = world.receive_some(link, PIPE_BYTES).len();
        assert!(some > 0, "it stands still with {received} bytes received");
        received += some;
    }
    assert_eq!(received, 30_000 * (b"$5000\r\n".len() + 5_000 + 2));
}

#[test]
fn a_write_that_has_happened_is_told_however_little_room_there_is() {
    let (mut world, get) = world_with_a_big_value(UNREAD_BYTES_MAX / BIG);
    for key in [b"a", b"b", b"c"] {
        world.fake.put(key, Bytes::from(vec![b'v'; BIG]));
    }
    world.fake.hold();
    let (hog, early) = (world.connect(), world.connect());
    world.push(hog, &get);
    world.push(early, b"GETDEL a\r\n");
    world.release(usize::MAX);
    // Its write was under way when the room was given to another.
    assert_eq!(world.receive(early).len(), b"$1000000\r\n".len() + BIG + 2);
    // One that would come now is refused before it happens, so that refusing it is the truth.
    for command in [
        &b"GETDEL b\r\n"[..],
        b"MULTI\r\nGETDEL b\r\nEXEC\r\n",
        b"MULTI\r\nINCR n\r\nGET b\r\nEXEC\r\n",
        b"MULTI\r\nGET b\r\nEXEC\r\n",
        b"GET b\r\n",
    ] {
        let received = world.send(early, command);
        let last = received.rsplit(|byte| *byte == b'+').next().unwrap();
        let last = last.strip_prefix(b"QUEUED\r\n").unwrap_or(last);
        let shown = received[..received.len().min(100)].escape_ascii();
        assert!(last.starts_with(OVERLOADED), "{} got {shown}", command.escape_ascii());
    }
    // What returns nothing large goes on.
    assert_eq!(world.send(early, b"INCR n\r\n"), b":1\r\n");
    assert_eq!(
        world.send(early, b"MULTI\r\nINCR n\r\nEXEC\r\n"),
        b"+OK\r\n+QUEUED\r\n*1\r\n:2\r\n"
    );
    world.hang_up(hog);
    assert_eq!(world.send(early, b"GETDEL b\r\n").len(), b"$1000000\r\n".len() + BIG + 2);
}

#[test]
fn a_client_that_takes_nothing_makes_room_for_those_that_read() {
    let (mut world, get) = world_with_a_big_value(UNREAD_BYTES_MAX / BIG);
    let (slow, reader) = (world.connect(), world.connect());
    world.push(slow, &get);
    assert!(world.send(reader, b"GET big\r\n").starts_with(OVERLOADED));
    world.advance_ms(UNREAD_STALL_MS_MAX - 1_000);
    // Slow is not stalled: it has taken something.
    assert!(!world.receive_some(slow, PIPE_BYTES).is_empty());
    world.advance_ms(2_000);
    assert!(world.send(reader, b"GET big\r\n").starts_with(OVERLOADED));
    assert!(!world.is_closed(slow));
    // While nobody else needs the room, it may take as long as it likes.
    world.advance_ms(UNREAD_STALL_MS_MAX);
    assert!(!world.is_closed(slow));
    assert!(world.send(reader, b"GET big\r\n").starts_with(OVERLOADED));
    world.settle();
    assert!(world.is_closed(slow));
    assert!(world.send(reader, b"GET big\r\n").starts_with(b"$1000000\r\n"));
}

#[test]
fn a_read_whose_reply_is_too_large_says_so_and_nothing_about_doubt() {
    let (mut world, get) = world_with_a_big_value(UNREAD_BYTES_MAX / BIG + 1);
    let link = world.connect();
    let received = world.send(link, &get);
    assert!(
        received.starts_with(b"-ERR the reply would have more than 268435456 bytes; ask for less"),
        "{}",
        received[..received.len().min(100)].escape_ascii()
    );
    assert_eq!(world.send(link, b"PING\r\n"), b"+PONG\r\n");
}

#[test]
fn transactions_of_all_connections_together_are_bounded() {
    let mut world = World::new(Options::default());
    let big = encode(&[b"SET", b"k", &vec![b'x'; VALUE_BYTES_MAX]]);
    let links: Vec<usize> = (0..=PENDING_BYTES_MAX / VALUE_BYTES_MAX)
        .map(|_| {
            let link = world.connect();
            assert_eq!(world.send(link, b"MULTI\r\n"), b"+OK\r\n");
            link
        })
        .collect();
    let answers: Vec<Vec<u8>> = links.iter().map(|link| world.send(*link, &big)).collect();
    assert_eq!(answers[0], b"+QUEUED\r\n");
    let refused = answers.iter().position(|answer| answer.starts_with(b"-")).unwrap();
    assert!(answers[refused].starts_with(b"-OVERLOADED nothing was changed"));
    assert!(world.send(links[refused], b"EXEC\r\n").starts_with(b"-EXECABORT"));
}

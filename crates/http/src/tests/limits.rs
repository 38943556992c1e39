//! Limits: of bodies, heads, keys, of all connections together, and of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use quorate_api::limits;
use quorate_env::clock::Sleep;
use quorate_env::{Clock, Mono};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::node::Node;
use super::world::{Answer, World, yields};
use crate::Options;

#[test]
fn a_body_over_the_limit_is_refused_by_its_announcement() {
    let mut world = World::new();
    let length = limits::VALUE_BYTES_MAX + 1;
    let head =
        format!("PUT /v1/kv/k HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: {length}\r\n\r\n");
    let answer = world.raw(head.as_bytes());
    Answer::all(&answer, false)[0].problem(413, "too-large");
    assert!(world.node.calls.is_empty());
}

#[test]
fn a_body_over_the_limit_is_refused_as_it_arrives() {
    let mut world = World::new();
    let mut request =
        b"POST /join HTTP/1.1\r\nHost: 10.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                        11000\r\n"
            .to_vec();
    request.extend_from_slice(&vec![b' '; 0x11000]);
    request.extend_from_slice(b"\r\n0\r\n\r\n");
    Answer::all(&world.raw(&request), false)[0].problem(413, "too-large");
}

#[test]
fn a_value_of_the_limit_is_stored() {
    let options = Options::new("");
    let mut world = World::with(Node::new(), options);
    let value = vec![7; limits::VALUE_BYTES_MAX];
    assert_eq!(world.send("PUT /v1/kv/k", &[], &value).status, 204);
    assert_eq!(world.node.data[b"k".as_slice()].0.len(), value.len());
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let mut world = World::new();
    let header = format!("X-Long: {}", "x".repeat(limits::HTTP_HEADER_BYTES_MAX));
    let request = format!("GET /livez HTTP/1.1\r\nHost: 10.0.0.1\r\n{header}\r\n\r\n");
    assert_eq!(Answer::all(&world.raw(request.as_bytes()), false)[0].status, 431);
}

#[test]
fn a_key_in_a_body_has_its_limit_too() {
    let mut world = World::new();
    let body = format!("{{\"{}\":\"v\"}}", "k".repeat(limits::KEY_BYTES_MAX + 1));
    world.post("POST /key", &body).problem(400, "bad-request");
    assert!(world.node.calls.is_empty());
}

#[test]
fn more_pairs_than_one_command_takes_are_bad() {
    let mut world = World::new();
    let pairs = (0..limits::ARGS_MAX / 2).map(|number| format!("\"{number}\":\"\""));
    let body = format!("{{{}}}", pairs.collect::<Vec<_>>().join(","));
    let problem = world.post("POST /key", &body).problem(400, "bad-request");
    assert!(problem["detail"].as_str().unwrap().contains("more than 524287 pairs"), "{problem}");
}

#[test]
fn bodies_of_all_connections_share_one_allowance() {
    let options = Options { pending_bytes_max: 10, ..Options::new("") };
    let mut world = World::with(Node::new(), options);
    let answer = world.send("PUT /v1/kv/k", &[], b"01234567890");
    answer.problem(503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(world.send("PUT /v1/kv/k", &[], b"0123456789").status, 204);
    assert_eq!(world.get("GET /v1/kv/k").text(), "0123456789");
}

#[test]
fn answers_that_nobody_reads_are_bounded() {
    let options = Options { pending_bytes_max: 10, ..Options::new("") };
    let node = Node::new().with(b"k", b"01234567890").with(b"j", b"0");
    let mut world = World::with(node, options);
    world.get("GET /v1/kv/k").problem(503, "overloaded");
    // An answer that can't be held is refused before the write, not after it.
    let answer = world.post("POST /keys/k", r#"{"value":"x"}"#);
    answer.problem(503, "overloaded");
    assert_eq!(world.node.calls, ["KV.GET k"]);
    assert_eq!(world.get("GET /v1/kv/j").status, 200);
}

/// A clock that moves when it is told to; seconds.
#[derive(Clone, Default)]
pub(super) struct Hands(Arc<AtomicU64>);

impl Clock for Hands {
    fn now(&self) -> Mono {
        Mono(Duration::from_secs(self.0.load(Ordering::Relaxed)))
    }
    fn wall_ms(&self) -> u64 {
        panic!("a front-end has no business with the date")
    }
    fn sleep_until(&self, at: Mono) -> Sleep {
        let hands = self.clone();
        Box::pin(std::future::poll_fn(move |_| match hands.now() {
            now if now >= at => Poll::Ready(()),
            _ => Poll::Pending,
        }))
    }
}

pub(super) fn timed() -> (World, Hands) {
    let hands = Hands::default();
    let clock: Arc<dyn Clock> = Arc::new(hands.clone());
    let options = Options { clock: Some(clock), ..Options::new("") };
    (World::with(Node::new(), options), hands)
}

/// Lets `seconds` pass, everybody looking at each.
pub(super) async fn pass(hands: &Hands, seconds: u64) {
    for _ in 0..seconds {
        hands.0.fetch_add(1, Ordering::Relaxed);
        yields(10).await;
    }
}

#[test]
fn a_head_that_does_not_end_closes_the_connection() {
    let (mut world, hands) = timed();
    let read = world.talk(async |mut stream| {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHo").await.unwrap();
        for _ in 0..21 {
            pass(&hands, 1).await;
            drop(stream.write_all(b"x").await);
        }
        stream.read(&mut [0; 10]).await.unwrap()
    });
    assert_eq!(read, 0);
}

#[test]
fn an_idle_connection_is_closed_but_not_at_once() {
    let (mut world, hands) = timed();
    let request = b"GET /livez HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";
    world.talk(async |mut stream| {
        let mut buffer = vec![0; 4096];
        for _ in 0..3 {
            pass(&hands, 60).await;
            stream.write_all(request).await.unwrap();
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
        }
        pass(&hands, 90).await;
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
    });
}

#[test]
fn a_body_that_stops_arriving_closes_the_connection() {
    let (mut world, hands) = timed();
    let head = b"PUT /v1/kv/k HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 9\r\n\r\nabc";
    let read = world.talk(async |mut stream| {
        stream.write_all(head).await.unwrap();
        pass(&hands, 90).await;
        stream.read(&mut [0; 10]).await.unwrap()
    });
    assert_eq!(read, 0);
    assert!(world.node.calls.is_empty());
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let (mut world, hands) = timed();
    world.node = Node::new().with(b"k", &vec![b'x'; 1024 * 1024]);
    world.talk(async |mut stream| {
        let request = b"GET /v1/kv/k HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";
        stream.write_all(request).await.unwrap();
        pass(&hands, 100).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() < 1024 * 1024);
    });
}

#[test]
fn a_node_may_take_its_time() {
    let (mut world, hands) = timed();
    world.node.hangs = true;
    world.listen(async |mut stream| {
        let request = b"GET /v1/kv/k HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut byte = [0; 1];
        tokio::select! {
            biased;
            read = stream.read(&mut byte) => panic!("answered or closed: {read:?}"),
            () = pass(&hands, 1000) => {}
        }
    });
}

#[test]
fn the_reference_states_the_limits_in_force() {
    let mebibytes = |bytes: usize| format!("{} MiB", bytes / 1024 / 1024);
    for row in [
        format!("| a key | {} KiB", limits::KEY_BYTES_MAX / 1024),
        format!("| a value | {} |", mebibytes(limits::VALUE_BYTES_MAX)),
        format!("| a JSON body | {} |", mebibytes(limits::COMMAND_BYTES_MAX)),
        format!("| a request's head | {} KiB", limits::HTTP_HEADER_BYTES_MAX / 1024),
        format!("all connections | {} |", mebibytes(limits::PENDING_BYTES_MAX)),
    ] {
        assert!(crate::index::REFERENCE.contains(&row), "{row}");
    }
}

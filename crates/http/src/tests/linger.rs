//! Answers to requests that are refused before all of them has arrived: they are not lost with the connection.

use quorate_api::limits;
use quorate_env::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::limits::{Hands, pass, timed};
use super::world::{Answer, yields};

/// More than the wire between client and server takes up.
static BODY: [u8; 300_000] = [b'b'; 300_000];

fn head(line: &str, length: usize) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

/// As clients do that send all before they read.
async fn send_then_read(mut stream: DuplexStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.expect("who is refused is listened to");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_request_that_is_refused_by_its_head_is_answered_when_its_body_has_been_sent() {
    for (line, status) in
        [("PUT /nowhere", 404), ("PATCH /v1/kv/k", 405), ("PUT /v1/kv/k?x=y", 400)]
    {
        let (mut world, _) = timed();
        let request = [head(line, BODY.len()), BODY.to_vec()].concat();
        let answer = world.talk(async |stream| send_then_read(stream, &request).await);
        assert_eq!(Answer::all(&answer, false)[0].status, status, "{line}");
    }
}

#[test]
fn what_is_no_http_is_answered_when_all_has_been_sent() {
    let (mut world, _) = timed();
    let request = [b"GET /livez HTTP/1.1\r\nno header\r\n".to_vec(), BODY.to_vec()].concat();
    let answer = world.talk(async |stream| send_then_read(stream, &request).await);
    assert_eq!(Answer::all(&answer, false)[0].status, 400);
}

#[test]
fn a_refused_client_that_never_stops_is_hung_up_on() {
    let (mut world, _) = timed();
    let request = head("PUT /nowhere", usize::MAX / 2);
    let sent = world.talk(async |mut stream| {
        stream.write_all(&request).await.unwrap();
        let mut sent = 0;
        while stream.write_all(&BODY).await.is_ok() {
            sent += BODY.len();
        }
        sent
    });
    let limit = limits::HTTP_LINGER_BYTES_MAX;
    assert!((limit..limit + 1024 * 1024).contains(&sent), "{sent}");
}

#[test]
fn a_refused_client_that_does_nothing_is_hung_up_on_after_a_while() {
    let (mut world, hands): (_, Hands) = timed();
    let request = head("PUT /nowhere", BODY.len());
    world.talk(async |mut stream| {
        stream.write_all(&request).await.unwrap();
        pass(&hands, 3).await;
        stream.write_all(b"half").await.expect("not yet");
        pass(&hands, 7).await;
        assert!(stream.write_all(b"half").await.is_err(), "after {:?}", hands.now());
    });
}

/// Shutting down does not wait for a client that has nothing to say.
#[test]
fn a_connection_without_unread_bytes_is_closed_at_once() {
    let (mut world, _) = timed();
    let request = b"GET /livez HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n";
    world.talk(async |mut stream| {
        stream.write_all(request).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        // The server's end has gone, though this one is still here.
        yields(10).await;
        assert!(stream.write_all(b"x").await.is_err());
    });
}

//! The connection: keep-alive, pipelining, wrong paths and methods, shutdown.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::node::Node;
use super::world::{Answer, World};
use crate::Options;

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let mut world = World::new();
    let mut requests = Vec::new();
    for number in 0..50 {
        let put = format!(
            "PUT /v1/kv/k HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 2\r\n\r\n{number:02}"
        );
        let get = "GET /key/k HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";
        requests.extend_from_slice(put.as_bytes());
        requests.extend_from_slice(get.as_bytes());
    }
    let answers = Answer::all(&world.raw(&requests), false);
    assert_eq!(answers.len(), 100);
    for (number, pair) in answers.chunks(2).enumerate() {
        assert_eq!(pair[0].status, 204);
        assert_eq!(pair[1].exact(), (200, format!("{{\"k\":\"{number:02}\"}}").as_str()));
    }
}

#[test]
fn a_request_in_single_bytes_is_a_request() {
    let mut world = World::new();
    let request = b"PUT /v1/kv/k HTTP/1.1\r\nHost: 10.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let answer = world.talk(async |stream| {
        let (mut reader, mut writer) = tokio::io::split(stream);
        for byte in request {
            writer.write_all(&[*byte]).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(Answer::all(&answer, false)[0].status, 204);
    assert_eq!(world.node.calls, ["KV.PUT k abcde  0"]);
}

#[test]
fn connection_close_is_obeyed() {
    let mut world = World::new();
    let request = b"GET /livez HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n";
    let answer = world.talk(async |mut stream| {
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(Answer::all(&answer, false)[0].header("connection"), Some("close"));
}

#[test]
fn expect_100_continue_is_answered_only_when_the_body_is_wanted() {
    let head = "Host: 10.0.0.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    let mut world = World::new();
    let answer = world.raw(format!("PUT /v1/kv/k HTTP/1.1\r\n{head}v").as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204"));
    let answer = world.raw(format!("PUT /v1/kv/k?x=y HTTP/1.1\r\n{head}v").as_bytes());
    assert!(answer.starts_with(b"HTTP/1.1 400"));
}

#[test]
fn unknown_paths_and_wrong_methods_say_what_to_do() {
    let mut world = World::new();
    for path in ["/nowhere", "/keys/", "/v1", "/v1/kv", "/v2/kv/a", "/key/", "/a/b/c/d"] {
        world.get(&format!("GET {path}")).problem(404, "no-such-path");
    }
    for (line, allowed) in [
        ("PATCH /v1/kv/k", "GET,HEAD,PUT,DELETE"),
        ("POST /v1/kv/k", "GET,HEAD,PUT,DELETE"),
        ("GET /key", "POST"),
        ("PUT /key/a", "GET,HEAD,DELETE"),
        ("DELETE /keys/a/", "GET,HEAD,POST"),
        ("GET /n/join", "POST"),
        ("POST /metrics", "GET,HEAD"),
        ("GET /v1/cluster/members/a", "DELETE"),
    ] {
        let answer = world.get(line);
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allowed), "{line}");
    }
}

#[test]
fn what_is_no_http_is_hung_up_on() {
    let mut world = World::new();
    let answer = world.raw(b"*1\r\n$4\r\nPING\r\n\r\n");
    assert_eq!(Answer::all(&answer, false)[0].status, 400);
}

#[test]
fn a_shutdown_ends_idle_connections_and_lets_requests_finish() {
    let (signal, shutdown) = watch::channel(false);
    let options = Options { shutdown: Some(shutdown), ..Options::new("") };
    let mut world = World::with(Node::new(), options);
    let request = b"GET /livez HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n";
    let answer = world.talk(async |mut stream| {
        let mut buffer = vec![0; 4096];
        stream.write_all(request).await.unwrap();
        let first = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..first].starts_with(b"HTTP/1.1 200"));
        signal.send(true).unwrap();
        stream.read(&mut buffer).await.unwrap()
    });
    assert_eq!(answer, 0);
    let answers = Answer::all(&world.raw(request), false);
    assert!(answers.len() <= 1);
}

#[test]
fn a_request_under_way_is_answered_after_the_signal() {
    let (signal, shutdown) = watch::channel(false);
    let options = Options { shutdown: Some(shutdown), ..Options::new("") };
    let mut world = World::with(Node::new(), options);
    let answer = world.talk(async |mut stream| {
        let head = b"PUT /v1/kv/k HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 2\r\n\r\nx";
        stream.write_all(head).await.unwrap();
        super::world::yields(100).await;
        signal.send(true).unwrap();
        super::world::yields(100).await;
        stream.write_all(b"y").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(Answer::all(&answer, false)[0].status, 204);
    assert_eq!(world.node.calls, ["KV.PUT k xy  0"]);
}

#[test]
fn a_signal_whose_sender_is_gone_is_no_signal() {
    let (signal, shutdown) = watch::channel(false);
    drop(signal);
    let options = Options { shutdown: Some(shutdown), ..Options::new("") };
    assert_eq!(World::with(Node::new(), options).get("GET /livez").status, 200);
}

#[test]
fn a_server_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&World::new().server);
}

//! The client, against the server in this crate.

mod support;

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quorate_resp::{Client, ClientError, Options, Value, serve};
use support::{Pipe, World};

/// Runs `work` and a server beside it until the work is done.
fn talk<F: Future>(work: impl FnOnce(Client) -> F) -> F::Output {
    let world = World::new(Options::default());
    let (client, server) = Pipe::pair(64);
    let mut server = pin!(serve(Rc::clone(&world.server), Box::new(server)));
    let mut work = pin!(work(Client::new(Box::new(client))));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(output) = work.as_mut().poll(&mut cx) {
            return output;
        }
        let _ends_when_the_client_does = server.as_mut().poll(&mut cx);
    }
    panic!("client and server wait for each other");
}

#[test]
fn values_of_both_versions_come_back() {
    talk(async |mut client| {
        assert_eq!(client.call(["PING"]).await.unwrap(), Value::Simple("PONG".into()));
        assert_eq!(client.call(["GET", "k"]).await.unwrap(), Value::Nil);
        let binary: [&[u8]; 3] = [b"SET", b"k", b"a\r\n\0b"];
        assert_eq!(client.call(binary).await.unwrap(), Value::Simple("OK".into()));
        let hello = client.call(["HELLO", "3"]).await.unwrap();
        assert!(matches!(hello, Value::Map(pairs) if pairs.len() == 9));
        let value = Value::Bulk(Bytes::from_static(b"a\r\n\0b"));
        assert_eq!(client.call(["GET", "k"]).await.unwrap(), value);
        let error = client.call(["GET"]).await.unwrap();
        assert!(matches!(error, Value::Error(text) if text.starts_with("ERR wrong number")));
    });
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    talk(async |mut client| {
        for number in 0..50 {
            client.push(["ECHO", &number.to_string()]);
        }
        client.flush().await.unwrap();
        for number in 0..50 {
            let expected = Value::Bulk(Bytes::from(number.to_string()));
            assert_eq!(client.receive().await.unwrap(), expected);
        }
    });
}

#[test]
fn a_closed_connection_is_an_error() {
    talk(async |mut client| {
        assert_eq!(client.call(["QUIT"]).await.unwrap(), Value::Simple("OK".into()));
        assert!(matches!(client.receive().await, Err(ClientError::Closed)));
    });
}

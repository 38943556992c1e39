//! raft-kv-example's dialect, byte by byte.

use quorate_api::{AdminRequest, Place};

use super::node::Node;
use super::world::World;
use crate::Options;

#[test]
fn a_key_is_set_echoed_and_read_with_or_without_the_slash() {
    let mut world = World::new();
    let value = r#"{"value":"some-value"}"#;
    assert_eq!(world.get("GET /keys/some-key/").exact(), (200, r#"{"value":""}"#));
    let spaced = r#"{"value": "some-value"}"#;
    assert_eq!(world.post("POST /keys/some-key/", spaced).exact(), (200, value));
    assert_eq!(world.get("GET /keys/some-key/").exact(), (200, value));
    assert_eq!(world.get("GET /keys/some-key").exact(), (200, value));
    assert_eq!(world.post("POST /keys/other", spaced).exact(), (200, value));
    assert_eq!(world.node.calls[1], "SET some-key some-value");
}

#[test]
fn join_answers_an_empty_object() {
    let mut world = World::new();
    for path in ["/cluster/join/", "/cluster/join"] {
        let answer = world.post(&format!("POST {path}"), r#"{"address":"a:1"}"#);
        assert_eq!(answer.exact(), (200, "{}"));
    }
    let join = AdminRequest::Join { id: None, addr: "a:1".to_owned(), place: Place::AsItWishes };
    assert_eq!(world.node.administered, [join.clone(), join]);
}

#[test]
fn keys_are_percent_decoded_and_binary_ones_can_be_written() {
    let mut world = World::with(Node::new().with(b"bin", b"\xff"), Options::new(""));
    world.post("POST /keys/a%2Fb%FF/", r#"{"value":"v"}"#);
    assert_eq!(world.node.data[b"a/b\xff".as_slice()].0, b"v");
    world.get("GET /keys/a%2Fb%FF/").problem(400, "bad-request");
    world.get("GET /keys/a/b/").problem(400, "bad-request");
    world.get("GET /keys/bin/").problem(409, "not-text");
}

#[test]
fn anything_but_a_value_is_bad() {
    for body in ["", "{}", r#"{"value":1}"#, r#"{"value":"v","ttl":1}"#, r#""v""#] {
        World::new().post("POST /keys/k/", body).problem(400, "bad-request");
    }
}

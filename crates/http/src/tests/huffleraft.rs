//! huffleraft's dialect, byte by byte.

use quorate_api::{AdminRequest, Place};

use super::node::Node;
use super::world::World;
use crate::Options;

#[test]
fn a_store_sets_reads_and_deletes() {
    let mut world = World::new();
    assert_eq!(world.post("POST /store1/key", r#"{"key":"k","val":"v"}"#).exact(), (200, ""));
    assert_eq!(world.get("GET /store1/key/k").exact(), (200, r#"{"key":"k","val":"v"}"#));
    assert_eq!(world.get("DELETE /store1/key/k").exact(), (200, ""));
    assert_eq!(world.get("GET /store1/key/k").exact(), (200, r#"{"key":"k","val":""}"#));
    assert_eq!(world.node.calls, ["SET k v", "GET k", "DEL k", "GET k"]);
}

#[test]
fn join_takes_an_address() {
    let mut world = World::new();
    assert_eq!(world.post("POST /store1/join", r#"{"addr":"a:1"}"#).exact(), (200, ""));
    assert_eq!(
        world.node.administered,
        [AdminRequest::Join { id: None, addr: "a:1".to_owned(), place: Place::AsItWishes }]
    );
}

#[test]
fn a_pair_without_both_halves_is_bad() {
    for body in [r#"{"key":"k"}"#, r#"{"val":"v"}"#, r#"{"key":"k","val":1}"#, "{}"] {
        World::new().post("POST /store1/key", body).problem(400, "bad-request");
    }
}

#[test]
fn keys_are_percent_decoded_and_binary_values_conflict() {
    let node = Node::new().with(b"a/b", b"1").with(b"bin", b"\xff");
    let mut world = World::with(node, Options::new(""));
    assert_eq!(world.get("GET /s/key/a%2Fb").exact(), (200, r#"{"key":"a/b","val":"1"}"#));
    world.get("GET /s/key/a/b").problem(400, "bad-request");
    world.get("GET /s/key/bin").problem(409, "not-text");
}

#[test]
fn the_other_dialects_paths_win() {
    let mut world = World::new();
    // raft-kv-example's keys named "key" and "join".
    let echoed = world.post("POST /keys/key", r#"{"value":"v"}"#);
    assert_eq!(echoed.exact(), (200, r#"{"value":"v"}"#));
    assert_eq!(world.get("GET /keys/join").exact(), (200, r#"{"value":""}"#));
    // raft-kv-example's join, which has an "address".
    world.post("POST /cluster/join", r#"{"addr":"a:1"}"#).problem(400, "bad-request");
    // hraftd's key named "join" has no POST.
    world.post("POST /key/join", r#"{"addr":"a:1"}"#).problem(405, "method-not-allowed");
    // Ours.
    world.post("POST /v1/key", r#"{"key":"k","val":"v"}"#).problem(404, "no-such-path");
}

//! `/v1/kv`: raw bytes, entity tags, expiry, consistency, idempotency.

use std::time::Duration;

use quorate_api::Consistency;

use super::node::{Node, idempotency};
use super::world::World;
use crate::Options;

#[test]
fn raw_bytes_go_in_and_come_out() {
    let mut world = World::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let put = world.send("PUT /v1/kv/k", &["Content-Type: text/html"], &bytes);
    assert_eq!(
        (put.status, put.header("etag"), put.header("content-length")),
        (204, Some("\"1\""), None)
    );
    let got = world.get("GET /v1/kv/k");
    assert_eq!((got.status, got.body.as_slice()), (200, bytes.as_slice()));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(got.header("etag"), Some("\"1\""));
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    assert_eq!(got.header("quorate-expires-at-ms"), None);
    assert_eq!(got.header("date"), None);
}

#[test]
fn an_empty_value_is_a_value() {
    let mut world = World::new();
    assert_eq!(world.send("PUT /v1/kv/k", &["Content-Length: 0"], b"").status, 204);
    let got = world.get("GET /v1/kv/k");
    assert_eq!((got.status, got.header("content-length")), (200, Some("0")));
    assert_eq!(world.send("PUT /v1/kv/none", &[], b"").status, 204);
}

#[test]
fn a_key_is_the_rest_of_the_path_percent_decoded() {
    let mut world = World::new();
    for (path, key) in [
        ("a/b", b"a/b".as_slice()),
        ("a%2Fb", b"a/b"),
        ("/a//", b"/a//"),
        ("%00%FF", b"\0\xff"),
        ("a+b", b"a+b"),
        ("..", b".."),
    ] {
        assert_eq!(world.send(&format!("PUT /v1/kv/{path}"), &[], b"v").status, 204, "{path}");
        assert_eq!(world.node.data.pop_first().unwrap().0, key, "{path}");
        world.node.data.clear();
    }
    world.get("GET /v1/kv/%4").problem(400, "bad-request");
    world.get("GET /v1/kv/").problem(404, "no-such-path");
}

#[test]
fn a_missing_key_is_not_found() {
    let mut world = World::new();
    world.get("GET /v1/kv/k").problem(404, "key-not-found");
    world.get("DELETE /v1/kv/k").problem(404, "key-not-found");
    assert_eq!(world.get("HEAD /v1/kv/k").status, 404);
}

#[test]
fn head_answers_what_get_would_without_the_value() {
    let mut world = World::with(Node::new().with(b"k", b"value"), Options::new(""));
    let head = world.get("HEAD /v1/kv/k");
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!((head.header("etag"), head.body.len()), (Some("\"1\""), 0));
}

#[test]
fn a_client_that_has_the_revision_is_told_so() {
    let mut world = World::with(Node::new().with(b"k", b"v"), Options::new(""));
    let fresh = world.send("GET /v1/kv/k", &["If-None-Match: \"1\""], b"");
    assert_eq!((fresh.status, fresh.header("etag"), fresh.text()), (304, Some("\"1\""), ""));
    let head = world.send("HEAD /v1/kv/k", &["If-None-Match: \"1\""], b"");
    assert_eq!((head.status, head.header("content-length")), (304, None));
    assert_eq!(world.send("GET /v1/kv/k", &["If-None-Match: \"2\""], b"").status, 200);
    world.send("GET /v1/kv/k", &["If-Match: \"2\""], b"").problem(412, "precondition-failed");
    world.send("GET /v1/kv/none", &["If-Match: *"], b"").problem(412, "precondition-failed");
}

#[test]
fn a_write_takes_effect_only_under_its_condition() {
    let mut world = World::new();
    let created = world.send("PUT /v1/kv/k", &["If-None-Match: *"], b"1");
    assert_eq!((created.status, created.header("etag")), (201, Some("\"1\"")));
    let again = world.send("PUT /v1/kv/k", &["If-None-Match: *"], b"2");
    again.problem(412, "precondition-failed");
    assert_eq!(again.header("etag"), Some("\"1\""));
    assert_eq!(world.send("PUT /v1/kv/k", &["If-Match: \"1\""], b"3").status, 204);
    world.send("PUT /v1/kv/k", &["If-Match: \"1\""], b"4").problem(412, "precondition-failed");
    world.send("DELETE /v1/kv/k", &["If-Match: \"1\""], b"").problem(412, "precondition-failed");
    assert_eq!(world.send("DELETE /v1/kv/k", &["If-Match: \"2\""], b"").status, 204);
    let absent = world.send("PUT /v1/kv/k", &["If-Match: *"], b"5");
    absent.problem(412, "precondition-failed");
    assert_eq!(absent.header("etag"), None);
    world.send("DELETE /v1/kv/k", &["If-Match: *"], b"").problem(412, "precondition-failed");
    assert!(world.node.data.is_empty());
    assert_eq!(world.node.calls[0], "KV.PUT k 1 * 0");
    assert_eq!(world.node.calls[2], "KV.PUT k 3 1 0");
    assert_eq!(world.node.calls[6], "KV.PUT k 5 + 0");
}

#[test]
fn a_tag_that_no_revision_looks_like_fails_without_asking_the_node() {
    let mut world = World::new();
    for tag in ["\"x\"", "\"0\"", "W/\"1\""] {
        let header = format!("If-Match: {tag}");
        world.send("PUT /v1/kv/k", &[&header], b"v").problem(412, "precondition-failed");
        world.send("DELETE /v1/kv/k", &[&header], b"").problem(412, "precondition-failed");
    }
    assert!(world.node.calls.is_empty());
}

#[test]
fn a_ttl_becomes_milliseconds_and_the_expiry_a_header() {
    let mut world = World::new();
    assert_eq!(world.send("PUT /v1/kv/k?ttl=10", &[], b"v").status, 204);
    assert_eq!(world.send("PUT /v1/kv/k?ttl=500ms", &[], b"v").status, 204);
    assert_eq!(world.node.calls, ["KV.PUT k v  10000", "KV.PUT k v  500"]);
    assert_eq!(world.get("GET /v1/kv/k").header("quorate-expires-at-ms"), Some("500"));
    for query in ["ttl=0", "ttl=soon", "tll=10", "ttl=", "ttl=1&ttl=2"] {
        world.send(&format!("PUT /v1/kv/k?{query}"), &[], b"v").problem(400, "bad-request");
    }
}

#[test]
fn a_read_says_how_consistent_it_must_be() {
    let mut world = World::with(Node::new().with(b"k", b"v"), Options::new(""));
    let wishes = ["lease", "linearizable", "stale&max_staleness=2s"];
    let wishes = wishes.map(|wish| format!("?consistency={wish}"));
    for query in wishes.iter().map(String::as_str).chain([""]) {
        assert_eq!(world.get(&format!("GET /v1/kv/k{query}")).status, 200, "{query}");
    }
    let stale = Consistency::Stale { max_staleness: Some(Duration::from_secs(2)) };
    assert_eq!(
        world.node.consistencies,
        [Consistency::Lease, Consistency::Linearizable, stale, Consistency::Configured]
    );
    world.get("GET /v1/kv/k?consistency=weak").problem(400, "bad-request");
    world.get("GET /v1/kv/k?max_staleness=2s").problem(400, "bad-request");
}

#[test]
fn an_idempotency_key_goes_with_the_write() {
    let mut world = World::new();
    world.send("PUT /v1/kv/k", &["Idempotency-Key: 8e03978e"], b"v");
    world.send("DELETE /v1/kv/k", &["Idempotency-Key: other"], b"");
    world.send("PUT /v1/kv/k", &[], b"v");
    let expected = [Some(idempotency("8e03978e")), Some(idempotency("other")), None];
    assert_eq!(world.node.idempotencies, expected);
    let long = format!("Idempotency-Key: {}", "x".repeat(256));
    world.send("PUT /v1/kv/k", &[&long], b"v").problem(400, "bad-request");
    world.send("PUT /v1/kv/k", &["Idempotency-Key:"], b"v").problem(400, "bad-request");
    let twice = ["Idempotency-Key: a", "Idempotency-Key: b"];
    world.send("PUT /v1/kv/k", &twice, b"v").problem(400, "bad-request");
}

#[test]
fn what_would_have_to_be_undone_to_read_it_is_refused() {
    let mut world = World::new();
    let gzip = ["Content-Encoding: gzip"];
    world.send("PUT /v1/kv/k", &gzip, b"v").problem(415, "unsupported-encoding");
    let range = ["Content-Range: bytes 0-0/2"];
    world.send("PUT /v1/kv/k", &range, b"v").problem(400, "bad-request");
}

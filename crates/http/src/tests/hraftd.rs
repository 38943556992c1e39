//! hraftd's dialect, byte by byte.

use quorate_api::{AdminRequest, Caution, Consistency, Place};

use super::node::{Node, idempotency};
use super::world::World;
use crate::Options;

#[test]
fn post_key_sets_and_answers_nothing() {
    let mut world = World::new();
    let answer = world.post("POST /key", r#"{"user1": "batman"}"#);
    assert_eq!(answer.exact(), (200, ""));
    assert_eq!(answer.header("content-length"), Some("0"));
    assert_eq!(world.get("GET /key/user1").exact(), (200, r#"{"user1":"batman"}"#));
}

#[test]
fn several_pairs_are_one_command() {
    let mut world = World::new();
    assert_eq!(world.post("POST /key", r#"{"b":"2","a":"1","b":"3"}"#).exact(), (200, ""));
    assert_eq!(world.node.calls, ["MSET a 1 b 3"]);
    assert_eq!(world.post("POST /key", "{}").exact(), (200, ""));
    assert_eq!(world.node.calls.len(), 1);
}

#[test]
fn anything_but_an_object_of_strings_is_bad() {
    let mut world = World::new();
    let wrong =
        ["", "{", "[]", "\"a\"", r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":{}}"#, "a=b", "\u{ff}"];
    for body in wrong {
        let problem = world.post("POST /key", body).problem(400, "bad-request");
        assert!(problem["detail"].as_str().unwrap().contains("object of strings"), "{problem}");
    }
    assert!(world.node.calls.is_empty());
}

#[test]
fn a_missing_key_reads_as_an_empty_value() {
    let answer = World::new().get("GET /key/nobody");
    assert_eq!(answer.exact(), (200, r#"{"nobody":""}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn delete_answers_nothing_whether_the_key_was_there_or_not() {
    let mut world = World::with(Node::new().with(b"a", b"1"), Options::new(""));
    assert_eq!(world.get("DELETE /key/a").exact(), (200, ""));
    assert_eq!(world.get("DELETE /key/a").exact(), (200, ""));
    assert_eq!(world.node.calls, ["DEL a", "DEL a"]);
}

#[test]
fn keys_are_percent_decoded_and_shown_escaped() {
    let mut world = World::with(Node::new().with("a/ü \"".as_bytes(), b"<1>"), Options::new(""));
    let answer = world.get("GET /key/a%2F%C3%BC%20%22");
    assert_eq!(answer.exact(), (200, "{\"a/ü \\\"\":\"<1>\"}"));
    for path in ["/key/a/b", "/key/a/", "/key/%zz", "/key/%FF"] {
        world.get(&format!("GET {path}")).problem(400, "bad-request");
    }
}

#[test]
fn a_binary_value_is_a_conflict_that_points_to_v1() {
    let mut world = World::with(Node::new().with(b"a", b"\xff\x00"), Options::new(""));
    let problem = world.get("GET /key/a").problem(409, "not-text");
    assert!(problem["detail"].as_str().unwrap().contains("/v1/kv/"));
}

#[test]
fn join_takes_an_address_and_maybe_an_id() {
    let mut world = World::new();
    let body = r#"{"addr":"10.0.0.9:7000","id":"node9"}"#;
    assert_eq!(world.post("POST /join", body).exact(), (200, ""));
    assert_eq!(world.post("POST /join", r#"{"addr":"n9:7000"}"#).exact(), (200, ""));
    let join = |id: Option<&str>, addr: &str| AdminRequest::Join {
        id: id.map(str::to_owned),
        addr: addr.to_owned(),
        place: Place::AsItWishes,
    };
    let expected = [join(Some("node9"), "10.0.0.9:7000"), join(None, "n9:7000")];
    assert_eq!(world.node.administered, expected);
    for body in
        [r#"{"id":"n"}"#, r#"{"addr":"a:1","x":"y"}"#, r#"{"addr":"a"}"#, r#"{"addr":":1"}"#, "[]"]
    {
        world.post("POST /join", body).problem(400, "bad-request");
    }
}

#[test]
fn leave_takes_an_address() {
    let mut world = World::new();
    assert_eq!(world.post("POST /leave", r#"{"addr":"10.0.0.3:7000"}"#).exact(), (200, ""));
    let leave =
        AdminRequest::Leave { member: "10.0.0.3:7000".to_owned(), caution: Caution::KeepMajority };
    assert_eq!(world.node.administered, [leave]);
    world.post("POST /leave", r#"{"addr":""}"#).problem(400, "bad-request");
}

#[test]
fn a_refused_join_is_a_conflict_with_the_reason() {
    let mut world = World::new();
    world.node.refusal = Some("the id was used before");
    let problem = world.post("POST /join", r#"{"addr":"a:1"}"#).problem(409, "refused");
    assert_eq!(problem["detail"], "Nothing was changed: the id was used before.");
}

#[test]
fn status_names_me_the_leader_and_the_followers() {
    let mut world = World::new();
    let expected = concat!(
        r#"{"me":{"id":"node1","address":"10.0.0.1:7000"},"#,
        r#""leader":{"id":"node1","address":"10.0.0.1:7000"},"#,
        r#""followers":[{"id":"node2","address":"10.0.0.2:7000"},"#,
        r#"{"id":"node3","address":"10.0.0.3:7000"}]}"#
    );
    assert_eq!(world.get("GET /status").exact(), (200, expected));
    world.node.status.leader = 0;
    assert_eq!(world.get("GET /status").json()["leader"]["id"], "");
}

#[test]
fn a_log_entry_is_one_readable_line() {
    let mut world = World::new();
    let answer = world.get("GET /xdr/log/12");
    assert_eq!(answer.exact(), (200, "i 12 t 2 t command d SET k v"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    world.get("GET /xdr/log/twelve").problem(400, "bad-request");
    world.node.refusal = Some("the log starts at 20");
    world.get("GET /xdr/log/12").problem(404, "entry-not-found");
}

#[test]
fn consistency_and_idempotency_work_in_this_dialect_too() {
    let mut world = World::new();
    world.get("GET /key/a?consistency=lease&_=1");
    assert_eq!(world.node.consistencies, [Consistency::Lease]);
    world.send("POST /key", &["Idempotency-Key: x"], br#"{"a":"b"}"#);
    world.send("DELETE /key/a", &["Idempotency-Key: y"], b"");
    let expected = [None, Some(idempotency("x")), Some(idempotency("y"))];
    assert_eq!(world.node.idempotencies, expected);
}

#[test]
fn what_changes_something_ignores_no_parameter_in_any_dialect() {
    let mut world = World::new();
    for (request, body) in [
        ("POST /key?ttl=60", r#"{"k":"v"}"#),
        ("DELETE /key/k?if=1", ""),
        ("POST /join?learner=true", r#"{"addr":"h:1"}"#),
        ("POST /leave?force=true", r#"{"addr":"h:1"}"#),
        ("POST /keys/k/?ttl=60", r#"{"value":"v"}"#),
        ("POST /cluster/join/?learner=true", r#"{"address":"h:1"}"#),
        ("POST /store/key?ttl=60", r#"{"key":"k","val":"v"}"#),
        ("DELETE /store/key/k?if=1", ""),
        ("POST /store/join?learner=true", r#"{"addr":"h:1"}"#),
    ] {
        let problem = world.send(request, &[], body.as_bytes()).problem(400, "bad-request");
        assert!(problem["detail"].as_str().unwrap().contains("unknown field"), "{problem}");
    }
    assert!(world.node.data.is_empty());
}

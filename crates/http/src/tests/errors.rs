//! Failures and error replies as problems.

use quorate_api::{Error, ErrorCode, Reply};

use super::node::Node;
use super::world::{Answer, World};
use crate::Options;

fn failing(failure: Error) -> Answer {
    let mut world = World::new();
    world.node.failure = Some(failure);
    world.send("PUT /v1/kv/k", &[], b"v")
}

#[test]
fn not_applied_may_be_retried_soon_and_maybe_elsewhere() {
    let hint = Some("10.0.0.2:7000".to_owned());
    let answer = failing(Error::NotApplied { reason: "no leader is known".into(), hint });
    let problem = answer.problem(503, "not-applied");
    assert_eq!(
        (&problem["outcome"], &problem["hint"]),
        (&"not-applied".into(), &"10.0.0.2:7000".into())
    );
    assert!(problem["detail"].as_str().unwrap().contains("no leader is known"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[test]
fn unknown_says_so_and_never_invites_a_retry() {
    let answer = failing(Error::unknown("the leader went away"));
    assert_eq!(answer.problem(503, "unknown")["outcome"], "unknown");
    assert_eq!(answer.header("retry-after"), None);
}

#[test]
fn overloaded_and_stopped_changed_nothing() {
    let answer = failing(Error::Overloaded { reason: "too much".into() });
    assert_eq!(answer.problem(503, "overloaded")["outcome"], "not-applied");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let answer = failing(Error::Stopped { reason: "fsync failed".into() });
    assert_eq!(answer.problem(503, "stopped")["outcome"], "not-applied");
    assert_eq!(answer.header("retry-after"), None);
}

#[test]
fn a_node_that_ends_with_a_write_leaves_it_unknown() {
    let mut world = World::new();
    world.node.dies = true;
    let answer = world.send("PUT /v1/kv/k", &[], b"v");
    assert_eq!(answer.problem(503, "unknown")["outcome"], "unknown");
}

#[test]
fn failures_look_the_same_in_every_dialect() {
    let mut world = World::new();
    world.node.failure = Some(Error::not_applied("no leader is known"));
    world.get("GET /key/a").problem(503, "not-applied");
    world.post("POST /key", r#"{"a":"b"}"#).problem(503, "not-applied");
    world.post("POST /keys/a/", r#"{"value":"b"}"#).problem(503, "not-applied");
    world.get("DELETE /n/key/a").problem(503, "not-applied");
    world.post("POST /join", r#"{"addr":"a:1"}"#).problem(503, "not-applied");
    world.get("GET /v1/cluster").problem(503, "not-applied");
}

#[test]
fn error_replies_are_results_with_codes_of_their_own() {
    for (code, status, name) in [
        (ErrorCode::WrongType, 409, "wrong-type"),
        (ErrorCode::Oom, 507, "out-of-memory"),
        (ErrorCode::Conflict, 422, "idempotency-conflict"),
        (ErrorCode::Err, 400, "bad-request"),
        (ErrorCode::ExecAbort, 409, "refused"),
        (ErrorCode::WrongPass, 401, "unauthorized"),
        (ErrorCode::NoProto, 400, "bad-request"),
    ] {
        let mut world = World::new();
        world.node.reply = Some(Reply::error(code, "said the node"));
        world.send("PUT /v1/kv/k", &[], b"v").problem(status, name);
        world.get("GET /key/k").problem(status, name);
    }
}

#[test]
fn a_detail_ends_its_sentences_once() {
    let mut world = World::new();
    let text = "command not allowed when used memory > 'maxmemory'.";
    world.node.reply = Some(Reply::error(ErrorCode::Oom, text));
    let problem = world.send("PUT /v1/kv/k", &[], b"v").problem(507, "out-of-memory");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("'maxmemory'. Delete keys") && !detail.contains(".."), "{detail}");
}

#[test]
fn an_answer_outside_of_the_contract_is_our_fault() {
    for reply in [Reply::Ok, Reply::Array(vec![]), Reply::Array(vec![Reply::Int(2), Reply::Int(1)])]
    {
        let mut world = World::with(Node::new(), Options::new(""));
        world.node.reply = Some(reply);
        world.get("GET /v1/kv/k").problem(500, "internal");
        world.send("PUT /v1/kv/k", &[], b"v").problem(500, "internal");
        world.get("DELETE /v1/kv/k").problem(500, "internal");
        world.get("GET /key/k").problem(500, "internal");
    }
}

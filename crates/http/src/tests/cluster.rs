//! `/v1/cluster` and `/v1/node`.

use quorate_api::{AdminRequest, Error};

use super::world::World;

#[test]
fn the_cluster_is_shown_as_the_leader_sees_it() {
    let mut world = World::new();
    let view = world.get("GET /v1/cluster").json();
    assert_eq!(view["leader"]["id"], "node1");
    assert_eq!(view["members"][2]["voter"], false);
    assert_eq!(view["digest"], "ffffffffffffffff");
    assert_eq!(view["engine"]["kind"], "memory");
    assert_eq!(view["databases"][0]["keys"], 7);
    assert_eq!(view["stopped"], serde_json::Value::Null);
    assert_eq!(world.node.administered, [AdminRequest::ClusterStatus]);
}

#[test]
fn a_node_shows_itself_without_a_quorum() {
    let mut world = World::new();
    world.node.failure = Some(Error::not_applied("no leader is known"));
    world.node.status.leader = 0;
    world.get("GET /v1/cluster").problem(503, "not-applied");
    let view = world.get("GET /v1/node").json();
    assert_eq!((&view["id"], &view["leader"]), (&"node1".into(), &serde_json::Value::Null));
}

#[test]
fn members_come_go_and_take_over() {
    let mut world = World::new();
    let body = r#"{"addr":"10.0.0.4:7000","id":"node4"}"#;
    assert_eq!(world.post("POST /v1/cluster/members", body).exact(), (204, ""));
    assert_eq!(world.get("DELETE /v1/cluster/members/node%204").exact(), (204, ""));
    assert_eq!(world.post("POST /v1/cluster/transfer", r#"{"to":"node2"}"#).exact(), (204, ""));
    assert_eq!(world.post("POST /v1/cluster/transfer", "{}").exact(), (204, ""));
    assert_eq!(world.get("POST /v1/cluster/transfer").exact(), (204, ""));
    let expected = [
        AdminRequest::Join { id: Some("node4".to_owned()), addr: "10.0.0.4:7000".to_owned() },
        AdminRequest::Leave { member: "node 4".to_owned() },
        AdminRequest::Transfer { to: Some("node2".to_owned()) },
        AdminRequest::Transfer { to: None },
        AdminRequest::Transfer { to: None },
    ];
    assert_eq!(world.node.administered, expected);
}

#[test]
fn a_refusal_is_a_conflict() {
    let mut world = World::new();
    world.node.refusal = Some("the quorum would be lost");
    let problem = world.get("DELETE /v1/cluster/members/node2").problem(409, "refused");
    assert!(problem["detail"].as_str().unwrap().contains("the quorum would be lost"));
    world.post("POST /v1/cluster/transfer", r#"{"too":"x"}"#).problem(400, "bad-request");
}

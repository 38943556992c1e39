//! `/v1/cluster` and `/v1/node`.

use quorate_api::status::Wish;
use quorate_api::{AdminRequest, Caution, Error, Event, EventKind, EventPlace, Place};

use super::world::World;

#[test]
fn the_cluster_is_shown_as_the_leader_sees_it() {
    let mut world = World::new();
    let view = world.get("GET /v1/cluster").json();
    assert_eq!(view["leader"]["id"], "node1");
    assert_eq!(view["members"][2]["voter"], false);
    // What the leader knows of itself alone does not come over the wire: zeros would be a lie.
    for own in ["digest", "engine", "databases", "counters", "snapshot", "uptime_ms"] {
        assert!(view.get(own).is_none(), "{own}: {view}");
    }
    assert_eq!(world.node.administered, [AdminRequest::ClusterStatus]);
}

#[test]
fn what_the_leader_did_not_tell_is_not_made_up() {
    let mut world = World::new();
    // As a follower has it: the leader's word about the cluster, without what it says of itself alone.
    let status = &mut world.node.status;
    (status.format_highest, status.digest, status.uptime_ms) = (0, 0, 0);
    let view = world.get("GET /v1/cluster").json();
    for field in ["format_highest", "digest", "uptime_ms"] {
        assert_eq!(view[field], serde_json::Value::Null, "{field}");
    }
    assert_eq!(view["leader"]["id"], "node1");
}

#[test]
fn a_change_that_only_needs_another_moment_may_be_sent_again() {
    let mut world = World::new();
    world.node.failure = Some(Error::not_applied("no leader is known"));
    let answer = world.post("POST /v1/cluster/members", r#"{"addr":"10.0.0.4:7000"}"#);
    answer.problem(503, "not-applied");
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[test]
fn a_node_shows_itself_without_a_quorum() {
    let mut world = World::new();
    world.node.failure = Some(Error::not_applied("no leader is known"));
    world.node.status.leader = 0;
    world.get("GET /v1/cluster").problem(503, "not-applied");
    let view = world.get("GET /v1/node").json();
    assert_eq!((&view["id"], &view["leader"]), (&"node1".into(), &serde_json::Value::Null));
    assert_eq!(view["digest"], "ffffffffffffffff");
    assert_eq!(view["engine"]["kind"], "memory");
    assert_eq!(view["databases"][0]["keys"], 7);
    assert_eq!(view["stopped"], serde_json::Value::Null);
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
        AdminRequest::Join {
            id: Some("node4".to_owned()),
            addr: "10.0.0.4:7000".to_owned(),
            place: Place::AsItWishes,
        },
        AdminRequest::Leave { member: "node 4".to_owned(), caution: Caution::KeepMajority },
        AdminRequest::Transfer { to: Some("node2".to_owned()) },
        AdminRequest::Transfer { to: None },
        AdminRequest::Transfer { to: None },
    ];
    assert_eq!(world.node.administered, expected);
}

#[test]
fn votes_are_given_taken_and_passed_on() {
    let mut world = World::new();
    let post = |world: &mut World, path: &str, body: &str| {
        let line = format!("POST /v1/cluster/members{path}");
        assert_eq!(world.post(&line, body).exact(), (204, ""), "{path}");
    };
    post(&mut world, "", r#"{"addr":"h:1","learner":true}"#);
    post(&mut world, "/node%204/promote", "");
    post(&mut world, "/node4/demote?force=true", "");
    post(&mut world, "/h:2/replace", r#"{"addr":"h:3"}"#);
    assert_eq!(world.get("DELETE /v1/cluster/members/n?force=true").exact(), (204, ""));
    let join = |addr: &str, place| AdminRequest::Join { id: None, addr: addr.to_owned(), place };
    let (member, caution) = (|name: &str| name.to_owned(), Caution::Force);
    let expected = [
        join("h:1", Place::Learner),
        AdminRequest::Promote { member: member("node 4") },
        AdminRequest::Demote { member: member("node4"), caution },
        join("h:3", Place::Of(member("h:2"))),
        AdminRequest::Leave { member: member("n"), caution },
    ];
    assert_eq!(world.node.administered, expected);
    world.get("DELETE /v1/cluster/members/n?force=maybe").problem(400, "bad-request");
}

#[test]
fn members_are_shown_with_what_is_to_become_of_them() {
    let mut world = World::new();
    let member = &mut world.node.status.members[2];
    (member.wish, member.silent_ms) = (Wish::Replaces(2), 12_000);
    let view = world.get("GET /v1/cluster/members").json();
    assert_eq!(view["members"][2]["replaces"], 2);
    assert_eq!(view["members"][2]["silent_ms"], 12_000);
    assert_eq!(
        (&view["members"][2]["wish"], &view["members"][0]["wish"]),
        (&"replace".into(), &"vote".into())
    );
    assert_eq!(view["members"][0]["replaces"], serde_json::Value::Null);
}

#[test]
fn a_reader_of_events_goes_on_where_it_was() {
    let mut world = World::new();
    world.node.failure = Some(Error::not_applied("down"));
    world.get("GET /v1/events").problem(503, "not-applied");
    world.get("GET /v1/events?after=x").problem(400, "bad-request");
    world.get("GET /v1/events?since=x").problem(400, "bad-request");
    world.node.failure = None;
    let text = "n4 has a vote now".to_owned();
    let (kind, member) = (EventKind::MemberPromoted, "n4".to_owned());
    world.node.events = vec![Event { number: 8, wall_ms: 5, index: 77, kind, member, text }];
    world.node.fails_when_told = true;
    let answer = world.get("GET /v1/events?after=ff-7");
    let text = answer.text();
    assert!(text.starts_with("retry: 1000\n\nid: ff-8\nevent: member-promoted\ndata: {"), "{text}");
    assert!(text.contains(r#""index":77,"member":"n4","text":"n4 has a vote now"}"#), "{text}");
    let asked = |number| AdminRequest::Events { after: Some(EventPlace { run: 0xff, number }) };
    assert_eq!(world.node.administered[world.node.administered.len() - 2..], [asked(7), asked(8)]);
}

#[test]
fn what_happens_while_a_reader_connects_is_not_lost() {
    let mut world = World::new();
    let (kind, member) = (EventKind::MemberAdded, "n4".to_owned());
    let text = "n4 has come in".to_owned();
    world.node.events = vec![Event { number: 2, wall_ms: 5, index: 77, kind, member, text }];
    world.node.fails_when_told = true;
    let answer = world.get("GET /v1/events");
    let text = answer.text();
    assert!(text.starts_with("retry: 1000\n\nid: ab-2\nevent: member-added\ndata: {"), "{text}");
    let asked = |after| AdminRequest::Events { after };
    let place = EventPlace { run: 0xab, number: 2 };
    assert_eq!(world.node.administered, [asked(None), asked(Some(place))]);
}

#[test]
fn of_a_change_in_doubt_it_is_said_where_to_look() {
    let mut world = World::new();
    world.node.failure = Some(Error::unknown("no majority confirmed the change in time"));
    let problem = world.get("DELETE /v1/cluster/members/node2").problem(503, "unknown");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("Look at the members"), "{detail}");
    assert!(!detail.contains("Idempotency-Key"), "no change of members takes one: {detail}");
}

#[test]
fn a_refusal_is_a_conflict() {
    let mut world = World::new();
    world.node.refusal = Some("the quorum would be lost");
    let problem = world.get("DELETE /v1/cluster/members/node2").problem(409, "refused");
    assert!(problem["detail"].as_str().unwrap().contains("the quorum would be lost"));
    world.post("POST /v1/cluster/transfer", r#"{"too":"x"}"#).problem(400, "bad-request");
}

//! SIGSTOP and SIGCONT: processes that are there but do not answer, as in a partition or a moved machine.

use std::time::{Duration, Instant};

use redis::Value;

use crate::client::{Link, Outcome, command, connect};
use crate::cluster::Cluster;
use crate::http;
use crate::patience::{LONG, measured, say, until};
use crate::sessions::Sessions;
use crate::writer::Load;

/// A node waits 3 s for a leader before it gives up; the rest is for a busy machine.
const REFUSAL_MAX: Duration = Duration::from_secs(6);

/// Asked through HTTP; how long the refusal took.
fn refused_over_http(cluster: &Cluster, node: usize, line: &str) -> serde_json::Value {
    let asked = Instant::now();
    let answer = http::request(cluster.addr(node), line, &[], b"v").unwrap();
    let took = asked.elapsed();
    assert_eq!(answer.status, 503, "{line}: {}", answer.text());
    assert!(took < REFUSAL_MAX, "{line} took {took:?}");
    measured(&format!("without a majority, {line} is refused after"), &took);
    answer.json()
}

fn assert_refuses_what_needs_a_majority(cluster: &Cluster, node: usize) {
    for words in [["GET", "before"].as_slice(), &["SET", "cut", "off"]] {
        let (outcome, took) = cluster.try_once(node, words);
        let refused = match &outcome {
            Outcome::NotApplied(_) => true,
            Outcome::Unknown(_) => words[0] == "SET",
            Outcome::Done(_) | Outcome::Lost(_) => false,
        };
        assert!(refused, "{words:?}: {outcome:?}");
        assert!(took < REFUSAL_MAX, "{words:?} took {took:?}");
        measured(&format!("without a majority, {words:?} is refused after"), &took);
    }
    refused_over_http(cluster, node, "GET /v1/kv/before");
    let problem = refused_over_http(cluster, node, "PUT /v1/kv/cut");
    let outcome = problem["outcome"].as_str();
    assert!(matches!(outcome, Some("not-applied" | "unknown")), "{problem}");
}

fn assert_serves_stale_reads(cluster: &Cluster, node: usize) {
    let mut connection = connect(cluster.addr(node)).unwrap();
    command(&["READONLY"]).query::<()>(&mut connection).unwrap();
    let asked = Instant::now();
    let found: Option<String> = command(&["GET", "before"]).query(&mut connection).unwrap();
    assert_eq!(found.as_deref(), Some("the cut"));
    let path = "/v1/kv/before?consistency=stale";
    assert_eq!(http::get(cluster.addr(node), path).unwrap().text(), "the cut");
    assert!(asked.elapsed() < Duration::from_secs(2), "stale reads took {:?}", asked.elapsed());
    assert_eq!(http::get(cluster.addr(node), "/livez").unwrap().status, 200);
    assert_eq!(http::get(cluster.addr(node), "/readyz").unwrap().status, 503);
    // READWRITE takes the permission back.
    command(&["READWRITE"]).query::<()>(&mut connection).unwrap();
    command(&["GET", "before"]).query::<Value>(&mut connection).unwrap_err();
}

#[test]
fn a_leader_without_a_majority_refuses_in_bounded_time_and_heals() {
    let mut cluster = Cluster::of(3);
    let load = Load::start(&cluster, 2);
    load.go_on(20);
    let ledger_before = load.stop();
    let sessions = Sessions::on(&cluster);
    let (leader, followers) = (cluster.leader(), cluster.followers());
    cluster.tell(leader, &["SET", "before", "the cut"]);

    followers.iter().for_each(|&follower| cluster.pause(follower));
    assert_refuses_what_needs_a_majority(&cluster, leader);
    assert_serves_stale_reads(&cluster, leader);
    assert_refuses_what_needs_a_majority(&cluster, leader);

    let resumed = Instant::now();
    followers.iter().for_each(|&follower| cluster.resume(follower));
    cluster.tell(leader, &["SET", "after", "the cut"]);
    measured("after SIGCONT a write is acknowledged in", &resumed.elapsed());
    cluster.wait_until_ready();
    for node in cluster.running() {
        assert_eq!(cluster.ask::<String>(node, &["GET", "after"]), "the cut");
        let cut: Option<String> = cluster.ask(node, &["GET", "cut"]);
        assert!(matches!(cut.as_deref(), None | Some("off" | "v")), "{cut:?}");
    }
    sessions.prove(&cluster);
    ledger_before.verify(&cluster);
}

#[test]
fn a_leader_that_slept_through_its_replacement_serves_nothing_old() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let others = cluster.followers();
    cluster.tell(leader, &["SET", "k", "old"]);
    // Questions that lie in its sockets when it wakes up, before anything else can reach it.
    let mut asked: Vec<_> = (0..20).map(|_| connect(cluster.addr(leader)).unwrap()).collect();
    cluster.pause(leader);
    let paused = Instant::now();
    for connection in &mut asked {
        connection.send_packed_command(&command(&["GET", "k"]).get_packed_command()).unwrap();
    }
    let next = cluster.leader_among(&others);
    cluster.tell(next, &["SET", "k", "new"]);
    measured("after SIGSTOP of the leader a write is acknowledged in", &paused.elapsed());
    cluster.resume(leader);
    let mut served = 0;
    for connection in &mut asked {
        match connection.recv_response() {
            Ok(Value::BulkString(value)) => {
                assert_eq!(value.escape_ascii().to_string(), "new", "it served an old value");
                served += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(matches!(error.code(), Some("TRYAGAIN" | "CLUSTERDOWN")), "{error}");
            }
        }
    }
    say(&format!("of 20 reads that waited in the sleeper's sockets, {served} were served"));
    for node in cluster.running() {
        assert_eq!(cluster.ask::<String>(node, &["GET", "k"]), "new");
    }
}

#[test]
fn a_paused_follower_costs_the_others_nothing_and_catches_up() {
    let mut cluster = Cluster::of(3);
    let (leader, follower) = (cluster.leader(), cluster.followers()[0]);
    cluster.pause(follower);
    let mut link = Link::new(cluster.addr(leader));
    let mut slowest = Duration::ZERO;
    for step in 0..200 {
        let asked = Instant::now();
        let outcome = link.call::<String>(&["SET", &format!("k{step}"), "v"]);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        slowest = slowest.max(asked.elapsed());
    }
    measured("slowest of 200 writes beside a paused follower", &slowest);
    let resumed = Instant::now();
    cluster.resume(follower);
    let behind = cluster.status(leader).unwrap().number("/applied");
    until("the follower has caught up", LONG, || {
        let applied = cluster.status(follower)?.number("/applied");
        if applied >= behind { Ok(()) } else { Err(format!("{applied} of {behind}")) }
    });
    measured("a resumed follower has caught up in", &resumed.elapsed());
    cluster.wait_until_equal();
}

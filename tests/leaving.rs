//! Nodes that leave: for good, with their name, and they say so themselves.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Entrance};
use crate::http;
use crate::patience::{LONG, say, until};
use crate::quorate::json;
use crate::writer::Load;

const REMOVED: &str = "removed from the cluster";

fn remove(cluster: &Cluster, through: usize, node: usize) {
    let body = format!(r#"{{"addr":"{}"}}"#, cluster.addr(node));
    let answer = http::request(cluster.addr(through), "POST /leave", &[], body.as_bytes()).unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
}

/// The node ends by itself, and its last words say why.
fn assert_ends_with_an_explanation(cluster: &mut Cluster, node: usize) {
    let ended = cluster.wait_for_end(node, LONG);
    let text = cluster.log_text(node);
    assert!(text.contains(REMOVED), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    say(&format!("a removed node ended: {ended}: {}", text.lines().last().unwrap_or_default()));
    assert_eq!(ended.code(), Some(1), "being removed is an end that an operator must look at");
}

#[test]
fn a_removed_follower_stops_with_an_explanation_and_stays_away() {
    let mut cluster = Cluster::of(4);
    let load = Load::start(&cluster, 2);
    load.go_on(20);
    let [through, gone, ..] = cluster.followers()[..] else { panic!("three followers") };
    remove(&cluster, through, gone);
    assert_ends_with_an_explanation(&mut cluster, gone);
    cluster.wait_for_voters(3);
    load.go_on(20);
    // With its old directory it stops again.
    cluster.restart(gone);
    assert_ends_with_an_explanation(&mut cluster, gone);
    assert!(cluster.log_text(gone).contains("give it a new id and a new directory"));
    // Should all others be lost, what it has is better than nothing.
    let dir = cluster.recipe(gone).data_dir.display().to_string();
    let look = json(&["recover", "--data-dir", &dir, "--dry-run"]);
    assert_eq!(look["survivor"]["id"], cluster.recipe(gone).name.as_str(), "{look}");
    cluster.wait_for_voters(3);
    let ledger = load.stop();
    ledger.verify(&cluster);
}

#[test]
fn the_name_of_a_removed_node_is_used_up() {
    let mut cluster = Cluster::of(3);
    let load = Load::start(&cluster, 2);
    load.go_on(20);
    let [through, gone] = cluster.followers()[..] else { panic!("two followers") };
    remove(&cluster, through, gone);
    cluster.kill(&[gone]);
    cluster.wait_for_voters(2);
    load.go_on(20);

    // With a new directory and the old name: it is told why not, and that asking again is useless.
    let name = cluster.recipe(gone).name.clone();
    let again = cluster.add_called(&name, Entrance::Join, None);
    cluster.wait_for_log(again, "names are never given twice");
    assert_eq!(cluster.wait_for_end(again, LONG).code(), Some(1), "{}", cluster.log_text(again));
    // Nor does a member add it that is asked to.
    let again = cluster.add_called(&name, Entrance::Wait, None);
    let how = format!("quorate member add {}", cluster.addr(again));
    cluster.wait_for_log(again, &how);
    let body = format!(r#"{{"addr":"{}"}}"#, cluster.addr(again));
    let answer = http::request(cluster.addr(through), "POST /join", &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("names are never given twice"), "{}", answer.text());
    cluster.kill(&[again]);
    cluster.wait_for_voters(2);
    let ledger = load.stop();
    ledger.verify(&cluster);

    // Under a name of its own it is welcome.
    cluster.add(Entrance::Join);
    cluster.wait_for_voters(3);
    ledger.verify(&cluster);
}

#[test]
fn a_removed_leader_hands_over_stops_and_the_others_go_on() {
    let mut cluster = Cluster::of(3);
    let load = Load::start(&cluster, 2);
    load.go_on(20);
    let leader = cluster.leader();
    remove(&cluster, leader, leader);
    assert_ends_with_an_explanation(&mut cluster, leader);
    cluster.wait_for_voters(2);
    load.go_on(20);
    load.prove(&cluster);
}

#[test]
fn of_two_nodes_either_can_be_removed_and_the_other_goes_on_alone() {
    for removes_leader in [true, false] {
        let mut cluster = Cluster::of(2);
        cluster.tell(0, &["SET", "k", "v"]);
        let (leader, follower) = (cluster.leader(), cluster.followers()[0]);
        let (gone, left) = if removes_leader { (leader, follower) } else { (follower, leader) };
        remove(&cluster, left, gone);
        // It may find out late, or never; what counts is that nobody needs it any more.
        until("the other knows that it is alone", LONG, || {
            let voters = cluster.status(left)?.voters();
            if voters.len() == 1 { Ok(()) } else { Err(format!("it knows {voters:?}")) }
        });
        cluster.kill(&[gone]);
        assert_eq!(cluster.ask::<String>(left, &["GET", "k"]), "v");
        cluster.tell(left, &["SET", "alone", "v"]);
        cluster.kill(&[left]);
        cluster.restart(left);
        cluster.wait_until_ready();
        assert_eq!(cluster.ask::<String>(left, &["GET", "alone"]), "v");
    }
}

/// Raft begins to count anew, once in an election timeout, who answers. At that moment nobody seemed to be there:
/// a member was shown as dead, and a change of members refused for want of a majority.
#[test]
fn members_that_answer_are_alive_at_every_moment() {
    let cluster = Cluster::of(3);
    let leader = cluster.leader();
    let names: Vec<_> = (0..3).map(|node| cluster.recipe(node).name.clone()).collect();
    let end = Instant::now() + Duration::from_secs(3);
    let mut asked = 0;
    while Instant::now() < end {
        let status = cluster.status(leader).unwrap();
        for name in &names {
            assert!(status.is_alive(name), "{name} is not, at question {asked}");
        }
        asked += 1;
    }
    assert!(asked > 100, "asked {asked} times only");
}

#[test]
fn a_dead_member_can_be_removed_and_finds_out_when_it_comes_back() {
    let mut cluster = Cluster::of(3);
    let [through, gone] = cluster.followers()[..] else { panic!("two followers") };
    cluster.kill(&[gone]);
    let addr = cluster.addr(gone).to_owned();
    let line = format!("DELETE /v1/cluster/members/{addr}");
    let answer = http::request(cluster.addr(through), &line, &[], b"").unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    cluster.wait_for_voters(2);
    cluster.restart(gone);
    cluster.wait_for_log(gone, REMOVED);
    cluster.tell(through, &["SET", "k", "v"]);
    // What it has is old, so it gives nothing to clients that want to know what is.
    let (outcome, _) = cluster.try_once(gone, &["GET", "k"]);
    assert!(!matches!(outcome, crate::client::Outcome::Done(_)), "{outcome:?}");
}

#[test]
fn the_last_voter_and_one_that_is_needed_for_a_majority_can_not_leave() {
    let mut cluster = Cluster::of(3);
    let [dead, alive] = cluster.followers()[..] else { panic!("two followers") };
    cluster.kill(&[dead]);
    let leader = cluster.leader();
    let is_missed =
        || cluster.status(leader).map(|status| !status.is_alive(&cluster.recipe(dead).name));
    until("the leader misses the dead one", LONG, || match is_missed()? {
        true => Ok(()),
        false => Err("it is called alive".to_owned()),
    });
    let body = format!(r#"{{"addr":"{}"}}"#, cluster.addr(alive));
    let answer = http::request(cluster.addr(leader), "POST /leave", &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 409, "{}", answer.text());
    cluster.restart(dead);
    cluster.wait_for_voters(3);

    let alone = Cluster::of(1);
    let body = format!(r#"{{"addr":"{}"}}"#, alone.addr(0));
    let answer = http::request(alone.addr(0), "POST /leave", &[], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("last voter"), "{}", answer.text());
}

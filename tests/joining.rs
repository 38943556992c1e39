//! Nodes that come in: on their own request or a user's, in every dialect, while clients write.

use std::time::Instant;

use crate::cluster::{Cluster, Entrance};
use crate::http;
use crate::patience::{LONG, measured};
use crate::tool;
use crate::writer::Load;

#[test]
fn a_fourth_node_joins_under_load_and_gets_a_vote() {
    let mut cluster = Cluster::of(3);
    let load = Load::judged(&cluster, 4);
    load.go_on(100);
    let asked = Instant::now();
    cluster.add(Entrance::Join);
    cluster.wait_for_voters(4);
    measured("a fourth node had a vote, under load, after", &asked.elapsed());
    load.go_on(50);
    measured("longest gap while it joined", &load.longest_gap());
    load.prove(&cluster);
}

#[test]
fn a_waiting_node_is_added_by_any_member_in_every_dialect() {
    let mut cluster = Cluster::of(2);
    cluster.tell(0, &["SET", "k", "v"]);
    let dialects = [
        ("POST /join", r#"{"addr":"ADDR","id":"NAME"}"#, 200, ""),
        ("POST /any-store/join", r#"{"addr":"ADDR"}"#, 200, ""),
        ("POST /cluster/join/", r#"{"address":"ADDR"}"#, 200, "{}"),
        ("POST /v1/cluster/members", r#"{"addr":"ADDR"}"#, 204, ""),
    ];
    for (line, body, status, said) in dialects {
        let node = cluster.add(Entrance::Wait);
        cluster.wait_for_log(node, "listening on");
        let body =
            body.replace("ADDR", cluster.addr(node)).replace("NAME", &cluster.recipe(node).name);
        let follower = cluster.leader_among(&[0, 1]) ^ 1;
        let answer = http::request(cluster.addr(follower), line, &[], body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (status, said), "{line} {body}");
        cluster.wait_for_voters(node + 1);
        assert_eq!(cluster.ask::<String>(node, &["GET", "k"]), "v");
    }
    cluster.wait_until_equal();
}

#[test]
fn a_node_that_waits_says_so_and_answers_no_requests() {
    let mut cluster = Cluster::empty(&[]);
    let node = cluster.add(Entrance::Wait);
    cluster.wait_for_log(node, "listening on");
    assert_eq!(cluster.status(node).unwrap().text("/role"), "waiting");
    let (outcome, _) = cluster.try_once(node, &["SET", "k", "v"]);
    assert!(
        matches!(&outcome, crate::client::Outcome::NotApplied(why) if why.contains("no cluster")),
        "{outcome:?}"
    );
    assert_eq!(http::get(cluster.addr(node), "/livez").unwrap().status, 200);
    assert_eq!(http::get(cluster.addr(node), "/readyz").unwrap().status, 503);
}

/// Two nodes come in, one after the other; what `quorate member add` says of it.
#[test]
fn how_far_a_newcomer_is_shows_on_a_terminal_and_nowhere_else() {
    if !tool::is_there(&["script", "--version"]) {
        return;
    }
    let mut cluster = Cluster::of(1);
    for n in 0..40 {
        cluster.tell(0, &["SET", &format!("k{n}"), &"v".repeat(100_000)]);
    }
    let addr = cluster.addr(0).to_owned();
    for on_terminal in [false, true] {
        let newcomer = cluster.add(Entrance::Wait);
        cluster.wait_for_log(newcomer, "listening on");
        let words = ["member", "add", cluster.addr(newcomer), "--addr", &addr];
        if on_terminal {
            let command = format!("{} {}", env!("CARGO_BIN_EXE_quorate"), words.join(" "));
            let said = tool::output_of(&["script", "-qec", &command, "/dev/null"], "", LONG);
            let (bar, done) =
                said.rsplit_once("\r\u{1b}[K").expect("a bar that is gone in the end");
            assert!(bar.contains("MiB of a snapshot") || bar.contains(" entries at "), "{said:?}");
            assert!(done.contains("is a member"), "{said:?}");
        } else {
            let ended = crate::quorate::run(&words);
            assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
            assert!(ended.out.contains("is a member"), "{}", ended.out);
        }
    }
    cluster.wait_for_voters(3);
}

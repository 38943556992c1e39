//! Nodes join, and `quorate status` shows how they are.

use std::path::Path;

use crate::process::{Ended, Node, ask, run, until};

fn status(addr: &str, args: &[&str]) -> Ended {
    run(&[&["status", "--addr", addr], args].concat())
}

/// Waits until the node at `addr` knows of three voters and of a leader.
fn wait_for_three_voters(addr: &str) {
    until("three voters", || {
        let ended = status(addr, &["--output", "json"]);
        let found: serde_json::Value = serde_json::from_str(&ended.out).ok()?;
        let members = found["members"].as_array()?;
        let voters = members.iter().filter(|member| member["role"] != "learner").count();
        (ended.code == Some(0) && voters == 3 && found["leader"].is_string()).then_some(())
    });
}

/// Three nodes, the first of which has founded the cluster.
fn three(dir: &Path) -> [Node; 3] {
    let first = Node::start_as("n1", &dir.join("n1"), &["--bootstrap"]);
    let join = first.addr.clone();
    let others = ["n2", "n3"].map(|id| Node::start_as(id, &dir.join(id), &["--join", &join]));
    let [second, third] = others;
    [first, second, third]
}

#[test]
fn nodes_join_and_status_shows_them_from_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = three(dir.path());
    for node in &nodes {
        wait_for_three_voters(&node.addr);
        let ended = status(&node.addr, &[]);
        for words in ["ID", "ADDRESS", "n1", "n2", "n3", "follower"] {
            assert!(ended.out.contains(words), "{}", ended.out);
        }
    }
    assert_eq!(nodes[2].ask("SET k v"), "+OK");
    assert_eq!(nodes[1].ask("GET k"), "v");
}

#[test]
fn a_waiting_node_is_told_apart_and_can_be_added() {
    let dir = tempfile::tempdir().unwrap();
    let first = Node::start_as("n1", &dir.path().join("n1"), &["--bootstrap"]);
    let second = Node::start_as("n2", &dir.path().join("n2"), &[]);
    let ended = status(&second.addr, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("n2 is in no cluster yet"), "{ended:?}");
    let body = format!("{{\"addr\":\"{}\"}}", second.addr);
    let request = format!(
        "POST /join HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(first.ask("SET k v"), "+OK");
    assert_eq!(ask(&first.addr, &request).unwrap(), "HTTP/1.1 200 OK");
    until("the second node is a member", || {
        (status(&second.addr, &[]).code == Some(0)).then_some(())
    });
}

#[test]
fn a_cluster_without_a_majority_is_in_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second, third] = three(dir.path());
    wait_for_three_voters(&third.addr);
    drop((first, second));
    let ended = until("no leader is known", || {
        let ended = status(&third.addr, &[]);
        (ended.code == Some(1)).then_some(ended)
    });
    assert!(ended.err.contains("n3 knows of no leader"), "{ended:?}");
}

#[test]
fn who_can_not_be_asked_is_named() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = status(&free, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains(&free), "{ended:?}");
    assert_eq!(status("nonsense", &[]).code, Some(2));
    assert_eq!(status(&free, &["--output", "xml"]).code, Some(2));
}

#[test]
fn a_password_is_asked_for_and_taken_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (write("right", "s3cret\n"), write("wrong", "guess\n"));
    let node = Node::start(&dir.path().join("n1"), &["--bootstrap", "--password-file", &right]);
    let ended = status(&node.addr, &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("NOAUTH") && ended.err.contains("--password-file"), "{ended:?}");
    let ended = status(&node.addr, &["--password-file", &wrong]);
    assert!(ended.code == Some(1) && ended.err.contains("WRONGPASS"), "{ended:?}");
    until("the node leads", || {
        (status(&node.addr, &["--password-file", &right]).code == Some(0)).then_some(())
    });
}

//! `quorate member ...`: members come, go, get votes and give them up, as an operator does it; and whoever
//! watches is told.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, Entrance, ON_DISK};
use crate::http;
use crate::patience::{LONG, say, until};
use crate::quorate::{done, json, refused};
use crate::writer::Load;

/// Lines of a stream of events, read beside the test.
struct Events(mpsc::Receiver<String>);

impl Events {
    fn of(addr: &str, after: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        let last = after.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: {addr}\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let (lines, received) = mpsc::channel();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("retry: 1000\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "no stream: {head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        std::thread::spawn(move || {
            for line in reader.lines() {
                // The test may be over.
                let Ok(line) = line else { return };
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self(received)
    }

    /// Waits for an event; its id and its data.
    #[track_caller]
    fn wait_for(&self, kind: &str, member: &str) -> (String, Value) {
        let (mut id, mut is_it) = (String::new(), false);
        loop {
            let line = self.0.recv_timeout(LONG);
            let line = line.unwrap_or_else(|error| panic!("{kind} of {member}: {error}"));
            if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("event: ") {
                is_it = text == kind;
            } else if let Some(text) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(text).unwrap();
                if is_it && data["member"] == member {
                    return (id, data);
                }
            }
        }
    }

    /// Whether the stream has ended.
    fn ends(&self) -> bool {
        loop {
            match self.0.recv_timeout(LONG) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return true,
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

fn member(addr: &str, name: &str) -> Value {
    let view = json(&["member", "list", "--addr", addr]);
    let members = view["members"].as_array().unwrap();
    members.iter().find(|it| it["id"] == name).cloned().unwrap_or_default()
}

#[test]
fn members_come_get_votes_give_them_up_and_go_and_all_of_it_is_told() {
    let mut cluster = Cluster::of(3);
    let node = cluster.add(Entrance::Wait);
    cluster.wait_for_log(node, "listening on");
    let (new, through) = (cluster.addr(node).to_owned(), cluster.addr(1).to_owned());
    let events = Events::of(cluster.addr(2), None);
    let to = ["--addr", through.as_str()];

    assert!(
        done(&[&["member", "add", &new, "--id", "n4", "--learner"], &to[..]].concat())
            .contains("is a member")
    );
    let (_, told) = events.wait_for("member-added", "n4");
    assert!(told["text"].as_str().unwrap().contains("stays a learner"), "{told}");
    assert!(told["index"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(member(&through, "n4")["wish"], "learner");
    // A replica for reads: linearizable ones, too.
    cluster.tell(0, &["SET", "k", "v"]);
    assert_eq!(cluster.ask::<String>(node, &["GET", "k"]), "v");
    assert_eq!(cluster.status(node).unwrap().text("/role"), "learner");

    done(&[&["member", "promote", "n4"], &to[..]].concat());
    assert_eq!(member(&through, "n4")["voter"], true);
    let (id, _) = events.wait_for("member-promoted", "n4");
    done(&[&["member", "demote", "n4"], &to[..]].concat());
    assert_eq!(member(&through, "n4")["voter"], false);
    // Who comes back is told what it has missed.
    let again = Events::of(cluster.addr(2), Some(&id));
    again.wait_for("member-demoted", "n4");

    // Also the leader can be demoted: it hands over first.
    let leader = cluster.leader();
    let name = cluster.recipe(leader).name.clone();
    done(&[&["member", "demote", &name], &to[..]].concat());
    events.wait_for("member-demoted", &name);
    assert_eq!(member(&through, &name)["voter"], false);
    assert_ne!(cluster.leader(), leader);
    done(&[&["member", "promote", &name], &to[..]].concat());
    assert_eq!(member(&through, &name)["voter"], true);

    done(&[&["member", "transfer", &name], &to[..]].concat());
    assert_eq!(cluster.leader(), leader);
    events.wait_for("leader-changed", &name);

    done(&[&["member", "remove", "n4"], &to[..]].concat());
    events.wait_for("member-removed", "n4");
    cluster.wait_for_end(node, LONG);
    cluster.wait_for_voters(3);
    assert!(
        refused(&[&["member", "remove", "n4"], &to[..]].concat())
            .contains("no member has the name")
    );
    // A node that ends tells its readers so.
    cluster.terminate(2);
    assert!(events.ends() && again.ends());
}

#[test]
fn a_dead_member_is_pointed_out_and_replaced_in_one_step_under_load() {
    let mut cluster = Cluster::of(3);
    let load = Load::start(&cluster, 2);
    load.go_on(50);
    let [through, dead] = cluster.followers()[..] else { panic!("two followers") };
    let (addr, name) = (cluster.addr(through).to_owned(), cluster.recipe(dead).name.clone());
    let events = Events::of(&addr, None);
    cluster.kill(&[dead]);
    let (_, told) = events.wait_for("member-silent", &name);
    let command = format!("quorate member replace {name} HOST:PORT");
    assert!(told["text"].as_str().unwrap().contains(&command), "{told}");
    until("the list points it out", LONG, || {
        let list = done(&["member", "list", "--addr", &addr]);
        if list.contains(&command) && list.contains("not for") { Ok(()) } else { Err(list) }
    });

    let new = cluster.add(Entrance::Wait);
    cluster.wait_for_log(new, "listening on");
    let to = cluster.addr(new).to_owned();
    done(&["member", "replace", &name, &to, "--addr", &addr]);
    until("three voters, the new one among them", LONG, || {
        let voters = cluster.status(through)?.voters();
        if voters.len() == 3 && voters.contains(&cluster.recipe(new).name) {
            Ok(())
        } else {
            Err(format!("{voters:?}"))
        }
    });
    events.wait_for("member-removed", &name);
    load.go_on(50);
    let ledger = load.stop();
    say(&ledger.summary());
    cluster.wait_for_voters(3);
    ledger.verify(&cluster);
    // What it was is over.
    cluster.restart(dead);
    cluster.wait_for_log(dead, "removed from the cluster");
    cluster.kill(&[dead]);
}

#[test]
fn a_leader_that_is_replaced_hands_over_to_the_others_first() {
    let mut cluster = Cluster::of(3);
    cluster.tell(0, &["SET", "k", "v"]);
    let leader = cluster.leader();
    let name = cluster.recipe(leader).name.clone();
    let new = cluster.add(Entrance::Wait);
    cluster.wait_for_log(new, "listening on");
    // Who is asked is who leaves: how it ended the others tell.
    let (to, addr) = (cluster.addr(new).to_owned(), cluster.addr(leader).to_owned());
    done(&["member", "replace", &name, &to, "--addr", &addr]);
    let ended = cluster.wait_for_end(leader, LONG);
    assert_eq!(ended.code(), Some(1));
    cluster.wait_for_voters(3);
    assert_eq!(cluster.ask::<String>(new, &["GET", "k"]), "v");
}

/// The state goes over as a snapshot, whatever keeps it.
#[test]
fn a_member_moves_to_the_other_engine_by_being_replaced() {
    let mut cluster = Cluster::with_flags(3, &["--engine", "memory"]);
    let load = Load::judged(&cluster, 2);
    load.go_on(50);
    let mut old = cluster.followers()[0];
    for flags in [ON_DISK, &["--engine", "memory"]] {
        let (through, name) = (cluster.leader(), cluster.recipe(old).name.clone());
        let new = cluster.add_as(Entrance::Wait, |recipe| recipe.set(flags));
        cluster.wait_for_log(new, "listening on");
        let (to, addr) = (cluster.addr(new).to_owned(), cluster.addr(through).to_owned());
        done(&["member", "replace", &name, &to, "--addr", &addr]);
        cluster.wait_for_end(old, LONG);
        cluster.wait_for_voters(3);
        load.go_on(50);
        assert_eq!(cluster.status(new).unwrap().text("/engine/kind"), flags[1]);
        old = new;
    }
    load.prove(&cluster);
}

/// Who goes has a vote until the joint configuration is left, and of two voters both are needed for that.
#[test]
fn of_two_voters_either_is_replaced_and_the_cluster_decides_on() {
    let mut cluster = Cluster::of(2);
    cluster.tell(0, &["SET", "k", "v"]);
    for leads in [false, true] {
        let (leader, follower) = (cluster.leader(), cluster.followers()[0]);
        let (old, stays) = if leads { (leader, follower) } else { (follower, leader) };
        let name = cluster.recipe(old).name.clone();
        let new = cluster.add(Entrance::Wait);
        cluster.wait_for_log(new, "listening on");
        let (to, addr) = (cluster.addr(new).to_owned(), cluster.addr(stays).to_owned());
        done(&["member", "replace", &name, &to, "--addr", &addr]);
        cluster.wait_for_end(old, LONG);
        cluster.wait_for_voters(2);
        cluster.tell(new, &["SET", &format!("after{leads}"), "v"]);
        assert_eq!(cluster.ask::<String>(stays, &["GET", "k"]), "v");
    }
}

#[test]
fn what_would_lose_the_majority_is_refused_with_the_reason_and_done_with_force() {
    let mut cluster = Cluster::of(3);
    let [dead, alive] = cluster.followers()[..] else { panic!("two followers") };
    let leader = cluster.leader();
    cluster.kill(&[dead]);
    let (dead_name, name) = (cluster.recipe(dead).name.clone(), cluster.recipe(alive).name.clone());
    until("the leader misses the dead one", LONG, || {
        let status = cluster.status(leader)?;
        if status.is_alive(&dead_name) { Err("it is called alive".to_owned()) } else { Ok(()) }
    });
    let addr = cluster.addr(leader).to_owned();
    for action in ["remove", "demote"] {
        let said = refused(&["member", action, &name, "--addr", &addr]);
        assert!(said.contains(&format!("{dead_name} can't be reached now")), "{said}");
        assert!(said.contains("... --force`") && said.contains("quorate recover"), "{said}");
    }
    // With force nothing is answered afterwards, until the dead one is back; then all goes on.
    done(&["member", "demote", &name, "--force", "--addr", &addr]);
    let (outcome, _) = cluster.try_once(leader, &["SET", "k", "v"]);
    assert!(!matches!(outcome, crate::client::Outcome::Done(_)), "{outcome:?}");
    cluster.restart(dead);
    cluster.wait_for_voters(2);
    cluster.tell(alive, &["SET", "k", "w"]);
    assert_eq!(cluster.ask::<String>(alive, &["GET", "k"]), "w");
    // The last voter can't be taken, not even with force.
    let alone = Cluster::of(1);
    let said = refused(&["member", "remove", "n1", "--force", "--addr", alone.addr(0)]);
    assert!(said.contains("last voter"), "{said}");
}

#[test]
fn a_node_that_was_started_as_a_learner_stays_one_and_does_not_count() {
    let mut cluster = Cluster::of(1);
    let first = cluster.addr(0).to_owned();
    let learner = cluster.plan(&["--join", &first, "--learner"]);
    cluster.restart(learner);
    until("the learner follows", LONG, || {
        let found = member(&first, "n2");
        if found["wish"] == "learner" && found["alive"] == true {
            Ok(())
        } else {
            Err(found.to_string())
        }
    });
    cluster.tell(0, &["SET", "k", "v"]);
    assert_eq!(cluster.ask::<String>(learner, &["GET", "k"]), "v");
    // It would have had a vote long ago; the cluster decides without it.
    cluster.restart_after_kill(learner);
    cluster.tell(0, &["SET", "k", "w"]);
    assert_eq!(member(&first, "n2")["voter"], false);
    // A write through it is forwarded.
    cluster.tell(learner, &["SET", "k", "x"]);
    assert_eq!(cluster.ask::<String>(0, &["GET", "k"]), "x");
    assert_eq!(http::get(cluster.addr(learner), "/readyz").unwrap().status, 200);
}

#[test]
fn status_can_be_watched_and_the_doctor_finds_what_is_wrong() {
    let mut cluster = Cluster::of(3);
    let addr = cluster.addr(0).to_owned();
    let mut watch = std::process::Command::new(env!("CARGO_BIN_EXE_quorate"))
        .args(["status", "--watch", "--output", "json", "--addr", &addr])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let look: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let members = look["members"].as_array().unwrap();
        assert_eq!(members.len(), 3, "{look}");
        for field in ["term", "commit", "applied", "log_bytes", "fsync_p99_us"] {
            assert!(members.iter().all(|it| it[field].as_u64() > Some(0)), "{field}: {look}");
        }
        assert_eq!(members.iter().filter(|it| it["role"] == "leader").count(), 1, "{look}");
    }
    watch.kill().unwrap();
    watch.wait().unwrap();

    let dir = cluster.dir().display().to_string();
    let findings = json(&["doctor", "--addr", &addr, "--data-dir", &dir]);
    let of = |findings: &Value, what: &str| {
        let all = findings["findings"].as_array().unwrap();
        all.iter().find(|it| it["what"].as_str().unwrap().starts_with(what)).cloned().unwrap()
    };
    for what in
        ["leader", "voters", "links", "clocks", "versions", "n1 answers", "n3 disk", "open files"]
    {
        assert_ne!(of(&findings, what)["state"], "wrong", "{findings:#}");
    }
    assert!(of(&findings, "fsync in")["found"].as_str().unwrap().contains("p99"), "{findings:#}");

    cluster.kill(&[2]);
    until("the doctor misses the third", Duration::from_secs(20), || {
        let ended = crate::quorate::run(&["doctor", "--addr", &addr]);
        let all = [&ended.out[..], &ended.err].concat();
        let found = all.contains("n3 answers")
            && all.contains("quorate member replace n3")
            && all.contains("WRONG");
        if ended.code == Some(1) && found { Ok(()) } else { Err(all) }
    });
}

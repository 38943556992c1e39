//! Nodes that found a cluster together, find each other by name, and move.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::patience::{LONG, until};
use crate::process::free_addr;
use crate::seed::Random;
use crate::tool;

/// `nodes` nodes that expect each other, none of them started.
fn expecting(nodes: usize) -> Cluster {
    let mut cluster = Cluster::empty(&[]);
    for _ in 0..nodes {
        cluster.plan(&[]);
    }
    tell_peers(&mut cluster, nodes);
    cluster
}

/// All nodes look for each other where they listen.
fn tell_peers(cluster: &mut Cluster, nodes: usize) {
    let peers = cluster.addrs().join(",");
    for node in 0..nodes {
        cluster.recipe_mut(node).flags = vec![
            "--bootstrap-expect".to_owned(),
            nodes.to_string(),
            "--peers".to_owned(),
            peers.clone(),
        ];
    }
}

fn ids(cluster: &Cluster) -> BTreeSet<String> {
    // One that has just been started may not answer yet.
    let running = cluster.running().into_iter();
    running.filter_map(|node| Some(cluster.status(node).ok()?.text("/cluster"))).collect()
}

#[test]
fn three_nodes_found_one_cluster_in_any_order_one_late_one_killed_on_the_way() {
    let mut cluster = expecting(3);
    let mut random = Random::new(cluster.seed());
    let mut order = [0, 1, 2];
    order.rotate_left(random.below(3));
    let [first, second, late] = order;
    cluster.restart(first);
    cluster.restart(second);
    cluster.wait_for_log(first, "2 of 3 nodes are there");
    let status = crate::quorate::run(&["status", "--addr", cluster.addr(first)]);
    assert!(status.out.contains("is waiting: 2 of 3 nodes are there"), "{status:?}");
    let doctor = crate::quorate::run(&["doctor", "--addr", cluster.addr(first)]);
    assert!(doctor.out.contains("2 of 3 nodes are there"), "{doctor:?}");
    assert!(!doctor.out.contains("voters") && !doctor.out.contains("cluster format"), "{doctor:?}");
    // Killed while it waits; and again as soon as the last one is there, at whatever point that is.
    cluster.restart_after_kill(second);
    cluster.wait_for_log(second, "2 of 3 nodes are there");
    assert_eq!(
        ids(&cluster),
        BTreeSet::from([String::new()]),
        "nothing happens before all are there"
    );
    cluster.restart(late);
    thread::sleep(Duration::from_millis(random.below(900) as u64));
    cluster.restart_after_kill(first);
    cluster.wait_for_voters(3);
    assert_eq!(ids(&cluster).len(), 1);
    cluster.tell(late, &["SET", "k", "v"]);
    cluster.wait_until_equal();
    let founded = ids(&cluster);

    // The same command again changes nothing; also when one has lost its directory.
    for node in 0..3 {
        cluster.kill(&[node]);
    }
    fs::remove_dir_all(&cluster.recipe(late).data_dir).unwrap();
    for node in 0..3 {
        cluster.restart(node);
    }
    cluster.wait_for_log(late, "a member is called");
    assert_eq!(cluster.status(late).unwrap().text("/role"), "waiting");
    assert_eq!(cluster.ask::<String>(first, &["GET", "k"]), "v");
    assert_eq!(cluster.status(first).unwrap().text("/cluster"), *founded.first().unwrap());
    cluster.kill(&[late]);
}

#[test]
fn founders_that_are_ready_know_where_each_other_is() {
    let mut cluster = expecting(3);
    (0..3).for_each(|node| cluster.restart(node));
    for node in 0..3 {
        until("it is ready", LONG, || {
            let ready = crate::http::get(cluster.addr(node), "/readyz");
            match ready.map(|ready| ready.status) {
                Ok(200) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        // At once, before a log entry says so.
        let status = cluster.status(node).unwrap();
        for (at, addr) in cluster.addrs().iter().enumerate() {
            assert_eq!(
                status.text(&format!("/members/{at}/addr")),
                *addr,
                "as n{} has it",
                node + 1
            );
        }
    }
    for node in 0..3 {
        let log = cluster.log_text(node);
        assert!(!log.contains("no longer at"), "nobody has moved: {log}");
    }
}

#[test]
fn a_node_too_many_is_named_and_a_later_one_joins() {
    let mut cluster = expecting(2);
    let peers = cluster.addrs().join(",");
    let third = cluster.plan(&["--bootstrap-expect", "2", "--peers", &peers]);
    cluster.restart(0);
    cluster.restart(third);
    // The third does not stand in the list, so the first sees it not; it sees the first.
    cluster.wait_for_log(third, "agreeing to found");
    cluster.restart(1);
    // Of the two that see each other first, one pair can agree; whoever is left over waits, or joins.
    until("no two clusters", LONG, || {
        let found: BTreeSet<_> = ids(&cluster).into_iter().filter(|id| !id.is_empty()).collect();
        assert!(found.len() <= 1, "{found:?}");
        let told = |node| cluster.log_text(node).contains("agreed to found a cluster with others");
        if !found.is_empty() || (0..3).any(told) { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

#[test]
fn nodes_with_different_expectations_wait_and_say_so() {
    let mut cluster = expecting(3);
    cluster.recipe_mut(2).flags[1] = "2".to_owned();
    for node in 0..3 {
        cluster.restart(node);
    }
    cluster.wait_for_log(0, "n3 expects 2 founders, this node 3");
    assert_eq!(ids(&cluster), BTreeSet::from([String::new()]));
    cluster.kill(&[2]);
    cluster.recipe_mut(2).flags[1] = "3".to_owned();
    cluster.restart(2);
    cluster.wait_for_voters(3);
}

/// What stands before a node's command so that it reads `hosts` for `/etc/hosts`.
fn with_hosts(hosts: &Path) -> Vec<String> {
    let enclosed = r#"mount --bind "$1" /etc/hosts && shift && exec "$@""#;
    let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", enclosed, "sh"];
    let hosts = hosts.display().to_string();
    words.into_iter().map(str::to_owned).chain([hosts]).collect()
}

#[test]
fn a_name_stands_for_all_nodes_and_is_looked_up_again_when_one_has_moved() {
    if !tool::is_there(&["unshare", "--map-root-user", "--mount", "true"]) {
        return;
    }
    let mut cluster = Cluster::empty(&[]);
    let hosts = cluster.dir().join("hosts");
    let write = |places: [u8; 3]| {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for (at, place) in places.into_iter().enumerate() {
            text.push_str(&format!("127.0.0.{place} peers.test n{}.test\n", at + 1));
        }
        // In place: the nodes see this file, not its name.
        fs::write(&hosts, text).unwrap();
    };
    write([2, 3, 4]);
    for place in 2..5 {
        let node = cluster.plan(&[]);
        let port = cluster.addr(0).rsplit(':').next().unwrap().to_owned();
        let wrapper = with_hosts(&hosts);
        let recipe = cluster.recipe_mut(node);
        recipe.addr = format!("127.0.0.{place}:{port}");
        recipe.wrapper = wrapper;
        let (name, peers) = (format!("{}.test:{port}", recipe.name), format!("peers.test:{port}"));
        let flags = ["--bootstrap-expect", "3", "--peers", &peers, "--advertise", &name];
        recipe.flags = flags.map(str::to_owned).to_vec();
        cluster.restart(node);
    }
    cluster.wait_for_voters(3);
    assert_eq!(ids(&cluster).len(), 1);
    cluster.tell(0, &["SET", "k", "v"]);

    // The third gets another address under its name.
    let ended = cluster.terminate(2);
    assert_eq!(ended.code(), Some(0));
    write([2, 3, 5]);
    let recipe = cluster.recipe_mut(2);
    recipe.addr = recipe.addr.replace("127.0.0.4", "127.0.0.5");
    cluster.restart(2);
    until("the others reach it where it is now", LONG, || {
        let status = cluster.status(cluster.leader())?;
        if status.is_alive("n3") { Ok(()) } else { Err("it is called silent".to_owned()) }
    });
    cluster.tell(0, &["SET", "k", "w"]);
    assert_eq!(cluster.ask::<String>(2, &["GET", "k"]), "w");
    cluster.wait_until_equal();
}

fn move_elsewhere(cluster: &mut Cluster, node: usize, random: &mut Random) {
    cluster.recipe_mut(node).addr = free_addr(random);
}

#[test]
fn one_member_that_moved_and_then_all_at_once_are_the_same_cluster() {
    let mut cluster = expecting(3);
    let mut random = Random::new(cluster.seed() ^ 1);
    (0..3).for_each(|node| cluster.restart(node));
    cluster.wait_for_voters(3);
    cluster.tell(0, &["SET", "k", "v"]);
    let founded = ids(&cluster);

    // One moves, and the others are told nothing.
    cluster.terminate(1);
    move_elsewhere(&mut cluster, 1, &mut random);
    cluster.restart(1);
    let stands_there = |cluster: &Cluster, node: usize| {
        let (name, addr) = (cluster.recipe(node).name.clone(), cluster.addr(node).to_owned());
        until(&format!("{name} stands in the table with {addr}"), LONG, || {
            let status = cluster.status(cluster.leader())?;
            let member = status.member(&name).cloned().unwrap_or_default();
            if member["addr"] == addr && member["alive"] == true {
                Ok(())
            } else {
                Err(member.to_string())
            }
        });
    };
    stands_there(&cluster, 1);
    cluster.wait_for_voters(3);

    // All move at once: they have each other's new addresses from --peers.
    (0..3).for_each(|node| cluster.kill(&[node]));
    (0..3).for_each(|node| move_elsewhere(&mut cluster, node, &mut random));
    tell_peers(&mut cluster, 3);
    (0..3).for_each(|node| cluster.restart(node));
    cluster.wait_for_voters(3);
    (0..3).for_each(|node| stands_there(&cluster, node));
    assert_eq!(ids(&cluster), founded);
    assert_eq!(cluster.ask::<String>(2, &["GET", "k"]), "v");

    // And once more, when one of them alone is told of one other: that is enough.
    (0..3).for_each(|node| cluster.kill(&[node]));
    (0..3).for_each(|node| move_elsewhere(&mut cluster, node, &mut random));
    let second = cluster.addr(1).to_owned();
    cluster.recipe_mut(0).flags = vec!["--peers".to_owned(), second.clone()];
    cluster.recipe_mut(1).flags = Vec::new();
    cluster.recipe_mut(2).flags = vec!["--peers".to_owned(), second];
    (0..3).for_each(|node| cluster.restart(node));
    (0..3).for_each(|node| stands_there(&cluster, node));
    cluster.tell(2, &["SET", "k", "w"]);
    cluster.wait_until_equal();
}

/// A gate on another port that passes bytes on to a node while it is open: as a router does that
/// translates addresses.
struct Gate {
    addr: String,
    is_open: Arc<AtomicBool>,
}

impl Gate {
    fn to(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let is_open = Arc::new(AtomicBool::new(true));
        let (node, open) = (node.to_owned(), Arc::clone(&is_open));
        thread::spawn(move || {
            for inside in listener.incoming() {
                let Ok(client) = inside else { return };
                let Ok(server) = TcpStream::connect(&node) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let open = Arc::clone(&open);
                    thread::spawn(move || pass(from, to, &open));
                }
            }
        });
        Self { addr, is_open }
    }
}

/// Passes bytes on until either side ends, or the gate is shut.
fn pass(mut from: TcpStream, mut to: TcpStream, open: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    while open.load(Ordering::Relaxed) {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    // The other direction ends with it.
    drop(from.shutdown(std::net::Shutdown::Both));
    drop(to.shutdown(std::net::Shutdown::Both));
}

#[test]
fn a_node_behind_address_translation_is_reached_at_what_it_advertises() {
    let mut cluster = Cluster::of(1);
    let first = cluster.addr(0).to_owned();
    let node = cluster.plan(&["--join", &first]);
    let gate = Gate::to(cluster.addr(node));
    cluster.recipe_mut(node).flags.extend(["--advertise".to_owned(), gate.addr.clone()]);
    cluster.restart(node);
    cluster.wait_for_voters(2);
    let status = cluster.status(0).unwrap();
    assert_eq!(status.member("n2").unwrap()["addr"], gate.addr);
    cluster.tell(0, &["SET", "k", "v"]);
    assert_eq!(cluster.ask::<String>(node, &["GET", "k"]), "v");
    // It is reached that way and no other.
    gate.is_open.store(false, Ordering::Relaxed);
    until("without the gate it is not reached", LONG, || {
        let status = cluster.status(0)?;
        if status.is_alive("n2") { Err("it is".to_owned()) } else { Ok(()) }
    });
}

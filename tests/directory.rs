//! The data directory: one process at a time, one name for life.

use std::fs;

use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, say};
use crate::process::Recipe;
use crate::writer::Load;

/// Starts `recipe`, which must be refused; why it was.
fn refused(mut recipe: Recipe, log: &str) -> String {
    recipe.log = recipe.log.with_extension(format!("{log}.log"));
    let ended = recipe.start().wait(LONG);
    let text = recipe.log_text();
    assert!(matches!(ended.code(), Some(code) if code > 0), "{ended}: {text}");
    say(&format!("refused with {:?}: {}", ended.code(), text.trim()));
    text
}

#[test]
fn a_second_process_on_a_directory_is_refused_and_harms_nothing() {
    let mut cluster = Cluster::of(3);
    let load = Load::start(&cluster, 2);
    load.go_on(20);
    for node in cluster.running() {
        let mut second = cluster.recipe(node).clone();
        "127.0.0.1:0".clone_into(&mut second.addr);
        let text = refused(second, "second");
        assert!(text.contains("in use by another process"), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    load.go_on(20);
    let ledger = load.stop();
    ledger.verify(&cluster);
    let everybody = cluster.running();
    cluster.kill(&everybody);
    everybody.iter().for_each(|&node| cluster.restart(node));
    cluster.wait_until_ready();
    ledger.verify(&cluster);
}

#[test]
fn a_second_process_on_a_port_is_refused_before_it_touches_its_directory() {
    let cluster = Cluster::of(1);
    let mut second = cluster.recipe(0).clone();
    second.data_dir = second.data_dir.with_extension("other");
    let text = refused(second.clone(), "second");
    assert!(text.contains(cluster.addr(0)) && text.contains("--listen"), "{text}");
    assert!(!second.data_dir.exists(), "it made a directory");
}

#[test]
fn a_directory_of_another_node_or_program_is_refused_and_left_alone() {
    let mut cluster = Cluster::of(1);
    cluster.tell(0, &["SET", "k", "v"]);
    assert_eq!(cluster.terminate(0).code(), Some(0));
    let mut other = cluster.recipe(0).clone();
    other.name = "somebody-else".to_owned();
    let text = refused(other, "other");
    assert!(text.contains("belongs to node \"n1\""), "{text}");

    let mut foreign = cluster.recipe(0).clone();
    foreign.data_dir = foreign.data_dir.with_extension("foreign");
    fs::create_dir(&foreign.data_dir).unwrap();
    fs::write(foreign.data_dir.join("thesis.txt"), "mine").unwrap();
    let text = refused(foreign.clone(), "foreign");
    assert!(text.contains("not a Quorate data directory"), "{text}");
    let files: Vec<_> =
        fs::read_dir(&foreign.data_dir).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["thesis.txt"]);

    cluster.restart(0);
    cluster.wait_until_ready();
    assert_eq!(cluster.ask::<String>(0, &["GET", "k"]), "v");
}

#[test]
fn a_flag_to_found_a_cluster_founds_no_second_one_at_a_restart() {
    let mut cluster = Cluster::of(3);
    let name = cluster.status(0).unwrap().text("/cluster");
    cluster.tell(0, &["SET", "k", "v"]);
    // Node 0 has --bootstrap, the others --join, in all their lives.
    for node in cluster.running() {
        cluster.kill(&[node]);
        cluster.restart(node);
        cluster.wait_until_ready();
        assert_eq!(cluster.status(node).unwrap().text("/cluster"), name);
        assert_eq!(cluster.ask::<String>(node, &["GET", "k"]), "v");
    }
    // A late node that is told to found one does, and stays apart.
    let apart = cluster.add(Entrance::Bootstrap);
    cluster.wait_for_log(apart, "founded a cluster");
    assert_eq!(cluster.ask::<Option<String>>(apart, &["GET", "k"]), None);
    assert_ne!(cluster.status(apart).unwrap().text("/cluster"), name);
}

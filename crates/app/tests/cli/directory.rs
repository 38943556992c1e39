//! Data directories and ports that can't be had: an error, exit code 1, and nothing touched.

use std::collections::BTreeMap;
use std::path::Path;

use crate::process::{Ended, Node, quorate, run_command};

/// Every file below `dir` with its content.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    files
}

/// Starts a node that must not start.
fn refused(id: &str, addr: &str, dir: &Path) -> Ended {
    let mut command = quorate();
    command.args(["serve", "--bootstrap", "--id", id, "--listen", addr, "--data-dir"]).arg(dir);
    let ended = run_command(&mut command);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ended
}

#[test]
fn a_taken_port_leaves_the_directory_alone() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let ended = refused("n1", &addr, &dir.path().join("new"));
    assert!(ended.err.contains(&format!("can't listen on {addr}")), "{}", ended.err);
    assert!(!dir.path().join("new").exists());
}

#[test]
fn a_foreign_directory_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let before = content(dir.path());
    let ended = refused("n1", "127.0.0.1:0", dir.path());
    assert!(ended.err.contains("not a Quorate data directory"), "{}", ended.err);
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_file_is_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("thesis.txt");
    std::fs::write(&file, "years of work").unwrap();
    for place in [file.clone(), file.join("below")] {
        let ended = refused("n1", "127.0.0.1:0", &place);
        assert!(ended.err.contains("thesis.txt"), "{}", ended.err);
        assert!(ended.err.contains(" is a file; give a directory"), "{}", ended.err);
    }
}

#[test]
fn a_lost_identity_beside_a_log_is_damage_and_no_foreign_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), &["--bootstrap"]);
    assert_eq!(node.process.terminate(), Some(0), "{}", node.process.text());
    let identity = dir.path().join("identity");
    for (spoil, what) in [
        (&(|| std::fs::write(&identity, "").unwrap()) as &dyn Fn(), "its 0 bytes do not begin"),
        (&|| std::fs::remove_file(&identity).unwrap(), "it is missing, beside a log"),
    ] {
        spoil();
        let before = content(dir.path());
        let ended = refused("n1", "127.0.0.1:0", dir.path());
        assert!(ended.err.contains("/identity is damaged"), "{}", ended.err);
        assert!(ended.err.contains(what), "{}", ended.err);
        assert!(!ended.err.contains("not a Quorate data directory"), "{}", ended.err);
        assert_eq!(content(dir.path()), before);
    }
}

#[test]
fn what_is_missing_of_a_log_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), &["--bootstrap"]);
    assert_eq!(node.process.terminate(), Some(0), "{}", node.process.text());
    let log = dir.path().join("log");
    std::fs::remove_file(log.join("manifest")).unwrap();
    let ended = refused("n1", "127.0.0.1:0", dir.path());
    assert!(ended.err.contains("/log/manifest is gone"), "{}", ended.err);
    std::fs::remove_dir_all(&log).unwrap();
    let ended = refused("n1", "127.0.0.1:0", dir.path());
    assert!(ended.err.contains("/log is gone"), "{}", ended.err);
}

#[test]
fn a_directory_of_a_newer_version_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lock"), "").unwrap();
    std::fs::write(dir.path().join("identity"), b"QUORNODE\x63what this means is not known yet")
        .unwrap();
    let before = content(dir.path());
    let ended = refused("n1", "127.0.0.1:0", dir.path());
    assert!(ended.err.contains("has format 99"), "{}", ended.err);
    assert_eq!(content(dir.path()), before);
}

#[test]
fn a_directory_in_use_is_refused_and_its_user_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("n1");
    let node = Node::start(&data, &["--bootstrap"]);
    assert_eq!(node.ask("SET k v"), "+OK");
    let ended = refused("n1", "127.0.0.1:0", &data);
    assert!(ended.err.contains("in use by another process"), "{}", ended.err);
    assert_eq!(node.ask("GET k"), "v");
}

#[test]
fn a_second_start_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("n1");
    let mut node = Node::start(&data, &["--bootstrap"]);
    assert_eq!(node.ask("SET k v"), "+OK");
    assert_eq!(node.process.terminate(), Some(0), "{}", node.process.text());
    // How a node comes in does not matter any more; what it is called does.
    let node = Node::start(&data, &["--join", "127.0.0.1:1"]);
    assert_eq!(node.ask("GET k"), "v");
    drop(node);
    let ended = refused("n2", "127.0.0.1:0", &data);
    assert!(ended.err.contains("belongs to node \"n1\""), "{}", ended.err);
}

//! How a node ends: with 0 when it is asked to.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::process::Signal;

use crate::process::{Node, quorate};

#[test]
fn sigterm_and_sigint_end_a_node_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Node::start(&dir.path().join("n1"), &["--bootstrap"]);
        assert_eq!(node.ask("SET k v"), "+OK");
        node.process.signal(signal);
        assert_eq!(node.process.wait(), Some(0), "{}", node.process.text());
        assert!(node.process.text().contains("shut down"), "{}", node.process.text());
    }
}

#[test]
fn a_waiting_node_ends_with_0_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(&dir.path().join("n1"), &[]);
    assert_eq!(node.process.terminate(), Some(0), "{}", node.process.text());
}

#[test]
fn a_node_may_end_with_its_standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("n1");
    let mut command = quorate();
    command.args([
        "serve",
        "--id",
        "n1",
        "--listen",
        "127.0.0.1:0",
        "--bootstrap",
        "--stop-on-eof",
    ]);
    command.arg("--data-dir").arg(&data).stdin(Stdio::piped());
    let mut node = Node::start_command(&mut command, &data);
    assert_eq!(node.ask("SET k v"), "+OK");
    node.process.close_stdin();
    assert_eq!(node.process.wait(), Some(0), "{}", node.process.text());
}

#[test]
fn a_second_signal_ends_a_node_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(&dir.path().join("n1"), &["--bootstrap"]);
    assert_eq!(node.ask("SET k v"), "+OK");
    // For replicas that never come: a client that keeps a shutdown waiting.
    let mut client = std::net::TcpStream::connect(&node.addr).unwrap();
    client.write_all(b"PING\r\nWAIT 5 0\r\n").unwrap();
    let mut pong = [0; 7];
    client.read_exact(&mut pong).unwrap();
    node.process.signal(Signal::TERM);
    node.process.says("a second one ends this process at once");
    node.process.signal(Signal::INT);
    assert_eq!(node.process.wait(), Some(130), "{}", node.process.text());
}

#[test]
fn sighup_puts_the_log_level_of_the_file_into_force() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("q.toml");
    std::fs::write(&config, "log-level = \"info\"\n").unwrap();
    let config_arg = config.display().to_string();
    let mut node = Node::start(&dir.path().join("n1"), &["--bootstrap", "--config", &config_arg]);
    std::fs::write(&config, "log-level = \"warning\"\n").unwrap();
    node.process.signal(Signal::HUP);
    node.process.says("SIGHUP: nothing was changed: log-level in ");
    std::fs::write(&config, "log-level = \"info,quorate=debug\"\n").unwrap();
    node.process.signal(Signal::HUP);
    node.process.says("the log level is info,quorate=debug");
    std::fs::write(&config, "log-level = \"error\"\n").unwrap();
    node.process.signal(Signal::HUP);
    // It is in force before it could be told of: the end of the node is not told either.
    assert_eq!(node.ask("SET k v"), "+OK");
    assert_eq!(node.process.terminate(), Some(0), "{}", node.process.text());
}

#[test]
fn logs_may_be_objects() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(&dir.path().join("n1"), &["--bootstrap", "--log-format", "json"]);
    assert_eq!(node.process.terminate(), Some(0));
    for line in node.process.text().lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["message"].is_string() && object["level"].is_string(), "{line}");
    }
}

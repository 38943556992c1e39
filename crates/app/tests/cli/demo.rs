//! The demo: three processes, told about, stopped together, resumed.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Process, ask, quorate, until};

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first of three free ports in a row, outside of the range from which the system gives ports to
/// everybody else.
fn free_ports() -> u16 {
    let from = 10_000 + u16::try_from(std::process::id() % 2_000).unwrap() * 8;
    (from..32_000).step_by(8).find(|port| (0..3).all(|at| is_free(port + at))).unwrap()
}

fn start(dir: &Path, port: u16, log: &str) -> Process {
    let mut command = quorate();
    command.args(["demo", "--port", &port.to_string(), "--dir"]).arg(dir.join("demo"));
    Process::start(&mut command, dir.join(log))
}

/// The process that the invitation names as the leader's.
fn leader(text: &str) -> Pid {
    let pid = text.split("kill -9 ").nth(1).and_then(|rest| rest.split_whitespace().next());
    Pid::from_raw(pid.unwrap().parse().unwrap()).unwrap()
}

#[test]
fn a_demo_starts_survives_its_leader_and_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_ports();
    let mut demo = start(dir.path(), port, "first.log");
    let text = demo.says("Ctrl-C stops all nodes");
    assert!(text.contains("Starting 3 nodes"), "{text}");
    for words in ["n1", "n2", "n3", "leader", "redis-cli -p", "curl ", " status --addr "] {
        assert!(text.contains(words), "{text}");
    }
    let addr = |at: u16| format!("127.0.0.1:{}", port + at);
    until("a write", || ask(&addr(0), "SET k v").filter(|reply| reply == "+OK"));
    kill_process(leader(&text), Signal::KILL).unwrap();
    let text = demo.says("is leader now");
    assert!(
        text.contains("was killed by signal 9") && text.contains("to start it again:"),
        "{text}"
    );
    assert_eq!(demo.terminate(), Some(0), "{}", demo.text());
    assert!((0..3).all(|at| is_free(port + at)), "a node is left behind");

    let mut demo = start(dir.path(), port, "second.log");
    let text = demo.says("Ctrl-C stops all nodes");
    assert!(text.contains("Resuming 3 nodes"), "{text}");
    until("the read", || ask(&addr(2), "GET k").filter(|reply| reply == "v"));
    // Killed, it can't stop its nodes; they see it and end by themselves.
    demo.signal(Signal::KILL);
    demo.wait();
    until("the nodes end", || (0..3).all(|at| is_free(port + at)).then_some(()));
}

//! redis-cli and redis-benchmark, as everybody has them, against the leader and a follower.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::patience::measured;
use crate::tool;

const LIMIT: Duration = Duration::from_secs(90);

fn port(cluster: &Cluster, node: usize) -> String {
    cluster.addr(node).rsplit(':').next().unwrap().to_owned()
}

/// What redis-cli prints for a command, or for `input` without one.
fn cli(cluster: &Cluster, node: usize, words: &[&str], input: &str) -> String {
    let port = port(cluster, node);
    let mut command = vec!["redis-cli", "-p", &port];
    command.extend_from_slice(words);
    tool::output_of(&command, input, LIMIT)
}

/// The leader and a follower.
fn both(cluster: &Cluster) -> [usize; 2] {
    [cluster.leader(), cluster.followers()[0]]
}

#[test]
fn redis_cli_sets_gets_and_scans_on_any_node() {
    if !tool::is_there(&["redis-cli", "--version"]) {
        return;
    }
    let cluster = Cluster::of(3);
    for node in both(&cluster) {
        let cli = |words: &[&str]| cli(&cluster, node, words, "");
        let key = format!("k{node}");
        assert_eq!(cli(&["PING"]), "PONG\n");
        assert_eq!(cli(&["SET", &key, "a value\r\nof two lines"]), "OK\n");
        assert_eq!(cli(&["GET", &key]), "a value\r\nof two lines\n");
        assert_eq!(cli(&["GET", "missing"]), "\n");
        assert_eq!(cli(&["-3", "GET", &key]), "a value\r\nof two lines\n");
        assert_eq!(cli(&["INCR", &format!("n{node}")]), "1\n");
        assert_eq!(cli(&["DEL", &format!("n{node}"), "missing"]), "1\n");
        for step in 0..30 {
            cli(&["SET", &format!("scan{node}:{step}"), "v"]);
        }
        let scanned = cli(&["--scan", "--pattern", &format!("scan{node}:*")]);
        let mut keys: Vec<_> = scanned.lines().collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 30, "{scanned}");
        let wrong = cli(&["SET", "only-a-key"]);
        assert!(wrong.contains("ERR wrong number of arguments"), "{wrong}");
    }
}

#[test]
fn redis_cli_runs_transactions_and_asks_for_docs_in_its_shell() {
    if !tool::is_there(&["redis-cli", "--version"]) {
        return;
    }
    let cluster = Cluster::of(3);
    for node in both(&cluster) {
        for protocol in ["-2", "-3"] {
            let key = format!("n{node}{protocol}");
            // Without a command it is a shell, which asks COMMAND DOCS first and knows `help` from it.
            let script = format!(
                "help get\nMULTI\nSET {key} 41\nINCR {key}\nEXEC\nMULTI\nSET {key} 0\nDISCARD\nGET {key}\n"
            );
            let said = cli(&cluster, node, &[protocol], &script);
            assert!(said.contains("Returns the string value of a key."), "{said}");
            let words: Vec<_> = said.split_whitespace().collect();
            let transactions = "OK QUEUED QUEUED OK 42 OK QUEUED OK 42";
            assert!(words.join(" ").ends_with(transactions), "{said}");
        }
        let docs = cli(&cluster, node, &["COMMAND", "DOCS", "SET"], "");
        assert!(docs.contains("summary"), "{docs}");
        let refused = cli(&cluster, node, &[], "WATCH w\nMULTI\nNONSENSE\nEXEC\n");
        assert!(refused.contains("EXECABORT"), "{refused}");
    }
}

#[test]
fn redis_benchmark_meets_no_error_on_the_leader_and_on_a_follower() {
    if !tool::is_there(&["redis-benchmark", "--version"]) {
        return;
    }
    let cluster = Cluster::of(3);
    for (role, node) in ["leader", "follower"].into_iter().zip(both(&cluster)) {
        let port = port(&cluster, node);
        let line = "-t set,get,incr,mset -n 20000 -c 50 -P 16 -q -r 1000";
        let mut command = vec!["redis-benchmark", "-p", &port];
        command.extend(line.split(' '));
        let started = Instant::now();
        let said = tool::output_of(&command, "", LIMIT);
        measured(&format!("redis-benchmark {line}, {role}"), &started.elapsed());
        assert!(!said.to_lowercase().contains("error"), "{said}");
        for test in ["SET", "GET", "INCR", "MSET"] {
            let done = said
                .split(['\r', '\n'])
                .any(|line| line.starts_with(test) && line.contains("requests per second"));
            assert!(done, "no result of {test}:\n{said}");
        }
        for line in said.split(['\r', '\n']).filter(|line| line.contains("per second")) {
            crate::patience::say(&format!("  {role}: {line}"));
        }
    }
    cluster.wait_until_equal();
    let keys: i64 = cluster.ask(0, &["DBSIZE"]);
    assert!(keys > 0, "nothing was written");
}

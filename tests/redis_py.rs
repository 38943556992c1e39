//! redis-py: its default protocol and RESP2, pipelines, WATCH; the script stands beside this file.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::tool;

const SCRIPT: &str = include_str!("redis_py.py");
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn redis_py_speaks_both_protocols_pipelines_and_transactions() {
    if !tool::is_there(&["python3", "-c", "import redis"]) {
        return;
    }
    let cluster = Cluster::of(3);
    let (leader, follower) = (cluster.leader(), cluster.followers()[0]);
    for [first, second] in [[leader, follower], [follower, leader]] {
        let (first, second) = (cluster.addr(first), cluster.addr(second));
        let said = tool::output_of(&["python3", "-c", SCRIPT, first, second], "", LIMIT);
        assert!(said.ends_with("all is well\n"), "{said}");
    }
    cluster.wait_until_equal();
}

//! WAIT: how many members have what a client has written, whichever node it asks.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::patience::LONG;

fn connect(cluster: &Cluster, node: usize) -> redis::Connection {
    let client = redis::Client::open(format!("redis://{}/", cluster.addr(node))).unwrap();
    let connection = client.get_connection().unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    connection
}

fn wait(connection: &mut redis::Connection, replicas: u64, limit: Duration) -> u64 {
    let millis = u64::try_from(limit.as_millis()).unwrap();
    redis::cmd("SET").arg("k").arg("v").exec(connection).unwrap();
    redis::cmd("WAIT").arg(replicas).arg(millis).query(connection).unwrap()
}

#[test]
fn every_node_counts_all_members_that_have_a_write() {
    let mut cluster = Cluster::of(3);
    let [_, gone] = cluster.followers()[..] else { panic!("two followers") };
    for node in cluster.running() {
        let mut connection = connect(&cluster, node);
        // Without a limit of time: who never counted the other follower waited for good.
        assert_eq!(wait(&mut connection, 2, Duration::ZERO), 2, "node {node}");
        let in_block: (u64,) =
            redis::pipe().atomic().cmd("WAIT").arg(2).arg(0).query(&mut connection).unwrap();
        assert_eq!(in_block, (2,), "node {node}, in a block");
    }
    cluster.kill(&[gone]);
    for node in cluster.running() {
        let mut connection = connect(&cluster, node);
        assert_eq!(wait(&mut connection, 2, Duration::from_millis(300)), 1, "node {node}");
    }
    cluster.restart(gone);
    for node in cluster.running() {
        assert_eq!(wait(&mut connect(&cluster, node), 2, LONG), 2, "node {node}");
    }
}

//! Clusters within the process live through what happens to them.

use std::time::Duration;

use super::{LONG, run};
use crate::ErrorKind;
use crate::testkit::Cluster;

#[test]
fn a_minority_that_is_cut_off_answers_nothing_that_may_be_old() {
    run(async {
        let cluster = Cluster::start(3).await.unwrap();
        let leader = cluster.leader().await.unwrap();
        let other = cluster.names().find(|name| *name != leader).unwrap().to_owned();
        cluster.store(&other).set("k", "old").await.unwrap();
        cluster.partition(&[&leader]);
        cluster.store(&other).timeout(LONG).set("k", "new").await.unwrap();
        let cut_off = cluster.store(&leader).timeout(Duration::from_secs(2));
        let error = cut_off.get("k").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotApplied, "{error}");
        assert!(cut_off.set("k", "lost?").await.is_err());
        assert_ne!(cluster.leader().await.unwrap(), leader);
        cluster.heal();
        cluster.caught_up().await.unwrap();
        let found = cut_off.timeout(LONG).get("k").await.unwrap().unwrap();
        assert!(found == "new" || found == "lost?", "{found:?}");
    });
}

#[test]
fn a_one_way_cut_does_not_keep_the_rest_from_writing() {
    run(async {
        let cluster = Cluster::start(3).await.unwrap();
        let leader = cluster.leader().await.unwrap();
        let others: Vec<&str> = cluster.names().filter(|name| *name != leader).collect();
        cluster.network().cut_one_way(&leader, others[0]);
        cluster.store(others[1]).timeout(LONG).set("k", "v").await.unwrap();
        // Who can't hear the leader knows of no answer, and gives none.
        let deaf = cluster.store(others[0]).timeout(Duration::from_secs(1));
        assert!(deaf.get("k").await.is_err());
        cluster.heal();
        cluster.caught_up().await.unwrap();
        assert_eq!(deaf.timeout(LONG).get("k").await.unwrap().unwrap(), "v");
    });
}

#[test]
fn all_nodes_die_and_everything_acknowledged_comes_back() {
    run(async {
        let mut cluster = Cluster::start(3).await.unwrap();
        for n in 0..20 {
            cluster.store("n2").set(format!("k{n}"), n.to_string()).await.unwrap();
        }
        let names: Vec<String> = cluster.names().map(str::to_owned).collect();
        names.iter().for_each(|name| cluster.kill(name));
        for name in &names {
            cluster.restart(name).await.unwrap();
        }
        assert_eq!(cluster.store("n3").timeout(LONG).scan("k").collect().await.unwrap().len(), 20);
    });
}

#[test]
fn a_leader_that_is_shut_down_hands_over() {
    run(async {
        let mut cluster = Cluster::start(3).await.unwrap();
        let leader = cluster.leader().await.unwrap();
        cluster.shut_down(&leader).await.unwrap();
        let next = cluster.leader().await.unwrap();
        assert_ne!(next, leader);
        cluster.store(&next).set("k", "v").await.unwrap();
        cluster.restart(&leader).await.unwrap();
        cluster.caught_up().await.unwrap();
        assert_eq!(cluster.store(&leader).get("k").await.unwrap().unwrap(), "v");
    });
}

#[test]
fn nodes_of_a_cluster_may_differ_from_the_usual() {
    run(async {
        let start = Cluster::start_with(1, |builder| {
            builder.configure(|config| config.node.max_memory_bytes = 1)
        });
        let cluster = start.await.unwrap();
        let store = cluster.store("n1");
        store.wait_until(|status| status.max_memory_bytes == 1).await.unwrap();
        let mut outcome = Ok(());
        for n in 0..1000 {
            outcome = store.set(format!("k{n}"), "v").await.map(|_| ());
            if outcome.is_err() {
                break;
            }
        }
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Rejected);
    });
}

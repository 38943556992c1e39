//! Errors are kinds, and tell the truth.

use std::time::Duration;

use super::{LONG, alone, run};
use crate::testkit::Cluster;
use crate::{Builder, Consistency, ErrorKind, OpenError, Transaction};

#[test]
fn a_call_that_breaks_a_rule_goes_nowhere() {
    run(async {
        let node = alone().await;
        let store = node.store();
        let before = store.status().await.unwrap().log_last;
        let zero = Duration::from_micros(1);
        let kinds = [
            store.command(["PING"]).await.unwrap_err(),
            store.command(["NOSUCH", "x"]).await.unwrap_err(),
            store.command(["KV.GET", "x"]).await.unwrap_err(),
            store.command(["GET"]).await.unwrap_err(),
            store.command(Vec::<String>::new()).await.unwrap_err(),
            store.database(16).get("k").await.unwrap_err(),
            store.expire("k", zero).await.unwrap_err(),
            store.idempotency_key("").set("k", "v").await.unwrap_err(),
            store.idempotency_key(vec![0; 256]).set("k", "v").await.unwrap_err(),
            store.watch(Vec::<String>::new()).await.unwrap_err(),
            store.transaction(Transaction::new().command(["MULTI"])).await.unwrap_err(),
            store.transaction(Transaction::new().expire("k", zero)).await.unwrap_err(),
        ]
        .map(|error| error.kind());
        assert_eq!(kinds, [ErrorKind::Invalid; 12]);
        assert_eq!(store.status().await.unwrap().log_last, before);
    });
}

#[test]
fn what_the_cluster_refuses_is_rejected_and_changes_nothing() {
    run(async {
        let node = alone().await;
        let store = node.store();
        store.set("text", "no number").await.unwrap();
        let error = store.increment("text", 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(!error.is_safe_to_retry());
        assert!(error.to_string().contains("not an integer"), "{error}");
        assert_eq!(store.set(vec![0; 70_000], "v").await.unwrap_err().kind(), ErrorKind::Rejected);
        assert_eq!(store.remove_member("n9").await.unwrap_err().kind(), ErrorKind::Rejected);
        assert_eq!(store.get("text").await.unwrap().unwrap(), "no number");
    });
}

#[test]
fn calls_on_an_ended_node_say_that_it_has_stopped() {
    run(async {
        let node = alone().await;
        let store = node.store();
        node.shutdown().await.unwrap();
        let error = store.set("k", "v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert!(error.to_string().contains("shut down"), "{error}");
        assert_eq!(store.status().await.unwrap_err().kind(), ErrorKind::Stopped);
        let node = alone().await;
        let store = node.store();
        drop(node);
        let error = store.get("k").await.unwrap_err();
        assert!(error.to_string().contains("dropped"), "{error}");
    });
}

#[test]
fn without_a_majority_nothing_is_applied_and_only_stale_reads_go_on() {
    run(async {
        let mut cluster = Cluster::start(3).await.unwrap();
        let store = cluster.store("n1").timeout(Duration::from_secs(2));
        store.set("k", "v").await.unwrap();
        cluster.caught_up().await.unwrap();
        cluster.kill("n2");
        cluster.kill("n3");
        store.timeout(LONG).wait_until(|status| status.leader == 0).await.unwrap();
        let error = store.set("k", "w").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotApplied, "{error}");
        assert!(error.is_safe_to_retry());
        assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::NotApplied);
        let stale = store.consistency(Consistency::Stale { max_staleness: None });
        assert_eq!(stale.get("k").await.unwrap().unwrap(), "v");
        cluster.restart("n2").await.unwrap();
        assert_eq!(store.timeout(LONG).get("k").await.unwrap().unwrap(), "v");
    });
}

#[test]
fn a_wait_for_what_does_not_come_ends_with_the_timeout() {
    run(async {
        let node = alone().await;
        let store = node.store().timeout(Duration::from_millis(20));
        let error = store.wait_until(|status| status.members.len() == 9).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotApplied);
    });
}

#[test]
fn a_node_that_can_not_start_says_why_and_leaves_nothing() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let builder = |name: &str| Builder::new(name).data_dir(dir.path().join("n"));
        let node = builder("n1").start().await.unwrap();
        let locked = builder("n1").start().await.unwrap_err();
        assert!(matches!(locked, OpenError::Serve(_)), "{locked}");
        assert!(locked.to_string().contains("in use by another process"), "{locked}");
        node.shutdown().await.unwrap();
        let other = builder("n2").start().await.unwrap_err().to_string();
        assert!(other.contains("belongs to node \"n1\""), "{other}");
        builder("n1").start().await.unwrap();
        let port = Builder::new("n3").listen("127.0.0.1:0").start().await.unwrap();
        let taken = Builder::new("n4").listen(port.addrs()[0].clone()).start().await.unwrap_err();
        assert!(taken.to_string().contains("can't listen"), "{taken}");
        let nowhere = Builder::new("n5").join(["n1:7400"]).start().await.unwrap_err();
        assert!(matches!(nowhere, OpenError::Invalid(_)), "{nowhere}");
        let network = crate::Network::new();
        let colon = Builder::new("n:5").network(&network).start().await.unwrap_err();
        assert!(matches!(colon, OpenError::Invalid(_)), "{colon}");
        let lonely = Builder::new("n6").network(&network).join(["n7"]);
        let lonely = lonely.join_time(Duration::from_millis(50)).start().await.unwrap_err();
        assert!(matches!(lonely, OpenError::NotJoined { .. }), "{lonely}");
        assert!(lonely.to_string().contains("it is waiting: n7:7400"), "{lonely}");
    });
}

#[test]
fn what_the_binary_refuses_to_run_is_refused_here_too() {
    run(async {
        let long = "n".repeat(65);
        for name in ["", "a b", "n/1", &long] {
            let error = Builder::new(name).start().await.unwrap_err();
            assert!(matches!(error, OpenError::Invalid(_)), "{name:?}: {error}");
        }
        let open = || Builder::new("n1").listen("0.0.0.0:0").bootstrap();
        let refusal = async |builder: Builder| builder.start().await.unwrap_err().to_string();
        let advertised = || open().advertise("localhost:7400");
        assert!(refusal(advertised()).await.contains("give a password and a cluster_secret; or"));
        assert!(refusal(advertised().password("x")).await.contains("give a cluster_secret; or"));
        assert!(refusal(open().insecure()).await.contains("say with advertise"));
        let unclear = Builder::new("n1").listen("7400");
        assert!(refusal(unclear).await.contains("listen is \"7400\": the port is missing"));
        let nowhere = Builder::new("n1").listen("127.0.0.1:0").join(["n2:0"]);
        assert!(refusal(nowhere).await.contains("join is \"n2:0\": port 0 can't be connected to"));
        let network = crate::Network::new();
        let peers_elsewhere = open().network(&network).insecure().advertise("localhost:7400");
        peers_elsewhere.start().await.unwrap();
        open().insecure().advertise("localhost:7400").start().await.unwrap();
    });
}

#[test]
fn what_is_configured_stands_whatever_else_is_said() {
    let builder = Builder::new("n1").configure(|config| {
        config.node.entrance = crate::Entrance::Expect(3);
        config.node.snapshot_log_bytes = 1 << 40;
        config.node.patience = Duration::from_secs(9);
        config.node.keep_on_disk(1 << 20);
        config.password = Some("configured".to_owned());
    });
    let builder = builder.bootstrap().join(["n2"]).engine(crate::Engine::Memory).password("said");
    let (config, _) = builder.settings().unwrap();
    assert_eq!(config.node.entrance, crate::Entrance::Expect(3));
    assert_eq!(config.node.snapshot_log_bytes, 1 << 40);
    assert_eq!(config.node.patience, Duration::from_secs(9));
    assert_eq!(config.node.cellar.kind().name(), "disk");
    assert_eq!(config.password.as_deref(), Some("configured"));
}

//! Members come, get votes, give them up, take each other's place and go.

use std::time::{Duration, Instant};

use super::{LONG, run};
use crate::testkit::Cluster;
use crate::{Builder, Error, ErrorKind, Network, Node, OpenError, Store};

fn builder(network: &Network, name: &str) -> Builder {
    Builder::new(name).network(network)
}

async fn founder(network: &Network) -> Node {
    builder(network, "n1").bootstrap().start().await.unwrap()
}

async fn voters(store: &Store) -> Vec<String> {
    let members = store.status().await.unwrap().members.into_iter();
    members.filter(|member| member.voter).map(|member| member.id).collect()
}

#[track_caller]
fn assert_rejected(outcome: Result<(), Error>, words: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_node_is_started_as_a_learner_and_reads_what_was_written() {
    run(async {
        let network = Network::new();
        let n1 = founder(&network).await;
        n1.store().set("k", "v").await.unwrap();
        let learner = builder(&network, "n2").join(["n1"]).learner().start().await.unwrap();
        assert_eq!(learner.store().get("k").await.unwrap().unwrap(), "v");
        assert_eq!(voters(&n1.store()).await, ["n1"]);
        let configured = builder(&network, "n3").join(["n1"]);
        let configured = configured.configure(|config| config.node.learner = true);
        let configured = configured.start().await.unwrap();
        assert_eq!(configured.store().status().await.unwrap().role.as_str(), "learner");
    });
}

#[test]
fn a_call_about_a_member_returns_when_it_is_so() {
    run(async {
        let network = Network::new();
        let n1 = founder(&network).await;
        let _n2 = builder(&network, "n2").start().await.unwrap();
        let _n3 = builder(&network, "n3").start().await.unwrap();
        let store = n1.store().timeout(LONG);
        store.add_member("n2", "n2").await.unwrap();
        assert_eq!(voters(&store).await, ["n1", "n2"]);
        store.add_learner("n3", "n3").await.unwrap();
        assert_eq!(voters(&store).await, ["n1", "n2"]);
        store.promote_member("n3").await.unwrap();
        assert_eq!(voters(&store).await, ["n1", "n2", "n3"]);
        store.demote_member("n3").await.unwrap();
        assert_eq!(voters(&store).await, ["n1", "n2"]);
        assert_rejected(store.add_member("n4", "n3").await, "is called \"n3\"");
        assert_rejected(store.add_member("n4", "nowhere").await, "can't be reached");
        assert_rejected(store.promote_member("n9").await, "no member");
    });
}

#[test]
fn a_learner_that_is_there_takes_a_voters_place() {
    run(async {
        let network = Network::new();
        let n1 = founder(&network).await;
        let n2 = builder(&network, "n2").join(["n1"]).start().await.unwrap();
        let _n3 = builder(&network, "n3").join(["n1"]).start().await.unwrap();
        let _n4 = builder(&network, "n4").join(["n1"]).learner().start().await.unwrap();
        // Through a follower, too.
        n2.store().timeout(LONG).replace_member("n3", "n4", "n4").await.unwrap();
        assert_eq!(voters(&n2.store()).await, ["n1", "n2", "n4"]);
        n1.store().timeout(LONG).set("k", "v").await.unwrap();
    });
}

#[test]
fn a_voter_takes_nobodys_place_and_is_made_no_learner_by_adding_it_and_that_is_said() {
    run(async {
        let network = Network::new();
        let n1 = founder(&network).await;
        let _n2 = builder(&network, "n2").join(["n1"]).start().await.unwrap();
        let n3 = builder(&network, "n3").join(["n1"]).start().await.unwrap();
        for store in [n1.store(), n3.store()] {
            assert_rejected(store.replace_member("n3", "n2", "n2").await, "has a vote itself");
            assert_rejected(store.replace_member("n2", "n2", "n2").await, "its own place");
            assert_rejected(store.add_learner("n2", "n2").await, "quorate member demote n2");
            // As a member, it is one.
            store.add_member("n2", "n2").await.unwrap();
        }
        assert_eq!(voters(&n1.store()).await, ["n1", "n2", "n3"]);
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what is tested is how long a call takes")]
fn a_call_about_members_ends_with_its_timeout() {
    run(async {
        let mut cluster = Cluster::start(3).await.unwrap();
        let leader = cluster.leader().await.unwrap();
        let store = cluster.store(&leader).timeout(Duration::from_millis(300));
        let others: Vec<_> =
            cluster.names().filter(|name| **name != leader).map(str::to_owned).collect();
        others.iter().for_each(|name| cluster.kill(name));
        let began = Instant::now();
        let error = store.transfer_leadership(Some(&others[0])).await.unwrap_err();
        // By itself the node gives it up after five seconds.
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}: {error}", began.elapsed());
        assert!(matches!(error.kind(), ErrorKind::Unknown | ErrorKind::NotApplied), "{error}");
    });
}

#[test]
fn a_node_that_is_refused_for_good_ends_at_once_and_says_why() {
    run(async {
        let network = Network::new();
        let n1 = founder(&network).await;
        let n2 = builder(&network, "n2").join(["n1"]).start().await.unwrap();
        n1.store().timeout(LONG).remove_member("n2").await.unwrap();
        drop(n2);
        let again = builder(&network, "n2").join(["n1"]).join_time(LONG).start().await;
        let error = again.unwrap_err();
        assert!(matches!(error, OpenError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("names are never given twice"), "{error}");
    });
}

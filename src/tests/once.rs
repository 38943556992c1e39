//! A write takes effect exactly once, whatever happens on its way.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{LONG, run};
use crate::testkit::Cluster;
use crate::{Error, ErrorKind, Expected, Put, Swap};

/// Tells clients to stop when it goes.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Increments on a follower until told to stop, while leaders die and links break; how many were
/// acknowledged, and how many were left in doubt.
fn storm(exactly_once: bool) -> (i64, i64, i64) {
    let mut cluster =
        run(Cluster::start_with(3, move |builder| builder.exactly_once(exactly_once))).unwrap();
    // Clients of n1, which is never killed.
    let store = cluster.store("n1").timeout(LONG).blocking();
    let stop = AtomicBool::new(false);
    let (done, doubt) = std::thread::scope(|scope| {
        let client = || {
            let (mut done, mut doubt) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                match store.increment("n", 1) {
                    Ok(_) => done += 1,
                    Err(Error::Unknown { .. }) => doubt += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (done, doubt)
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        // Clients end also when what follows panics.
        let ending = Ending(&stop);
        for round in 0..4 {
            let leader = run(cluster.leader()).unwrap();
            match (leader.as_str(), round % 2) {
                ("n1", _) => drop(run(cluster.store("n1").transfer_leadership(None))),
                // Acknowledgements are on their way when the links go.
                (_, 0) => {
                    cluster.partition(&[&leader]);
                    run(cluster.leader()).unwrap();
                    cluster.heal();
                }
                (_, _) => {
                    cluster.kill(&leader);
                    run(cluster.leader()).unwrap();
                    run(cluster.restart(&leader)).unwrap();
                }
            }
            run(cluster.caught_up()).unwrap();
        }
        drop(ending);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    (done, doubt, store.increment("n", 0).unwrap())
}

#[test]
fn leaders_come_and_go_and_no_increment_is_lost_or_repeated() {
    let (done, doubt, found) = storm(true);
    assert_eq!(doubt, 0, "nothing stays in doubt");
    assert!(done > 0);
    assert_eq!(found, done);
}

#[test]
fn without_names_what_is_in_doubt_is_said_to_be() {
    let (done, doubt, found) = storm(false);
    assert!((done..=done + doubt).contains(&found), "{done} done, {doubt} in doubt: {found}");
}

#[test]
fn a_write_under_a_key_takes_effect_once_from_any_node() {
    run(async {
        let cluster = Cluster::start(3).await.unwrap();
        for name in ["n1", "n2", "n3"] {
            let store = cluster.store(name).idempotency_key("order 17");
            assert_eq!(store.increment("n", 5).await.unwrap(), 5, "{name}");
        }
        let other = cluster.store("n1").idempotency_key("order 17");
        let error = other.increment("n", 6).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(cluster.store("n2").increment("n", 1).await.unwrap(), 6);
    });
}

#[test]
fn a_repeated_swap_gets_the_first_ones_answer() {
    run(async {
        let cluster = Cluster::start(1).await.unwrap();
        let store = cluster.store("n1");
        let revision = store.set("k", "a").await.unwrap();
        let named = store.idempotency_key("swap");
        let first = named.compare_and_swap("k", revision, "b").await.unwrap();
        assert!(matches!(first, Swap::Done(_)));
        assert_eq!(named.compare_and_swap("k", revision, "b").await.unwrap(), first);
    });
}

#[test]
fn a_repeated_swap_by_value_gets_the_first_ones_answer() {
    run(async {
        let cluster = Cluster::start(1).await.unwrap();
        let store = cluster.store("n1");
        store.set("k", "a").await.unwrap();
        let named = store.idempotency_key("swap");
        let swap = || named.compare_and_swap("k", Expected::Value("a".into()), "b");
        let first = swap().await.unwrap();
        assert!(matches!(first, Swap::Done(_)), "{first:?}");
        // The value is another one by now; that it was this call which made it so is remembered.
        assert_eq!(swap().await.unwrap(), first);
        assert_eq!(store.get_entry("k").await.unwrap().unwrap().revision, first.done().unwrap());
        let brief = std::time::Duration::from_secs(60);
        let put = Put::new("k", "c").expect(Expected::Value("b".into())).ttl(brief);
        assert!(store.put(put.clone()).await.unwrap().done().is_some());
        assert!(store.get_entry("k").await.unwrap().unwrap().expires_at.is_some());
        let late = store.put(put).await.unwrap();
        assert!(matches!(late, Swap::Differs { current: Some(_) }), "{late:?}");
    });
}

#[test]
fn a_swap_by_value_under_a_fresh_name_is_never_taken_for_another_request() {
    let cluster = run(Cluster::start(1)).unwrap();
    let store = cluster.store("n1").blocking();
    store.set("k", "0").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..50 {
                    let old = store.get("k").unwrap().unwrap();
                    let named = store.as_async().idempotency_key(format!("{thread} {n}"));
                    // Somebody may be quicker: then it differs, and that is the answer.
                    let swap = run(named.compare_and_swap("k", Expected::Value(old), "0"));
                    assert!(swap.is_ok(), "{swap:?}");
                }
            });
        }
    });
}

//! Each typed call does what it says.

use std::time::{Duration, SystemTime};

use super::{alone, run};
use crate::{Consistency, Expected, Put, Reply, Swap, Transaction};

#[test]
fn what_is_set_is_there_until_it_is_deleted() {
    run(async {
        let node = alone().await;
        let store = node.store();
        assert_eq!(store.get("k").await.unwrap(), None);
        let first = store.set("k", "one").await.unwrap();
        let second = store.set("k", b"two\0\xff").await.unwrap();
        assert!(second > first);
        assert_eq!(store.get("k").await.unwrap().unwrap(), &b"two\0\xff"[..]);
        let entry = store.get_entry("k").await.unwrap().unwrap();
        assert_eq!((entry.revision, entry.expires_at), (second, None));
        assert!(store.delete("k").await.unwrap());
        assert!(!store.delete("k").await.unwrap());
        assert_eq!(store.get_entry("k").await.unwrap(), None);
    });
}

#[test]
fn a_swap_happens_only_when_the_key_is_as_expected() {
    run(async {
        let node = alone().await;
        let store = node.store();
        let none = Swap::Differs { current: None };
        for expected in [Expected::Present, Expected::Value("x".into())] {
            assert_eq!(store.compare_and_swap("k", expected, "v").await.unwrap(), none);
        }
        let created = store.compare_and_swap("k", Expected::Absent, "a").await.unwrap();
        let created = created.done().unwrap();
        let differs = Swap::Differs { current: Some(created) };
        assert_eq!(store.compare_and_swap("k", Expected::Absent, "b").await.unwrap(), differs);
        let wrong = Expected::Value("z".into());
        assert_eq!(store.compare_and_swap("k", wrong, "b").await.unwrap(), differs);
        let right = Expected::Value("a".into());
        let swapped = store.compare_and_swap("k", right, "b").await.unwrap().done().unwrap();
        assert!(swapped > created);
        assert!(store.compare_and_swap("k", created, "c").await.unwrap().done().is_none());
        assert!(store.compare_and_swap("k", swapped, "c").await.unwrap().done().is_some());
        assert!(!store.delete_if("k", swapped).await.unwrap());
        assert_eq!(store.get("k").await.unwrap().unwrap(), "c");
    });
}

#[test]
fn a_swap_by_value_is_never_lost_between_many_threads() {
    const THREADS: usize = 4;
    const EACH: usize = 25;
    let node = crate::Builder::new("n1").start_blocking().unwrap();
    let store = node.store();
    store.set("sum", "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    loop {
                        let old = store.get("sum").unwrap().unwrap();
                        let sum: usize = std::str::from_utf8(&old).unwrap().parse().unwrap();
                        let swap = store.compare_and_swap(
                            "sum",
                            Expected::Value(old),
                            (sum + 1).to_string(),
                        );
                        if swap.unwrap().done().is_some() {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.get("sum").unwrap().unwrap(), (THREADS * EACH).to_string());
}

#[test]
fn a_key_goes_away_when_its_time_has_come() {
    run(async {
        let node = alone().await;
        let store = node.store();
        let brief = Duration::from_millis(30);
        let revision = store.put(Put::new("k", "v").ttl(brief)).await.unwrap().done().unwrap();
        let expires = store.get_entry("k").await.unwrap().and_then(|entry| entry.expires_at);
        // It may be gone already on a busy machine; while it is there, it says when it goes.
        assert!(
            expires.is_none_or(|at| at < SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40))
        );
        while store.get("k").await.unwrap().is_some() {}
        let again = store.compare_and_swap("k", Expected::Absent, "w").await.unwrap();
        assert!(again.done().unwrap() > revision);
        assert!(store.expire("k", Duration::from_secs(1000)).await.unwrap());
        assert!(store.persist("k").await.unwrap() && !store.persist("k").await.unwrap());
        assert!(!store.expire("missing", brief).await.unwrap());
    });
}

#[test]
fn numbers_are_counted() {
    run(async {
        let node = alone().await;
        let store = node.store();
        assert_eq!(store.increment("n", 5).await.unwrap(), 5);
        assert_eq!(store.increment("n", -7).await.unwrap(), -2);
        assert_eq!(store.increment("n", 0).await.unwrap(), -2);
    });
}

#[test]
fn a_scan_finds_every_key_of_its_prefix_once_over_many_pages() {
    run(async {
        let node = alone().await;
        let store = node.store();
        let mset = |prefix: &str| {
            let pairs = (0..3_000).flat_map(|n| [format!("{prefix}{n:04}"), "v".to_owned()]);
            std::iter::once("MSET".to_owned()).chain(pairs).collect::<Vec<_>>()
        };
        for prefix in ["a*", "ab"] {
            assert_eq!(store.command(mset(prefix)).await.unwrap(), Reply::Ok);
        }
        let mut found = store.scan("a*").collect().await.unwrap();
        found.sort();
        let expected: Vec<_> = (0..3_000).map(|n| format!("a*{n:04}")).collect();
        assert_eq!(found, expected);
        assert_eq!(store.scan("").collect().await.unwrap().len(), 6_000);
        assert_eq!(store.scan("none").collect().await.unwrap().len(), 0);
    });
}

#[test]
fn a_transaction_is_done_as_a_whole_or_not_at_all() {
    run(async {
        let node = alone().await;
        let store = node.store();
        let revision = store.set("a", "1").await.unwrap();
        let block = Transaction::new()
            .require("a", revision)
            .require_absent("b")
            .set("b", "x")
            .increment("a", 1)
            .delete("missing")
            .command(["GET", "b"])
            .expire("b", Duration::from_secs(100));
        let replies = store.transaction(block.clone()).await.unwrap().unwrap();
        let [set, sum, deleted, got, expiring] = replies.as_slice() else { panic!("{replies:?}") };
        assert_eq!((set, sum, deleted), (&Reply::Ok, &Reply::Int(2), &Reply::Int(0)));
        assert_eq!((got, expiring), (&Reply::bulk(b"x"), &Reply::Int(1)));
        assert_eq!(store.transaction(block).await.unwrap(), None);
        assert_eq!(store.get("a").await.unwrap().unwrap(), "2");
        // A command that fails does not undo the others, as in Redis.
        let block = Transaction::new().set("b", "y").increment("b", 1);
        let replies = store.transaction(block).await.unwrap().unwrap();
        assert!(matches!(replies.as_slice(), [Reply::Ok, Reply::Error(_)]), "{replies:?}");
        assert_eq!(store.get("b").await.unwrap().unwrap(), "y");
        let reads = Transaction::new().command(["GET", "a"]).command(["GET", "none"]);
        let replies = store.transaction(reads).await.unwrap().unwrap();
        assert_eq!(replies, [Reply::bulk(b"2"), Reply::Nil]);
    });
}

#[test]
fn a_watched_key_that_came_and_went_aborts() {
    run(async {
        let node = alone().await;
        let store = node.store();
        store.set("there", "v").await.unwrap();
        let watched = store.watch(["there", "absent"]).await.unwrap();
        let block = || Transaction::new().require_unchanged(&watched).increment("n", 1);
        assert!(store.transaction(block()).await.unwrap().is_some());
        store.set("absent", "v").await.unwrap();
        store.delete("absent").await.unwrap();
        assert_eq!(store.transaction(block()).await.unwrap(), None);
        assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
    });
}

#[test]
fn databases_and_consistencies_are_chosen_per_handle() {
    run(async {
        let node = alone().await;
        let store = node.store();
        let other = store.database(3);
        other.set("k", "three").await.unwrap();
        assert_eq!(store.get("k").await.unwrap(), None);
        let stale = Consistency::Stale { max_staleness: None };
        for consistency in [Consistency::Lease, Consistency::Linearizable, stale] {
            let read = other.consistency(consistency).get("k").await.unwrap();
            assert_eq!(read.unwrap(), "three", "{consistency:?}");
        }
        let watched = other.watch(["k"]).await.unwrap();
        let block = Transaction::new().require_unchanged(&watched).delete("k");
        assert!(store.transaction(block.clone()).await.is_err(), "watched elsewhere");
        assert!(other.transaction(block).await.unwrap().is_some());
    });
}

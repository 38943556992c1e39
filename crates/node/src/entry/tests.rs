//! Entries: golden bytes, round trips, and bytes that are none.

use quorate_api::{Idempotency, OwnedCall};

use super::*;

fn call(parts: &[&str]) -> OwnedCall {
    OwnedCall::new(parts).unwrap()
}

#[test]
fn the_bytes_of_an_entry_are_fixed() {
    let mut out = Vec::new();
    put_header(&mut out);
    put_origin(&mut out, NodeId(2), 300, 1);
    put_once(&mut out, b"c", 5, 0x0102);
    put_command(&mut out, &call(&["SET", "k", "v"]).as_call());
    put_housekeep(&mut out, 16, 32);
    seal(&mut out, 0x1122, 0x33);
    let golden = [
        &[1_u8, 0x22, 0x11, 0, 0, 0, 0, 0, 0, 0x33, 0, 0, 0, 0, 0, 0, 0][..],
        &[4, 2, 0xac, 2, 1],
        &[3, 1, b'c', 5, 2, 1, 0, 0, 0, 0, 0, 0],
        &[1, 0, 2, 0, 3, 3, b'S', b'E', b'T', 1, b'k', 1, b'v'],
        &[5, 16, 32],
    ];
    assert_eq!(out, golden.concat());
}

#[test]
fn a_transaction_comes_back_with_its_watches_and_commands() {
    let watch = Watch { db: 3, key: "w".into(), revision: 77, seen: 99 };
    let transaction = Transaction {
        watches: vec![watch.clone()],
        calls: vec![call(&["SET", "k", "v"]), call(&["GET", "k"])],
        idempotency: None::<Idempotency>,
    };
    let mut out = Vec::new();
    put_transaction(&mut out, &transaction);
    let mut parts = Parts::bare(&out, Vec::new());
    let Some(Part::Transaction { watches, commands }) = parts.next().unwrap() else { panic!() };
    assert_eq!(watches, [watch]);
    let names: Vec<_> = commands.iter().map(|command| parts.args(command).at(0).to_vec()).collect();
    assert_eq!(names, [b"SET", b"GET"]);
    assert_eq!(parts.args(&commands[1]).at(1), b"k");
    assert!(parts.next().unwrap().is_none());
}

#[test]
fn only_a_single_read_may_be_passed_to_the_leader() {
    let part = |calls: &[&[&str]]| {
        let mut out = Vec::new();
        calls.iter().for_each(|parts| put_command(&mut out, &call(parts).as_call()));
        out
    };
    let block = |calls: &[&[&str]], watches: Vec<Watch>| {
        let calls = calls.iter().map(|parts| call(parts)).collect();
        let mut out = Vec::new();
        put_transaction(&mut out, &Transaction { watches, calls, idempotency: None });
        out
    };
    let watch = Watch { db: 0, key: "w".into(), revision: 1, seen: 1 };
    assert_eq!(check_passed(&part(&[&["GET", "k"]])), Ok(()));
    assert_eq!(check_passed(&block(&[&["GET", "k"], &["TTL", "k"]], vec![])), Ok(()));
    let mut elsewhere = part(&[&["GET", "k"]]);
    elsewhere[1] = DATABASES;
    for none in [
        part(&[]),
        part(&[&["SET", "k", "v"]]),
        part(&[&["GET", "k"], &["GET", "k"]]),
        block(&[&["GET", "k"], &["DEL", "k"]], vec![]),
        block(&[&["GET", "k"]], vec![watch]),
        elsewhere,
    ] {
        assert!(check_passed(&none).is_err(), "{none:?}");
    }
}

#[test]
fn a_forwarded_batch_is_counted_and_checked() {
    let mut out = Vec::new();
    put_once(&mut out, b"c", 1, 2);
    put_command(&mut out, &call(&["SET", "k", "v"]).as_call());
    put_command(&mut out, &call(&["DEL", "k"]).as_call());
    assert_eq!(check_forwarded(&out), Ok((2, false)));
    let mut dangling = out.clone();
    put_once(&mut dangling, b"c", 2, 2);
    assert!(check_forwarded(&dangling).is_err());
    put_housekeep(&mut out, 1, 1);
    assert!(check_forwarded(&out).is_err());
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _checked = check_forwarded(&bytes);
        if let Ok((_, _, mut parts)) = Parts::of_entry(&bytes, Vec::new()) {
            while let Ok(Some(_)) = parts.next() {}
        }
    }
}

#[test]
fn what_takes_long_is_found_by_its_arguments_not_by_its_bytes() {
    let part = |parts: &[&str]| {
        let mut out = Vec::new();
        put_command(&mut out, &call(parts).as_call());
        out
    };
    let large = "v".repeat(8 * LONG_ARGS);
    assert!(!is_long_part(&part(&["SET", "k", &large])));
    let many = part(&[&["DEL"][..], &vec!["k"; LONG_ARGS]].concat());
    assert!(is_long_part(&many));
    let calls = vec![call(&["SET", "k", "v"]); LONG_ARGS / 2];
    let mut block = Vec::new();
    put_transaction(&mut block, &Transaction { watches: vec![], calls, idempotency: None });
    assert!(is_long_part(&block));
    let small = part(&["SET", "k", "v"]);
    assert_eq!(check_forwarded(&small.repeat(LONG_ARGS)), Ok((LONG_ARGS, false)));
    assert_eq!(check_forwarded(&[small, many].concat()), Ok((2, true)));
}

#[test]
fn an_entry_that_takes_long_says_so_and_is_one_that_versions_can_read_which_know_nothing_of_it() {
    let mut out = Vec::new();
    put_header(&mut out);
    put_command(&mut out, &call(&[&["DEL"][..], &vec!["k"; LONG_ARGS]].concat()).as_call());
    seal(&mut out, 7, 0);
    assert!(!is_long(&out));
    mark_long(&mut out);
    seal(&mut out, 7, 0x1122_3344_5566_7788);
    assert!(is_long(&out));
    assert_eq!(out.first(), Some(&1), "the format of all entries");
    let (stamp_ms, seed, _) = Parts::of_entry(&out, Vec::new()).unwrap();
    assert_eq!(
        (stamp_ms, seed >> 16),
        (7, 0x1122_3344_5566),
        "the rest of the seed is left to chance"
    );
    // As some builds wrote it.
    out[9..17].fill(0);
    assert!(!is_long(&out));
    out[0] = 2;
    assert!(is_long(&out) && Parts::of_entry(&out, Vec::new()).is_ok());
    out[0] = 3;
    assert!(Parts::of_entry(&out, Vec::new()).is_err());
}

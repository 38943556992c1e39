//! The table: golden bytes, its bounds, and what it refuses.

use bytes::Bytes;

use super::*;
use crate::testing::{Play, hex, records};

#[test]
fn the_records_of_a_request_have_their_documented_bytes() {
    let mut play = Play::default();
    play.entry(|keyspace| keyspace.once_after(b"me", 5, 0x0102, &Reply::Int(7)).unwrap());
    let stored = |prefix: &[u8]| {
        let found = records(play.keyspace.engine(), prefix);
        let texts: Vec<_> = found.iter().map(|(key, value)| (hex(key), hex(value))).collect();
        let [(key, value)] = texts.as_slice() else { panic!("one record: {texts:?}") };
        (key.clone(), value.clone())
    };
    let key = "0113026d650000000000000005";
    let record = "00000000000001020000000000000000040000000000000007";
    assert_eq!(stored(&[1, 0x13]), (key.to_owned(), record.to_owned()));
    let order = format!("0000018bcfe568000000000000000026{key}");
    assert_eq!(stored(&[1, 0x14]), ("01140000000000000000".to_owned(), order));
    let table = "000000000000000100000000000000260000000000000001";
    assert_eq!(stored(&[1, 0x04]), ("0104".to_owned(), table.to_owned()));
}

#[test]
fn beyond_its_bounds_the_table_forgets_the_oldest_first() {
    let mut play = Play::default();
    for sequence in 0..10 {
        play.entry(|keyspace| keyspace.once_after(b"me", sequence, 1, &Reply::Ok).unwrap());
    }
    let known = |play: &Play| {
        let stored = |sequence| play.keyspace.once_before(b"me", sequence, 1).unwrap().is_some();
        (0..10).filter(|sequence| stored(*sequence)).collect::<Vec<u64>>()
    };
    play.entry(|keyspace| trim(keyspace.store_for_test(), 4, u64::MAX).unwrap());
    assert_eq!(known(&play), [6, 7, 8, 9]);
    let each = play.keyspace.store_for_test().once.get().bytes / 4;
    play.entry(|keyspace| trim(keyspace.store_for_test(), 4, each * 2 + 1).unwrap());
    assert_eq!(known(&play), [8, 9]);
    play.entry(|keyspace| trim(keyspace.store_for_test(), 0, 0).unwrap());
    assert_eq!(known(&play), [0u64; 0]);
    assert_eq!((play.keyspace.store_for_test().once.get().records, each > 0), (0, true));
    assert_eq!(play.keyspace.store_for_test().once.get().bytes, 0);
}

#[test]
fn a_reply_too_large_to_keep_is_lost_but_the_request_is_not_repeated() {
    let value = Bytes::from(vec![b'x'; VALUE_BYTES_MAX]);
    let one = Reply::Bulk(value.clone());
    let two = Reply::Array(vec![Reply::Bulk(value.clone()), Reply::Bulk(value)]);
    let mut play = Play::default();
    play.entry(|keyspace| {
        keyspace.once_after(b"me", 1, 1, &one).unwrap();
        keyspace.once_after(b"me", 2, 1, &two).unwrap();
    });
    assert_eq!(play.keyspace.once_before(b"me", 1, 1).unwrap(), Some(one));
    let lost = play.keyspace.once_before(b"me", 2, 1).unwrap().expect("remembered");
    assert!(crate::testing::show(&lost).contains("too large to be kept"));
}

#[test]
fn a_name_beyond_its_limit_is_refused_before_anything_is_done() {
    let play = Play::default();
    assert_eq!(play.keyspace.once_before(&[b'x'; 255], 1, 1).unwrap(), None);
    let refused = play.keyspace.once_before(&[b'x'; 256], 1, 1).unwrap().expect("an error");
    assert!(refused.is_error());
}

#[test]
#[should_panic(expected = "is not executed again")]
fn remembering_a_request_twice_is_a_defect() {
    let mut play = Play::default();
    for _ in 0..2 {
        play.entry(|keyspace| keyspace.once_after(b"me", 1, 1, &Reply::Ok).unwrap());
    }
}

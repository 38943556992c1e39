//! Every expectation here was checked against redis-server 7.0.15 on x86-64.

use super::*;

fn sum(one: &str, two: &str) -> Option<String> {
    let parse = |text: &str| LongDouble::parse(text.as_bytes()).expect("a number");
    parse(one).add(parse(two)).map(|sum| sum.to_decimal().into_owned())
}

#[test]
fn sums_are_those_of_redis() {
    let cases = [
        ("0.1", "0.2", "0.3"),
        ("10.50", "0.1", "10.6"),
        ("5.0e3", "2.0e2", "5200"),
        ("3.0e3", "1.1", "3001.10000000000000009"),
        ("1", "-1.1", "-0.1"),
        ("0", "0", "0"),
        ("-0", "-0", "0"),
        ("1.5", "-1.5", "0"),
        ("17179869184", "1.5", "17179869185.5"),
        ("1e-20", "0", "0"),
        ("-1e-20", "0", "0"),
        ("0x10", "1", "17"),
        ("0x1.8p1", "0", "3"),
        (".5", "5.", "5.5"),
        ("+1.25", "1E1", "11.25"),
        ("1000000000000000000", "0.1", "1000000000000000000.125"),
        ("9007199254740993", "0", "9007199254740993"),
        ("18446744073709551615", "1", "18446744073709551616"),
        ("1e30", "0", "1000000000000000000024696061952"),
        ("3.14159265358979323846", "0", "3.14159265358979324"),
        ("895730.7212181263603270054", "397871144e-19", "895730.7212181264001174"),
        ("642.5485839826165", "-268.622166174829", "373.92641780778749999"),
        ("819.4081262862046", "-8772.11", "-7952.70187371379540053"),
        ("-101982131e-17", "-7028.70", "-7028.70000000101982129"),
        ("-873061157e-10", "9103.07", "9102.9826938843000006"),
        ("-951913228556377388299", "-8474.71", "-951913228556377396736"),
        ("-511.53", "7717.15", "7205.62000000000000011"),
        ("-697642461487128135020", "-283362031926128250007", "-981004493413256385024"),
        ("123456789.123456789123456789", "0", "123456789.12345678912242875"),
    ];
    for (one, two, expected) in cases {
        assert_eq!(sum(one, two).as_deref(), Some(expected), "{one} + {two}");
    }
}

#[test]
fn sums_that_are_infinite_are_none() {
    assert_eq!(sum("inf", "1"), None);
    assert_eq!(sum("-Infinity", "inf"), None);
    assert_eq!(sum("1.18e4932", "1.18e4932"), None);
}

#[test]
fn what_strtold_would_not_take_whole_is_no_number() {
    let others = [
        "",
        " 1",
        "1 ",
        "abc",
        "1e",
        "1e+",
        "e5",
        ".",
        "+",
        "-",
        "1..2",
        "1.2.3",
        "0x",
        "0x.",
        "nan",
        "--1",
        "1_000",
        "1e5000",
        "1e-5000",
        "1e999999999999999999999",
        "1\0",
        "infinit",
    ];
    for text in others {
        assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(LongDouble::parse(&[b'1'; TEXT_BYTES_MAX]), None);
}

#[test]
fn doubles_survive_reading_and_writing() {
    // Every 64-bit float is exact here: the text that Rust gives for it must come back to it.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let number = (seed >> 11) as f64 / (1u64 << 20) as f64;
        let text = format!("{number:.20}");
        let parsed = LongDouble::parse(text.as_bytes()).expect("a number");
        let exact = text.trim_end_matches('0').trim_end_matches('.');
        if exact.len() - exact.find('.').unwrap_or(exact.len()) <= FRACTION_DIGITS {
            assert_eq!(parsed.to_decimal(), exact);
        }
    }
}

#[test]
fn the_largest_and_smallest_numbers_are_read() {
    let largest = LongDouble::parse(b"1.18973149535723176502e4932").expect("finite");
    assert!(largest.to_decimal().starts_with("118973149535723176502126385303"));
    assert_eq!(largest.to_decimal().len(), 4933);
    assert_eq!(LongDouble::parse(b"1.19e4932"), None);
    assert_eq!(LongDouble::parse(b"4e-4951").expect("denormal").to_decimal(), "0");
}

//! Strings as Redis 7 has them; every table was compared with redis-server 7.0.15 where it has the
//! command.

use quorate_api::limits::VALUE_BYTES_MAX;

use crate::testing::{Play, play, show};

const WRONG_INT: &str = "(Err) value is not an integer or out of range";
const SYNTAX: &str = "(Err) syntax error";

#[test]
fn set_and_get_give_back_every_byte() {
    play(&[
        ("GET k", "nil"),
        ("SET k v", "OK"),
        ("GET k", "\"v\""),
        ("set k \"\\x00\\xff \\\"\"", "OK"),
        ("get k", "\"\\x00\\xff \\\"\""),
        ("SET k \"\"", "OK"),
        ("GET k", "\"\""),
        ("SET \"\" empty", "OK"),
        ("GET \"\"", "\"empty\""),
    ]);
}

#[test]
fn set_nx_and_xx_look_at_the_key_first() {
    play(&[
        ("SET k 1 XX", "nil"),
        ("EXISTS k", "0"),
        ("SET k 1 NX", "OK"),
        ("SET k 2 nx", "nil"),
        ("GET k", "\"1\""),
        ("SET k 3 XX", "OK"),
        ("SET k 4 XX XX", "OK"),
        ("GET k", "\"4\""),
        ("SET k 5 NX XX", SYNTAX),
        ("SET k 5 XX NX", SYNTAX),
    ]);
}

#[test]
fn set_get_returns_the_old_value_also_with_nx() {
    play(&[
        ("SET k 1 GET", "nil"),
        ("SET k 2 GET", "\"1\""),
        ("SET k 3 NX GET", "\"2\""),
        ("GET k", "\"2\""),
        ("SET n 1 NX GET", "nil"),
        ("GET n", "\"1\""),
        ("SET x 1 XX GET", "nil"),
        ("EXISTS x", "0"),
        ("SET k 3 GET GET XX", "\"2\""),
    ]);
}

#[test]
fn set_takes_one_expiry_and_checks_it() {
    let invalid = "(Err) invalid expire time in 'set' command";
    play(&[
        ("SET k v EX 10", "OK"),
        ("TTL k", "10"),
        ("SET k v PX 1500", "OK"),
        ("TTL k", "2"),
        ("SET k v EX 10 EX 20", "OK"),
        ("TTL k", "20"),
        ("SET k v", "OK"),
        ("TTL k", "-1"),
        ("SET k v EXAT 4000000000", "OK"),
        ("EXPIRETIME k", "4000000000"),
        ("SET k v PXAT 4000000000123", "OK"),
        ("PEXPIRETIME k", "4000000000123"),
        ("SET k w KEEPTTL", "OK"),
        ("PEXPIRETIME k", "4000000000123"),
        ("GET k", "\"w\""),
        ("SET k v EX 10 PX 10", SYNTAX),
        ("SET k v EX 10 KEEPTTL", SYNTAX),
        ("SET k v KEEPTTL EX 10", SYNTAX),
        ("SET k v KEEPTTL KEEPTTL", "OK"),
        ("SET k v PERSIST", SYNTAX),
        ("SET k v EX", SYNTAX),
        ("SET k v BAD", SYNTAX),
        ("SET k v EX 0", invalid),
        ("SET k v EX -1", invalid),
        ("SET k v PX 0", invalid),
        ("SET k v EXAT 0", invalid),
        ("SET k v PXAT -5", invalid),
        ("SET k v EX 9223372036854775807", invalid),
        ("SET k v EX 9223372036854775", invalid),
        ("SET k v PX 9223372036854775807", invalid),
        ("SET k v EX ten", WRONG_INT),
        ("SET k v EX 1.5", WRONG_INT),
        ("SET k v EX 9223372036854775808", WRONG_INT),
        ("GET k", "\"v\""),
    ]);
}

#[test]
fn set_with_a_time_in_the_past_leaves_no_key() {
    play(&[
        ("SET k v PXAT 1000", "OK"),
        ("EXISTS k", "0"),
        ("SET k v", "OK"),
        ("SET k v EXAT 1", "OK"),
        ("GET k", "nil"),
        ("EXISTS k", "0"),
    ]);
}

#[test]
fn set_ifeq_sets_only_over_an_equal_value() {
    play(&[
        ("SET k new IFEQ old", "nil"),
        ("EXISTS k", "0"),
        ("SET k old", "OK"),
        ("SET k new IFEQ other", "nil"),
        ("SET k new IFEQ old", "OK"),
        ("GET k", "\"new\""),
        ("SET k newer IFEQ new GET EX 10", "\"new\""),
        ("TTL k", "10"),
        ("SET k x IFEQ bad GET", "\"newer\""),
        ("GET k", "\"newer\""),
        ("SET k x IFEQ newer NX", SYNTAX),
        ("SET k x XX IFEQ newer", SYNTAX),
        ("SET k x IFEQ newer IFEQ newer", SYNTAX),
        ("SET k x IFEQ", SYNTAX),
        ("SET k \"\"", "OK"),
        ("SET k x IFEQ \"\"", "OK"),
    ]);
}

#[test]
fn setnx_setex_and_getset_do_what_set_does() {
    play(&[
        ("SETNX k 1", "1"),
        ("SETNX k 2", "0"),
        ("GET k", "\"1\""),
        ("SETEX k 10 v", "OK"),
        ("TTL k", "10"),
        ("PSETEX k 2500 v", "OK"),
        ("TTL k", "3"),
        ("SETEX k 0 v", "(Err) invalid expire time in 'setex' command"),
        ("PSETEX k -1 v", "(Err) invalid expire time in 'psetex' command"),
        ("SETEX k x v", WRONG_INT),
        ("GETSET k w", "\"v\""),
        ("TTL k", "-1"),
        ("GETSET absent w", "nil"),
        ("GET absent", "\"w\""),
    ]);
}

#[test]
fn getdel_returns_the_value_and_removes_the_key() {
    play(&[("GETDEL k", "nil"), ("SET k v EX 10", "OK"), ("GETDEL k", "\"v\""), ("EXISTS k", "0")]);
}

#[test]
fn getex_changes_the_expiry_only() {
    let invalid = "(Err) invalid expire time in 'getex' command";
    play(&[
        ("GETEX k", "nil"),
        ("GETEX k EX 0", "nil"),
        ("SET k v", "OK"),
        ("GETEX k EX 10", "\"v\""),
        ("TTL k", "10"),
        ("GETEX k", "\"v\""),
        ("TTL k", "10"),
        ("GETEX k PX 2500", "\"v\""),
        ("TTL k", "3"),
        ("GETEX k PXAT 4000000000123", "\"v\""),
        ("PEXPIRETIME k", "4000000000123"),
        ("GETEX k PERSIST", "\"v\""),
        ("TTL k", "-1"),
        ("GETEX k EX 0", invalid),
        ("GETEX k EX x", WRONG_INT),
        ("GETEX k EX 10 PERSIST", SYNTAX),
        ("GETEX k PERSIST EX 10", SYNTAX),
        ("GETEX k KEEPTTL", SYNTAX),
        ("GETEX k NX", SYNTAX),
        ("GETEX k EX", SYNTAX),
        ("GETEX k EXAT 1", "\"v\""),
        ("EXISTS k", "0"),
    ]);
}

#[test]
fn mset_and_msetnx_set_all_or_nothing() {
    play(&[
        ("MSET a 1 b 2 a 3", "OK"),
        ("MGET a b c", "[\"3\" \"2\" nil]"),
        ("MSET a 1 b", "(Err) wrong number of arguments for 'mset' command"),
        ("MSETNX c 1 a 9", "0"),
        ("EXISTS c", "0"),
        ("MSETNX c 1 c 2 d 3", "1"),
        ("MGET c d", "[\"2\" \"3\"]"),
        ("MSETNX c 1 d", "(Err) wrong number of arguments for 'msetnx' command"),
        ("SET e v EX 10", "OK"),
        ("MSET e w", "OK"),
        ("TTL e", "-1"),
    ]);
}

#[test]
fn append_and_strlen_count_bytes() {
    play(&[
        ("STRLEN k", "0"),
        ("APPEND k foo", "3"),
        ("APPEND k bar", "6"),
        ("GET k", "\"foobar\""),
        ("APPEND k \"\"", "6"),
        ("STRLEN k", "6"),
        ("SET k v EX 10", "OK"),
        ("APPEND k w", "2"),
        ("TTL k", "10"),
    ]);
}

#[test]
fn setrange_pads_with_zeros_and_refuses_what_is_too_long() {
    let too_long = "(Err) string exceeds maximum allowed size (proto-max-bulk-len)";
    play(&[
        ("SETRANGE k 0 \"\"", "0"),
        ("EXISTS k", "0"),
        ("SETRANGE k 3 foo", "6"),
        ("GET k", "\"\\x00\\x00\\x00foo\""),
        ("SETRANGE k 1 ab", "6"),
        ("GET k", "\"\\x00abfoo\""),
    ]);
    play(&[
        ("SET k \"Hello World\"", "OK"),
        ("SETRANGE k 6 Redis", "11"),
        ("GET k", "\"Hello Redis\""),
        ("SETRANGE k 6 \"\"", "11"),
        ("SETRANGE k 11 !", "12"),
        ("SETRANGE k 0 J", "12"),
        ("GET k", "\"Jello Redis!\""),
        ("SETRANGE k -1 x", "(Err) offset is out of range"),
        ("SETRANGE k x x", WRONG_INT),
        ("SETRANGE k 536870912 x", too_long),
        ("SETRANGE absent 9223372036854775807 x", too_long),
        ("EXISTS absent", "0"),
        ("SETRANGE absent 536870912 \"\"", "0"),
        ("SET t v EX 10", "OK"),
        ("SETRANGE t 1 w", "2"),
        ("TTL t", "10"),
    ]);
}

#[test]
fn a_string_grows_to_its_limit_and_not_beyond() {
    let mut play = Play::default();
    let at = VALUE_BYTES_MAX - 2;
    assert_eq!(play.say(&format!("SETRANGE k {at} x")), (at + 1).to_string());
    assert_eq!(play.say("APPEND k y"), VALUE_BYTES_MAX.to_string());
    let too_long = "(Err) string exceeds maximum allowed size (proto-max-bulk-len)";
    assert_eq!(play.say("APPEND k z"), too_long);
    assert_eq!(play.say(&format!("SETRANGE k {VALUE_BYTES_MAX} z")), too_long);
    assert_eq!(play.say("STRLEN k"), VALUE_BYTES_MAX.to_string());
    let set = [b"SET".to_vec(), b"k".to_vec(), vec![b'x'; VALUE_BYTES_MAX + 1]];
    assert_eq!(show(&play.apply(&set)), too_long);
}

#[test]
fn getrange_clamps_both_ends() {
    play(&[
        ("GETRANGE k 0 -1", "\"\""),
        ("SET k \"This is a string\"", "OK"),
        ("GETRANGE k 0 3", "\"This\""),
        ("GETRANGE k -3 -1", "\"ing\""),
        ("SUBSTR k 10 100", "\"string\""),
        ("GETRANGE k 100 200", "\"\""),
        ("GETRANGE k 5 2", "\"\""),
        ("GETRANGE k -1 -5", "\"\""),
        ("GETRANGE k -100 -100", "\"T\""),
        ("GETRANGE k -9223372036854775808 9223372036854775807", "\"This is a string\""),
        ("GETRANGE k a 1", WRONG_INT),
        ("GETRANGE k 0 b", WRONG_INT),
        ("GETRANGE absent a 1", WRONG_INT),
        ("SET k \"\"", "OK"),
        ("GETRANGE k 0 -1", "\"\""),
    ]);
}

#[test]
fn counters_count_and_refuse_to_overflow() {
    let overflow = "(Err) increment or decrement would overflow";
    play(&[
        ("INCR n", "1"),
        ("INCRBY n 41", "42"),
        ("DECR n", "41"),
        ("DECRBY n 50", "-9"),
        ("DECRBY n -9", "0"),
        ("GET n", "\"0\""),
        ("SET n 9223372036854775806", "OK"),
        ("INCR n", "9223372036854775807"),
        ("INCR n", overflow),
        ("GET n", "\"9223372036854775807\""),
        ("SET n -9223372036854775808", "OK"),
        ("DECR n", overflow),
        ("DECRBY n -9223372036854775808", "(Err) decrement would overflow"),
        ("DECRBY absent -9223372036854775808", "(Err) decrement would overflow"),
        ("INCRBY n -1", overflow),
        ("INCRBY n 1.5", WRONG_INT),
        ("INCRBY n 9223372036854775808", WRONG_INT),
        ("SET n \" 11\"", "OK"),
        ("INCR n", WRONG_INT),
        ("SET n 011", "OK"),
        ("INCR n", WRONG_INT),
        ("SET n +1", "OK"),
        ("INCR n", WRONG_INT),
        ("SET n \"\"", "OK"),
        ("INCR n", WRONG_INT),
        ("SET n 5 EX 10", "OK"),
        ("INCR n", "6"),
        ("TTL n", "10"),
    ]);
}

#[test]
fn incrbyfloat_formats_as_redis_does() {
    let invalid = "(Err) value is not a valid float";
    // What 1e308 is in 64 bits of mantissa.
    let huge = concat!(
        "\"99999999999999999996685879655845645660560099847415567207797047994921734868838061872",
        "10012692188853932044674722505401322315213474959396058359742081443019641876795910001960319",
        "07786631096045071066679391533957889389145605435630612683649016186302170865892534448816237",
        "91300855757318142424510452728255046343928578048\""
    );
    play(&[
        ("INCRBYFLOAT f 10.50", "\"10.5\""),
        ("INCRBYFLOAT f 0.1", "\"10.6\""),
        ("INCRBYFLOAT f -5", "\"5.6\""),
        ("SET f 5.0e3", "OK"),
        ("INCRBYFLOAT f 2.0e2", "\"5200\""),
        ("GET f", "\"5200\""),
        ("SET f 3", "OK"),
        ("INCRBYFLOAT f 1.1", "\"4.1\""),
        ("INCRBYFLOAT f -4.1", "\"0\""),
        ("INCRBYFLOAT f abc", invalid),
        ("INCRBYFLOAT f \" 1\"", invalid),
        ("INCRBYFLOAT f \"\"", invalid),
        ("INCRBYFLOAT f nan", invalid),
        ("INCRBYFLOAT f inf", "(Err) increment would produce NaN or Infinity"),
        ("INCRBYFLOAT f 1e5000", invalid),
        ("SET f \" 1\"", "OK"),
        ("INCRBYFLOAT f 1", invalid),
        ("SET f 1e308 EX 10", "OK"),
        ("STRLEN f", "5"),
        ("INCRBYFLOAT f 1.5", huge),
        ("TTL f", "10"),
        ("SET f 17179869184", "OK"),
        ("INCRBYFLOAT f 1.5", "\"17179869185.5\""),
    ]);
}

#[test]
fn encodings_are_those_that_redis_would_have() {
    let long = format!("SET k {}", "x".repeat(44));
    let longer = format!("SET k {}", "x".repeat(45));
    play(&[
        ("OBJECT ENCODING k", "nil"),
        ("SET k 12345", "OK"),
        ("OBJECT ENCODING k", "\"int\""),
        ("APPEND k 6", "6"),
        ("OBJECT ENCODING k", "\"raw\""),
        ("INCR k", "123457"),
        ("OBJECT ENCODING k", "\"int\""),
        ("SETRANGE k 0 2", "6"),
        ("OBJECT ENCODING k", "\"raw\""),
        ("COPY k copy", "1"),
        ("OBJECT ENCODING copy", "\"raw\""),
        ("EXPIRE k 100", "1"),
        ("OBJECT ENCODING k", "\"raw\""),
        ("INCRBYFLOAT k 1", "\"223458\""),
        ("OBJECT ENCODING k", "\"embstr\""),
        ("APPEND fresh 5", "1"),
        ("OBJECT ENCODING fresh", "\"int\""),
        (&long, "OK"),
        ("OBJECT ENCODING k", "\"embstr\""),
        (&longer, "OK"),
        ("OBJECT ENCODING k", "\"raw\""),
        ("SET k 99999999999999999999", "OK"),
        ("OBJECT ENCODING k", "\"embstr\""),
        ("SET k 9223372036854775807", "OK"),
        ("OBJECT ENCODING k", "\"int\""),
    ]);
}

#[test]
fn a_plain_getex_makes_no_new_revision() {
    let mut play = Play::default();
    play.run("SET k v EX 100");
    let before = play.say("KV.GET k");
    play.run("GETEX k");
    play.run("GETEX k PXAT 1700000100000");
    assert_eq!(play.say("KV.GET k"), before);
    play.run("GETEX k PERSIST");
    assert_ne!(play.say("KV.GET k"), before);
}

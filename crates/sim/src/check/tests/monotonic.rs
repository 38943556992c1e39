//! Sessions that read what their node has: nothing but their own past says how old that may be.

use super::*;

#[test]
fn value_that_is_gone_without_a_reason_is_found() {
    let seen = ["0 1 2 SET x a -> OK", "stale 1 3 4 GET x -> a", "stale 1 9 10 GET x -> nil"];
    broken(&seen, &["monotonic"]);
    let deleted = |line| [seen[0], seen[1], seen[2], line];
    broken(&deleted("2 5 6 DEL x -> :1"), &[]);
    broken(&deleted("2 5 20 DEL x ? -"), &[]);
    broken(&deleted("2 5 6 DEL x !"), &["monotonic"]);
    broken(&deleted("2 11 12 DEL x -> :1"), &["monotonic"]);
    broken(&["2 1 2 DEL x -> :0", "0 3 4 SET x a -> OK", seen[1], seen[2]], &["monotonic"]);
    broken(&["0 1 2 SET x a~ PX 5 -> OK", "stale 1 3 4 GET x -> a~", seen[2]], &[]);
    // Nothing is as old as it likes, until something was seen.
    broken(&[seen[0], "stale 1 3 4 GET x -> nil"], &[]);
}

#[test]
fn value_that_was_gone_and_comes_back_is_found() {
    broken(
        &[
            "0 1 2 SET x a -> OK",
            "0 3 4 DEL x -> :1",
            "stale 1 5 6 GET x -> a",
            "stale 1 7 8 GET x -> nil",
            "stale 1 9 10 GET x -> a",
        ],
        &["monotonic"],
    );
}

#[test]
fn own_write_that_is_missed_is_found() {
    let write = "stale 1 1 2 SET x a -> OK";
    broken(&[write, "stale 1 3 4 GET x -> nil"], &["monotonic"]);
    broken(
        &["0 1 2 SET x b -> OK", "stale 1 3 4 SET x a -> OK", "stale 1 5 6 GET x -> b"],
        &["monotonic"],
    );
    broken(&["0 1 9 SET x b -> OK", "stale 1 3 4 SET x a -> OK", "stale 1 5 6 GET x -> b"], &[]);
    broken(&["stale 1 1 2 SET x a ? -", "stale 1 3 4 GET x -> nil"], &[]);
    broken(
        &["0 1 2 SET x b -> OK", "stale 1 3 4 DEL x -> :1", "stale 1 5 6 GET x -> b"],
        &["monotonic"],
    );
    // Another one's acknowledgement binds nobody.
    broken(&["0 1 2 SET x a -> OK", "stale 1 3 4 GET x -> nil"], &[]);
}

#[test]
fn counters_and_lists_that_shrink_are_found() {
    let count = ["stale 1 1 2 INCR n -> :1", "stale 1 3 4 GET n -> nil"];
    broken(&count, &["monotonic"]);
    broken(
        &[
            "0 1 2 INCR n -> :1",
            "0 3 4 INCR n -> :2",
            "stale 1 5 6 GET n -> 2",
            "stale 1 7 8 GET n -> 1",
        ],
        &["monotonic"],
    );
    broken(&["stale 1 1 2 APPEND l a; -> :2", "stale 1 3 4 GET l -> nil"], &["monotonic"]);
    let list = ["0 1 2 APPEND l a; -> :2", "0 3 4 APPEND l b; -> :4", "stale 1 5 6 GET l -> a;b;"];
    broken(&[list[0], list[1], list[2], "stale 1 7 8 GET l -> a;"], &["monotonic"]);
    broken(&[list[0], list[1], "stale 1 5 6 GET l -> a;", "stale 1 7 8 GET l -> a;b;"], &[]);
}

#[test]
fn past_of_another_key_is_found_by_its_revision() {
    let writes = ["0 1 2 PUT v.0 a -> @10", "0 3 4 PUT v.0 b -> @20", "0 5 6 PUT v.1 c -> @30"];
    let then = |last| [writes[0], writes[1], writes[2], "stale 1 7 8 READ v.1 -> c@30", last];
    broken(&then("stale 1 9 10 READ v.0 -> b@20"), &[]);
    broken(&then("stale 1 9 10 READ v.0 -> a@10"), &["monotonic"]);
    broken(&then("stale 1 9 10 GET v.0 -> a"), &["monotonic"]);
    broken(&then("stale 1 9 10 READ v.0 -> nil"), &["monotonic"]);
    let [one, two, three, seen, last] = then("stale 1 9 10 READ v.0 -> nil");
    broken(&[one, two, three, seen, last, "2 7 8 REMOVE v.0 20 -> OK"], &[]);
    // On another connection another node may answer.
    broken(&[one, two, three, seen, "stale 2 9 10 READ v.0 -> a@10"], &[]);
    // What was told of a write of one's own counts, too.
    broken(
        &[one, two, "stale 1 5 6 PUT v.1 c -> @30", "stale 1 9 10 READ v.0 -> a@10"],
        &["monotonic"],
    );
}

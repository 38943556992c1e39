//! Histories with revisions: what the order of writes explains passes, what it does not is found.

use super::*;

#[test]
fn long_history_in_order_is_good() {
    let judgement = judge(&history(&[
        "0 1 2 READ v.0 -> nil",
        "0 3 9 PUT v.0 a -> @10",
        "1 4 8 PUT v.1 b -> @20",
        "2 5 6 READ v.0 -> a@10",
        "2 10 11 GET v.1 -> b",
        "0 12 13 PUT v.0 c AT 10 -> @30",
        "1 14 15 PUT v.0 d AT 10 -> refused",
        "1 16 17 PUT v.0 d NEW -> refused",
        "1 18 19 REMOVE v.0 30 -> OK",
        "0 20 21 READ v.0 -> nil",
        "0 22 23 PUT v.0 e NEW -> @40",
        "1 24 25 REMOVE v.0 30 -> refused",
        "last 0 26 27 GET v.0 -> e",
    ]));
    assert_eq!(judgement.violations, []);
    assert_eq!((judgement.placed, judgement.loose), (13, 0));
}

#[test]
fn stale_read_of_a_revision_is_found() {
    let lines = ["0 1 2 PUT v.0 a -> @10", "0 3 4 PUT v.0 b -> @20", "1 5 6 READ v.0 -> a@10"];
    broken(&lines, &["linearizable"]);
    // By its value, too: the other protocol tells no revision.
    let lines = ["0 1 2 PUT v.0 a -> @10", "0 3 4 PUT v.0 b -> @20", "1 5 6 GET v.0 -> a"];
    broken(&lines, &["linearizable"]);
}

#[test]
fn register_of_which_no_revision_is_told_is_searched() {
    // Over one protocol alone nobody is told any.
    let good = ["0 1 2 SET v.0 a -> OK", "0 3 4 SET v.0 b -> OK", "1 5 6 GET v.0 -> b"];
    broken(&good, &[]);
    broken(&[good[0], good[1], "1 5 6 GET v.0 -> a"], &["linearizable"]);
    broken(&[good[0], "1 3 4 READ v.0 -> nil"], &["linearizable"]);
    broken(&[good[0], "1 3 4 PUT v.0 c NEW -> refused", "1 5 6 PUT v.0 d ? -"], &[]);
    broken(&["1 3 4 PUT v.0 c NEW -> refused"], &["linearizable"]);
    let judgement = judge(&history(&good));
    assert_eq!((judgement.placed, judgement.loose), (0, 0));
}

#[test]
fn real_time_across_keys_is_checked() {
    // Each key alone is right, but the first read saw the second write, and the second did not see the first.
    let lines = [
        "0 1 20 PUT v.0 a -> @10",
        "1 2 20 PUT v.1 b -> @20",
        "2 3 4 READ v.1 -> b@20",
        "2 5 6 READ v.0 -> nil",
    ];
    broken(&lines, &["linearizable", "monotonic"]);
}

#[test]
fn revisions_against_real_time_are_found() {
    broken(&["0 1 2 PUT v.0 a -> @20", "1 3 4 PUT v.1 b -> @10"], &["linearizable"]);
    broken(&["0 1 2 READ v.0 -> a@10", "1 3 4 PUT v.0 a -> @10"], &["linearizable"]);
    broken(&["0 1 9 PUT v.0 a -> @10", "1 2 9 PUT v.0 b -> @10"], &["linearizable"]);
    broken(&["0 1 9 PUT v.0 a -> @10", "1 2 9 PUT v.1 b -> @10"], &["linearizable"]);
}

#[test]
fn effect_of_a_named_write_that_comes_twice_is_found() {
    let lines = ["0 1 2 PUT v.0 a -> @10", "1 3 4 PUT v.0 b -> @20", "1 5 6 READ v.0 -> a@30"];
    let judgement = judge(&history(&lines));
    assert!(judgement.violations.iter().any(|it| it.property == "once"));
}

#[test]
fn other_answer_to_a_named_write_is_found() {
    let mut told = history(&["0 1 2 PUT v.0 a -> @10"]);
    told.repeats = vec![Repeat { of: 0, reply: Reply::Revision(10) }];
    assert_eq!(judge(&told).violations, []);
    told.repeats.push(Repeat { of: 0, reply: Reply::Refused });
    assert_eq!(judge(&told).violations.len(), 1);
}

#[test]
fn conditions_that_did_not_hold_are_found() {
    let lines =
        ["0 1 9 PUT v.0 a -> @10", "1 2 9 PUT v.0 b -> @20", "2 3 9 PUT v.0 c AT 10 -> @30"];
    broken(&lines, &["linearizable"]);
    broken(&["0 1 9 PUT v.0 a -> @10", "1 2 9 PUT v.0 b NEW -> @20"], &["linearizable"]);
    let lines =
        ["0 1 2 PUT v.0 a -> @10", "1 3 9 REMOVE v.0 10 -> OK", "2 4 9 REMOVE v.0 10 -> OK"];
    broken(&lines, &["linearizable"]);
}

#[test]
fn removed_value_that_comes_back_is_found() {
    let lines = ["0 1 2 PUT v.0 a -> @10", "0 3 4 REMOVE v.0 10 -> OK", "1 5 6 READ v.0 -> a@10"];
    broken(&lines, &["linearizable"]);
}

#[test]
fn value_that_vanishes_is_found() {
    broken(&["0 1 2 PUT v.0 a -> @10", "1 3 4 READ v.0 -> nil"], &["linearizable"]);
    // A removal that was called only afterwards explains nothing.
    let lines = ["0 1 2 PUT v.0 a -> @10", "1 3 4 READ v.0 -> nil", "1 5 6 REMOVE v.0 10 ? -"];
    broken(&lines, &["linearizable"]);
    let lines = ["0 1 2 PUT v.0 a -> @10", "1 3 9 REMOVE v.0 10 ? -", "1 4 5 READ v.0 -> nil"];
    broken(&lines, &[]);
}

#[test]
fn unknown_write_stands_where_it_was_seen_or_nowhere() {
    let lines = [
        "0 1 2 PUT v.0 a ? -",
        "1 3 4 PUT v.0 b -> @20",
        "1 5 6 READ v.0 -> a@30",
        "0 7 8 PUT v.0 c ? -",
    ];
    broken(&lines, &[]);
    let lines = ["0 1 2 READ v.0 -> a@10", "1 3 4 PUT v.0 a ? -"];
    broken(&lines, &["linearizable"]);
}

#[test]
fn refusal_without_a_reason_is_found() {
    let lines = ["0 1 2 PUT v.0 a -> @10", "1 3 4 PUT v.0 b AT 10 -> refused"];
    broken(&lines, &["linearizable"]);
    broken(&["1 3 4 PUT v.0 b NEW -> refused"], &["linearizable"]);
}

#[test]
fn counter_is_its_own_witness() {
    let good = [
        "0 1 9 INCR n.0 -> :2",
        "1 2 8 INCR n.0 -> :1",
        "2 3 4 GET n.0 -> 1",
        "0 10 11 INCR n.0 ? -",
        "0 12 13 GET n.0 -> 3",
        "0 14 15 INCR n.0 -> :4",
    ];
    broken(&good, &[]);
    broken(&["0 1 2 INCR n.0 -> :1", "1 3 4 GET n.0 -> nil"], &["linearizable"]);
    broken(&["0 1 9 INCR n.0 -> :1", "1 2 9 INCR n.0 -> :1"], &["linearizable"]);
    let early = ["0 1 2 GET n.0 -> 1", "0 3 4 INCR n.0 ? -"];
    broken(&early, &["linearizable"]);
    let twice = ["0 1 2 INCR n.0 ? -", "0 3 4 GET n.0 -> 2"];
    broken(&twice, &["linearizable"]);
}

#[test]
fn agrees_with_the_search_on_histories_by_chance() {
    // One register, written and read by three sessions at once: the search needs no revisions to decide, the
    // witness gets those of a server that does one thing at a time, or, half of the time, of a wrong one.
    let (mut good, mut bad) = (0, 0);
    for seed in 0..4_000 {
        let (with, without) = random(seed);
        let (with, without, is_right) = (with.0, without, with.1);
        let witnessed = witness_check(&with);
        let searched = linearizable::check(&without).violations.is_empty();
        let told: Vec<String> = with.operations.iter().map(ToString::to_string).collect();
        // Where replies name an order, another one is no excuse: the search may find one.
        assert!(searched || !witnessed, "seed {seed}: {told:#?}");
        assert!(witnessed || !is_right, "seed {seed}: {told:#?}");
        if searched { good += 1 } else { bad += 1 }
    }
    assert!(good > 500 && bad > 500, "{good} good, {bad} bad");
}

fn witness_check(history: &History) -> bool {
    crate::check::witness::check(history).violations.is_empty()
}

/// The same history with revisions, and without, on a key that is searched.
fn random(seed: u64) -> ((History, bool), History) {
    let mut chance = Chance::new(seed, "witness");
    let wrong = chance.one_in(2);
    // When each of three sessions is called, takes effect and is answered, again and again.
    let mut events: Vec<(u64, u8, u64)> = Vec::new();
    for session in 0..3 {
        let mut at = 0;
        for _ in 0..4 {
            for moment in 0..3 {
                at += 1 + chance.below(20);
                events.push((at * 4 + session, moment, session));
            }
        }
    }
    events.sort_unstable();
    let (mut with, mut without) = (History::default(), History::default());
    let (mut states, mut value) = (vec![None::<(u64, crate::history::Value)>], 0);
    let mut open: std::collections::BTreeMap<u64, (usize, bool, Option<Reply>)> =
        std::collections::BTreeMap::new();
    for (at, moment, session) in events {
        let who = asker(u32::try_from(session).unwrap());
        match moment {
            0 => {
                let writes = chance.one_in(2);
                value += u64::from(writes);
                let new: crate::history::Value = format!("{value}").into();
                let (one, two) = if writes {
                    let key = "v.0".into();
                    let condition = Condition::None;
                    let put = Command::Put { key, value: new.clone(), condition, name: None };
                    (put, Command::Set("x".into(), new))
                } else {
                    (Command::Read("v.0".into()), Command::Get("x".into()))
                };
                let id = with.call(SimTime(at), who, vec![one]);
                assert_eq!(without.call(SimTime(at), who, vec![two]), id);
                open.insert(session, (id, writes, None));
            }
            1 => {
                let (id, writes, reply) = open.get_mut(&session).unwrap();
                if *writes {
                    let written = with.operations[*id].commands[0].written().cloned().unwrap();
                    let revision = states.len() as u64;
                    states.push(Some((revision, written)));
                    *reply = Some(Reply::Revision(revision));
                } else {
                    // The wrong server answers from its past, now and then.
                    let behind = if wrong && chance.one_in(3) { chance.index(3) } else { 0 };
                    let place = states.len() - 1 - behind.min(states.len() - 1);
                    *reply = Some(match &states[place] {
                        Some((revision, value)) => Reply::At(value.clone(), *revision),
                        None => Reply::Nil,
                    });
                }
            }
            _ => {
                let (id, _, reply) = open.remove(&session).unwrap();
                let reply = reply.unwrap();
                let plain = match &reply {
                    Reply::Revision(_) => Reply::Ok,
                    Reply::At(value, _) => Reply::Value(value.clone()),
                    reply => reply.clone(),
                };
                with.finish(SimTime(at), id, Outcome::Done(vec![reply]));
                without.finish(SimTime(at), id, Outcome::Done(vec![plain]));
            }
        }
    }
    ((with, !wrong), without)
}

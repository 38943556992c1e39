//! Good histories pass, bad ones don't, by hand and by chance.

mod healing;
mod judges;
mod monotonic;
mod witness;

use super::linearizable;
use super::*;
use crate::history::{Asker, Command, Condition, Outcome, Repeat, Reply};
use crate::world::{Chance, SimTime};

fn asker(session: u32) -> Asker {
    Asker { session, ..Asker::default() }
}

/// `(session, called, returned, what)`, told in a line each: `0 1 4 SET x a -> OK`; `?` for unknown, `!`
/// for not applied, `last` in front for a last read, `stale` for a session that reads what its node has.
fn history(lines: &[&str]) -> History {
    let mut events = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let (last, line) = line.strip_prefix("last ").map_or((false, *line), |line| (true, line));
        let (stale, line) = line.strip_prefix("stale ").map_or((false, line), |line| (true, line));
        let words: Vec<&str> = line.split_whitespace().collect();
        let times: Vec<u64> = words[..3].iter().map(|word| word.parse().unwrap()).collect();
        let session = u32::try_from(times[0]).unwrap();
        let asker = Asker { session, stale, connection: 1, ..Asker::default() };
        events.push((times[1], number, true, last, asker, words[3..].to_vec()));
        events.push((times[2], number, false, last, asker, words[3..].to_vec()));
    }
    events.sort_by_key(|event| event.0);
    let mut history = History::default();
    let mut ids = vec![0; lines.len()];
    for (at, number, is_call, last, asker, words) in events {
        let split = words.iter().position(|word| ["->", "?", "!"].contains(word)).unwrap();
        if is_call {
            ids[number] = history.call(SimTime(at), asker, vec![command(&words[..split])]);
        } else {
            history.finish(SimTime(at), ids[number], outcome(words[split], words.get(split + 1)));
        }
        if last {
            history.mark_last(ids[number]);
        }
    }
    history
}

fn command(words: &[&str]) -> Command {
    match words {
        ["GET", key] => Command::Get((*key).into()),
        ["SET", key, value] => Command::Set((*key).into(), (*value).into()),
        ["SET", key, value, "IFEQ", expected] => Command::SetIfEq {
            key: (*key).into(),
            expected: (*expected).into(),
            value: (*value).into(),
        },
        ["DEL", key] => Command::Del((*key).into()),
        ["SET", key, value, "PX", ms] => {
            Command::SetPx((*key).into(), (*value).into(), ms.parse().unwrap())
        }
        ["APPEND", key, token] => Command::Append((*key).into(), (*token).into()),
        ["INCR", key] => Command::Incr((*key).into()),
        ["READ", key] => Command::Read((*key).into()),
        ["PUT", key, value, rest @ ..] => {
            let (key, value) = ((*key).into(), (*value).into());
            let condition = match rest {
                ["NEW"] => Condition::Absent,
                ["AT", revision] => Condition::At(revision.parse().unwrap()),
                _ => Condition::None,
            };
            Command::Put { key, value, condition, name: None }
        }
        ["REMOVE", key, revision] => Command::Remove((*key).into(), revision.parse().unwrap()),
        _ => panic!("{words:?}"),
    }
}

fn outcome(mark: &str, word: Option<&&str>) -> Outcome {
    match (mark, word) {
        ("?", _) => Outcome::Unknown("test".into()),
        ("!", _) => Outcome::NotApplied("test".into()),
        (_, Some(&"OK")) => Outcome::Done(vec![Reply::Ok]),
        (_, Some(&"nil")) => Outcome::Done(vec![Reply::Nil]),
        (_, Some(&"refused")) => Outcome::Done(vec![Reply::Refused]),
        (_, Some(word)) if word.contains('@') => Outcome::Done(vec![match word.split_once('@') {
            Some(("", revision)) => Reply::Revision(revision.parse().unwrap()),
            Some((value, revision)) => Reply::At(value.into(), revision.parse().unwrap()),
            None => panic!("{word}"),
        }]),
        (_, Some(word)) => Outcome::Done(vec![match word.strip_prefix(':') {
            Some(number) => Reply::Int(number.parse().unwrap()),
            None => Reply::Value((*word).into()),
        }]),
        (_, None) => panic!("no reply"),
    }
}

#[track_caller]
fn broken(lines: &[&str], properties: &[&str]) {
    let judgement = judge(&history(lines));
    let mut found: Vec<&str> = judgement.violations.iter().map(|it| it.property).collect();
    found.dedup();
    assert_eq!(found, properties, "{:#?}", judgement.violations);
    assert_eq!(judgement.undecided, 0);
}

#[test]
fn sequential_history_is_good() {
    broken(
        &[
            "0 1 2 GET x -> nil",
            "0 3 4 SET x a -> OK",
            "0 5 6 SET x b IFEQ a -> OK",
            "0 7 8 SET x c IFEQ a -> nil",
            "0 9 10 GET x -> b",
            "0 11 12 DEL x -> :1",
            "0 13 14 DEL x -> :0",
            "0 15 16 INCR n -> :1",
            "last 0 17 18 GET x -> nil",
            "last 0 19 20 GET n -> 1",
        ],
        &[],
    );
}

#[test]
fn concurrent_operations_may_take_effect_in_any_order() {
    broken(&["0 1 10 SET x a -> OK", "1 2 9 SET x b -> OK", "2 11 12 GET x -> a"], &[]);
    broken(&["0 1 10 SET x a -> OK", "1 2 9 SET x b -> OK", "2 11 12 GET x -> b"], &[]);
}

#[test]
fn stale_read_is_found() {
    let lines = ["0 1 2 SET x a -> OK", "0 3 4 SET x b -> OK", "1 5 6 GET x -> a"];
    broken(&lines, &["linearizable"]);
}

#[test]
fn lost_update_is_found() {
    let lines = ["0 1 4 INCR n -> :1", "1 2 3 INCR n -> :1", "last 2 5 6 GET n -> 1"];
    broken(&lines, &["linearizable", "durable"]);
}

#[test]
fn both_winners_of_a_compare_and_set_are_found() {
    let lines = ["0 1 2 SET x a -> OK", "0 3 6 SET x b IFEQ a -> OK", "1 4 5 SET x c IFEQ a -> OK"];
    broken(&lines, &["linearizable"]);
}

#[test]
fn lost_write_is_found() {
    broken(
        &["0 1 2 SET x a -> OK", "0 3 4 SET x b -> OK", "last 1 5 6 GET x -> a"],
        &["linearizable", "durable"],
    );
    broken(&["0 1 2 SET x a -> OK", "last 1 5 6 GET x -> nil"], &["linearizable", "durable"]);
}

#[test]
fn resurrected_write_is_found() {
    let lines =
        ["0 1 2 SET x a -> OK", "0 3 4 DEL x -> :1", "1 5 6 GET x -> nil", "1 7 8 GET x -> a"];
    broken(&lines, &["linearizable"]);
}

#[test]
fn refused_write_that_took_effect_is_found() {
    broken(&["0 1 2 SET x a !", "1 3 4 GET x -> a"], &["linearizable", "honest"]);
    broken(&["0 1 2 INCR n !", "last 1 3 4 GET n -> 1"], &["linearizable", "durable"]);
}

#[test]
fn unknown_write_may_take_effect_late_or_never() {
    broken(&["0 1 2 SET x a ?", "1 3 4 GET x -> nil", "1 5 6 GET x -> a"], &[]);
    broken(&["0 1 2 SET x a ?", "last 1 3 4 GET x -> nil"], &[]);
    let lines = ["0 1 2 SET x a ?", "1 3 4 GET x -> a", "1 5 6 GET x -> nil"];
    broken(&lines, &["linearizable", "monotonic"]);
}

#[test]
fn session_that_goes_back_in_time_is_found() {
    let lines =
        ["0 1 2 SET x a -> OK", "0 3 9 SET x b -> OK", "1 4 5 GET x -> b", "1 6 7 GET x -> a"];
    broken(&lines, &["linearizable", "monotonic"]);
}

#[test]
fn token_that_is_there_twice_or_was_refused_is_found() {
    let twice = ["0 1 2 APPEND l a; -> :2", "1 3 4 GET l -> a;a;"];
    broken(&twice, &["linearizable", "once"]);
    broken(&["0 1 2 APPEND l a; !", "1 3 4 GET l -> a;"], &["linearizable", "once"]);
    let order = ["0 1 4 APPEND l a; -> :4", "1 2 5 APPEND l b; -> :2", "1 6 7 GET l -> b;a;"];
    broken(&order, &[]);
}

#[test]
fn value_with_a_time_to_live_may_go_and_not_come_back() {
    let gone = ["0 1 2 SET t a~ PX 5 -> OK", "1 3 4 GET t -> a~", "1 5 6 GET t -> nil"];
    broken(&gone, &[]);
    let back = [gone[0], gone[1], gone[2], "1 7 8 GET t -> a~"];
    broken(&back, &["linearizable", "monotonic", "expiry"]);
    broken(&["0 1 2 SET t a -> OK", "1 5 6 GET t -> nil"], &["linearizable"]);
    broken(&[gone[0], "last 1 9 10 GET t -> nil"], &[]);
}

#[test]
fn unexpected_reply_is_found() {
    broken(&["0 1 2 GET x -> :1"], &["linearizable", "replies"]);
}

#[test]
fn transactions_are_judged_as_one() {
    let block = |value: &str| ["x", "y"].map(|key| Command::Set(key.into(), value.into())).to_vec();
    let mut history = History::default();
    let write = history.call(SimTime(1), asker(0), block("a"));
    history.finish(SimTime(2), write, Outcome::Done(vec![Reply::Ok, Reply::Ok]));
    let write = history.call(SimTime(3), asker(0), block("b"));
    let read =
        history.call(SimTime(4), asker(1), ["x", "y"].map(|key| Command::Get(key.into())).to_vec());
    let (a, b) = (Reply::Value("a".into()), Reply::Value("b".into()));
    history.finish(SimTime(5), read, Outcome::Done(vec![b.clone(), a]));
    history.finish(SimTime(6), write, Outcome::Done(vec![Reply::Ok, Reply::Ok]));
    assert_eq!(linearizable::check(&history).violations.len(), 1);
    history.operations[read].outcome = Outcome::Done(vec![b.clone(), b]);
    assert_eq!(linearizable::check(&history).violations.len(), 0);
}

#[test]
fn two_writers_that_each_guard_what_the_other_writes_are_found() {
    // Under WATCH of both keys one writes one of them: both can't have been committed.
    let guarded = |write: &str, value: &str, guard: &str| {
        let (key, expected, value) = (write.into(), format!("{write}0").into(), value.into());
        vec![Command::SetIfEq { key, expected, value }, Command::Get(guard.into())]
    };
    let setup = ["0 1 2 SET x x0 -> OK", "0 3 4 SET y y0 -> OK"];
    let mut both = history(&setup);
    let committed =
        |guard: &str| Outcome::Done(vec![Reply::Ok, Reply::Value(format!("{guard}0").into())]);
    let one = both.call(SimTime(5), asker(1), guarded("x", "x1", "y"));
    let two = both.call(SimTime(6), asker(2), guarded("y", "y1", "x"));
    both.finish(SimTime(7), one, committed("y"));
    both.finish(SimTime(8), two, Outcome::NotApplied("aborted".into()));
    assert_eq!(linearizable::check(&both).violations.len(), 0);
    both.operations[two].outcome = committed("x");
    assert_eq!(linearizable::check(&both).violations.len(), 1);
}

#[test]
fn blocks_of_anything_are_judged_as_one() {
    let block = |replies: [Reply; 4]| {
        let mut history = history(&["0 1 2 SET x a -> OK"]);
        let commands = vec![
            Command::Incr("n".into()),
            Command::Del("x".into()),
            Command::Get("x".into()),
            Command::Incr("n".into()),
        ];
        let id = history.call(SimTime(3), asker(1), commands);
        history.finish(SimTime(4), id, Outcome::Done(replies.to_vec()));
        linearizable::check(&history).violations.len()
    };
    let int = Reply::Int;
    assert_eq!(block([int(1), int(1), Reply::Nil, int(2)]), 0);
    assert_eq!(block([int(1), int(1), Reply::Value("a".into()), int(2)]), 1, "not deleted");
    assert_eq!(block([int(1), int(1), Reply::Nil, int(1)]), 1, "counted once");
}

/// Sessions at a correct server: each operation takes effect at one moment between call and return, or,
/// with an unknown outcome, later or never.
fn correct(seed: u64, length: u64) -> History {
    let mut chance = Chance::new(seed, "history");
    let mut model = model::Model::new(2);
    let keys: [crate::history::Key; 2] = ["x".into(), "n".into()];
    let mut history = History::default();
    // Per session: the operation, and the replies once it has taken effect.
    let mut open: Vec<Option<(usize, Option<Vec<Reply>>)>> = vec![None; 5];
    let mut late: Vec<usize> = Vec::new();
    for now in 1..length {
        let session = chance.index(open.len());
        match open[session].take() {
            None => {
                let number = u32::try_from(session).unwrap();
                let command = draw(&mut chance, now);
                open[session] =
                    Some((history.call(SimTime(now), asker(number), vec![command]), None));
            }
            Some((id, None)) if chance.one_in(12) => {
                history.finish(SimTime(now), id, Outcome::Unknown("lost".into()));
                late.push(id);
            }
            Some((id, None)) if chance.one_in(12) => {
                history.finish(SimTime(now), id, Outcome::NotApplied("refused".into()));
            }
            Some((id, None)) => {
                let reply = model.execute(&keys, &history.operations[id].commands[0]);
                open[session] = Some((id, Some(vec![reply])));
            }
            Some((id, Some(replies))) => history.finish(SimTime(now), id, Outcome::Done(replies)),
        }
        if chance.one_in(10) && !late.is_empty() {
            let id = late.swap_remove(chance.index(late.len()));
            model.execute(&keys, &history.operations[id].commands[0]);
        }
    }
    history
}

fn draw(chance: &mut Chance, now: u64) -> Command {
    let x = || "x".into();
    match chance.below(8) {
        0..=2 => Command::Get(if chance.one_in(3) { "n".into() } else { x() }),
        3 | 4 => Command::Set(x(), format!("v{now}").into()),
        5 => Command::SetIfEq {
            key: x(),
            expected: format!("v{}", now.saturating_sub(chance.below(30))).into(),
            value: format!("v{now}").into(),
        },
        6 if chance.one_in(3) => Command::Del(x()),
        _ => Command::Incr("n".into()),
    }
}

#[test]
fn correct_server_always_passes() {
    for seed in 0..150 {
        let judgement = judge(&correct(seed, 900));
        assert_eq!(judgement, Judgement::default(), "seed {seed}");
    }
}

#[test]
fn changed_reply_is_found() {
    let (mut changed, mut found) = (0, 0);
    for seed in 0..100 {
        let mut history = correct(seed, 900);
        let mut chance = Chance::new(seed, "mutation");
        let reads: Vec<usize> = (0..history.operations.len())
            .filter(|id| matches!(history.operations[*id].commands[0], Command::Get(_)))
            .filter(|id| matches!(history.operations[*id].replies(), Some([Reply::Value(_)])))
            .collect();
        // A read hears what another one, a good while ago, has heard.
        let (one, two) = (*chance.pick(&reads).unwrap(), *chance.pick(&reads).unwrap());
        let (early, late) = (one.min(two), one.max(two));
        let (old, new) = (&history.operations[early], &history.operations[late]);
        if old.outcome == new.outcome || old.commands != new.commands || late < early + 60 {
            continue;
        }
        changed += 1;
        history.operations[late].outcome = history.operations[early].outcome.clone();
        found += usize::from(!judge(&history).violations.is_empty());
    }
    assert!(changed >= 20, "{changed}");
    assert_eq!(found, changed);
}

#[test]
fn many_unknown_increments_do_not_stop_the_search() {
    let mut lines: Vec<String> =
        (0..60).map(|n| format!("{n} {} {} INCR n ?", 1 + n, 100 + n)).collect();
    lines.push("99 200 201 GET n -> 30".to_owned());
    lines.push("99 202 203 GET n -> 61".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    broken(&lines, &["linearizable"]);
}

#[test]
fn key_is_there_until_its_time_has_come_and_not_for_longer() {
    use crate::fault::Kind;
    use crate::fault::kind::Tally;
    let ms = |ms: u64| ms * 1_000_000;
    let judged = |from: u64, to: u64, reply: &str, wrong: Option<Kind>| {
        let mut tally = Tally::default();
        wrong.into_iter().for_each(|kind| tally.add(kind));
        let read = format!("1 {} {} GET t -> {reply}", ms(from), ms(to));
        let write = format!("0 {} {} SET t a~ PX 100 -> OK", ms(10), ms(20));
        lifetime::check(&tally, &history(&[write.as_str(), read.as_str()])).len()
    };
    assert_eq!(judged(30, 40, "nil", None), 1, "gone, and set to last until 110 at the least");
    assert_eq!(judged(30, 111, "nil", None), 0, "its time may have come");
    assert_eq!(judged(115, 116, "a~", None), 0, "its time may not have come");
    assert_eq!(judged(130, 140, "a~", None), 1, "there, and set to last until 120 at the most");
    assert_eq!(judged(130, 140, "a~", Some(Kind::ClockDrift)), 0, "by another clock");
    assert_eq!(judged(130, 140, "a~", Some(Kind::Kill)), 1);
}

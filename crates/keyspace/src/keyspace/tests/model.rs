//! Random commands against a naive model: values, expiry, databases, watches; and the same entries
//! again on another replica, from the start and from a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::testing::Dice;

const DBS: u8 = 3;
const KEYS: u64 = 12;
const STEPS: usize = 400;
const SEEDS: u64 = 10;

/// A value of the model.
#[derive(Clone, Debug, PartialEq)]
struct Value {
    bytes: String,
    expire_ms: Option<u64>,
}

#[derive(Clone, Default)]
struct Model {
    dbs: [BTreeMap<String, Value>; DBS as usize],
    /// How often each key has visibly been written or removed by a command.
    versions: BTreeMap<(u8, String), u64>,
    /// How often each database has changed as a whole.
    wholes: [u64; DBS as usize],
    now_ms: u64,
}

impl Model {
    fn get(&self, db: u8, key: &str) -> Option<&Value> {
        let value = self.dbs[usize::from(db)].get(key)?;
        value.expire_ms.is_none_or(|expire_ms| expire_ms > self.now_ms).then_some(value)
    }

    fn put(&mut self, db: u8, key: &str, value: Option<Value>) {
        *self.versions.entry((db, key.to_owned())).or_default() += 1;
        let db = &mut self.dbs[usize::from(db)];
        match value {
            Some(value) => db.insert(key.to_owned(), value),
            None => db.remove(key),
        };
    }

    fn visible(&self, db: u8) -> BTreeSet<String> {
        let keys = self.dbs[usize::from(db)].keys();
        keys.filter(|key| self.get(db, key).is_some()).cloned().collect()
    }

    fn change_whole(&mut self, db: u8) {
        if self.dbs[usize::from(db)].is_empty() {
            return;
        }
        self.wholes[usize::from(db)] += 1;
        for key in self.visible(db) {
            *self.versions.entry((db, key)).or_default() += 1;
        }
    }

    /// What `line` must answer.
    fn run(&mut self, db: u8, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let key = words.get(1).copied().unwrap_or_default();
        let found = self.get(db, key).cloned();
        let text = |value: &Value| format!("\"{}\"", value.bytes);
        match words.as_slice() {
            ["SET", _, value, rest @ ..] => {
                let expire_ms = match rest {
                    ["PX", ms] => Some(self.now_ms + ms.parse::<u64>().unwrap()),
                    ["KEEPTTL"] => found.as_ref().and_then(|found| found.expire_ms),
                    ["NX"] if found.is_some() => return "nil".to_owned(),
                    _ => None,
                };
                self.put(db, key, Some(Value { bytes: (*value).to_owned(), expire_ms }));
                "OK".to_owned()
            }
            ["GET", _] => found.as_ref().map_or("nil".to_owned(), text),
            ["APPEND", _, added] => {
                let old = found.unwrap_or(Value { bytes: String::new(), expire_ms: None });
                let bytes = format!("{}{added}", old.bytes);
                let length = bytes.len();
                self.put(db, key, Some(Value { bytes, ..old }));
                length.to_string()
            }
            ["DEL", _] => {
                if found.is_some() {
                    self.put(db, key, None);
                }
                u8::from(found.is_some()).to_string()
            }
            ["PEXPIRE", _, ms] => {
                let Some(value) = found else { return "0".to_owned() };
                let ms: i64 = ms.parse().unwrap();
                let when = self.now_ms.saturating_add_signed(ms);
                let value = Value { expire_ms: Some(when), ..value };
                self.put(db, key, (ms > 0).then_some(value));
                "1".to_owned()
            }
            ["PERSIST", _] => match found {
                Some(value) if value.expire_ms.is_some() => {
                    self.put(db, key, Some(Value { expire_ms: None, ..value }));
                    "1".to_owned()
                }
                _ => "0".to_owned(),
            },
            ["RENAME", _, to] => match found {
                None => "(Err) no such key".to_owned(),
                Some(value) => {
                    if key != *to {
                        self.put(db, key, None);
                        self.put(db, to, Some(value));
                    }
                    "OK".to_owned()
                }
            },
            ["PTTL", _] => match found {
                None => "-2".to_owned(),
                Some(Value { expire_ms: None, .. }) => "-1".to_owned(),
                Some(Value { expire_ms: Some(ms), .. }) => (ms - self.now_ms).to_string(),
            },
            _ => self.run_on_databases(db, &words, found),
        }
    }

    /// As [`Model::run`], for commands that may touch another database.
    fn run_on_databases(&mut self, db: u8, words: &[&str], found: Option<Value>) -> String {
        match words {
            ["MOVE", key, to] => {
                let to: u8 = to.parse().unwrap();
                if to == db {
                    return "(Err) source and destination objects are the same".to_owned();
                }
                match found.filter(|_| self.get(to, key).is_none()) {
                    None => "0".to_owned(),
                    Some(value) => {
                        self.put(db, key, None);
                        self.put(to, key, Some(value));
                        "1".to_owned()
                    }
                }
            }
            ["FLUSHDB"] => {
                self.change_whole(db);
                self.dbs[usize::from(db)].clear();
                "OK".to_owned()
            }
            ["SWAPDB", one, two] => {
                let (one, two): (u8, u8) = (one.parse().unwrap(), two.parse().unwrap());
                if one != two {
                    for db in [one, two] {
                        let keys = [self.visible(one), self.visible(two)].concat_all();
                        for key in keys {
                            *self.versions.entry((db, key)).or_default() += 1;
                        }
                        self.wholes[usize::from(db)] += 1;
                    }
                    self.dbs.swap(usize::from(one), usize::from(two));
                }
                "OK".to_owned()
            }
            other => panic!("{other:?}"),
        }
    }
}

trait ConcatAll {
    fn concat_all(self) -> BTreeSet<String>;
}

impl ConcatAll for [BTreeSet<String>; 2] {
    fn concat_all(self) -> BTreeSet<String> {
        self.into_iter().flatten().collect()
    }
}

/// What one entry did, to be repeated on another replica.
#[derive(Clone)]
enum Deed {
    Command(u8, String),
    Housekeep(usize, usize),
}

type Entry = (Moment, Vec<Deed>);

fn repeat(keyspace: &mut Keyspace, entries: &[Entry]) {
    for (moment, deeds) in entries {
        keyspace.begin(*moment);
        for deed in deeds {
            do_deed(keyspace, deed);
        }
        keyspace.finish().unwrap();
    }
}

fn do_deed(keyspace: &mut Keyspace, deed: &Deed) -> String {
    match deed {
        Deed::Command(db, line) => {
            let (spec, args) = args(line);
            show(&keyspace.apply(*db, spec, args.as_args()).unwrap())
        }
        Deed::Housekeep(expire_max, clear_max) => {
            keyspace.housekeep(*expire_max, *clear_max).unwrap();
            String::new()
        }
    }
}

fn random_line(dice: &mut Dice) -> String {
    let key = |dice: &mut Dice| format!("k{}", dice.below(KEYS));
    let (one, two) = (key(dice), key(dice));
    let ms = dice.below(60) + 1;
    match dice.below(100) {
        0..20 => format!("SET {one} v{ms}"),
        20..35 => format!("SET {one} v{ms} PX {ms}"),
        35..40 => format!("SET {one} w KEEPTTL"),
        40..45 => format!("SET {one} w NX"),
        45..50 => format!("APPEND {one} x"),
        50..62 => format!("DEL {one}"),
        62..70 => format!("PEXPIRE {one} {}", ms.cast_signed() - 10),
        70..74 => format!("PERSIST {one}"),
        74..80 => format!("RENAME {one} {two}"),
        80..86 => format!("MOVE {one} {}", dice.below(u64::from(DBS))),
        86..92 => format!("GET {one}"),
        92..96 => format!("PTTL {one}"),
        96..98 => "FLUSHDB".to_owned(),
        _ => format!("SWAPDB {} {}", dice.below(u64::from(DBS)), dice.below(u64::from(DBS))),
    }
}

/// A watch, and what the model knew when it was taken.
struct Watched {
    db: u8,
    key: String,
    revision: u64,
    seen: u64,
    present: bool,
    version: u64,
    whole: u64,
}

impl Watched {
    fn take(play: &mut Play, model: &Model, db: u8, key: String) -> Self {
        play.db = db;
        let Reply::Array(parts) = play.run(&format!("REVISIONS {key}")) else { panic!("no list") };
        let [Reply::Int(revision), Reply::Int(seen)] = parts.as_slice() else {
            panic!("{parts:?}")
        };
        let (revision, seen) = (revision.cast_unsigned(), seen.cast_unsigned());
        let present = model.get(db, &key).is_some();
        assert_eq!(present, revision != 0);
        let version = model.versions.get(&(db, key.clone())).copied().unwrap_or_default();
        let whole = model.wholes[usize::from(db)];
        Self { db, key, revision, seen, present, version, whole }
    }

    fn check(&self, play: &mut Play, model: &Model) {
        let Self { db, revision, seen, .. } = *self;
        let watch = WatchRef { db, key: self.key.as_bytes(), revision, seen };
        let holds = play.entry(|keyspace| keyspace.watches_hold([watch]).unwrap());
        let version = model.versions.get(&(db, self.key.clone())).copied().unwrap_or_default();
        let same = version == self.version && self.present == model.get(db, &self.key).is_some();
        if !same {
            assert!(!holds, "a change of {} was missed", self.key);
        } else if model.wholes[usize::from(db)] == self.whole {
            assert!(holds, "{} has not changed", self.key);
        }
    }
}

fn check_all(play: &mut Play, model: &Model) {
    for db in 0..DBS {
        play.db = db;
        let Reply::Array(keys) = play.run("KEYS *") else { panic!("no list") };
        let keys: BTreeSet<_> =
            keys.iter().map(|key| show(key).trim_matches('"').to_owned()).collect();
        assert_eq!(keys, model.visible(db), "database {db}");
        let Reply::Array(scanned) = play.run("SCAN 0 COUNT 1000") else { panic!("no list") };
        let Reply::Array(scanned) = &scanned[1] else { panic!("no list") };
        assert_eq!(scanned.len(), keys.len());
        for key in keys {
            let value = model.get(db, &key).map(|value| format!("\"{}\"", value.bytes));
            assert_eq!(Some(play.say(&format!("GET {key}"))), value);
        }
    }
    audit(&play.keyspace);
}

#[test]
fn random_commands_agree_with_the_model_and_repeat_on_other_replicas() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        one_run(seed);
    }
}

fn one_run(seed: u64) {
    let mut dice = Dice(seed);
    let mut play = Play::default();
    let mut model = Model { now_ms: play.now_ms, ..Model::default() };
    let mut entries: Vec<Entry> = Vec::new();
    let mut watches: Vec<Watched> = Vec::new();
    let mut half: Option<(Vec<u8>, usize)> = None;
    for step in 0..STEPS {
        play.now_ms += dice.below(8);
        model.now_ms = play.now_ms;
        let index = play.keyspace.applied() + 1;
        let moment = Moment { index, stamp_ms: play.now_ms, seed: dice.roll() };
        let mut deeds = Vec::new();
        play.keyspace.begin(moment);
        for _ in 0..=dice.below(3) {
            let deed = if dice.below(12) == 0 {
                Deed::Housekeep(dice.pick(&[0, 1, 5]), dice.pick(&[0, 1, 5]))
            } else {
                let db = u8::try_from(dice.below(u64::from(DBS))).unwrap();
                Deed::Command(db, random_line(&mut dice))
            };
            let reply = do_deed(&mut play.keyspace, &deed);
            if let Deed::Command(db, line) = &deed {
                assert_eq!(reply, model.run(*db, line), "step {step}, database {db}: {line}");
            }
            deeds.push(deed);
        }
        play.keyspace.finish().unwrap();
        entries.push((moment, deeds));
        // Checks make entries of their own: on a copy, so that the recorded ones stay in order.
        let mut copy = copy_of(&play);
        for watch in &watches {
            watch.check(&mut copy, &model);
        }
        if dice.below(4) == 0 {
            let db = u8::try_from(dice.below(u64::from(DBS))).unwrap();
            let key = format!("k{}", dice.below(KEYS));
            watches.push(Watched::take(&mut copy_of(&play), &model, db, key));
            if watches.len() > 6 {
                watches.remove(0);
            }
        }
        if step % 50 == 0 {
            check_all(&mut copy, &model);
        }
        if step == STEPS / 2 {
            half = Some((play.snapshot(), entries.len()));
        }
    }
    check_replicas(&play, &entries, half.as_ref().expect("half way"));
}

/// The play's state in a keyspace of its own.
fn copy_of(play: &Play) -> Play {
    let mut restore = crate::snapshot::Restore::new(engine());
    restore.feed(&play.snapshot()).unwrap();
    Play { keyspace: restore.finish().unwrap(), now_ms: play.now_ms, db: 0 }
}

fn check_replicas(play: &Play, entries: &[Entry], (snapshot, from): &(Vec<u8>, usize)) {
    let mut replica = Keyspace::open(engine()).unwrap();
    repeat(&mut replica, entries);
    let mut restore = crate::snapshot::Restore::new(engine());
    snapshot.chunks(7).for_each(|piece| restore.feed(piece).unwrap());
    let mut late = restore.finish().unwrap();
    repeat(&mut late, &entries[*from..]);
    let stream = play.snapshot();
    for keyspace in [replica, late] {
        assert_eq!(keyspace.digest(), play.keyspace.digest());
        let replica = Play { keyspace, ..Play::default() };
        assert!(replica.snapshot() == stream, "equal states give equal bytes");
    }
}

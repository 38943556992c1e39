//! For tests: a keyspace that is driven by command lines, and an auditor of its records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_api::{OwnedArgs, Reply, command};
use quorate_engine::{Engine, Found, Reader};

use crate::keyspace::{Keyspace, Read};
use crate::record::Record;
use crate::revision::Moment;
use crate::snapshot::{Restore, export};
use crate::{slot, space, system};

/// The time at which every play starts.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// A fresh engine.
pub(crate) fn engine() -> Box<dyn Engine> {
    Box::new(quorate_engine::MemoryEngine::new())
}

/// A keyspace and the time of its next entry.
pub(crate) struct Play {
    pub(crate) keyspace: Keyspace,
    pub(crate) now_ms: u64,
    pub(crate) db: u8,
}

impl Default for Play {
    fn default() -> Self {
        let keyspace = Keyspace::open(engine()).expect("a fresh keyspace");
        Self { keyspace, now_ms: START_MS, db: 0 }
    }
}

impl Play {
    /// Does `work` as one entry.
    pub(crate) fn entry<T>(&mut self, work: impl FnOnce(&mut Keyspace) -> T) -> T {
        let index = self.keyspace.applied() + 1;
        let seed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.keyspace.begin(Moment { index, stamp_ms: self.now_ms, seed });
        let result = work(&mut self.keyspace);
        self.keyspace.finish().expect("the entry is written");
        result
    }

    /// Applies a command, given as arguments, as an entry of its own.
    pub(crate) fn apply(&mut self, words: &[Vec<u8>]) -> Reply {
        let (db, args) = (self.db, OwnedArgs::new(words));
        let spec = command::lookup(args.as_args().at(0)).expect("a command of the table");
        self.entry(|keyspace| keyspace.apply(db, spec, args.as_args()).expect("applied"))
    }

    /// Reads at the play's time.
    pub(crate) fn read(&self, line: &str) -> Read {
        let args = OwnedArgs::new(words(line));
        let spec = command::lookup(args.as_args().at(0)).expect("a command of the table");
        self.keyspace.read(self.now_ms, self.db, spec, args.as_args()).expect("read")
    }

    /// Executes a command line as a client would see it: a write is applied, a read is read, after an
    /// entry with the needed stamp if it must be; and it must say the same inside of an entry.
    pub(crate) fn run(&mut self, line: &str) -> Reply {
        let words = words(line);
        let spec = command::lookup(&words[0]).expect("a command of the table");
        if spec.is_write() {
            return self.apply(&words);
        }
        let reply = loop {
            match self.read(line) {
                Read::Reply(reply) => break reply,
                Read::NeedsStamp(stamp_ms) => {
                    assert!(stamp_ms <= self.now_ms && stamp_ms > self.keyspace.stamp_ms());
                    self.entry(|_| ());
                }
            }
        };
        if !["RANDOMKEY", "REVISIONS"].contains(&spec.name) {
            assert_eq!(self.apply(&words), reply, "{line}: read and applied");
        }
        reply
    }

    /// As [`Play::run`], with the reply as text.
    pub(crate) fn say(&mut self, line: &str) -> String {
        if let Some(db) = line.strip_prefix("SELECT ") {
            self.db = db.parse().expect("a database");
            return "OK".to_owned();
        }
        if let Some(ms) = line.strip_prefix("wait ") {
            self.now_ms += ms.parse::<u64>().expect("milliseconds");
            return String::new();
        }
        show(&self.run(line))
    }

    /// The whole snapshot of the present state.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut stream = Vec::new();
        export(&*self.keyspace.view(), &mut |piece| {
            stream.extend_from_slice(piece);
            ControlFlow::Continue(())
        })
        .expect("exported");
        stream
    }
}

/// Plays command lines on a fresh keyspace and compares the replies; then audits the records, and
/// checks that a snapshot of them restores to the same.
pub(crate) fn play(lines: &[(&str, &str)]) {
    let mut play = Play::default();
    println!("~ fresh");
    for (line, expected) in lines {
        let reply = play.say(line);
        println!("~ {line}\n= {reply}");
        assert_eq!(reply, *expected, "{line}");
    }
    audit(&play.keyspace);
    let stream = play.snapshot();
    let mut restore = Restore::new(engine());
    restore.feed(&stream).expect("fed");
    let restored = restore.finish().expect("restored");
    assert_eq!(restored.digest(), play.keyspace.digest());
    let again = Play { keyspace: restored, ..Play::default() };
    assert_eq!(again.snapshot(), stream);
}

/// Splits a line into arguments as redis-cli does: blanks, and double quotes with `\xNN` and `\"`.
pub(crate) fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let mut word = Vec::new();
        match byte {
            b' ' => continue,
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                    match byte {
                        b'\\' => match bytes.next() {
                            Some(b'x') => {
                                let hex = [bytes.next(), bytes.next()].map(Option::unwrap);
                                let hex = String::from_utf8(hex.to_vec()).unwrap();
                                word.push(u8::from_str_radix(&hex, 16).unwrap());
                            }
                            Some(escaped) => word.push(escaped),
                            None => panic!("an unfinished escape in {line}"),
                        },
                        byte => word.push(byte),
                    }
                }
            }
            byte => {
                word.push(byte);
                while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                    word.push(byte);
                }
            }
        }
        words.push(word);
    }
    words
}

/// A reply as text, on one line.
pub(crate) fn show(reply: &Reply) -> String {
    match reply {
        Reply::Ok => "OK".to_owned(),
        Reply::Simple(text) => text.to_string(),
        Reply::Error(error) => format!("({:?}) {}", error.code, error.message),
        Reply::Int(number) => number.to_string(),
        Reply::Bulk(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Reply::Nil => "nil".to_owned(),
        Reply::NilArray => "nil array".to_owned(),
        Reply::Array(items) => {
            let items: Vec<_> = items.iter().map(show).collect();
            format!("[{}]", items.join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// All records whose key starts with `prefix`.
pub(crate) fn records(reader: &dyn Reader, prefix: &[u8]) -> BTreeMap<Vec<u8>, Bytes> {
    let mut found = BTreeMap::new();
    reader
        .visit(prefix, &[], &mut |key, value| {
            if !key.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            found.insert(key.to_vec(), value.to_bytes());
            ControlFlow::Continue(())
        })
        .expect("visited");
    found
}

/// Checks that indexes and counts are exactly what the records of keys say.
pub(crate) fn audit(keyspace: &Keyspace) {
    let engine = keyspace.engine();
    let databases = engine.get(system::databases_key().as_slice()).unwrap().unwrap();
    let databases = crate::database::Databases::decode(&databases).unwrap();
    let (mut slots, mut expiries) = (BTreeSet::new(), BTreeSet::new());
    let mut counts: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for (meta, value) in records(engine, &[space::META]) {
        let physical = u32::from_be_bytes(meta[1..5].try_into().unwrap());
        let key = space::user_key_of_meta(&meta).unwrap();
        let record = Record::decode(Found::Given(value)).unwrap();
        let count = counts.entry(physical).or_default();
        count.0 += 1;
        slots.insert(space::slot(physical, slot::position(key), key).as_slice().to_vec());
        if let Some(expire_ms) = record.expire_ms() {
            count.1 += 1;
            expiries.insert(space::expiry(expire_ms, physical, key).as_slice().to_vec());
        }
    }
    let keys_of = |prefix| records(engine, &[prefix]).into_keys().collect::<BTreeSet<_>>();
    assert_eq!(keys_of(space::SLOT), slots, "the slot index");
    // Of a flushed database the expiry index may have been cleared first.
    let live =
        |index: &Vec<u8>| databases.logical(space::parts_of_expiry(index).unwrap().1).is_some();
    let indexed = keys_of(space::EXPIRY);
    assert!(indexed.is_subset(&expiries), "the expiry index names too much");
    let (indexed, expiries): (BTreeSet<_>, BTreeSet<_>) =
        (indexed.into_iter().filter(live).collect(), expiries.into_iter().filter(live).collect());
    assert_eq!(indexed, expiries, "the expiry index");
    for (db, row) in databases.rows() {
        let (keys, expiring) = counts.remove(&row.physical).unwrap_or_default();
        assert_eq!((row.keys, row.expiring), (keys, expiring), "the counts of database {db}");
    }
    for physical in counts.into_keys() {
        let garbage = engine.get(system::garbage_key(physical).as_slice()).unwrap();
        assert!(garbage.is_some(), "records of {physical} that nobody will clear");
    }
}

/// A small generator with a printed seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// Bytes as hexadecimal text, for golden tests.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

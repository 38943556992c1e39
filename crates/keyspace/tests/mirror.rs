//! The disk engine beside the memory engine under every command of the table, in a process that is killed
//! (-9) again and again.
//!
//! What entry n does follows from n and the seed. So after each kill the memory engine is made anew from
//! the entries up to the one which the disk engine has kept: both must hold the same records, byte for byte,
//! the digest among them. From there on a mirror applies what follows to both, and compares every read.
//!
//! `QUORATE_MIRROR_SEED=7 QUORATE_MIRROR_LIVES=200 cargo test -p quorate-keyspace --test mirror -- --nocapture`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "test code outside of test functions, which kills a process of its own"
)]

use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use quorate_api::{OwnedArgs, Spec, command};
use quorate_engine::{
    Attended, Cellar, DiskCellar, DiskOptions, Engine, EngineError, MemoryEngine, MirrorEngine,
    Reader as _,
};
use quorate_keyspace::{Keyspace, Moment, Read, Want, WatchRef};

const SEED: &str = "QUORATE_MIRROR_SEED";
const LIVES: &str = "QUORATE_MIRROR_LIVES";
/// Set for the process that is killed: the directory.
const CHILD: &str = "QUORATE_MIRROR_CHILD";
/// Lives of a normal run.
const LIVES_DEFAULT: u64 = 4;
/// So small that everything is flushed, compacted, evicted and read back all the time.
const SMALL: DiskOptions = DiskOptions { cache_bytes: 256 * 1024, flush_bytes: 96 * 1024 };
/// Commands that empty or scan everything are rare.
const RARE: [&str; 4] = ["FLUSHDB", "FLUSHALL", "SWAPDB", "KEYS"];

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    fn word(&mut self, choices: &[&str]) -> Vec<u8> {
        choices[self.index(choices.len())].as_bytes().to_vec()
    }

    fn text(&mut self, bound: u64) -> Vec<u8> {
        self.below(bound).to_string().into_bytes()
    }

    fn key(&mut self) -> Vec<u8> {
        let n = self.below(400);
        match self.below(200) {
            // Longer than the tree on disk takes.
            0 => vec![b'l'; 60_000 + usize::try_from(n * 13).unwrap()],
            1..30 => format!("{{tag{}}}:{n}", n % 7).into_bytes(),
            _ => format!("key:{n}").into_bytes(),
        }
    }

    fn keys(&mut self) -> Vec<Vec<u8>> {
        (0..=self.below(4)).map(|_| self.key()).collect()
    }

    fn value(&mut self) -> Vec<u8> {
        let byte = b'a' + u8::try_from(self.below(26)).unwrap();
        match self.below(40) {
            0 => vec![byte; self.index(40_000)],
            1..10 => self.text(1_000_000),
            _ => vec![byte; self.index(600)],
        }
    }

    fn number(&mut self) -> Vec<u8> {
        (i64::try_from(self.below(2_000)).unwrap() - 1_000).to_string().into_bytes()
    }
}

fn is_of_keys(spec: &Spec) -> bool {
    spec.is_write() || spec.is_read()
}

/// Arguments for `spec` behind its name, mostly right ones.
fn arguments(spec: &Spec, now_ms: u64, dice: &mut Dice) -> Vec<Vec<u8>> {
    let word = |text: &str| text.as_bytes().to_vec();
    let soon = |dice: &mut Dice| (now_ms + dice.below(20_000)).to_string().into_bytes();
    let span = |dice: &mut Dice, bound| (1 + dice.below(bound)).to_string().into_bytes();
    match spec.name {
        "SET" => {
            let mut args = vec![dice.key(), dice.value()];
            match dice.below(8) {
                0 => args.extend([word("PX"), span(dice, 9_000)]),
                1 => args.extend([word("PXAT"), soon(dice)]),
                2 => args.extend([word("NX"), word("GET")]),
                3 => args.push(dice.word(&["XX", "KEEPTTL", "GET"])),
                _ => {}
            }
            args
        }
        "SETEX" => vec![dice.key(), span(dice, 9), dice.value()],
        "PSETEX" => vec![dice.key(), span(dice, 9_000), dice.value()],
        "SETNX" | "GETSET" | "APPEND" => vec![dice.key(), dice.value()],
        "GETEX" => match dice.below(3) {
            0 => vec![dice.key(), word("PXAT"), soon(dice)],
            1 => vec![dice.key(), word("PERSIST")],
            _ => vec![dice.key()],
        },
        "MSET" | "MSETNX" => (0..=dice.below(4)).flat_map(|_| [dice.key(), dice.value()]).collect(),
        "MGET" | "DEL" | "UNLINK" | "EXISTS" | "TOUCH" | "REVISIONS" => dice.keys(),
        "SETRANGE" => vec![dice.key(), dice.text(900), dice.value()],
        "GETRANGE" | "SUBSTR" => vec![dice.key(), dice.number(), dice.number()],
        "INCRBY" | "DECRBY" | "INCRBYFLOAT" => vec![dice.key(), dice.number()],
        "EXPIRE" => vec![dice.key(), dice.text(12)],
        "PEXPIRE" => vec![dice.key(), dice.text(12_000)],
        "EXPIREAT" => vec![dice.key(), (now_ms / 1000 + dice.below(12)).to_string().into_bytes()],
        "PEXPIREAT" => vec![dice.key(), soon(dice)],
        "RENAME" | "RENAMENX" => vec![dice.key(), dice.key()],
        "COPY" => match dice.below(3) {
            0 => vec![dice.key(), dice.key(), word("DB"), dice.text(4)],
            1 => vec![dice.key(), dice.key(), word("REPLACE")],
            _ => vec![dice.key(), dice.key()],
        },
        "MOVE" => vec![dice.key(), dice.text(4)],
        "KEYS" => vec![dice.word(&["*", "key:1*", "{tag3}:*", "none"])],
        "SCAN" => vec![dice.text(u64::MAX), word("COUNT"), word("50")],
        "SWAPDB" => vec![dice.text(4), dice.text(4)],
        "OBJECT" => vec![dice.word(&["ENCODING", "REFCOUNT", "IDLETIME"]), dice.key()],
        "KV.PUT" => {
            let condition = dice.word(&["", "*", "+", "7"]);
            let expiry = if dice.below(3) == 0 { soon(dice) } else { Vec::new() };
            vec![dice.key(), dice.value(), condition, expiry]
        }
        "KV.DELETE" => vec![dice.key(), dice.word(&["", "+", "7"])],
        "RANDOMKEY" | "DBSIZE" | "FLUSHDB" | "FLUSHALL" => Vec::new(),
        "GET" | "GETDEL" | "STRLEN" | "INCR" | "DECR" | "TYPE" | "TTL" | "PTTL" | "EXPIRETIME"
        | "PEXPIRETIME" | "PERSIST" | "KV.GET" => vec![dice.key()],
        other => panic!("{other} is new: say here what its arguments are"),
    }
}

fn call(spec: &Spec, now_ms: u64, dice: &mut Dice) -> OwnedArgs {
    let mut words = vec![spec.name.as_bytes().to_vec()];
    words.extend(arguments(spec, now_ms, dice));
    OwnedArgs::new(words)
}

/// One of the commands that touch keys.
fn any_command(writes: bool, dice: &mut Dice) -> &'static Spec {
    let all: Vec<_> = command::all().filter(|spec| is_of_keys(spec)).collect();
    loop {
        let spec = all[dice.index(all.len())];
        let rare = RARE.contains(&spec.name) && dice.below(40) > 0;
        if spec.is_write() == writes && !rare {
            return spec;
        }
    }
}

fn stamp_of(index: u64) -> u64 {
    1_700_000_000_000 + index * 20
}

/// A transaction that watches a key.
fn transact(keyspace: &mut Keyspace, db: u8, index: u64, dice: &mut Dice) -> quorate_api::Reply {
    let key = dice.key();
    let watch = WatchRef { db, key: &key, revision: 0, seen: dice.below(index << 20) };
    let now_ms = stamp_of(index);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let spec = any_command(true, dice);
            (spec, call(spec, now_ms, dice))
        })
        .collect();
    let calls = calls.iter().map(|(spec, args)| (db, *spec, args.as_args()));
    keyspace.transact([watch], calls).unwrap()
}

/// Applies entry `index` of `seed`: the same on every engine.
fn apply(keyspace: &mut Keyspace, seed: u64, index: u64) {
    let mut dice = Dice(seed ^ index.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let now_ms = stamp_of(index);
    keyspace.begin(Moment { index, stamp_ms: now_ms, seed: dice.roll() });
    for _ in 0..=dice.below(12) {
        let db = u8::try_from(dice.below(3)).unwrap();
        let (client, sequence) = (format!("client{}", dice.below(5)), dice.below(50));
        let named = dice.below(10) == 0;
        if named && keyspace.once_before(client.as_bytes(), sequence, 7).unwrap().is_some() {
            continue;
        }
        let reply = if dice.below(10) == 0 {
            transact(keyspace, db, index, &mut dice)
        } else {
            let spec = any_command(dice.below(8) > 0, &mut dice);
            keyspace.apply(db, spec, call(spec, now_ms, &mut dice).as_args()).unwrap()
        };
        if named {
            keyspace.once_after(client.as_bytes(), sequence, 7, &reply).unwrap();
        }
    }
    if index.is_multiple_of(5) {
        keyspace.housekeep(64, 256).unwrap();
    }
    keyspace.finish().unwrap();
}

/// Reads as a node does: without the device where that is enough, else from a frozen state.
fn read(keyspace: &mut Keyspace, dice: &mut Dice) {
    let now_ms = keyspace.stamp_ms();
    let spec = any_command(false, dice);
    let (db, args) = (u8::try_from(dice.below(3)).unwrap(), call(spec, now_ms, dice));
    let answer = match keyspace.read(now_ms, db, spec, args.as_args()) {
        Err(EngineError::Cold) => {
            let frozen = keyspace.freeze();
            let answer = frozen.read(now_ms, db, spec, args.as_args());
            keyspace.thaw(frozen.end());
            answer
        }
        answer => answer,
    };
    assert!(matches!(answer, Ok(Read::Reply(_))), "{}: {answer:?}", spec.name);
}

/// Has what some writes look at read ahead, as a node does.
fn read_ahead(keyspace: &mut Keyspace, dice: &mut Dice) {
    let now_ms = keyspace.stamp_ms();
    let mut needs = Vec::new();
    for _ in 0..=dice.below(4) {
        let (db, spec) = (u8::try_from(dice.below(3)).unwrap(), any_command(true, dice));
        let args = call(spec, now_ms, dice);
        let args = args.as_args();
        for at in spec.key_positions(args.len()) {
            keyspace.add_needs_of(&Want::Key { db, command: spec.id, args, at }, &mut needs);
        }
    }
    let Some(fetch) = keyspace.fetch(&needs) else { return };
    let read = fetch.run().into();
    if dice.below(2) == 0 {
        keyspace.thaw(read);
    } else {
        keyspace.hold(read).unwrap();
    }
}

/// The state behind entry `applied` of `seed`, in memory.
fn replayed(seed: u64, applied: u64) -> MemoryEngine {
    let mut engine = MemoryEngine::new();
    if applied == 0 {
        return engine;
    }
    let mut keyspace = Keyspace::open(Box::new(MemoryEngine::new())).unwrap();
    (1..=applied).for_each(|index| apply(&mut keyspace, seed, index));
    let copied = keyspace.view().visit(b"", b"", &mut |key, value| {
        engine.put(key, value.to_bytes()).unwrap();
        ControlFlow::Continue(())
    });
    copied.unwrap();
    engine.write(applied).unwrap();
    engine
}

/// Opens what is in `dir`, compares it with what it should be, and mirrors it.
fn mirrored(dir: &Path, seed: u64) -> (Keyspace, u64) {
    let cellar = DiskCellar::new(SMALL);
    let disk = cellar.open(dir).unwrap().unwrap_or_else(|| {
        let mut fresh = cellar.fresh(dir).unwrap();
        fresh.seal(b"").unwrap();
        fresh
    });
    let applied = disk.applied();
    let mirror = MirrorEngine::new(Attended::threaded(disk), replayed(seed, applied));
    (Keyspace::open(Box::new(mirror)).unwrap(), applied)
}

/// One life: applies and reads until it is killed.
fn live(dir: &Path, seed: u64) {
    let (mut keyspace, applied) = mirrored(dir, seed);
    println!("opened at {applied}");
    let mut dice = Dice(seed ^ applied);
    for index in applied + 1.. {
        if dice.below(2) == 0 {
            read_ahead(&mut keyspace, &mut dice);
        }
        apply(&mut keyspace, seed, index);
        keyspace.release();
        for _ in 0..dice.below(6) {
            read(&mut keyspace, &mut dice);
        }
        keyspace.engine_mut().maintain(64);
        if index.is_multiple_of(64) {
            println!("at {index} durable {}", keyspace.engine().durable_applied());
        }
    }
}

fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Lets a child live for a while and kills it; up to where its state was durable by what it said.
fn one_life(dir: &Path, seed: u64, durable: u64, dice: &mut Dice) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_disk_engine_is_the_memory_engine_through_any_number_of_kills"])
        .args(["--nocapture", "--test-threads=1"])
        .env(CHILD, dir)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // So many reports, and then a little more: a flush, a compaction or neither is under way.
    let (reports, mut told, mut until) = (1 + dice.below(12), 0, durable);
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    while told < reports {
        let Some(line) = lines.next() else {
            panic!("a life ended by itself: {}; seed {seed}", child.wait().unwrap());
        };
        let line = line.unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["opened", "at", index] => {
                let index: u64 = index.parse().unwrap();
                assert!(index >= durable, "{durable} was durable, {index} is left; seed {seed}");
            }
            ["at", _, "durable", index] => {
                until = index.parse().unwrap();
                told += 1;
            }
            _ => {}
        }
    }
    std::thread::sleep(Duration::from_micros(dice.below(30_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    until
}

#[test]
fn the_disk_engine_is_the_memory_engine_through_any_number_of_kills() {
    if let Ok(dir) = std::env::var(CHILD) {
        return live(Path::new(&dir), number_of(SEED, 0));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number_of(SEED, u64::from(now.subsec_nanos()));
    let lives = number_of(LIVES, LIVES_DEFAULT);
    println!("{SEED}={seed} {LIVES}={lives} cargo test -p quorate-keyspace --test mirror");
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(seed);
    let mut durable = 0;
    for _ in 0..lives {
        durable = one_life(dir.path(), seed, durable, &mut dice);
    }
    let (_, applied) = mirrored(dir.path(), seed);
    println!("{lives} lives: entry {durable} was durable, the last kill left {applied}");
    assert!(applied >= durable && applied > 0);
}

#[test]
fn every_command_that_touches_keys_has_arguments_here() {
    for spec in command::all().filter(|spec| is_of_keys(spec)) {
        for seed in 0..50 {
            let args = call(spec, stamp_of(1), &mut Dice(seed));
            assert!(spec.arity_fits(args.as_args().len()), "{}", spec.name);
        }
    }
}

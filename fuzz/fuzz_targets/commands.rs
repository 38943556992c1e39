//! Command arguments through `apply`, on all engines that there are: the same replies, digests and snapshots, also
//! of what the disk engine has when it is opened again. Another engine is a line in [`engines`].
#![no_main]

use std::ops::ControlFlow;
use std::path::Path;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use quorate_api::{OwnedArgs, command};
use quorate_engine::{Attended, Cellar, DiskCellar, DiskOptions, Engine, MemoryEngine};
use quorate_fuzz::model::ModelEngine;
use quorate_keyspace::snapshot::{Restore, export};
use quorate_keyspace::{Keyspace, Moment};

#[derive(Arbitrary, Debug)]
enum Argument {
    Key(u8),
    Word(u8),
    Number(i64),
    Bytes(Vec<u8>),
}

/// Words that mean something to some command.
const WORDS: [&str; 30] = [
    "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "NX", "XX", "GT", "LT", "GET", "IFEQ", "PERSIST",
    "MATCH", "COUNT", "TYPE", "string", "DB", "REPLACE", "ENCODING", "REFCOUNT", "IDLETIME",
    "FREQ", "*", "k*", "0", "-1", "1", "1.5", "ASYNC", "",
];

impl Argument {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Key(number) => format!("k{}", number % 6).into_bytes(),
            Self::Word(number) => WORDS[usize::from(*number) % WORDS.len()].as_bytes().to_vec(),
            Self::Number(number) => number.to_string().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Step {
    command: u8,
    arguments: Vec<Argument>,
    db: u8,
    wait_ms: u16,
    housekeep: bool,
}

/// So small that a handful of commands is flushed, merged, evicted and read back.
const SMALL: DiskOptions = DiskOptions { cache_bytes: 4096, flush_bytes: 1024 };

/// A new one in `dir`, to be found there again.
fn on_disk(cellar: &DiskCellar, dir: &Path) -> Box<dyn Engine> {
    let mut fresh = cellar.fresh(dir).expect("a new one");
    fresh.seal(b"").expect("there is room");
    // Its work is done by the caller: a finding must come about again.
    Box::new(Attended::inline(fresh))
}

fn engines(cellar: &DiskCellar, dir: &Path) -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(ModelEngine::default()),
        Box::new(MemoryEngine::new()),
        on_disk(cellar, &dir.join("disk")),
    ]
}

/// What the disk engine kept is a state that there was: that behind the last entry which it calls durable, or a
/// later one.
fn reopen(cellar: &DiskCellar, dir: &Path, durable: u64, digests: &[u64]) {
    let kept = cellar.open(&dir.join("disk")).expect("it opens").expect("it was sealed");
    let applied = kept.applied();
    assert!(applied >= durable, "{durable} was durable, {applied} is left");
    if let Some(at) = applied.checked_sub(1) {
        let keyspace = Keyspace::open(kept).expect("what it held");
        let at = usize::try_from(at).expect("few steps");
        assert_eq!(keyspace.digest(), digests[at], "the state behind entry {applied}");
    }
}

fn snapshot(keyspace: &Keyspace) -> Vec<u8> {
    let mut bytes = Vec::new();
    export(&*keyspace.view(), &mut |piece| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    })
    .expect("exported");
    bytes
}

fuzz_target!(|steps: Vec<Step>| {
    let (dir, cellar) = (tempfile::tempdir().expect("a directory"), DiskCellar::new(SMALL));
    let mut keyspaces: Vec<Keyspace> = engines(&cellar, dir.path())
        .into_iter()
        .map(|engine| Keyspace::open(engine).expect("fresh"))
        .collect();
    let mut digests = Vec::new();
    let specs: Vec<_> = command::all().collect();
    let mut now_ms = 1_700_000_000_000;
    for step in steps.iter().take(64) {
        let spec = specs[usize::from(step.command) % specs.len()];
        let words = step.arguments.iter().take(12).map(Argument::bytes);
        let args = OwnedArgs::new([spec.name.as_bytes().to_vec()].into_iter().chain(words));
        if !spec.arity_fits(args.as_args().len()) {
            continue;
        }
        now_ms += u64::from(step.wait_ms);
        let mut replies = keyspaces.iter_mut().map(|keyspace| {
            let index = keyspace.applied() + 1;
            keyspace.begin(Moment { index, stamp_ms: now_ms, seed: index });
            let reply = keyspace.apply(step.db % 16, spec, args.as_args()).expect("applied");
            if step.housekeep {
                keyspace.housekeep(3, 3).expect("kept");
            }
            keyspace.finish().expect("finished");
            keyspace.engine_mut().maintain(8);
            (reply, keyspace.digest())
        });
        let first = replies.next().expect("an engine");
        for other in replies {
            assert_eq!(first, other, "{step:?}");
        }
        digests.push(first.1);
    }
    // There is no snapshot of nothing.
    if keyspaces[0].applied() == 0 {
        return;
    }
    let first = snapshot(&keyspaces[0]);
    for keyspace in &keyspaces {
        assert!(snapshot(keyspace) == first, "the snapshots differ");
    }
    let second = on_disk(&cellar, &dir.path().join("restored"));
    for engine in [Box::new(MemoryEngine::new()) as Box<dyn Engine>, second] {
        let mut restore = Restore::new(engine);
        restore.feed(&first).expect("our own snapshot");
        let restored = restore.finish().expect("whole");
        assert_eq!(restored.digest(), keyspaces[0].digest());
        assert!(snapshot(&restored) == first, "a restored snapshot is another one");
    }
    let durable = keyspaces.iter().map(|it| it.engine().durable_applied()).max().unwrap_or(0);
    drop(keyspaces);
    reopen(&cellar, dir.path(), durable, &digests);
});

//! Command arguments through `apply`, on all engines that there are: the same replies, digests and snapshots.
//! Another engine is a line in [`engines`].
#![no_main]

use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use quorate_api::{OwnedArgs, command};
use quorate_engine::{Engine, MemoryEngine};
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

fn engines() -> Vec<Box<dyn Engine>> {
    vec![Box::new(ModelEngine::default()), Box::new(MemoryEngine::new())]
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
    let mut keyspaces: Vec<Keyspace> =
        engines().into_iter().map(|engine| Keyspace::open(engine).expect("fresh")).collect();
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
            (reply, keyspace.digest())
        });
        let first = replies.next().expect("an engine");
        for other in replies {
            assert_eq!(first, other, "{step:?}");
        }
    }
    // There is no snapshot of nothing.
    if keyspaces[0].applied() == 0 {
        return;
    }
    let first = snapshot(&keyspaces[0]);
    for keyspace in &keyspaces {
        assert!(snapshot(keyspace) == first, "the snapshots differ");
    }
    let mut restore = Restore::new(Box::new(MemoryEngine::new()));
    restore.feed(&first).expect("our own snapshot");
    assert_eq!(restore.finish().expect("whole").digest(), keyspaces[0].digest());
});

//! OBJECT: what Redis would say of how a value is stored.

use quorate_api::{Args, Reply};

use crate::commands::wrong_arity;
use crate::number;
use crate::reading::Reading;
use crate::record::{Encoding, Record};
use crate::stop::Outcome;
use crate::types::Kind;

/// Up to this many bytes a string is "embstr" in Redis.
const EMBSTR_BYTES_MAX: usize = 44;
/// Numbers below this are objects that Redis shares ...
const SHARED_INTEGERS: i64 = 10_000;
/// ... and says have this many references.
const SHARED_REFERENCES: i64 = 2_147_483_647;

const HELP: [&str; 15] = [
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

/// OBJECT ENCODING | FREQ | HELP | IDLETIME | REFCOUNT.
pub(crate) fn object(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let word = args.at(1);
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let (name, wanted): (_, fn(&Record<'_>) -> Reply) = if is("HELP") {
        let lines = HELP.into_iter().map(|line| Reply::Simple(line.into()));
        let help = || Reply::Array(lines.collect());
        return Ok(if args.len() == 2 { help() } else { wrong_arity("object|help") });
    } else if is("ENCODING") {
        ("object|encoding", |record| Reply::bulk(encoding(record).as_bytes()))
    } else if is("REFCOUNT") {
        ("object|refcount", |record| Reply::Int(references(record)))
    } else if is("IDLETIME") {
        // Accesses are not tracked: reads leave no trace in replicated state.
        ("object|idletime", |_| Reply::Int(0))
    } else if is("FREQ") {
        ("object|freq", |_| {
            Reply::err(
                "An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
                 that when switching between policies at runtime LRU and LFU data will take some \
                 time to adjust.",
            )
        })
    } else {
        let word = String::from_utf8_lossy(word);
        return Ok(Reply::err(format!("unknown subcommand '{word}'. Try OBJECT HELP.")));
    };
    if args.len() != 3 {
        return Ok(wrong_arity(name));
    }
    let found = on.peek(args.at(2))?;
    Ok(found.as_ref().map_or(Reply::Nil, wanted))
}

fn integer(record: &Record<'_>) -> Option<i64> {
    let counts = record.kind() == Kind::String && record.head().encoding == Encoding::Auto;
    if counts { number::parse(record.payload()) } else { None }
}

fn encoding(record: &Record<'_>) -> &'static str {
    match record.kind() {
        Kind::String if integer(record).is_some() => "int",
        Kind::String if record.head().encoding == Encoding::Raw => "raw",
        Kind::String if record.payload().len() <= EMBSTR_BYTES_MAX => "embstr",
        Kind::String => "raw",
        Kind::List => "quicklist",
        Kind::Set | Kind::Hash => "hashtable",
        Kind::Zset => "skiplist",
        Kind::Stream => "stream",
    }
}

fn references(record: &Record<'_>) -> i64 {
    let shared = |number: i64| (0..SHARED_INTEGERS).contains(&number);
    if integer(record).is_some_and(shared) { SHARED_REFERENCES } else { 1 }
}

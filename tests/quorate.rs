//! Commands of the binary itself, run to their end.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::patience::until;

/// A command ends within its own patience.
const LIMIT: Duration = Duration::from_secs(90);

/// How it ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `quorate` with `args`, and without the variables of these tests, which it would take for its own.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"QUORATE_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// Runs `quorate` with `args`.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Ended {
    let mut command = command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // What these commands say fits into a pipe.
    let status = until(&format!("quorate {args:?} ends"), LIMIT, || {
        child.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
    });
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Runs it; it must succeed. What it said.
#[track_caller]
pub(crate) fn done(args: &[&str]) -> String {
    let ended = run(args);
    assert_eq!(ended.code, Some(0), "quorate {args:?}: {ended:?}");
    ended.out
}

/// Runs it with `--output json`; it must succeed.
#[track_caller]
pub(crate) fn json(args: &[&str]) -> Value {
    let out = done(&[args, &["--output", "json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("quorate {args:?} said no JSON: {out}"))
}

/// Runs it; it must fail with 1. What it complained of.
#[track_caller]
pub(crate) fn refused(args: &[&str]) -> String {
    let ended = run(args);
    assert_eq!(ended.code, Some(1), "quorate {args:?}: {ended:?}");
    ended.err
}

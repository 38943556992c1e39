//! Programs that are not ours: whether they are there, and what they say within a time.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::patience::{say, until};

/// How a program ended and what it said, both outputs in one.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

/// False when `command` can't be run: then the test is skipped, and says so; in CI it fails instead.
pub(crate) fn is_there(command: &[&str]) -> bool {
    if works(command) {
        return true;
    }
    let shown = command.join(" ");
    assert!(std::env::var("CI").is_err(), "`{shown}` does not work, and CI must not skip");
    skip(command)
}

/// As [`is_there`], of what a container may forbid for good reasons: a skip that says so, also in CI.
pub(crate) fn is_permitted(command: &[&str]) -> bool {
    works(command) || skip(command)
}

fn works(command: &[&str]) -> bool {
    let mut check = Command::new(command[0]);
    check.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    check.status().is_ok_and(|status| status.success())
}

fn skip(command: &[&str]) -> bool {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    say(&format!("SKIPPED {test}: `{}` does not work on this machine", command.join(" ")));
    false
}

/// Runs `command` with `input`; it must end within `limit`.
pub(crate) fn run(command: &[&str], input: &str, limit: Duration) -> Said {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let readers = [
        read_all(Box::new(child.stdout.take().unwrap())),
        read_all(Box::new(child.stderr.take().unwrap())),
    ];
    let pid = child.id();
    let guard = Killed(child);
    let mut guard = guard;
    let status = until(&format!("{command:?} (process {pid}) ends"), limit, || {
        guard.0.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
    });
    let text = readers.map(|reader| reader.join().unwrap()).concat();
    Said { success: status.success(), text }
}

/// Runs `command`, which must succeed; what it said.
pub(crate) fn output_of(command: &[&str], input: &str, limit: Duration) -> String {
    let said = run(command, input, limit);
    assert!(said.success, "{command:?} failed:\n{}", said.text);
    said.text
}

/// A child that does not outlive its owner.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already, mostly.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn read_all(mut from: Box<dyn Read + Send>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

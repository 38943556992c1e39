//! One `quorate serve`: started, signalled, waited for; killed when its owner goes.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::until;
use crate::seed::Random;
use crate::wall_clock;

/// What a node is started with; the same at every start.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) addr: String,
    pub(crate) data_dir: PathBuf,
    /// Standard error of all its lives, one after the other.
    pub(crate) log: PathBuf,
    /// Besides name, address and directory.
    pub(crate) flags: Vec<String>,
    /// A small disk of its own, which lives as long as the process does.
    pub(crate) disk_bytes: Option<u64>,
    /// What stands before the binary: programs that arrange something and then become it.
    pub(crate) wrapper: Vec<String>,
    /// Variables of its environment.
    pub(crate) variables: Vec<(String, String)>,
}

/// A running node. Its standard input is a pipe of ours, so that it also ends when we are killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// A mount namespace with a file system of `$1` bytes over `$2`, then the rest of the arguments in it.
const ENCLOSED: &str = r#"mount -t tmpfs -o size="$1" quorate-test "$2" && shift 2 && exec "$@""#;

impl Recipe {
    /// Sets flags with a value each, whatever they were.
    pub(crate) fn set(&mut self, flags: &[&str]) {
        for pair in flags.chunks(2) {
            if let Some(at) = self.flags.iter().position(|flag| flag == pair[0]) {
                self.flags.drain(at..at + 2);
            }
            self.flags.extend(pair.iter().map(|&word| word.to_owned()));
        }
    }

    fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_quorate");
        let mut command = match self.disk_bytes {
            None => {
                let words: Vec<_> =
                    self.wrapper.iter().map(String::as_str).chain([binary]).collect();
                let mut command = Command::new(words[0]);
                command.args(&words[1..]);
                command
            }
            Some(bytes) => {
                fs::create_dir_all(&self.data_dir).unwrap();
                let mut command = Command::new("unshare");
                command.args(["--map-root-user", "--mount", "sh", "-c", ENCLOSED, "sh"]);
                command.arg(bytes.to_string()).arg(&self.data_dir).arg(binary);
                command
            }
        };
        command.args(["serve", "--stop-on-eof", "--id", &self.name, "--listen", &self.addr]);
        command.arg("--data-dir").arg(&self.data_dir).args(&self.flags);
        command
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Process {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = self.command();
        // Whoever runs the tests may have settings of a node of their own.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"QUORATE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .env("NO_COLOR", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", self.name));
        Process { child }
    }

    /// What it has said so far.
    pub(crate) fn log_text(&self) -> String {
        fs::read(&self.log)
            .map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into_owned())
    }

    /// Where `path` of its directory can be reached from outside of its mount namespace.
    pub(crate) fn inside(&self, process: &Process, path: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", process.child.id()));
        let dir = self.data_dir.strip_prefix("/").unwrap_or(&self.data_dir);
        root.join(dir).join(path)
    }
}

impl Process {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// How it ended; `None` while it has not.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let pid = self.child.id();
        until(&format!("process {pid} ends"), limit, || {
            self.ended().ok_or_else(|| "it still runs".to_owned())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL also ends what is stopped. It may have ended before.
        drop(self.child.kill());
        drop(self.child.wait());
        wall_clock::forget(self.child.id());
    }
}

/// Addresses that were given out, so that no two tests get the same.
static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// A free loopback address. Its port lies below those which systems give to outgoing connections:
/// otherwise one of those could take it while its node is down.
pub(crate) fn free_addr(random: &mut Random) -> String {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    let mut given = GIVEN.lock().unwrap();
    loop {
        let offset = u16::try_from(random.below(PORTS.len())).unwrap();
        let port = PORTS.start + offset;
        let addr = format!("127.0.0.1:{port}");
        if !given.contains(&port) && TcpListener::bind(&addr).is_ok() {
            given.push(port);
            return addr;
        }
    }
}

/// What of a log tells most after a failure: where it panicked, and its last lines.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<_> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    match all.iter().position(|line| line.contains("panicked at")) {
        Some(at) => {
            let panic = &all[at..all.len().min(at + lines)];
            format!("{}\n...\n{}", panic.join("\n"), last.join("\n"))
        }
        None => last.join("\n"),
    }
}

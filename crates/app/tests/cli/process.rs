//! Processes of the real binary: run to the end, or kept and asked. Nothing waits without a deadline.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A machine that does much else may be slow.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// The binary, without settings that the developer's environment may have.
pub(crate) fn quorate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("QUORATE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// What a run that ends by itself leaves.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs the binary with these arguments to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    run_command(quorate().args(args))
}

/// Runs `command` to its end.
pub(crate) fn run_command(command: &mut Command) -> Ended {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let code = wait(&mut child);
    let mut ended = Ended::from(child.wait_with_output().unwrap());
    ended.code = code.code();
    ended
}

/// Waits until `condition` gives something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(PAUSE);
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let pid = child.id();
    until(&format!("process {pid} ends"), || child.try_wait().unwrap())
}

/// A process that lives until the test ends it; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    text: PathBuf,
}

impl Process {
    /// Starts `command`; what it says goes to the file `text`.
    pub(crate) fn start(command: &mut Command, text: PathBuf) -> Self {
        let file = std::fs::File::create(&text).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), text }
    }

    /// What it has said so far.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.text).unwrap()
    }

    /// Waits until it has said `words`; everything it has said then.
    pub(crate) fn says(&mut self, words: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let text = self.text();
            if text.contains(words) {
                return text;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "ended ({ended:?}) without saying {words:?}: {text}");
            assert!(Instant::now() < deadline, "did not say {words:?}: {text}");
            std::thread::sleep(PAUSE);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        wait(&mut self.child).code()
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A node, and where it listens.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) addr: String,
}

impl Node {
    /// Starts `n1` on a free port, with its data in `dir`.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_as("n1", dir, args)
    }

    /// Starts a node on a free port.
    pub(crate) fn start_as(id: &str, dir: &Path, args: &[&str]) -> Self {
        let mut command = quorate();
        command
            .args(["serve", "--id", id, "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir)
            .args(args);
        Self::start_command(&mut command, dir)
    }

    /// Starts `command`, which serves; what it says goes beside `dir`.
    pub(crate) fn start_command(command: &mut Command, dir: &Path) -> Self {
        let mut process = Process::start(command, dir.with_extension("log"));
        let text = process.says("listening on ");
        let addr = text.rsplit("listening on ").next().unwrap_or_default();
        let addr = addr.split_whitespace().next().unwrap_or_default().to_owned();
        Self { process, addr }
    }

    /// The reply's first line to an inline command; waits for a leader.
    pub(crate) fn ask(&self, command: &str) -> String {
        until(command, || {
            let reply = ask(&self.addr, command)?;
            let is_early = ["-TRYAGAIN", "-CLUSTERDOWN"].iter().any(|word| reply.starts_with(word));
            (!is_early).then_some(reply)
        })
    }
}

/// The first line of the reply to an inline command, or the value of a bulk string.
pub(crate) fn ask(addr: &str, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let line = line.trim_end().to_owned();
    match line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => {
            let mut value = vec![0; length];
            reader.read_exact(&mut value).ok()?;
            Some(String::from_utf8_lossy(&value).into_owned())
        }
        None => Some(line),
    }
}

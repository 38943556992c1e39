//! strace on one thread of a running process: its system calls fail, or take their time; the others don't
//! notice. Ends with its owner, and then all is well again.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::patience::until;
use crate::tool;

/// The node's thread that writes and syncs the log.
pub(crate) const LOG_WRITER: &str = "log";
/// Writes which member of which cluster the node is.
pub(crate) const IDENTITY_WRITER: &str = "identity";
/// Creates, seals and removes the log's files, and writes that down.
pub(crate) const LOG_KEEPER: &str = "log-files";
/// Makes snapshots.
pub(crate) const SNAPSHOT_MAKER: &str = "snapshot-make";
/// Writes snapshots that arrive.
pub(crate) const SNAPSHOT_RECEIVER: &str = "snapshot-recv";
/// Writes what the disk engine has in memory.
pub(crate) const FLUSHER: &str = "engine-flush";
/// Merges what the disk engine has written.
pub(crate) const COMPACTER: &str = "engine-compact";
/// What makes bytes durable.
const SYNCS: &str = "fsync,fdatasync";
/// It attaches within milliseconds, on a machine that has time.
const LIMIT: Duration = Duration::from_secs(5);

/// An strace at work.
pub(crate) struct Strace {
    child: Child,
    /// What it has seen, one call a line.
    seen: NamedTempFile,
}

/// True where processes may be traced; a skip that says so otherwise, also in CI: a container may forbid it.
pub(crate) fn is_permitted() -> bool {
    tool::is_permitted(&["strace", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"])
}

impl Strace {
    /// Has every fsync and fdatasync of the thread called `thread` fail with EIO from the `nth` on.
    pub(crate) fn fail_syncs(process: u32, thread: &str, nth: usize) -> Option<Self> {
        Self::attach(process, thread, SYNCS, &format!("error=EIO:when={nth}+"))
    }

    /// Has every fsync and fdatasync of the thread called `thread` take this much longer.
    pub(crate) fn slow_syncs(process: u32, thread: &str, by: Duration) -> Option<Self> {
        Self::attach(process, thread, SYNCS, &format!("delay_enter={}", by.as_micros()))
    }

    /// Has every read of a file, at an offset, of the thread called `thread` take this much longer.
    pub(crate) fn slow_reads(process: u32, thread: &str, by: Duration) -> Option<Self> {
        Self::attach(process, thread, "pread64", &format!("delay_enter={}", by.as_micros()))
    }

    /// `None` when there is no such thread any more, or not yet.
    fn attach(process: u32, thread: &str, calls: &str, fault: &str) -> Option<Self> {
        let task = task(process, thread)?;
        let seen = NamedTempFile::with_prefix("quorate-test-").unwrap();
        let strace = Command::new("strace")
            .args(["-qq", "-e", &format!("trace={calls}"), "-p", &task, "-o"])
            .arg(seen.path())
            .args(["-e", &format!("inject={calls}:{fault}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut strace = Self { child: strace.unwrap(), seen };
        let status = format!("/proc/{process}/task/{task}/status");
        let pid = format!("TracerPid:\t{}", strace.child.id());
        until("strace is attached", LIMIT, || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            match strace.child.try_wait().unwrap() {
                // It ends well when the thread has ended meanwhile, and badly when it could not attach.
                Some(status) => Ok(status.success()),
                None if text.lines().any(|line| line == pid) => Ok(true),
                None => Err(text),
            }
        })
        .then_some(strace)
    }

    /// How many calls have failed so far, or have taken their time and ended.
    pub(crate) fn injected(&self) -> usize {
        let seen = fs::read_to_string(self.seen.path()).unwrap_or_default();
        let is_injected = |line: &&str| line.contains("(INJECTED)") || line.contains("(DELAYED)");
        seen.lines().filter(is_injected).count()
    }
}

/// The id of a process' thread of this name.
fn task(process: u32, thread: &str) -> Option<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let mut tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
    let found = tasks.find(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == thread)
    })?;
    Some(found.file_name()?.to_str()?.to_owned())
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Asked, it lets go of the thread first; it may have ended with it.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && self.child.try_wait().is_ok_and(|ended| ended.is_none())
        {
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
        drop(self.child.wait());
    }
}

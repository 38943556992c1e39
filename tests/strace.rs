//! strace on one thread of a running process: its system calls fail, or take their time; the others don't
//! notice. Ends with its owner, and then all is well again.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::until;
use crate::tool;

/// The node's thread that writes and syncs the log.
pub(crate) const LOG_WRITER: &str = "log";
/// It attaches within milliseconds, on a machine that has time.
const LIMIT: Duration = Duration::from_secs(5);

/// An strace at work.
pub(crate) struct Strace(Child);

/// True where processes may be traced; a skip that says so otherwise, also in CI: a container may forbid it.
pub(crate) fn is_permitted() -> bool {
    tool::is_permitted(&["strace", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"])
}

impl Strace {
    /// Has every fsync and fdatasync of the thread called `thread` fail with EIO from the `nth` on.
    pub(crate) fn fail_syncs(process: u32, thread: &str, nth: usize) -> Option<Self> {
        Self::attach(process, thread, &format!("error=EIO:when={nth}+"))
    }

    /// Has every fsync and fdatasync of the thread called `thread` take this much longer.
    pub(crate) fn slow_syncs(process: u32, thread: &str, by: Duration) -> Option<Self> {
        Self::attach(process, thread, &format!("delay_enter={}", by.as_micros()))
    }

    /// `None` when there is no such thread any more, or not yet.
    fn attach(process: u32, thread: &str, fault: &str) -> Option<Self> {
        let task = task(process, thread)?;
        let strace = Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-p", &task])
            .args(["-e", &format!("inject=fsync,fdatasync:{fault}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut strace = Self(strace.unwrap());
        let status = format!("/proc/{process}/task/{task}/status");
        let pid = format!("TracerPid:\t{}", strace.0.id());
        until("strace is attached", LIMIT, || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            match strace.0.try_wait().unwrap() {
                // It ends well when the thread has ended meanwhile, and badly when it could not attach.
                Some(status) => Ok(status.success()),
                None if text.lines().any(|line| line == pid) => Ok(true),
                None => Err(text),
            }
        })
        .then_some(strace)
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
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
            && self.0.try_wait().is_ok_and(|ended| ended.is_none())
        {
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
        drop(self.0.wait());
    }
}

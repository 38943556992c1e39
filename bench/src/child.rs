//! A server process that ends with its owner, and free ports for it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::fault::{Context, Fault};

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `command`, whose output goes to `<dir>/output`.
    ///
    /// `setpriv` (util-linux) has the kernel kill the child when this process dies in a way that runs no
    /// destructors. It replaces itself by the server, so the process id is the server's.
    pub(crate) fn start(command: &[String], dir: &Path) -> Result<Self, Fault> {
        let log = dir.join("output");
        let file = File::create(&log).context(format_args!("create {}", log.display()))?;
        let twin = file.try_clone().context("duplicate a file")?;
        let guarded =
            Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok();
        let guard: &[&str] = if guarded { &["setpriv", "--pdeathsig", "KILL", "--"] } else { &[] };
        let mut words = guard.iter().copied().chain(command.iter().map(String::as_str));
        let program = words.next().ok_or_else(|| Fault::new("an empty command"))?;
        let mut started = Command::new(program);
        started.args(words).stdin(Stdio::null()).stdout(file).stderr(twin).current_dir(dir);
        let child = started.spawn().context(format_args!("start {}", command.join(" ")))?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn stop(&mut self) {
        // Fails only for what has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// False once it was stopped.
    pub(crate) fn is_running(&self) -> bool {
        Path::new("/proc").join(self.pid().to_string()).exists()
    }

    /// A fault with the end of its output once it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Fault> {
        match self.child.try_wait().context("wait for a server")? {
            None => Ok(()),
            Some(status) => Err(Fault::new(format!("a server ended: {status}\n{}", self.output()))),
        }
    }

    pub(crate) fn output(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Free a moment ago: all are held until all are known, so that no two are the same.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N], Fault> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("bind a port")?;
        *port = listener.local_addr().context("read a port")?.port();
        held.push(listener);
    }
    Ok(ports)
}

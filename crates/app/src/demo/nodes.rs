//! The demo's nodes: processes of their own, which end with it.

use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use quorate_env::Env;

use super::plan::Plan;
use crate::failure::Failure;
use crate::flags::SERVE;
use crate::report::{self, Report};

/// A node of this machine that takes longer to answer does not answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a shutdown may take: a node hands leadership over and lets connections finish.
const STOP_TIME: Duration = Duration::from_secs(15);
const STOP_PAUSE: Duration = Duration::from_millis(20);
/// The lines of a log that explain how a node ended.
const LAST_LINES: usize = 5;

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its name.
    pub(super) id: String,
    /// Its process.
    pub(super) pid: u32,
    addr: String,
    log: PathBuf,
    /// How to start it by hand.
    command: String,
    child: Child,
    has_ended: bool,
}

/// A process is no more.
#[derive(Debug)]
pub(super) struct Ended {
    /// How it ended, with the node's name.
    pub(super) how: String,
    /// How to start it again by hand.
    pub(super) command: String,
}

/// All nodes.
#[derive(Debug)]
pub(super) struct Nodes(Vec<Node>);

impl Node {
    fn start(plan: &Plan, number: usize) -> Result<Self, Failure> {
        let (id, addr) = (Plan::id(number), plan.addr(number));
        let failed = |error: std::io::Error| Failure::Other(format!("can't start {id}: {error}"));
        let log = plan.dir.join(format!("{id}.log"));
        let log_file = OpenOptions::new().create(true).append(true).open(&log).map_err(failed)?;
        let dir = plan.dir.join(&id);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["serve", "--id", &id, "--listen", &addr, "--stop-on-eof"]);
        command.arg("--data-dir").arg(&dir);
        command.arg("--max-memory").arg(plan.max_memory_bytes.to_string());
        command.args(plan.entrance(number));
        // What the user has set for nodes of their own is not meant for these.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(SERVE.env_prefix) {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C is for the demo, which then stops its nodes. Should the demo be
        // killed, they see their standard input end.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log_file);
        let child = command.spawn().map_err(failed)?;
        let command =
            format!("{} serve --id {id} --listen {addr} --data-dir {}", exe_shown(), dir.display());
        Ok(Self { pid: child.id(), id, addr, log, command, child, has_ended: false })
    }

    /// What the node says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn report(&self, env: &Env) -> Result<Report, String> {
        report::ask(env, &self.addr, None, PATIENCE).await
    }

    /// Once, when the process has ended: how.
    fn ended(&mut self) -> Option<Ended> {
        if self.has_ended {
            return None;
        }
        let status = self.child.try_wait().ok().flatten()?;
        self.has_ended = true;
        let how = format!("{} {}", self.id, self.how(status));
        Some(Ended { how, command: self.command.clone() })
    }

    fn how(&self, status: ExitStatus) -> String {
        match (status.signal(), status.code()) {
            (Some(signal), _) => format!("was killed by signal {signal}"),
            (None, code) => {
                let code = code.map_or("unknown".to_owned(), |code| code.to_string());
                let said = last_lines(&self.log);
                format!(
                    "has ended with exit code {code}; the end of {}:\n{said}",
                    self.log.display()
                )
            }
        }
    }
}

impl Nodes {
    /// Starts all nodes of the plan.
    ///
    /// # Errors
    /// A process can't be started; those before it end by themselves.
    pub(super) fn start(plan: &Plan) -> Result<Self, Failure> {
        let nodes = (1..=plan.nodes).map(|number| Node::start(plan, number));
        nodes.collect::<Result<_, _>>().map(Self)
    }

    /// The nodes, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.iter()
    }

    /// The nodes whose processes have ended since the last call.
    pub(super) fn ended(&mut self) -> Vec<Ended> {
        self.0.iter_mut().filter_map(Node::ended).collect()
    }

    /// Has all nodes shut down; whoever takes too long is killed.
    pub(super) async fn stop(&mut self) {
        let deadline = Instant::now() + STOP_TIME;
        for node in &mut self.0 {
            drop(node.child.stdin.take());
        }
        for node in &mut self.0 {
            while matches!(node.child.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    // It may have ended by itself just now.
                    drop(node.child.kill());
                }
                tokio::time::sleep(STOP_PAUSE).await;
            }
        }
    }
}

/// This binary, as short as it can be written here.
pub(super) fn exe_shown() -> String {
    let exe = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("quorate"));
    let here = std::env::current_dir().unwrap_or_default();
    exe.strip_prefix(&here).unwrap_or(&exe).display().to_string()
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

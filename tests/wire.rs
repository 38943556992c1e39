//! Network namespaces: one per node and one for the clients, and a wire between them that delays, loses and
//! cuts, each direction by itself. All packets stay between them; see `wire.py`.
//!
//! Needs root, TUN devices, python3 and `ip`; where they can't be had, a skip that says so, also in CI.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cluster::{Cluster, Entrance};
use crate::patience::say;
use crate::process::Recipe;

const PROGRAM: &str = include_str!("wire.py");
const PORT: u16 = 7400;
/// There is no password here, and nobody else on this wire.
const FLAGS: &[&str] = &["--insecure"];

/// What happens to packets in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) delay_ms: u32,
    pub(crate) jitter_ms: u32,
    pub(crate) loss_percent: u32,
}

impl Rule {
    /// Nothing gets through.
    pub(crate) const CUT: Self = Self { delay_ms: 0, jitter_ms: 0, loss_percent: 100 };
}

/// The wire. Hosts are numbered from 0, as nodes are; the last one is the clients'.
pub(crate) struct Wire {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    holders: Vec<String>,
}

impl Wire {
    /// A wire for `nodes` nodes and their clients; `None`, and a line that says why, where there can't be one.
    pub(crate) fn between(nodes: usize, seed: u64) -> Option<Self> {
        Self::start(nodes + 1, seed)
            .inspect_err(|reason| {
                let test = thread::current().name().unwrap_or("a test").to_owned();
                say(&format!("SKIPPED {test}: no network namespaces: {reason}"));
            })
            .ok()
    }

    fn start(hosts: usize, seed: u64) -> Result<Self, String> {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM, &hosts.to_string(), &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("python3: {error}"))?;
        let orders = child.stdin.take().ok_or("no input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut wire = Self { child, orders, answers, holders: Vec::new() };
        let line = wire.answer();
        let Some(pids) = line.strip_prefix("ready ") else {
            let mut said = String::new();
            let errors = wire.child.stderr.take().map(BufReader::new);
            drop(errors.map(|mut errors| errors.read_line(&mut said)));
            return Err(said.trim().to_owned());
        };
        wire.holders = pids.split_whitespace().map(str::to_owned).collect();
        Ok(wire)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        let answer = self.answer();
        assert!(answer.starts_with("ok"), "the wire is gone: {answer:?}");
        answer
    }

    /// What happens from now on to packets from one host to another.
    pub(crate) fn set(&mut self, from: usize, to: usize, rule: Rule) {
        let Rule { delay_ms, jitter_ms, loss_percent } = rule;
        let (from, to) = (from + 1, to + 1);
        self.order(&format!("{from} {to} {delay_ms} {jitter_ms} {loss_percent}"));
    }

    /// As [`Wire::set`], between all hosts, both ways.
    pub(crate) fn set_all(&mut self, rule: Rule) {
        for from in 0..self.holders.len() {
            for to in (0..self.holders.len()).filter(|&to| to != from) {
                self.set(from, to, rule);
            }
        }
    }

    /// Packets that were passed on, and packets that were lost, from one host to another.
    pub(crate) fn counts(&mut self, from: usize, to: usize) -> (u64, u64) {
        let answer = self.order(&format!("count {} {}", from + 1, to + 1));
        let mut numbers = answer.split(' ').skip(1).map(|word| word.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    /// The clients' host.
    pub(crate) fn clients(&self) -> usize {
        self.holders.len() - 1
    }

    fn namespace(&self, host: usize) -> String {
        format!("/proc/{}/ns/net", self.holders[host])
    }

    /// Moves this thread, and all that it starts, to the clients' host.
    fn enter(&self) {
        let namespace = File::open(self.namespace(self.clients())).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Runs `work` on the clients' host, on a thread of its own: a thread can't come back from there.
    pub(crate) fn run<T: Send>(&mut self, work: impl FnOnce(&mut Self) -> T + Send) -> T {
        let name = thread::current().name().unwrap_or("clients").to_owned();
        thread::scope(|scope| {
            let work = || {
                self.enter();
                work(self)
            };
            let thread = thread::Builder::new().name(name).spawn_scoped(scope, work).unwrap();
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Has the next node of `cluster` live on its host of this wire.
    pub(crate) fn add(&self, cluster: &mut Cluster, change: impl FnOnce(&mut Recipe)) -> usize {
        let node = cluster.addrs().len();
        let entrance = if node == 0 { Entrance::Bootstrap } else { Entrance::Join };
        cluster.add_as(entrance, |recipe| {
            self.house(node, recipe);
            change(recipe);
        })
    }

    /// Has a node live on a host.
    pub(crate) fn house(&self, host: usize, recipe: &mut Recipe) {
        recipe.addr = format!("10.99.0.{}:{PORT}", host + 1);
        recipe.wrapper = vec!["nsenter".to_owned(), format!("--net={}", self.namespace(host))];
        recipe.flags.extend(FLAGS.iter().map(|&flag| flag.to_owned()));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // It may have ended before; the namespaces end with it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

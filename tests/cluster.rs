//! A cluster of real processes in a temporary directory: nodes are numbered from 0 and called `n1`, `n2`, ...

use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Link, Outcome};
use crate::http;
use crate::patience::{LONG, say, until};
use crate::process::{Process, Recipe, free_addr, tail};
use crate::seed::{self, Random};

/// A shutdown hands leadership over and lets connections finish.
const SHUTDOWN: Duration = Duration::from_secs(15);
/// How much of a node's log a failure shows.
const TAIL_LINES: usize = 40;

/// What a node says of itself at `/v1/node`.
#[derive(Clone, Debug)]
pub(crate) struct Status(Value);

impl From<Value> for Status {
    fn from(said: Value) -> Self {
        Self(said)
    }
}

impl Status {
    pub(crate) fn text(&self, pointer: &str) -> String {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(crate) fn number(&self, pointer: &str) -> u64 {
        self.0.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
    }

    /// What a member is, as it stands in the table.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.members().find(|member| member["id"] == name)
    }

    fn members(&self) -> impl Iterator<Item = &Value> {
        self.0.pointer("/members").and_then(Value::as_array).into_iter().flatten()
    }

    /// The names of all members.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members().filter_map(|member| member["id"].as_str()).map(str::to_owned).collect()
    }

    /// Whether the member called `name` can be reached.
    pub(crate) fn is_alive(&self, name: &str) -> bool {
        self.members().any(|member| member["id"] == name && member["alive"] == true)
    }

    /// The names of the members that have a vote.
    pub(crate) fn voters(&self) -> Vec<String> {
        let voters = self.members().filter(|member| member["voter"] == true);
        voters.filter_map(|member| member["id"].as_str()).map(str::to_owned).collect()
    }
}

/// Which engine nodes get that are not told: `memory`, `disk`, or `mixed` (every other one).
const ENGINE_VARIABLE: &str = "QUORATE_TEST_ENGINE";
/// Sizes at which a small test flushes, compacts and reads from the disk all the time.
pub(crate) const ON_DISK: &[&str] =
    &["--engine", "disk", "--cache-size", "1mb", "--snapshot-log-size", "32kb"];

/// Flags for each engine, for tests that run on both.
pub(crate) const ENGINES: [&[&str]; 2] = [&[], ON_DISK];

/// What the environment wants for the node at `place`, which gets `flags`.
fn engine_flags(place: usize, flags: &[String]) -> Vec<String> {
    let on_disk = match std::env::var(ENGINE_VARIABLE).as_deref() {
        Ok("disk") => true,
        Ok("mixed") => place % 2 == 1,
        Ok("memory") | Err(_) => false,
        Ok(other) => panic!("{ENGINE_VARIABLE}={other}: it is memory, disk or mixed"),
    };
    let given = |flag: &str| flags.iter().any(|one| one == flag);
    let pairs = ON_DISK.chunks(2).filter(|pair| on_disk && !given(pair[0]));
    pairs.flatten().map(|&flag| flag.to_owned()).collect()
}

/// How a node comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    Bootstrap,
    /// Asks the running nodes.
    Join,
    /// Until somebody adds it.
    Wait,
}

struct Node {
    recipe: Recipe,
    process: Option<Process>,
}

/// The cluster. Everything of it is gone when it is dropped.
pub(crate) struct Cluster {
    dir: TempDir,
    nodes: Vec<Node>,
    flags: Vec<String>,
    seed: u64,
    random: Random,
    /// What repeats the test.
    again: String,
}

impl Cluster {
    /// `nodes` voters with default settings.
    #[track_caller]
    pub(crate) fn of(nodes: usize) -> Self {
        Self::with_flags(nodes, &[])
    }

    /// `nodes` voters with these flags.
    #[track_caller]
    pub(crate) fn with_flags(nodes: usize, flags: &[&str]) -> Self {
        let mut cluster = Self::empty(flags);
        cluster.add(Entrance::Bootstrap);
        for _ in 1..nodes {
            cluster.add(Entrance::Join);
        }
        cluster.wait_for_voters(nodes);
        cluster
    }

    /// No node yet.
    #[track_caller]
    pub(crate) fn empty(flags: &[&str]) -> Self {
        let seed = seed::draw();
        let place = Location::caller();
        let test =
            std::thread::current().name().filter(|name| name.contains("::")).map(str::to_owned);
        let features = if cfg!(feature = "failpoints") { " --features failpoints" } else { "" };
        let command = format!("cargo test -p quorate-app{features} --test processes --");
        let again = match test {
            Some(test) => format!("{} {command} --exact {test}", seed::assignment(seed)),
            None => format!("{} {command} (the test at {place})", seed::assignment(seed)),
        };
        Self {
            dir: TempDir::with_prefix("quorate-test-").unwrap(),
            nodes: Vec::new(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            seed,
            random: Random::new(seed),
            again,
        }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The command that repeats the test.
    pub(crate) fn again(&self) -> &str {
        &self.again
    }

    /// Starts one more node.
    pub(crate) fn add(&mut self, entrance: Entrance) -> usize {
        let name = format!("n{}", self.nodes.len() + 1);
        self.add_called(&name, entrance, None)
    }

    /// Starts one more node with flags that the others don't have.
    pub(crate) fn add_with_flags(&mut self, entrance: Entrance, flags: &[&str]) -> usize {
        let name = format!("n{}", self.nodes.len() + 1);
        let mut recipe = self.next_recipe(&name, entrance);
        // A flag may be given once: these have the last word.
        for pair in flags.chunks(2) {
            if let Some(at) = recipe.flags.iter().position(|flag| flag == pair[0]) {
                recipe.flags.drain(at..at + 2);
            }
            recipe.flags.extend(pair.iter().map(|&flag| flag.to_owned()));
        }
        self.start(recipe)
    }

    /// Whether a node has ended by itself.
    pub(crate) fn has_ended(&mut self, node: usize) -> bool {
        self.nodes[node].process.as_mut().is_some_and(|process| process.ended().is_some())
    }

    /// Takes note that a node has ended by itself.
    pub(crate) fn forget_ended(&mut self, node: usize) {
        self.nodes[node].process = None;
    }

    /// Starts one more node with a disk of its own.
    pub(crate) fn add_on_disk(&mut self, entrance: Entrance, bytes: u64) -> usize {
        let name = format!("n{}", self.nodes.len() + 1);
        self.add_called(&name, entrance, Some(bytes))
    }

    /// Starts one more node under a name of the caller's choice.
    pub(crate) fn add_called(
        &mut self,
        name: &str,
        entrance: Entrance,
        disk_bytes: Option<u64>,
    ) -> usize {
        let recipe = Recipe { disk_bytes, ..self.next_recipe(name, entrance) };
        self.start(recipe)
    }

    /// Starts one more node, by a recipe that `change` has changed.
    pub(crate) fn add_as(&mut self, entrance: Entrance, change: impl FnOnce(&mut Recipe)) -> usize {
        let name = format!("n{}", self.nodes.len() + 1);
        let mut recipe = self.next_recipe(&name, entrance);
        change(&mut recipe);
        self.start(recipe)
    }

    fn next_recipe(&mut self, name: &str, entrance: Entrance) -> Recipe {
        let mut flags = self.flags.clone();
        match entrance {
            Entrance::Bootstrap => flags.push("--bootstrap".to_owned()),
            Entrance::Join => flags.extend(["--join".to_owned(), self.running_addrs().join(",")]),
            Entrance::Wait => {}
        }
        flags.extend(engine_flags(self.nodes.len(), &flags));
        let directory = format!("{}-{name}", self.nodes.len() + 1);
        Recipe {
            name: name.to_owned(),
            addr: free_addr(&mut self.random),
            data_dir: self.dir.path().join(&directory),
            log: self.dir.path().join(directory + ".log"),
            flags,
            disk_bytes: None,
            wrapper: Vec::new(),
            variables: Vec::new(),
        }
    }

    fn start(&mut self, recipe: Recipe) -> usize {
        let process = Some(recipe.start());
        self.nodes.push(Node { recipe, process });
        self.nodes.len() - 1
    }

    pub(crate) fn recipe(&self, node: usize) -> &Recipe {
        &self.nodes[node].recipe
    }

    /// What a node is started with from the next start on.
    pub(crate) fn recipe_mut(&mut self, node: usize) -> &mut Recipe {
        &mut self.nodes[node].recipe
    }

    /// A node that is not started yet, with flags of its own besides those of all.
    pub(crate) fn plan(&mut self, flags: &[&str]) -> usize {
        let name = format!("n{}", self.nodes.len() + 1);
        let mut recipe = self.next_recipe(&name, Entrance::Wait);
        recipe.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self.nodes.push(Node { recipe, process: None });
        self.nodes.len() - 1
    }

    /// A directory for whatever a test needs.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// How a node ended, when it has ended by itself since it was last started.
    pub(crate) fn ended(&mut self, node: usize) -> Option<ExitStatus> {
        let status = self.nodes[node].process.as_mut()?.ended()?;
        self.nodes[node].process = None;
        Some(status)
    }

    pub(crate) fn addr(&self, node: usize) -> &str {
        &self.nodes[node].recipe.addr
    }

    pub(crate) fn addrs(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.recipe.addr.clone()).collect()
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].process.is_some()).collect()
    }

    pub(crate) fn running_addrs(&self) -> Vec<String> {
        self.running().into_iter().map(|node| self.addr(node).to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn process(&mut self, node: usize) -> &mut Process {
        self.nodes[node].process.as_mut().expect("it runs")
    }

    /// `path` in the directory of a node with a disk of its own.
    pub(crate) fn on_disk(&self, node: usize, path: &str) -> PathBuf {
        let Node { recipe, process } = &self.nodes[node];
        recipe.inside(process.as_ref().expect("it runs"), path)
    }

    /// What a node has logged in all its lives.
    pub(crate) fn log_text(&self, node: usize) -> String {
        self.nodes[node].recipe.log_text()
    }

    /// Waits until a node has logged `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, node: usize, text: &str) {
        until(&format!("{} logs {text:?}", self.recipe(node).name), LONG, || {
            if self.log_text(node).contains(text) { Ok(()) } else { Err("it did not".to_owned()) }
        });
    }

    /// kill -9.
    #[track_caller]
    pub(crate) fn kill(&mut self, nodes: &[usize]) {
        for &node in nodes {
            self.process(node).signal(Signal::KILL);
        }
        for &node in nodes {
            self.process(node).wait(LONG);
            self.nodes[node].process = None;
        }
    }

    /// SIGTERM; how it ended.
    #[track_caller]
    pub(crate) fn terminate(&mut self, node: usize) -> ExitStatus {
        self.process(node).signal(Signal::TERM);
        self.wait_for_end(node, SHUTDOWN)
    }

    /// Waits until a node ends by itself; how it did.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self, node: usize, limit: Duration) -> ExitStatus {
        let status = self.process(node).wait(limit);
        self.nodes[node].process = None;
        status
    }

    /// Starts a node again with what it had.
    #[track_caller]
    pub(crate) fn restart(&mut self, node: usize) {
        assert!(self.nodes[node].process.is_none(), "it runs already");
        self.nodes[node].process = Some(self.nodes[node].recipe.start());
    }

    /// kill -9, and a start.
    #[track_caller]
    pub(crate) fn restart_after_kill(&mut self, node: usize) {
        self.kill(&[node]);
        self.restart(node);
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self, node: usize) {
        self.process(node).signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, node: usize) {
        self.process(node).signal(Signal::CONT);
    }

    /// What a node says of itself.
    ///
    /// # Errors
    /// It says nothing.
    pub(crate) fn status(&self, node: usize) -> Result<Status, String> {
        let name = &self.recipe(node).name;
        let answer =
            http::get(self.addr(node), "/v1/node").map_err(|error| format!("{name}: {error}"))?;
        if answer.status == 200 {
            Ok(Status(answer.json()))
        } else {
            Err(format!("{name}: {} {}", answer.status, answer.text()))
        }
    }

    /// The node that `nodes` all take for the leader, which takes itself for it, too.
    #[track_caller]
    pub(crate) fn leader_among(&self, nodes: &[usize]) -> usize {
        until("the nodes agree on a leader", LONG, || {
            let mut found = Vec::new();
            for &node in nodes {
                found.push(self.status(node)?.text("/leader/id"));
            }
            found.dedup();
            let leader = nodes.iter().find(|&&node| found == [self.recipe(node).name.as_str()]);
            let leader = *leader.ok_or_else(|| format!("they name {found:?}"))?;
            let role = self.status(leader)?.text("/role");
            if role == "leader" { Ok(leader) } else { Err(format!("{found:?} is a {role}")) }
        })
    }

    /// The leader of all running nodes.
    #[track_caller]
    pub(crate) fn leader(&self) -> usize {
        self.leader_among(&self.running())
    }

    /// The running nodes that do not lead.
    #[track_caller]
    pub(crate) fn followers(&self) -> Vec<usize> {
        let leader = self.leader();
        self.running().into_iter().filter(|&node| node != leader).collect()
    }

    /// Waits until every running node knows `voters` voters and their leader, and is ready.
    #[track_caller]
    pub(crate) fn wait_for_voters(&self, voters: usize) {
        let running = self.running();
        until(&format!("{voters} voters on every node"), LONG, || {
            for &node in &running {
                let found = self.status(node)?.voters();
                if found.len() != voters {
                    return Err(format!("{} knows {found:?}", self.recipe(node).name));
                }
            }
            Ok(())
        });
        self.wait_until_ready();
    }

    /// Waits until every running node says that it is ready.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        for node in self.running() {
            until(&format!("{} is ready", self.recipe(node).name), LONG, || {
                let answer = http::get(self.addr(node), "/readyz?verbose");
                match answer.map_err(|error| error.to_string())? {
                    ready if ready.status == 200 => Ok(()),
                    not => Err(not.text()),
                }
            });
        }
        self.leader();
    }

    /// Waits until all running nodes have applied the same entries, and then have the same state.
    #[track_caller]
    pub(crate) fn wait_until_equal(&self) {
        let running = self.running();
        until("all nodes have applied the same", LONG, || {
            let mut seen = Vec::new();
            for &node in &running {
                let status = self.status(node)?;
                seen.push((status.number("/applied"), status.text("/digest")));
            }
            if seen.windows(2).any(|two| two[0].0 != two[1].0) {
                return Err(format!("{seen:?}"));
            }
            assert!(seen.windows(2).all(|two| two[0].1 == two[1].1), "states differ: {seen:?}");
            Ok(())
        });
    }

    /// Sends a command to a node until it takes effect; only for commands that may do so twice.
    #[track_caller]
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, node: usize, words: &[&str]) -> T {
        let mut link = Link::new(self.addr(node));
        until(&format!("{words:?} at {}", self.recipe(node).name), LONG, || {
            match link.call(words) {
                Outcome::Done(value) => Ok(value),
                Outcome::NotApplied(why) | Outcome::Unknown(why) | Outcome::Lost(why) => Err(why),
            }
        })
    }

    /// [`Cluster::ask`] for its effect alone.
    #[track_caller]
    pub(crate) fn tell(&self, node: usize, words: &[&str]) {
        drop(self.ask::<redis::Value>(node, words));
    }

    /// Sends a command to a node, and waits only once.
    pub(crate) fn try_once(
        &self,
        node: usize,
        words: &[&str],
    ) -> (Outcome<redis::Value>, Duration) {
        let asked = Instant::now();
        let outcome = Link::new(self.addr(node)).call(words);
        (outcome, asked.elapsed())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut report = format!("---- again: {}\n", self.again);
        for Node { recipe, process } in &mut self.nodes {
            let state = match process.as_mut().map(Process::ended) {
                None => "down, as the test wants it".to_owned(),
                Some(None) => "running".to_owned(),
                Some(Some(status)) => format!("ended by itself: {status}"),
            };
            let tail = tail(&recipe.log, TAIL_LINES);
            report.push_str(&format!(
                "---- {} at {}, {state}; its log:\n{tail}\n",
                recipe.name, recipe.addr
            ));
        }
        say(&report);
    }
}

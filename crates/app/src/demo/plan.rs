//! What to start: how many nodes, on which ports, in which directory, and whether they were there before.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::layers::Layers;
use crate::{memory, settings};

/// The first port of a new demo.
const PORT: u16 = 7400;
/// As many as a cluster may have voters.
const NODES_MAX: usize = quorate_api::limits::VOTERS_MAX;
/// Members know each other by their ports, so a demo keeps them; this file in its directory says which.
const PORT_FILE: &str = "port";

/// A demo to run.
#[derive(Debug)]
pub(super) struct Plan {
    /// How many nodes.
    pub(super) nodes: usize,
    /// Where their data and logs go.
    pub(super) dir: PathBuf,
    /// Each node's share of the memory.
    pub(super) max_memory_bytes: u64,
    port: u16,
    /// The numbers of the nodes that were there before.
    found: Vec<usize>,
}

impl Plan {
    /// Checks what `layers` ask for, and prepares the directory. The ports come first: when one is
    /// taken, nothing is touched.
    ///
    /// # Errors
    /// It can't be done.
    pub(super) fn make(layers: &Layers) -> Result<Self, Failure> {
        let plan = Self::of(layers)?;
        plan.check_ports()?;
        plan.prepare()?;
        Ok(plan)
    }

    fn of(layers: &Layers) -> Result<Self, Failure> {
        let most = NODES_MAX as u64;
        let nodes = layers.parse("nodes", |text| settings::number(text, 1..=most))?;
        let nodes = usize::try_from(nodes.unwrap_or(1)).unwrap_or(NODES_MAX);
        let last = u64::from(u16::MAX) - most;
        let port = layers.parse("port", |text| settings::number(text, 1..=last))?;
        let port = port.and_then(|port| u16::try_from(port).ok());
        let dir = PathBuf::from(layers.get("dir").map_or("demo", |given| given.text));
        let (before, found) = look(&dir)?;
        let surplus = found.iter().copied().max().unwrap_or_default();
        if surplus > nodes {
            return Err(Failure::Other(format!(
                "{} holds a demo of {surplus} nodes, and fewer may be no majority: say --nodes {surplus}, or \
                 choose another --dir",
                dir.display()
            )));
        }
        let port = match (before, port) {
            (Some(before), Some(port)) if before != port => {
                return Err(Failure::Other(format!(
                    "the demo in {} has its nodes on ports from {before} on, by which they know each other: leave \
                     --port {port} out, or choose another --dir",
                    dir.display()
                )));
            }
            (before, port) => before.or(port).unwrap_or(PORT),
        };
        let max_memory_bytes = (memory::default_limit() / nodes as u64).max(1 << 20);
        Ok(Self { nodes, dir, max_memory_bytes, port, found })
    }

    /// True when some of its nodes were there before.
    pub(super) fn resumes(&self) -> bool {
        !self.found.is_empty()
    }

    /// The name of a node.
    pub(super) fn id(number: usize) -> String {
        format!("n{number}")
    }

    /// The port of a node.
    pub(super) fn port(&self, number: usize) -> u16 {
        let offset = u16::try_from(number).unwrap_or_default().saturating_sub(1);
        self.port.saturating_add(offset)
    }

    /// Where a node listens.
    pub(super) fn addr(&self, number: usize) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port(number))
    }

    /// What a node does when it is new. The first one founds the cluster, unless others are left of an
    /// older one: founding a second cluster beside it would help nobody.
    pub(super) fn entrance(&self, number: usize) -> Vec<String> {
        if number == 1 && (self.found.is_empty() || self.found.contains(&1)) {
            return vec!["--bootstrap".to_owned()];
        }
        let others = (1..=self.nodes).filter(|other| *other != number);
        let addrs: Vec<String> = others.map(|other| self.addr(other)).collect();
        if addrs.is_empty() { Vec::new() } else { vec!["--join".to_owned(), addrs.join(",")] }
    }

    fn check_ports(&self) -> Result<(), Failure> {
        for number in 1..=self.nodes {
            let port = self.port(number);
            if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                let advice = if self.resumes() {
                    "the demo to resume needs it, so stop what uses it; perhaps it is running already"
                } else {
                    "stop what uses it, or choose others with --port"
                };
                return Err(Failure::Other(format!(
                    "port {port} on 127.0.0.1 can't be had: {error}; {advice}"
                )));
            }
        }
        Ok(())
    }

    fn prepare(&self) -> Result<(), Failure> {
        let write = || {
            std::fs::create_dir_all(&self.dir)?;
            std::fs::write(self.dir.join(PORT_FILE), format!("{}\n", self.port))
        };
        write().map_err(|error| Failure::Other(format!("{}: {error}", self.dir.display())))
    }
}

/// The port and the nodes of the demo in `dir`; none where there is none.
fn look(dir: &Path) -> Result<(Option<u16>, Vec<usize>), Failure> {
    let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", dir.display()));
    let names = match std::fs::read_dir(dir) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((None, Vec::new()));
        }
        Err(error) => return Err(failed(error)),
    };
    if names.is_empty() {
        return Ok((None, Vec::new()));
    }
    let text = std::fs::read_to_string(dir.join(PORT_FILE)).unwrap_or_default();
    let port = text.trim().parse().map_err(|_| {
        Failure::Other(format!(
            "{} is not empty and holds no demo; choose another directory with --dir",
            dir.display()
        ))
    })?;
    let found = (1..=NODES_MAX).filter(|number| dir.join(Plan::id(*number)).is_dir());
    Ok((Some(port), found.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::DEMO;
    use crate::layers::{Layer, Source};

    fn layers(dir: &Path, flags: &[(&'static str, &str)]) -> Layers {
        let mut layer = Layer::new(Source::Flag);
        layer.put("dir", dir.to_str().unwrap());
        for (name, text) in flags {
            layer.put(name, *text);
        }
        Layers::new(DEMO, vec![layer, Layer::of_defaults(DEMO)])
    }

    #[test]
    fn a_new_demo_is_founded_by_its_first_node() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::of(&layers(&dir.path().join("demo"), &[("port", "7000")])).unwrap();
        assert!(!plan.resumes());
        assert_eq!(plan.nodes, 3);
        assert_eq!(plan.entrance(1), ["--bootstrap"]);
        assert_eq!(plan.entrance(2), ["--join", "127.0.0.1:7000,127.0.0.1:7002"]);
    }

    #[test]
    fn a_demo_is_resumed_on_its_ports_with_all_its_nodes() {
        let dir = tempfile::tempdir().unwrap();
        Plan::of(&layers(dir.path(), &[("port", "7000")])).unwrap().prepare().unwrap();
        for node in ["n1", "n2", "n3"] {
            std::fs::create_dir(dir.path().join(node)).unwrap();
        }
        let again = Plan::of(&layers(dir.path(), &[])).unwrap();
        assert!(again.resumes());
        assert_eq!(again.port(1), 7000);
        let refusal = |flags| Plan::of(&layers(dir.path(), flags)).unwrap_err().to_string();
        assert!(refusal(&[("nodes", "1")]).contains("a demo of 3 nodes"));
        assert!(refusal(&[("port", "19000")]).contains("from 7000 on"));
    }

    #[test]
    fn a_lost_first_node_founds_no_second_cluster() {
        let dir = tempfile::tempdir().unwrap();
        Plan::of(&layers(dir.path(), &[])).unwrap().prepare().unwrap();
        std::fs::create_dir(dir.path().join("n2")).unwrap();
        let again = Plan::of(&layers(dir.path(), &[])).unwrap();
        assert_eq!(again.entrance(1).first().unwrap(), "--join");
    }

    #[test]
    fn a_directory_with_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "x").unwrap();
        let text = Plan::make(&layers(dir.path(), &[])).unwrap_err().to_string();
        assert!(text.contains("holds no demo"), "{text}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_taken_port_is_named_and_nothing_touched() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port().min(65_000).to_string();
        let layers = layers(&dir.path().join("demo"), &[("port", &port)]);
        let text = Plan::make(&layers).unwrap_err().to_string();
        assert!(text.contains(&format!("port {port} on 127.0.0.1")), "{text}");
        assert!(!dir.path().join("demo").exists());
    }
}

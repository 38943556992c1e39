//! Servers of one kind that belong together, and all the fleets of a run.

mod etcd;
pub(crate) mod quorate;
mod redis;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Ask, Case};
use crate::child::Server;
use crate::fault::Fault;
use crate::flags::Flags;
use crate::place::Place;
use crate::tools::Tools;

const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    RedisNone,
    RedisAlways,
    Quorate1,
    Quorate3,
    Quorate3Lease,
    Etcd1,
    Etcd3,
}

/// How a server is asked over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Quorate,
    Etcd,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RedisNone => "redis, no persistence",
            Self::RedisAlways => "redis, appendfsync always",
            Self::Quorate1 => "quorate, 1 node",
            Self::Quorate3 => "quorate, 3 nodes",
            Self::Quorate3Lease => "quorate, 3 nodes, lease",
            Self::Etcd1 => "etcd, 1 node",
            Self::Etcd3 => "etcd, 3 nodes",
        }
    }

    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::RedisNone | Self::RedisAlways | Self::Quorate1 | Self::Etcd1 => 1,
            Self::Quorate3 | Self::Quorate3Lease | Self::Etcd3 => 3,
        }
    }

    pub(crate) fn is_etcd(self) -> bool {
        self.dialect() == Some(Dialect::Etcd)
    }

    pub(crate) fn is_quorate(self) -> bool {
        self.dialect() == Some(Dialect::Quorate)
    }

    pub(crate) fn dialect(self) -> Option<Dialect> {
        match self {
            Self::RedisNone | Self::RedisAlways => None,
            Self::Quorate1 | Self::Quorate3 | Self::Quorate3Lease => Some(Dialect::Quorate),
            Self::Etcd1 | Self::Etcd3 => Some(Dialect::Etcd),
        }
    }
}

impl Dialect {
    pub(crate) fn put(self, port: u16, key: &str, value: &str) -> String {
        match self {
            Self::Quorate => quorate::put_request(port, key, value),
            Self::Etcd => etcd::put_request(port, key, value),
        }
    }

    pub(crate) fn get(self, port: u16, key: &str) -> String {
        match self {
            Self::Quorate => quorate::get_request(port, key),
            Self::Etcd => etcd::get_request(port, key),
        }
    }
}

/// One process and the port where clients come in.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) port: u16,
}

#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) kind: Kind,
    pub(crate) nodes: Vec<Node>,
}

impl Fleet {
    fn start(kind: Kind, tools: &Tools, dir: &Path, keys: u64) -> Result<Self, Fault> {
        let nodes = match kind {
            Kind::RedisNone => redis::start(dir, redis::Persistence::None),
            Kind::RedisAlways => redis::start(dir, redis::Persistence::AppendFsyncAlways),
            Kind::Quorate1 | Kind::Quorate3 => quorate::start(tools, dir, kind.nodes(), None),
            Kind::Quorate3Lease => quorate::start(tools, dir, kind.nodes(), Some("lease")),
            Kind::Etcd1 | Kind::Etcd3 => etcd::start(dir, kind.nodes()),
        }?;
        let mut fleet = Self { kind, nodes };
        let leader = fleet.leader()?;
        let port = fleet.nodes[leader].port;
        match kind.dialect() {
            Some(Dialect::Etcd) => etcd::fill(port, keys)?,
            Some(Dialect::Quorate) | None => crate::resp::fill(port, keys)?,
        }
        Ok(fleet)
    }

    /// The position of the node to ask. Leaders change under load, so this is asked before each run.
    pub(crate) fn node_to(&mut self, ask: Ask) -> Result<usize, Fault> {
        let leader = self.leader()?;
        Ok(match ask {
            Ask::Leader => leader,
            Ask::Follower => (leader + 1) % self.nodes.len(),
        })
    }

    /// Waits until there is one.
    fn leader(&mut self) -> Result<usize, Fault> {
        if self.nodes.len() == 1 {
            return self.nodes[0].server.check().map(|()| 0);
        }
        let is_leader = match self.kind.dialect() {
            Some(Dialect::Quorate) => quorate::is_leader,
            Some(Dialect::Etcd) => etcd::is_leader,
            None => return Ok(0),
        };
        let end = Instant::now() + READY_WITHIN;
        loop {
            for (at, node) in self.nodes.iter_mut().enumerate() {
                node.server.check()?;
                if is_leader(node.port) {
                    return Ok(at);
                }
            }
            if Instant::now() > end {
                return Err(Fault::new(format!("{}: no leader", self.kind.name())));
            }
            thread::sleep(POLL);
        }
    }
}

/// Polls until `ready` says so; a server that ends meanwhile is the fault.
fn wait_until(node: &mut Node, what: &str, ready: impl Fn(u16) -> bool) -> Result<(), Fault> {
    let end = Instant::now() + READY_WITHIN;
    while !ready(node.port) {
        node.server.check()?;
        if Instant::now() > end {
            let output = node.server.output();
            return Err(Fault::new(format!("{what} was not ready in time:\n{output}")));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// All fleets of a run: they live side by side, so that their runs can alternate.
#[derive(Debug)]
pub(crate) struct Stable {
    fleets: Vec<Fleet>,
}

impl Stable {
    pub(crate) fn start(
        cases: &[Case],
        tools: &Tools,
        place: &Place,
        flags: &Flags,
    ) -> Result<Self, Fault> {
        let mut stable = Self { fleets: Vec::new() };
        for contender in cases.iter().flat_map(|case| &case.contenders) {
            let kind = contender.kind;
            let unable = kind == Kind::Quorate3Lease && !tools.read_mode;
            if unable || stable.get(kind).is_some() {
                continue;
            }
            eprintln!("starting {}", kind.name());
            let dir = place.subdirectory(&format!("{kind:?}").to_lowercase())?;
            stable.fleets.push(Fleet::start(kind, tools, &dir, flags.keys)?);
        }
        Ok(stable)
    }

    /// `None` for what could not be started with these tools.
    pub(crate) fn get(&mut self, kind: Kind) -> Option<&mut Fleet> {
        self.fleets.iter_mut().find(|fleet| fleet.kind == kind)
    }
}

//! The cluster: which hosts are nodes, and what the program of a node is given.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use quorate_env::Env;
use quorate_env::tasks::Task;

use crate::world::{HostId, World};

/// Where every node listens, on its own host.
pub const PORT: u16 = 7000;

/// A node that the cluster is founded with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// From 1.
    pub number: u64,
    /// Its name, and its host's.
    pub name: String,
    /// Where it listens, as the others reach it.
    pub addr: String,
}

/// What a node is started with, the first time and after each crash alike: whether it is new is for the
/// node to find out from its disk.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// From 1. Number 1 founds the cluster, the others join it.
    pub number: u64,
    /// Its name, and its host's.
    pub name: String,
    /// Its window.
    pub env: Env,
    /// Where to listen; also how the others reach it.
    pub addr: String,
    /// Where its files go; made by the node.
    pub data_dir: PathBuf,
    /// All that the cluster is founded with, this node included, by number.
    pub members: Rc<[Member]>,
    /// How often it was started before.
    pub restarts: u64,
}

/// A node's program: makes the main task of one process. When the task returns, the process has exited.
pub type Boot = dyn Fn(NodeSpec) -> Task;

/// The nodes of a world.
#[derive(Clone)]
pub struct Cluster {
    boot: Rc<Boot>,
    members: Rc<[Member]>,
    hosts: Vec<HostId>,
    starts: Vec<u64>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("hosts", &self.hosts).field("starts", &self.starts).finish()
    }
}

impl Cluster {
    /// Adds a host to the world for each of `count` nodes; none of them runs yet.
    pub fn new(world: &mut World, count: u64, boot: Rc<Boot>) -> Self {
        let member = |number| {
            let name = format!("n{number}");
            let addr = format!("{name}:{PORT}");
            Member { number, name, addr }
        };
        let members: Rc<[Member]> = (1..=count).map(member).collect();
        let hosts: Vec<HostId> = members.iter().map(|it| world.add_host(&it.name)).collect();
        let starts = vec![0; hosts.len()];
        Self { boot, members, hosts, starts }
    }

    /// The nodes' hosts.
    pub fn hosts(&self) -> &[HostId] {
        &self.hosts
    }

    /// Where clients connect to.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|member| member.addr.clone()).collect()
    }

    /// Starts the node on `host`, unless it runs.
    pub fn start(&mut self, world: &mut World, host: HostId) {
        let place = self.hosts.iter().position(|it| *it == host);
        let Some(place) = place.filter(|_| !world.is_up(host)) else { return };
        let Some(member) = self.members.get(place).cloned() else { return };
        let Some(starts) = self.starts.get_mut(place) else { return };
        let restarts = *starts;
        *starts += 1;
        let (boot, members) = (Rc::clone(&self.boot), Rc::clone(&self.members));
        world.start(host, move |env| {
            boot(NodeSpec {
                number: member.number,
                name: member.name,
                env,
                addr: member.addr,
                data_dir: PathBuf::from("/data"),
                members,
                restarts,
            })
        });
    }

    /// Starts every node that does not run.
    pub fn start_all(&mut self, world: &mut World) {
        for host in self.hosts.clone() {
            self.start(world, host);
        }
    }
}

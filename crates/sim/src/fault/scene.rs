//! Scenes: whom a plan is about.

use crate::world::HostId;

/// The hosts of a run, as they are numbered when its cluster is the first to be added to a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// The cluster is founded with these.
    pub nodes: Vec<HostId>,
    /// These may be added to it.
    pub spares: Vec<HostId>,
    /// Sessions run here.
    pub clients: Vec<HostId>,
    /// Leases are trusted: clocks keep to the bound.
    pub lease: bool,
}

impl Scene {
    /// So many of each.
    pub fn new(nodes: u64, spares: u64, clients: u64, lease: bool) -> Self {
        let hosts: Vec<HostId> =
            (1..).take_while(|n| u64::from(*n) <= nodes + spares + clients).map(HostId).collect();
        let count = |n: u64| usize::try_from(n).unwrap_or(0);
        let (nodes, rest) = hosts.split_at(count(nodes));
        let (spares, clients) = rest.split_at(count(spares));
        Self { nodes: nodes.into(), spares: spares.into(), clients: clients.into(), lease }
    }

    /// Nodes and spares.
    pub fn all_nodes(&self) -> Vec<HostId> {
        [&*self.nodes, &*self.spares].concat()
    }

    /// Always the same minority: the first hosts' disks stay whole.
    pub fn minority(&self) -> &[HostId] {
        let whole = self.nodes.len() / 2 + 1;
        self.nodes.get(whole..).unwrap_or_default()
    }
}

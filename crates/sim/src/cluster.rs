//! The cluster: which hosts are nodes, and what the program of a node is given.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use quorate_engine::EngineKind;
use quorate_env::Env;
use quorate_env::tasks::Task;

use crate::cellar::Engines;
use crate::client::operator::{Leaving, Office, Request, Vote};
use crate::fault::act::Order;
use crate::observe::Watch;
use crate::world::{HostId, World};

/// Where every node listens, on its own host.
pub const PORT: u16 = 7000;
/// Where every node takes an operator's orders.
pub const OPERATOR_PORT: u16 = 7001;

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

/// The sizes at which a node rolls, cuts and streams: small, so that a run of half a minute does it often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// A log segment's.
    pub segment_bytes: u64,
    /// A snapshot is made when the log is larger than this.
    pub snapshot_log_bytes: u64,
    /// Entries kept in the log behind a snapshot.
    pub entries_kept: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { segment_bytes: 256 * 1024, snapshot_log_bytes: 64 * 1024, entries_kept: 1024 }
    }
}

/// What a node is started with, the first time and after each crash alike: whether it is new is for the
/// node to find out from its disk.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// From 1.
    pub number: u64,
    /// Where it runs.
    pub host: HostId,
    /// How it comes into the cluster.
    pub entrance: Entrance,
    /// Its name.
    pub name: String,
    /// Its window.
    pub env: Env,
    /// Where to listen; also how the others reach it.
    pub addr: String,
    /// Where to take an operator's orders.
    pub operator_addr: String,
    /// Where its files go; made by the node.
    pub data_dir: PathBuf,
    /// All that should be members by now, this node included, by number.
    pub members: Rc<[Member]>,
    /// How often it was started before.
    pub restarts: u64,
    /// Its sizes.
    pub sizes: Sizes,
    /// Where it keeps its data.
    pub engine: EngineKind,
    /// Who looks at it.
    pub watch: Rc<Watch>,
}

/// How a node comes into the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// It founds it.
    Founds,
    /// It asks the others to be added.
    Joins,
    /// It waits until somebody adds it.
    Waits,
}

/// A node's program: makes the main task of one process. When the task returns, the process has exited.
pub type Boot = dyn Fn(NodeSpec) -> Task;

/// What a host is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Nothing yet.
    Spare,
    /// A node.
    Node,
    /// A node that an operator is about to remove.
    Leaving,
    /// Another node has taken its place. Its vote may still be needed, to leave the joint configuration: so it goes
    /// on, and is started again, until everybody has had the time to know.
    Succeeded,
    /// It was a node.
    Gone,
}

#[derive(Clone, Debug)]
struct Slot {
    host: HostId,
    part: Part,
    entrance: Entrance,
    name: String,
    /// How often another node took this host over.
    generation: u64,
    starts: u64,
}

/// The nodes of a world.
#[derive(Clone)]
pub struct Cluster {
    boot: Rc<Boot>,
    sizes: Sizes,
    engines: Engines,
    members: Rc<[Member]>,
    slots: Vec<Slot>,
    watch: Rc<Watch>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Adds a host to the world for each of `count` nodes and `spares`; none of them runs yet.
    pub fn new(world: &mut World, count: u64, spares: u64, boot: Rc<Boot>, sizes: Sizes) -> Self {
        let member = |number| {
            let name = format!("n{number}");
            let addr = format!("{name}:{PORT}");
            Member { number, name, addr }
        };
        let members: Rc<[Member]> = (1..=count + spares).map(member).collect();
        let slot = |member: &Member| Slot {
            host: world.add_host(&member.name),
            part: if member.number <= count { Part::Node } else { Part::Spare },
            entrance: if member.number == 1 { Entrance::Founds } else { Entrance::Joins },
            name: member.name.clone(),
            generation: 0,
            starts: 0,
        };
        let slots = members.iter().map(slot).collect();
        let engines = Engines::default();
        Self { boot, sizes, engines, members, slots, watch: Rc::default() }
    }

    /// Has these keep their data on disk.
    #[must_use]
    pub fn with_engines(self, engines: Engines) -> Self {
        Self { engines, ..self }
    }

    /// The hosts of all nodes there are or may be.
    pub fn hosts(&self) -> Vec<HostId> {
        self.slots.iter().map(|slot| slot.host).collect()
    }

    /// Who looks at the nodes.
    pub fn watch(&self) -> Rc<Watch> {
        Rc::clone(&self.watch)
    }

    /// Where clients connect to: every node there is or may be.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|member| member.addr.clone()).collect()
    }

    fn live(&self) -> impl Iterator<Item = &Member> {
        let live = |(slot, _): &(&Slot, _)| matches!(slot.part, Part::Node | Part::Leaving);
        self.slots.iter().zip(self.members.iter()).filter(live).map(|(_, member)| member)
    }

    /// Where an operator connects to: those that are nodes.
    pub fn operator_addresses(&self) -> Vec<String> {
        self.live().map(|member| format!("{}:{OPERATOR_PORT}", member.name)).collect()
    }

    /// The names and addresses of those that are nodes, and to stay.
    pub fn staying(&self) -> Vec<(String, String)> {
        let stays = |(slot, _): &(&Slot, _)| slot.part == Part::Node;
        let named = |(slot, member): (&Slot, &Member)| (slot.name.clone(), member.addr.clone());
        self.slots.iter().zip(self.members.iter()).filter(stays).map(named).collect()
    }

    /// The names of those that were told to join, and to stay.
    pub fn joining(&self) -> Vec<String> {
        let joins = |slot: &&Slot| slot.part == Part::Node && slot.entrance != Entrance::Waits;
        self.slots.iter().filter(joins).map(|slot| slot.name.clone()).collect()
    }

    /// The hosts of nodes that were removed for good.
    pub fn gone(&self) -> Vec<HostId> {
        self.slots.iter().filter(|slot| slot.part == Part::Gone).map(|slot| slot.host).collect()
    }

    fn slot(&mut self, host: HostId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.host == host)
    }

    /// The name of the node on `host`.
    pub fn name(&self, host: HostId) -> String {
        let slot = self.slots.iter().find(|slot| slot.host == host);
        slot.map(|slot| slot.name.clone()).unwrap_or_default()
    }

    /// A spare host becomes a node; false when it is none.
    pub fn enlist(&mut self, host: HostId) -> bool {
        let spare = self.slot(host).filter(|slot| slot.part == Part::Spare);
        spare.map(|slot| slot.part = Part::Node).is_some()
    }

    /// Passes an order on, in an operator's words.
    pub fn order(&mut self, world: &mut World, order: Order, office: &Office) {
        let (host, leaving) = match order {
            Order::Transfer(to) => {
                let to = to.and_then(|host| self.slot(host)).map(|slot| slot.name.clone());
                return office.order(Request::Transfer(to));
            }
            Order::Promote(host) | Order::Demote(host) => {
                let vote =
                    if matches!(order, Order::Promote(_)) { Vote::Given } else { Vote::Taken };
                if self.slot(host).is_some_and(|slot| slot.part == Part::Node) {
                    office.order(Request::Vote { name: self.name(host), vote });
                }
                return;
            }
            Order::Succeed { old, new } => return self.succeed(world, old, new, office),
            Order::Remove(host) => (host, Leaving::ForGood),
            Order::Replace(host) => (host, Leaving::Replaced),
        };
        if let Some(slot) = self.slot(host).filter(|slot| slot.part == Part::Node) {
            slot.part = Part::Leaving;
            office.order(Request::Leave { host, name: slot.name.clone(), leaving });
        }
    }

    /// A node is started on the spare host `new`, and waits there until an operator gives it the place of `old`'s.
    fn succeed(&mut self, world: &mut World, old: HostId, new: HostId, office: &Office) {
        let is = |slot: &Slot, host, part| slot.host == host && slot.part == part;
        let there = self.slots.iter().any(|slot| is(slot, old, Part::Node));
        let place = self.slots.iter().position(|slot| is(slot, new, Part::Spare));
        let Some(place) = place.filter(|_| there) else { return };
        let Some(addr) = self.members.get(place).map(|member| member.addr.clone()) else { return };
        let Some(slot) = self.slots.get_mut(place) else { return };
        (slot.part, slot.entrance) = (Part::Node, Entrance::Waits);
        if let Some(slot) = self.slot(old) {
            slot.part = Part::Leaving;
        }
        let (old_name, name) = (self.name(old), self.name(new));
        office.order(Request::Succeed { host: old, old: old_name, name, addr });
        self.start(world, new);
    }

    /// Another node has the place of the one on `host`.
    pub fn succeeded(&mut self, host: HostId) {
        if let Some(slot) = self.slot(host) {
            slot.part = Part::Succeeded;
        }
    }

    /// Everybody has had the time to know whose places others have taken: those are not started again.
    pub fn dismiss_succeeded(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.part == Part::Succeeded) {
            slot.part = Part::Gone;
        }
    }

    /// The operator could not remove the node on `host`.
    pub fn stays(&mut self, host: HostId) {
        if let Some(slot) = self.slot(host) {
            slot.part = Part::Node;
        }
    }

    /// The operator has removed the node on `host`.
    pub fn removed(&mut self, world: &mut World, host: HostId, leaving: Leaving) {
        let Some(slot) = self.slot(host) else { return };
        match leaving {
            Leaving::ForGood => slot.part = Part::Gone,
            Leaving::Replaced => {
                slot.part = Part::Node;
                slot.entrance = Entrance::Joins;
                slot.generation += 1;
                slot.name = format!("n{}.{}", host.0, slot.generation);
                world.power_off(host);
                world.disk(host).wipe();
                self.start(world, host);
            }
        }
    }

    /// Starts the node on `host`, unless it runs, or is none.
    pub fn start(&mut self, world: &mut World, host: HostId) {
        let place = self.slots.iter().position(|slot| slot.host == host);
        let Some(place) = place.filter(|_| !world.is_up(host)) else { return };
        let Some(member) = self.members.get(place).cloned() else { return };
        let Some(slot) = self.slots.get_mut(place) else { return };
        if matches!(slot.part, Part::Spare | Part::Gone) {
            return;
        }
        let (restarts, name) = (slot.starts, slot.name.clone());
        slot.starts += 1;
        let entrance = slot.entrance;
        // An address at which nobody answers costs a joining node a quarter of a minute.
        let known = self.members.iter().zip(&self.slots);
        let known = known.filter(|(_, slot)| matches!(slot.part, Part::Node | Part::Leaving));
        let members = known.map(|(member, _)| member.clone()).collect();
        let boot = Rc::clone(&self.boot);
        let (sizes, watch) = (self.sizes, Rc::clone(&self.watch));
        let engine = self.engines.of(member.number);
        world.start(host, move |env| {
            boot(NodeSpec {
                number: member.number,
                host,
                entrance,
                name,
                env,
                operator_addr: format!("{}:{OPERATOR_PORT}", member.name),
                addr: member.addr,
                data_dir: PathBuf::from("/data"),
                members,
                restarts,
                sizes,
                engine,
                watch,
            })
        });
    }

    /// Starts every node that does not run.
    pub fn start_all(&mut self, world: &mut World) {
        for host in self.hosts() {
            self.start(world, host);
        }
    }
}

//! Founding a cluster together: N nodes that were started with the same command, in any order, become one
//! cluster and never two.
//!
//! Nobody leads this. Each node looks at the others until it sees N that are in no cluster, itself
//! included; what the cluster would be follows from their names and instances alone, so all who see the
//! same N come to the same *plan*. A node then **pledges**: it notes the plan on its disk, for good, and
//! shows it in its card. When it sees that all N have pledged to one plan, it starts as that plan's member.
//!
//! ```text
//! looks around -> N nodes, none in a cluster -> pledges (durable) -> all N have pledged -> starts
//!              \-> somebody is in a cluster  -> asks to be added
//! ```
//!
//! **Never two.** A data directory pledges once in its life. A plan starts only when all of its N
//! directories have pledged to it. So two plans that both start have no directory in common: there would
//! have to be 2N of them. Where fewer take part, for instance N nodes of which less than all lose their
//! disks meanwhile, one cluster at most comes about. Who has seen what when, who crashed where, and what a
//! card said a while ago do not enter into this, since pledges are never taken back.
//!
//! **Sooner or later one.** While N nodes can see each other and keep their disks, each of them pledges to
//! the same plan. If one loses its disk between pledge and start, the plan can't be carried out by the
//! others, and nobody can know whether it was not: then the nodes wait and say so. None of them holds
//! data yet; an operator empties their directories and starts again. See
//! `docs/decisions/0011-founding-together.md`.
//!
//! The founders' first state is the same on all of them, byte for byte. Their addresses, which may change
//! before that, are not part of it: the first leader enters them, as it does whenever a member moves.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_api::limits::MEMBERS_MAX;
use quorate_consensus::NodeId;
use quorate_consensus::peers::{Card, ClusterId, Purpose, all_addrs};
use tokio::sync::oneshot;

use crate::config::Entrance;
use crate::core::{Core, Stop};
use crate::identity::Identity;
use crate::members::{Member, Wish};
use crate::node::{Node, ask_to_be_added};

/// Between two looks around.
const PAUSE: Duration = Duration::from_millis(300);

/// A pledge on its way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Founding {
    saving: Option<oneshot::Sender<()>>,
    /// Where those who were seen are reached by clients and by peers, by instance. The table gets to know it from
    /// the leader; until then this node tells it to whoever asks.
    pub(crate) seen: BTreeMap<u64, (String, String)>,
}

/// A node that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Founder {
    name: String,
    instance: u64,
    peer_addr: String,
}

/// What the cluster is going to be: its founders, by name. Their places are their numbers, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    founders: Vec<Founder>,
    format: u64,
}

/// What a node does next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Looks again later; the text says what it waits for.
    Wait(String),
    /// Asks there to be added.
    Join(String),
    /// Pledges to this plan's cluster.
    Pledge(ClusterId),
    /// Starts as a member of it.
    Start(Plan),
}

/// A node that answered, and where.
#[derive(Clone, Debug)]
struct Seen {
    addr: String,
    card: Card,
}

impl Founder {
    fn of(card: &Card) -> Self {
        let peer_addr = card.peer_addr.clone();
        Self { name: card.name.clone(), instance: card.instance, peer_addr }
    }
}

impl Plan {
    fn of(cards: &[&Card], format: u64) -> Self {
        let mut founders: Vec<_> = cards.iter().map(|card| Founder::of(card)).collect();
        founders.sort_by(|a, b| a.name.cmp(&b.name));
        Self { founders, format }
    }

    /// The cluster's id: made of what the plan is made of, so that all who have the plan have the id.
    fn cluster(&self) -> ClusterId {
        let mut bytes = b"quorate founding 1".to_vec();
        bytes.extend_from_slice(&self.format.to_le_bytes());
        for Founder { name, instance, .. } in &self.founders {
            bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&instance.to_le_bytes());
        }
        ClusterId(xxhash_rust::xxh3::xxh3_64(&bytes) | 1)
    }

    fn numbered(&self) -> impl Iterator<Item = (NodeId, &Founder)> {
        (1..).map(NodeId).zip(&self.founders)
    }

    /// The same for all founders: without addresses.
    fn members(&self) -> Vec<(NodeId, Member)> {
        let row = |founder: &Founder| Member {
            name: founder.name.clone(),
            instance: founder.instance,
            peer_addr: String::new(),
            client_addr: String::new(),
            wish: Wish::Vote,
        };
        self.numbered().map(|(node, founder)| (node, row(founder))).collect()
    }
}

/// Whether the node behind `card` has started as a member of `cluster`, or is bound to do so.
fn is_bound_to(card: &Card, cluster: ClusterId) -> bool {
    card.pledge == cluster && (card.cluster.0 == 0 || card.cluster == cluster)
}

/// Decides from what this node is (`own`) and sees of the others.
fn decide(own: &Card, others: &[Seen], nodes: usize) -> Step {
    if own.pledge.0 != 0 {
        return decide_pledged(own, others, nodes);
    }
    if let Some(member) = others.iter().find(|seen| seen.card.cluster.0 != 0) {
        return Step::Join(member.addr.clone());
    }
    let takes_part = |seen: &&Seen| seen.card.expect != 0;
    let founders: Vec<_> = others.iter().filter(takes_part).map(|seen| &seen.card).collect();
    if let Some(other) = founders.iter().find(|card| card.expect != nodes as u64) {
        return Step::Wait(format!(
            "{} expects {} founders, this node {nodes}: give the same number to all",
            other.name, other.expect
        ));
    }
    if let Some(twin) = founders.iter().find(|card| card.name == own.name) {
        return Step::Wait(format!(
            "the node at {} is called {:?} as well: give each node an id of its own",
            twin.peer_addr, own.name
        ));
    }
    let count = founders.len() + 1;
    if count != nodes {
        let mut names: Vec<_> = founders.iter().map(|card| card.name.as_str()).collect();
        names.push(&own.name);
        names.sort_unstable();
        let names = names.join(", ");
        return Step::Wait(if count < nodes {
            format!("{count} of {nodes} nodes are there: {names}")
        } else {
            format!(
                "{count} nodes are there ({names}), but {nodes} founders are expected: stop those too many"
            )
        });
    }
    let plan = Plan::of(&[&founders[..], &[own]].concat(), own.formats.lowest);
    let cluster = plan.cluster();
    match founders.iter().find(|card| card.pledge.0 != 0 && card.pledge != cluster) {
        Some(bound) => Step::Wait(stuck(&bound.name)),
        None => Step::Pledge(cluster),
    }
}

fn decide_pledged(own: &Card, others: &[Seen], nodes: usize) -> Step {
    let bound = others.iter().map(|seen| &seen.card).filter(|card| is_bound_to(card, own.pledge));
    let plan = Plan::of(&bound.chain([own]).collect::<Vec<_>>(), own.formats.lowest);
    if plan.founders.len() == nodes && plan.cluster() == own.pledge {
        return Step::Start(plan);
    }
    if let Some(member) = others.iter().find(|seen| seen.card.cluster == own.pledge) {
        // It knows this node, and calls it; from where it is now.
        return Step::Join(member.addr.clone());
    }
    let other = |seen: &&Seen| {
        let card = &seen.card;
        card.cluster.0 != 0 || (card.expect != 0 && card.pledge.0 != 0 && card.pledge != own.pledge)
    };
    match others.iter().find(other) {
        Some(other) => Step::Wait(stuck(&other.card.name)),
        None => Step::Wait(format!(
            "{} of {nodes} nodes have agreed to found cluster {}",
            plan.founders.len(),
            own.pledge
        )),
    }
}

fn stuck(name: &str) -> String {
    format!(
        "this node and {name} have agreed to found a cluster with others than they see now: a data directory was \
         lost or replaced meanwhile. If no cluster has come about, stop the nodes that wait, empty their data \
         directories (there is no data in them) and start them again; if one has, empty those of the nodes that \
         wait, and start these"
    )
}

impl Core {
    /// With how many others this node is to found a cluster, itself included; 0: it takes no part.
    pub(crate) fn expected(&self) -> u64 {
        match self.config.entrance {
            // One that has lost its log is a member already.
            Entrance::Expect(nodes) if self.identity.lost_node.0 == 0 => nodes as u64,
            _ => 0,
        }
    }

    /// Whether this node is bound to another cluster than `cluster`.
    pub(crate) fn check_pledge(&self, cluster: ClusterId) -> Result<(), String> {
        if self.founding.saving.is_some() {
            return Err("this node is about to found a cluster; retry".to_owned());
        }
        if self.identity.pledge.0 != 0 && self.identity.pledge != cluster {
            return Err(format!(
                "this node has agreed to found cluster {} together with others; to add it elsewhere, empty its \
                 data directory",
                self.identity.pledge
            ));
        }
        Ok(())
    }

    /// Notes the pledge on the disk; resolves when it is there, or is not.
    fn pledge(&mut self, cluster: ClusterId) -> oneshot::Receiver<()> {
        let (saved, on_disk) = oneshot::channel();
        if self.registration.is_under_way() {
            return on_disk;
        }
        tracing::info!(%cluster, "all nodes are there; agreeing to found a cluster");
        self.founding.saving = Some(saved);
        self.save(Identity { pledge: cluster, ..self.identity.clone() });
        on_disk
    }

    /// The identity with a new pledge is on the disk, or is not.
    pub(crate) fn pledged(&mut self, identity: &Identity, saved: std::io::Result<()>) {
        match saved {
            Ok(()) => self.identity.pledge = identity.pledge,
            Err(error) => tracing::warn!(%error, "this node can't note what it has agreed to"),
        }
        if let Some(saving) = self.founding.saving.take() {
            // Whoever waits looks at the identity; it may have gone.
            saving.send(()).unwrap_or_default();
        }
    }

    /// Starts as a member of what was planned.
    fn start_plan(&mut self, plan: &Plan) -> Result<(), Stop> {
        let own = self.identity.instance;
        let Some((node, _)) = plan.numbered().find(|(_, founder)| founder.instance == own) else {
            return Ok(());
        };
        if self.group.is_some() || self.registration.is_under_way() {
            return Ok(());
        }
        for (node, founder) in plan.numbered().filter(|(_, founder)| founder.instance != own) {
            self.found_at(node, String::new(), founder.peer_addr.clone());
        }
        let founders = plan.members();
        let founded = self.found_cluster(&founders, plan.cluster(), node, plan.format);
        founded.map_err(|error| Stop(error.to_string()))
    }
}

/// Lives until this node is a member of a cluster.
pub(crate) async fn found_together(node: Node, nodes: usize) {
    let (env, seeds) = {
        let core = node.core.borrow();
        (core.env.clone(), core.config.seeds.clone())
    };
    loop {
        let others = look_around(&node, &seeds).await;
        let step = {
            let mut core = node.core.borrow_mut();
            if core.founding.seen.len() >= MEMBERS_MAX {
                // Whoever lost its disk again and again came with a new instance each time.
                core.founding.seen.clear();
            }
            for Seen { card, .. } in &others {
                let addrs = (card.client_addr.clone(), card.peer_addr.clone());
                core.founding.seen.insert(card.instance, addrs);
            }
            if core.group.is_some() || core.stopped.is_some() {
                return;
            }
            decide(&core.card(), &others, nodes)
        };
        match step {
            Step::Wait(text) => node.core.borrow_mut().waits(text),
            Step::Join(addr) => {
                if let Err(error) = ask_to_be_added(&node, &addr).await {
                    node.core.borrow_mut().was_not_added(&addr, &error);
                }
            }
            Step::Pledge(cluster) => {
                let saved = node.core.borrow_mut().pledge(cluster);
                // Dropped when it could not be begun: then all is looked at anew.
                drop(saved.await);
            }
            Step::Start(plan) => {
                let mut core = node.core.borrow_mut();
                if let Err(stop) = core.start_plan(&plan) {
                    core.stop(stop.0);
                }
            }
        }
        env.clock.sleep(PAUSE).await;
    }
}

/// All nodes that answer, but this one; each once.
async fn look_around(node: &Node, seeds: &[String]) -> Vec<Seen> {
    let (env, own) = {
        let core = node.core.borrow();
        (core.env.clone(), core.identity.instance)
    };
    let mut found: Vec<Seen> = Vec::new();
    for addr in all_addrs(&env, seeds).await {
        let Ok(welcome) = node.peers.ask(&addr, Purpose::Probe).await else { continue };
        let mut card = welcome.card;
        if card.instance == own || found.iter().any(|seen| seen.card.instance == card.instance) {
            continue;
        }
        if card.peer_addr.is_empty() {
            card.peer_addr.clone_from(&addr);
        }
        found.push(Seen { addr, card });
    }
    found
}

#[cfg(test)]
mod tests;

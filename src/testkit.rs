//! For your own tests: a cluster within the process that can be killed, cut and restarted.
//!
//! It is the real thing (real consensus, log and snapshots, one thread per node) over a network and disks
//! in memory, so a test needs no ports, no files and no cleaning up. Elections are quicker than on a
//! machine. Nothing repeats to the byte: for that there is the simulator, `crates/sim`.
//!
//! ```
//! # quorate::blocking::run(async {
//! use quorate::testkit::Cluster;
//! let mut cluster = Cluster::start(3).await?;
//! cluster.store("n1").set("k", "v").await?;
//!
//! let leader = cluster.leader().await?;
//! cluster.kill(&leader);
//! let other = cluster.names().find(|name| *name != leader).unwrap().to_owned();
//! assert_eq!(cluster.store(&other).get("k").await?.as_deref(), Some(&b"v"[..]));
//!
//! cluster.restart(&leader).await?;
//! cluster.caught_up().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::{Duration, Instant};

use quorate_api::Status;
use quorate_env::local::{MemoryDisk, Network};
use quorate_node::Pace;

use crate::builder::Builder;
use crate::error::{Error, OpenError};
use crate::node::Node;
use crate::store::Store;

/// Quick enough for a test, slow enough for a busy machine.
const PACE: Pace = Pace { tick: Duration::from_millis(20), election_ticks: 10, heartbeat_ticks: 2 };

/// For whatever takes elections on a machine that is busy with something else: so long in all, and for
/// one attempt.
const LIMIT: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(1);

/// One place: the node may be down, its disk stays.
struct Place {
    disk: MemoryDisk,
    node: Option<Node>,
}

/// A cluster of nodes called `n1`, `n2`, ...
pub struct Cluster {
    network: Network,
    places: BTreeMap<String, Place>,
    change: Box<dyn Fn(Builder) -> Builder + Send + Sync>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Cluster {
    /// Starts so many nodes; returns when all are voting members.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn start(nodes: usize) -> Result<Self, OpenError> {
        Self::start_with(nodes, |builder| builder).await
    }

    /// As [`Cluster::start`], with nodes that differ from the usual.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn start_with(
        nodes: usize,
        change: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let mut cluster =
            Self { network: Network::new(), places: BTreeMap::new(), change: Box::new(change) };
        while cluster.places.len() < nodes {
            cluster.grow().await?;
        }
        Ok(cluster)
    }

    /// Adds one more node; returns its name when it is a voting member, or, beyond seven voters, a learner.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn grow(&mut self) -> Result<String, OpenError> {
        let name = format!("n{}", self.places.len() + 1);
        let place = Place { disk: MemoryDisk::new(), node: None };
        self.places.insert(name.clone(), place);
        self.restart(&name).await?;
        Ok(name)
    }

    /// Starts a node again that was killed or shut down; it is up when this returns, and catches up.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// When there is no such node.
    pub async fn restart(&mut self, name: &str) -> Result<(), OpenError> {
        self.kill(name);
        let node = self.builder(name).start().await?;
        self.place(name).node = Some(node);
        Ok(())
    }

    /// Ends a node at once, as `kill -9` would. What it wrote stays for [`Cluster::restart`].
    ///
    /// # Panics
    /// When there is no such node.
    pub fn kill(&mut self, name: &str) {
        drop(self.place(name).node.take());
    }

    /// Ends a node in good order.
    ///
    /// # Errors
    /// Why it had ended by itself before.
    ///
    /// # Panics
    /// When there is no such node, or it is down.
    pub async fn shut_down(&mut self, name: &str) -> Result<(), Error> {
        let node = self.place(name).node.take();
        node.unwrap_or_else(|| panic!("{name} is down")).shutdown().await
    }

    /// Cuts these nodes off from all others; among themselves they reach each other. Cuts add up.
    pub fn partition(&self, names: &[&str]) {
        let others: Vec<&str> = self.names().filter(|name| !names.contains(name)).collect();
        self.network.cut(names, &others);
    }

    /// Takes all cuts back.
    pub fn heal(&self) {
        self.network.heal();
    }

    /// The network, for cuts of other shapes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// All nodes, also those that are down.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// A handle on the store, by way of this node.
    ///
    /// # Panics
    /// When there is no such node, or it is down.
    pub fn store(&self, name: &str) -> Store {
        let node = self.places.get(name).and_then(|place| place.node.as_ref());
        node.unwrap_or_else(|| panic!("{name} is down, or there is none")).store()
    }

    /// The node that leads and reaches a majority; waits until there is one.
    ///
    /// # Errors
    /// [`Error::NotApplied`]: there was none for half a minute.
    pub async fn leader(&self) -> Result<String, Error> {
        #[expect(clippy::disallowed_methods, reason = "the deadline of a test, not of a node")]
        let started = Instant::now();
        let mut last = Error::NotApplied { reason: "no node is up".into(), hint: None };
        while started.elapsed() < LIMIT {
            // What others say of it may be old: who leads says so itself.
            let claims = first_success(self.stores().map(|(name, store)| async move {
                let own = name.to_owned();
                let leads = move |status: &Status| {
                    status.members.iter().any(|member| member.leader && member.id == own)
                };
                store.timeout(ATTEMPT).wait_until(leads).await.map(|_| (name, store))
            }));
            let claim = match claims.await {
                None => return Err(last),
                // An outgoing leader may not know yet that it is one; a majority does.
                Some(Ok((name, store))) => {
                    store.timeout(ATTEMPT).get("").await.map(|_| name.to_owned())
                }
                Some(Err(error)) => Err(error),
            };
            match claim {
                Ok(name) => return Ok(name),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Waits until every node that is up has applied what is committed now.
    ///
    /// # Errors
    /// [`Error::NotApplied`]: one has not, within half a minute.
    pub async fn caught_up(&self) -> Result<(), Error> {
        let leader = self.leader().await?;
        let commit = self.store(&leader).status().await?.commit;
        for (_, store) in self.stores() {
            store.timeout(LIMIT).wait_until(move |status| status.applied >= commit).await?;
        }
        Ok(())
    }

    fn stores(&self) -> impl Iterator<Item = (&str, Store)> {
        let up = |(name, place): (_, &Place)| Some((name, place.node.as_ref()?.store()));
        self.places.iter().map(|(name, place)| (name.as_str(), place)).filter_map(up)
    }

    fn place(&mut self, name: &str) -> &mut Place {
        self.places.get_mut(name).unwrap_or_else(|| panic!("there is no node {name}"))
    }

    fn builder(&self, name: &str) -> Builder {
        let disk = self.places.get(name).map(|place| place.disk.clone()).unwrap_or_default();
        let builder = Builder::new(name).memory(&disk).network(&self.network).pace(PACE);
        let others: Vec<&str> = self.names().filter(|other| *other != name).collect();
        let builder = if others.is_empty() { builder.bootstrap() } else { builder.join(others) };
        (self.change)(builder)
    }
}

/// The first success, or the last failure; `None` when there is nothing to wait for.
async fn first_success<T, E>(
    futures: impl Iterator<Item: Future<Output = Result<T, E>>>,
) -> Option<Result<T, E>> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut last = None;
    poll_fn(|cx| {
        let mut success = None;
        futures.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(output)) => {
                success.get_or_insert(output);
                false
            }
            Poll::Ready(Err(error)) => {
                last = Some(error);
                false
            }
        });
        match success {
            Some(output) => Poll::Ready(Some(Ok(output))),
            None if futures.is_empty() => Poll::Ready(last.take().map(Err)),
            None => Poll::Pending,
        }
    })
    .await
}

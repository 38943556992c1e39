//! This node's identity on its way to the disk while the node runs: on a lane, in order.
//!
//! What it says must be durable before it counts: a node that was told its number is that member only
//! when the file says so, and answers nobody before. The others' addresses are only for the day on
//! which the log can't be read: nobody waits for them.

use std::io;
use std::time::Duration;

use quorate_consensus::NodeId;
use quorate_consensus::peers::Hello;
use quorate_env::{Lane, Mono, Tasks};
use tokio::sync::oneshot;

use crate::core::Core;
use crate::identity::Identity;
use crate::jobs::Job;

/// After a failure (a full disk) the next attempt waits.
const RETRY: Duration = Duration::from_secs(5);

/// Resolves when this node is a member, or why it is not.
pub(crate) type Registered = oneshot::Receiver<Result<(), String>>;

/// Saves that are under way.
pub(crate) struct Registration {
    lane: Box<dyn Lane>,
    /// Who waits for this node to become a member.
    callers: Vec<oneshot::Sender<Result<(), String>>>,
    failed_at: Option<Mono>,
    removal_noted: bool,
}

impl Registration {
    pub(crate) fn new(tasks: &dyn Tasks) -> Self {
        Self {
            lane: tasks.lane("identity"),
            callers: Vec::new(),
            failed_at: None,
            removal_noted: false,
        }
    }

    /// Whether the disk knows that this node was removed.
    pub(crate) fn has_noted_removal(&self) -> bool {
        self.removal_noted
    }

    /// Whether this node is about to become a member.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.callers.is_empty()
    }
}

impl Core {
    /// A member of the cluster says which member this waiting node is.
    pub(crate) fn become_member(&mut self, hello: &Hello) -> Result<Registered, String> {
        if hello.to_instance != self.identity.instance || hello.to.0 == 0 {
            return Err(
                "this node is in no cluster yet, and is not the node you look for".to_owned()
            );
        }
        self.check_pledge(hello.card.cluster)?;
        if hello.to <= self.identity.lost_node {
            return Err("this node has lost its log and can't be that member any more".to_owned());
        }
        let under_way = !self.registration.callers.is_empty();
        let (caller, registered) = oneshot::channel();
        self.registration.callers.push(caller);
        if !under_way {
            let mut identity = self.identity.clone();
            identity.cluster = hello.card.cluster;
            identity.node = hello.to;
            identity.lost_node = NodeId(0);
            identity.peers = vec![hello.card.peer_addr.clone()];
            self.save(identity);
        }
        Ok(registered)
    }

    /// Notes the others' addresses.
    pub(crate) fn remember_peers(&mut self) {
        let own = self.identity.node;
        let others = self.machine.members().iter().filter(|(node, _)| *node != own);
        let addrs = others.map(|(_, member)| member.peer_addr.clone());
        let peers: Vec<_> = addrs.filter(|addr| !addr.is_empty()).collect();
        if peers != self.identity.peers {
            self.identity.peers = peers;
            self.save(self.identity.clone());
        }
    }

    pub(crate) fn save(&self, identity: Identity) {
        let (disk, dir) = (self.env.disk.clone(), self.config.data_dir.clone());
        self.snapshots.run(&*self.registration.lane, move || {
            let saved = identity.save(&*disk, &dir);
            Job::IdentitySaved(Box::new(identity), saved)
        });
    }

    /// The identity is on the disk, or is not.
    pub(crate) fn identity_saved(&mut self, identity: Identity, saved: io::Result<()>) {
        if identity.pledge != self.identity.pledge {
            return self.pledged(&identity, saved);
        }
        if self.identity.node.0 == 0 && identity.node.0 != 0 {
            return self.registered(identity, saved);
        }
        self.registration.failed_at = None;
        match saved {
            Ok(()) => self.registration.removal_noted |= identity.removed,
            Err(error) => {
                tracing::warn!(%error, "what this node is, and whom it knows, could not be noted");
                self.registration.failed_at = Some(self.now());
            }
        }
    }

    fn registered(&mut self, identity: Identity, saved: io::Result<()>) {
        let begun = saved
            .map_err(|error| format!("this node can't write its identity: {error}"))
            .and_then(|()| {
                tracing::info!(cluster = %identity.cluster, node = identity.node.0, "added to the cluster");
                // It may have heard meanwhile that it was removed.
                let removed = self.identity.removed;
                self.identity = Identity { removed, ..identity };
                self.start_group(self.now()).map_err(|stop| stop.0)
            });
        for caller in std::mem::take(&mut self.registration.callers) {
            // The caller may have lost patience.
            drop(caller.send(begun.clone()));
        }
    }

    /// By the clock: what could not be noted is tried again.
    pub(crate) fn tend_registration(&mut self) {
        let due = |at: Mono| self.now().since(at) > RETRY;
        if self.registration.failed_at.is_some_and(due) {
            self.registration.failed_at = None;
            self.save(self.identity.clone());
        }
    }
}

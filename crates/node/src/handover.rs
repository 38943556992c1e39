//! Handover: leadership goes to another voter, on request, at shutdown, or because this node's clock or
//! disk makes it a bad leader.
//!
//! Entries come out committed on a node only when its own disk has them, so a leader with a slow disk
//! answers slowly however fast the others are. Each member measures how long its log's writes take, the
//! one under way included (a disk that hangs completes none), and tells the others once a second. A slow
//! leader hands over to a voter whose disk is much faster: where all are slow, or share one device,
//! leadership stays where it is.

use std::time::Duration;

use quorate_api::{AdminReply, Error, EventKind};
use quorate_consensus::peers::Lane;
use quorate_consensus::{GroupRole, Index, NodeId, Term};
use quorate_env::Mono;
use tokio::sync::oneshot;

use crate::core::Core;
use crate::membership::{Outcome, give, refused};

/// A disk that takes longer for a write than this is too slow to lead. A disk in good health takes 0.1 to
/// 30 ms, a crowded one some hundred now and then; clients begin to notice at about half a second, which
/// is also what an election would cost.
const SLOW: Duration = Duration::from_millis(500);
/// What a write takes on a disk without room: others are told no more than that it is too long.
const NO_ROOM: Duration = Duration::from_secs(3600);
/// So many times faster must another voter's disk be for a handover to be worth it.
const FASTER: u32 = 4;
/// Between two handovers for the disk's sake.
const PAUSE: Duration = Duration::from_secs(10);
/// A leader whose disk has become slow waits for so long before it decides: others whose disks became slow in
/// the same moment shall have said so.
const GRACE: Duration = Duration::from_millis(200);
/// A disk that is slow now and then is told of so often.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Half the time for which a slow write is remembered.
const MEMORY: Duration = Duration::from_secs(5);

/// The slowest write of the last [`MEMORY`], and of the one before.
#[derive(Debug, Default)]
struct Worst {
    since: Mono,
    now: Duration,
    before: Duration,
}

impl Worst {
    fn note(&mut self, delay: Duration, now: Mono) {
        if now.since(self.since) > MEMORY {
            (self.since, self.before, self.now) = (now, self.now, Duration::ZERO);
        }
        self.now = self.now.max(delay);
    }

    fn get(&self) -> Duration {
        self.now.max(self.before)
    }
}

/// Somebody waits for another leader.
#[derive(Debug)]
pub(crate) struct Transfer {
    to: NodeId,
    /// The term that is to end.
    of: Term,
    pub(crate) asker: oneshot::Sender<Outcome>,
    since: Mono,
    /// Raft gives an attempt up after an election timeout.
    tried_at: Option<Mono>,
}

/// How long a transfer that was asked for is tried.
const TRANSFER_TIME: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Handover {
    pub(crate) transfers: Vec<Transfer>,
    /// When this node last handed over for its disk's sake.
    for_disk_at: Option<Mono>,
    /// Since when this node's disk is too slow to lead.
    slow_since: Option<Mono>,
    /// When that was told last.
    told_at: Option<Mono>,
    worst: Worst,
}

impl Core {
    /// Hands over to `to`, or to whoever is fit.
    pub(crate) fn transfer(&mut self, to: Option<&str>, asker: oneshot::Sender<Outcome>) {
        let target = match to {
            None => self.best_successor(),
            Some(name) => match self.machine.members().find(name) {
                None => {
                    return give(
                        asker,
                        refused(format!("no member has the name or address {name:?}")),
                    );
                }
                Some(node) if node == self.identity.node => {
                    return give(asker, Ok(AdminReply::Done));
                }
                Some(node) if !self.machine.configuration().is_voter(node) => {
                    return give(asker, refused(format!("{name:?} has no vote (yet)")));
                }
                node => node,
            },
        };
        let Some(target) = target else {
            return give(
                asker,
                Err(Error::not_applied("no other voter is reachable and caught up")),
            );
        };
        let (of, since) = (self.term(), self.now());
        let transfer = Transfer { to: target, of, asker, since, tried_at: None };
        self.handover.transfers.push(transfer);
        self.settle_transfers();
        self.wake();
    }

    /// The reachable voter with the most of the log; one with a slow disk only where there is no other.
    pub(crate) fn best_successor(&self) -> Option<NodeId> {
        self.successor_that(|_| true)
    }

    fn successor_that(&self, fits: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let group = self.group.as_ref()?;
        let fits = |node: NodeId| {
            node != self.identity.node
                && self.machine.configuration().is_voter(node)
                && !self.pulses.is_lagging(node)
                && self.peers.as_ref().is_some_and(|peers| peers.is_up(node, Lane::Control))
                && fits(node)
        };
        let progress = group.progress().into_iter().filter(|p| p.active && fits(p.node));
        let rank = |node| self.pulses.disk_delay(node) < SLOW;
        let best = progress.max_by_key(|progress| (rank(progress.node), progress.matched));
        best.map(|progress| progress.node)
    }

    /// Hands leadership to whoever is fit for it.
    pub(crate) fn hand_over(&mut self) {
        if let Some(target) = self.best_successor()
            && let Some(group) = &mut self.group
        {
            group.transfer(target);
        }
    }

    pub(crate) fn settle_transfers(&mut self) {
        let (now, term, leader) = (self.now(), self.term(), self.leader());
        let attempt = self.config.pace.election_timeout() * 2;
        for mut waits in std::mem::take(&mut self.handover.transfers) {
            if term > waits.of && leader.is_some() {
                give(waits.asker, Ok(AdminReply::Done));
                continue;
            }
            if now.since(waits.since) > TRANSFER_TIME {
                let why = self.why_it_does_not_lead(waits.to);
                let text = format!("the transfer did not come about{why}; the old leader goes on");
                give(waits.asker, Err(Error::not_applied(text)));
                continue;
            }
            // A member that has just come in does not know enough clocks yet to lead: to ask it now would only
            // make writes wait.
            let may_lead = !self.pulses.is_lagging(waits.to);
            if may_lead
                && waits.tried_at.is_none_or(|at| now.since(at) > attempt)
                && let Some(group) =
                    self.group.as_mut().filter(|group| group.role() == GroupRole::Leader)
            {
                group.transfer(waits.to);
                waits.tried_at = Some(now);
            }
            self.handover.transfers.push(waits);
        }
    }

    /// What is known to keep a voter from taking the lead, behind a colon; nothing where nothing is.
    fn why_it_does_not_lead(&self, node: NodeId) -> String {
        let name = self.machine.members().get(node).map_or("it", |member| member.name.as_str());
        if self.peers.as_ref().is_none_or(|peers| !peers.is_up(node, Lane::Control)) {
            format!(": {name} can't be reached")
        } else if self.pulses.is_lagging(node) {
            format!(
                ": the clock of {name} is far from the others', or it knows too few of theirs yet"
            )
        } else if self.pulses.disk_delay(node) >= SLOW {
            format!(": the disk of {name} is slow or full")
        } else {
            String::new()
        }
    }

    /// How long the log's disk takes for a write, lately.
    pub(crate) fn disk_delay(&self) -> Duration {
        if self.lacks_room() { NO_ROOM } else { self.log.borrow().delay() }
    }

    /// Why this node's disk makes it a bad leader, or made it one a moment ago.
    pub(crate) fn disk_trouble(&self) -> Option<String> {
        let delay = self.worst_disk_delay();
        if delay >= NO_ROOM {
            return Some("the disk is full, or was a moment ago".to_owned());
        }
        let text = || format!("a write of the log takes up to {} ms", delay.as_millis());
        (delay >= SLOW).then(text)
    }

    /// What the slowest write of the last seconds took, for the others to know.
    pub(crate) fn worst_disk_delay(&self) -> Duration {
        self.handover.worst.get()
    }

    /// By the clock: a leader whose disk is too slow hands over.
    pub(crate) fn watch_disk(&mut self) {
        let (now, delay) = (self.now(), self.disk_delay());
        self.handover.worst.note(delay, now);
        let Some(trouble) = self.disk_trouble().filter(|_| delay >= SLOW) else {
            self.handover.slow_since = None;
            return;
        };
        let Some(since) = self.handover.slow_since else {
            self.handover.slow_since = Some(now);
            // The others count on it when they look for a successor.
            self.pulses.hurry(now);
            if self.handover.told_at.is_none_or(|at| now.since(at) > TOLD_EVERY) {
                self.handover.told_at = Some(now);
                let (kind, name) = (EventKind::DiskSlow, self.identity.name.clone());
                self.tell(kind, Index(0), &name, format!("{name}: {trouble}"));
            }
            return;
        };
        let leads = self.group.as_ref().is_some_and(|group| group.role() == GroupRole::Leader);
        let lately = |at: Mono| now.since(at) < PAUSE;
        let waits = now.since(since) < GRACE || self.handover.for_disk_at.is_some_and(lately);
        if !leads || waits {
            return;
        }
        let worth_it = delay / FASTER;
        let target = self.successor_that(|node| self.pulses.disk_delay(node) <= worth_it);
        if let Some(target) = target
            && let Some(group) = &mut self.group
        {
            tracing::warn!(to = target.0, trouble, "handing leadership over");
            self.handover.for_disk_at = Some(now);
            group.transfer(target);
        }
    }
}

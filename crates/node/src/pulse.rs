//! The pulse: once a second every member tells every other its wall clock and its state digest.
//!
//! A node whose wall clock is far from the majority's does not lead: its stamps would expire keys for
//! good. A node whose digest differs from the others' at the same index holds another state than they
//! do: it stops, whatever the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_consensus::peers::Lane;
use quorate_consensus::{GroupRole, Index, NodeId};
use quorate_env::Mono;

use crate::core::Core;
use crate::frames::Frame;

const PERIOD: Duration = Duration::from_secs(1);
/// A report older than this does not count.
const FRESH: Duration = Duration::from_secs(5);
/// How long the verdict over a difference waits for members that have not reported.
const VERDICT: Duration = Duration::from_secs(10);
/// How far a wall clock may be from the majority's for its node to lead.
const CLOCK_BOUND_MS: u64 = 5_000;

/// What a member told last.
#[derive(Debug)]
struct Heard {
    at: Mono,
    /// Its wall clock minus ours, milliseconds.
    offset_ms: i64,
    max_memory_bytes: u64,
    lagging: bool,
    /// Whether its digest was ours, at the last index both knew.
    agrees: Option<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Pulses {
    heard: BTreeMap<NodeId, Heard>,
    next: Mono,
    differs_since: Option<Mono>,
    pub(crate) clock_is_far: bool,
    pub(crate) wall_ms: u64,
}

impl Pulses {
    pub(crate) fn heard(
        &mut self,
        from: NodeId,
        wall_ms: u64,
        max_memory_bytes: u64,
        lagging: bool,
        at: Mono,
    ) {
        let offset_ms =
            i64::try_from(i128::from(wall_ms) - i128::from(self.wall_ms)).unwrap_or(i64::MAX);
        let agrees = self.heard.get(&from).and_then(|heard| heard.agrees);
        self.heard.insert(from, Heard { at, offset_ms, max_memory_bytes, lagging, agrees });
    }

    /// The smallest limit of all members: a follower must be able to apply what is admitted.
    pub(crate) fn smallest_memory(&self, own: u64) -> u64 {
        self.heard.values().map(|heard| heard.max_memory_bytes).min().unwrap_or(own).min(own)
    }

    /// True when `node` said of itself that its clock or disk makes it a bad leader.
    pub(crate) fn is_lagging(&self, node: NodeId) -> bool {
        self.heard.get(&node).is_some_and(|heard| heard.lagging)
    }

    fn far_clocks(&self, now: Mono, voters: &[NodeId]) -> usize {
        let far = |heard: &Heard| {
            now.since(heard.at) < FRESH && heard.offset_ms.unsigned_abs() > CLOCK_BOUND_MS
        };
        self.heard.iter().filter(|(node, heard)| voters.contains(node) && far(heard)).count()
    }
}

impl Core {
    /// Sends and judges pulses, once a second.
    pub(crate) fn pulse(&mut self) {
        let now = self.now();
        self.pulses.wall_ms = self.env.clock.wall_ms();
        let Some(group) = self.group.as_ref().filter(|_| now >= self.pulses.next) else { return };
        self.pulses.next = now + PERIOD;
        let configuration = group.configuration();
        let pulse = Frame::Pulse {
            wall_ms: self.pulses.wall_ms,
            checkpoint: self.machine.checkpoint(),
            max_memory_bytes: self.config.max_memory_bytes,
            lagging: self.pulses.clock_is_far,
        };
        let members = configuration.members();
        self.pulses.heard.retain(|node, _| members.contains(node));
        for node in members.into_iter().filter(|node| *node != self.identity.node) {
            self.send_frame(node, Lane::Control, &pulse);
        }
        self.judge_clock(&configuration.voters);
        self.judge_digest(&configuration.voters);
    }

    fn judge_clock(&mut self, voters: &[NodeId]) {
        let far = self.pulses.far_clocks(self.now(), voters) > voters.len() / 2;
        if far != self.pulses.clock_is_far {
            self.pulses.clock_is_far = far;
            let node = &self.identity.name;
            if far {
                tracing::warn!(
                    node,
                    "the wall clock is far from the majority's: this node will not lead"
                );
            } else {
                tracing::info!(node, "the wall clock is near the majority's again");
            }
        }
        let Some(group) = &mut self.group else { return };
        group.set_may_lead(!far);
        if far && group.role() == GroupRole::Leader {
            self.hand_over();
        }
    }

    /// Compares a member's digest with ours at the same index.
    pub(crate) fn compare_digest(&mut self, from: NodeId, checkpoint: Option<(Index, u64)>) {
        let Some((index, theirs)) = checkpoint else { return };
        let Some(ours) = self.machine.digest_at(index) else { return };
        let agrees = ours == theirs;
        if let Some(heard) = self.pulses.heard.get_mut(&from) {
            heard.agrees = Some(agrees);
        }
        if !agrees {
            tracing::error!(node = from.0, index = index.0, ours, theirs, "state digests differ");
            self.pulses.differs_since.get_or_insert(self.env.clock.now());
        }
    }

    /// Stops this node when it is the odd one out, or when nobody can tell who is.
    fn judge_digest(&mut self, voters: &[NodeId]) {
        let Some(since) = self.pulses.differs_since else { return };
        let now = self.now();
        let fresh = self
            .pulses
            .heard
            .iter()
            .filter(|(node, heard)| voters.contains(node) && now.since(heard.at) < FRESH);
        let verdicts: Vec<bool> = fresh.filter_map(|(_, heard)| heard.agrees).collect();
        let differ = verdicts.iter().filter(|agrees| !**agrees).count();
        if differ == 0 {
            self.pulses.differs_since = None;
            return;
        }
        let complete = verdicts.len() + 1 >= voters.len();
        if !complete && now.since(since) < VERDICT {
            return;
        }
        let with_us = verdicts.len() - differ + 1;
        if differ >= with_us {
            self.stop(format!(
                "this node's state differs from that of {differ} other members at the same index; \
                 it never answers from a state that may be wrong. Move its data directory away and \
                 let it join again under a new --id"
            ));
        }
    }
}

//! The pulse: once a second every member tells every other its wall clock and its state digest.
//!
//! A node whose wall clock is far from the majority's does not lead: its stamps would expire keys for
//! good. So it asks for no votes before it knows that its clock is near those of a majority; clocks of
//! which too few are known, or agree, prove nothing. A node whose digest differs from the others' at the
//! same index holds another state than they do: it stops, whatever the reason.

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

/// What a member tells of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Its wall clock then. It is compared with ours as of now, so that a jump of ours shows at once.
    pub(crate) wall_ms: u64,
    pub(crate) max_memory_bytes: u64,
    /// Its clock makes it a bad leader.
    pub(crate) lagging: bool,
    /// What its slowest write of the last seconds took.
    pub(crate) disk_delay_ms: u64,
}

/// What a member told last.
#[derive(Debug)]
struct Heard {
    at: Mono,
    told: Told,
    /// Whether its digest was ours, at the last index both knew.
    agrees: Option<bool>,
    /// Its hash over all records, and at which index: see the scrub.
    content: Option<(Index, u64)>,
}

impl Heard {
    /// Whether its state is like ours, of which this is the content at an index.
    fn verdict(&self, ours: Option<(Index, u64)>) -> Option<bool> {
        let same = match (self.content, ours) {
            (Some((at, theirs)), Some((index, ours))) if at == index => Some(theirs == ours),
            _ => None,
        };
        if same == Some(false) { same } else { self.agrees.or(same) }
    }

    /// Its wall clock, as of now.
    fn wall_ms_at(&self, now: Mono) -> u64 {
        let passed_ms = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.told.wall_ms.saturating_add(passed_ms)
    }
}

/// What the voters' wall clocks say about ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Clocks {
    /// Too few are known.
    #[default]
    Unknown,
    /// Some are known, and it takes another one to tell who is right.
    Doubtful,
    /// Those of a majority are near ours; or all are known, and there is no majority.
    Near,
    /// Those of a majority are far from ours.
    Far,
}

impl Clocks {
    /// Of `voters` clocks, ours included, so many are near ours or far from it.
    fn judge(voters: usize, near: usize, far: usize) -> Self {
        let half = voters / 2;
        match (near > half, far > half) {
            (_, true) => Self::Far,
            (true, false) => Self::Near,
            (false, false) if near + far >= voters => Self::Near,
            (false, false) if far > 0 => Self::Doubtful,
            (false, false) => Self::Unknown,
        }
    }

    fn may_lead(self) -> bool {
        self == Self::Near
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pulses {
    heard: BTreeMap<NodeId, Heard>,
    next: Mono,
    differs_since: Option<Mono>,
    clocks: Clocks,
}

impl Pulses {
    pub(crate) fn heard(&mut self, from: NodeId, told: Told, at: Mono) {
        let before = self.heard.get(&from);
        let (agrees, content) = before.map_or((None, None), |heard| (heard.agrees, heard.content));
        self.heard.insert(from, Heard { at, told, agrees, content });
    }

    /// The others hear the next pulse now, not in a second.
    pub(crate) fn hurry(&mut self, now: Mono) {
        self.next = now;
    }

    /// What the slowest write of `node`'s disk took in its last seconds, as it said last.
    pub(crate) fn disk_delay(&self, node: NodeId) -> Duration {
        self.heard
            .get(&node)
            .map_or(Duration::ZERO, |heard| Duration::from_millis(heard.told.disk_delay_ms))
    }

    /// The smallest limit of all members: a follower must be able to apply what is admitted.
    pub(crate) fn smallest_memory(&self, own: u64) -> u64 {
        self.heard.values().map(|heard| heard.told.max_memory_bytes).min().unwrap_or(own).min(own)
    }

    /// True when `node` said of itself that its clock or disk makes it a bad leader.
    pub(crate) fn is_lagging(&self, node: NodeId) -> bool {
        self.heard.get(&node).is_some_and(|heard| heard.told.lagging)
    }

    /// Judges `own`'s wall clock, which shows `wall_ms`, by those of the voters.
    fn judge(&self, own: NodeId, voters: &[NodeId], now: Mono, wall_ms: u64) -> Clocks {
        let others = self.heard.iter().filter(|(node, heard)| {
            **node != own && voters.contains(node) && now.since(heard.at) < FRESH
        });
        let (mut near, mut far) = (1, 0);
        for (_, heard) in others {
            let theirs_ms = heard.wall_ms_at(now);
            if theirs_ms.abs_diff(wall_ms) > CLOCK_BOUND_MS { far += 1 } else { near += 1 }
        }
        Clocks::judge(voters.len(), near, far)
    }
}

impl Core {
    /// Sends and judges pulses, once a second.
    pub(crate) fn pulse(&mut self) {
        let now = self.now();
        let Some(group) = self.group.as_ref().filter(|_| now >= self.pulses.next) else { return };
        self.pulses.next = now + PERIOD;
        let configuration = group.configuration();
        let pulse = Frame::Pulse {
            wall_ms: self.env.clock.wall_ms(),
            checkpoint: self.machine.checkpoint(),
            max_memory_bytes: self.own_memory_limit(),
            lagging: !self.pulses.clocks.may_lead(),
            disk_delay_ms: u64::try_from(self.worst_disk_delay().as_millis()).unwrap_or(u64::MAX),
        };
        let members = configuration.members();
        self.pulses.heard.retain(|node, _| members.contains(node));
        for node in members.into_iter().filter(|node| *node != self.identity.node) {
            self.send_frame(node, Lane::Control, &pulse);
        }
        if self.pulses.clocks == Clocks::Far && group.role() == GroupRole::Leader {
            self.hand_over();
        }
        self.tell_finding();
        self.judge_digest(&configuration.voters);
    }

    /// Decides whether this node may ask for votes: before it might.
    pub(crate) fn judge_clock(&mut self) {
        let (now, wall_ms) = (self.now(), self.env.clock.wall_ms());
        let Some(group) = &mut self.group else { return };
        let voters = group.configuration().voters;
        let clocks = self.pulses.judge(self.identity.node, &voters, now, wall_ms);
        group.set_may_lead(clocks.may_lead());
        if clocks == Clocks::Near {
            self.stamp.found_near(wall_ms, now);
        }
        let before = std::mem::replace(&mut self.pulses.clocks, clocks);
        if clocks != before {
            // The others count on it when they look for a successor: they hear it now, not in a second.
            self.pulses.hurry(now);
        }
        let node = &self.identity.name;
        match clocks {
            _ if clocks == before => {}
            Clocks::Far => tracing::warn!(
                node,
                "the wall clock is far from the majority's: this node will not lead"
            ),
            Clocks::Doubtful => tracing::warn!(
                node,
                "wall clocks differ, and too few are known to tell which is right: \
                 this node asks for no votes"
            ),
            Clocks::Near if before != Clocks::Unknown => {
                tracing::info!(node, "the wall clock is near the majority's again");
            }
            Clocks::Near | Clocks::Unknown => {}
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

    /// A member has read all of its records again.
    pub(crate) fn scrubbed_there(&mut self, from: NodeId, content: (Index, u64)) {
        if let Some(heard) = self.pulses.heard.get_mut(&from) {
            heard.content = Some(content);
        }
        self.compare_content();
    }

    /// Compares what the members have read again at the same index.
    pub(crate) fn compare_content(&mut self) {
        let Some((index, ours)) = self.scrub.finding() else { return };
        let all = self.pulses.heard.iter();
        let mut others = all.filter_map(|(node, heard)| Some((node, heard.content?)));
        let other = others.find(|(_, (at, theirs))| *at == index && *theirs != ours);
        let Some((node, (_, theirs))) = other else { return };
        if self.pulses.differs_since.is_none() {
            tracing::error!(node = node.0, index = index.0, ours, theirs, "contents differ");
            self.pulses.differs_since = Some(self.env.clock.now());
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
        let ours = self.scrub.finding();
        let verdicts: Vec<bool> = fresh.filter_map(|(_, heard)| heard.verdict(ours)).collect();
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
                 let it join again under a new id"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId(1);
    const NOW: Mono = Mono(Duration::from_secs(100));
    const WALL_MS: u64 = 1_790_000_000_000;

    /// Judges our clock; each of `others` has told that its clock is ahead by so much, `ago` ago.
    fn judge(voters: u64, others: &[(u64, i64)], ago: Duration) -> Clocks {
        let mut pulses = Pulses::default();
        for (node, ahead_ms) in others {
            let then_ms = WALL_MS - u64::try_from(ago.as_millis()).unwrap();
            let wall_ms = then_ms.checked_add_signed(*ahead_ms).unwrap();
            let told = Told { wall_ms, ..Told::default() };
            pulses.heard(NodeId(*node), told, Mono(NOW.0 - ago));
        }
        let voters: Vec<_> = (1..=voters).map(NodeId).collect();
        pulses.judge(OWN, &voters, NOW, WALL_MS)
    }

    const LATELY: Duration = Duration::from_secs(2);
    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_node_that_knows_too_few_clocks_may_not_lead() {
        assert!(judge(1, &[], LATELY).may_lead(), "it is the majority");
        assert!(!judge(2, &[], LATELY).may_lead());
        assert!(!judge(3, &[], LATELY).may_lead());
        assert!(judge(3, &[(2, 10)], LATELY).may_lead());
        assert!(!judge(5, &[(2, 10)], LATELY).may_lead());
        assert!(!judge(3, &[(7, 10)], LATELY).may_lead(), "node 7 has no vote");
        assert!(!judge(3, &[(2, 10)], FRESH).may_lead(), "too long ago");
    }

    #[test]
    fn a_node_far_from_the_majority_may_not_lead_and_one_far_node_does_not_matter() {
        assert_eq!(judge(3, &[(2, HOUR), (3, HOUR)], LATELY), Clocks::Far);
        assert_eq!(judge(3, &[(2, 10), (3, HOUR)], LATELY), Clocks::Near);
        assert_eq!(judge(3, &[(2, -HOUR), (3, HOUR)], LATELY), Clocks::Far);
    }

    #[test]
    fn clocks_that_disagree_need_one_more_to_tell_who_is_right() {
        assert_eq!(judge(3, &[(2, HOUR)], LATELY), Clocks::Doubtful);
        assert_eq!(judge(2, &[(2, HOUR)], LATELY), Clocks::Near, "of two, nobody ever can");
    }
}

//! The scrub: once a day every member reads again all that it holds, before somebody needs it.
//!
//! Checksums speak up when bytes are read, and the state digest proves that members *wrote* the same; what
//! has rotted since, in memory or on a disk that nobody reads, both of them miss. So all members freeze
//! their state at the same entry, hash all of its records, and compare: the odd one out stops
//! ([`crate::pulse`]). Then each reads its own log and snapshot again.
//!
//! Which entry that is follows from state and entry alone: the first whose stamp lies in another day than
//! the one before (days of this cluster: they begin when its id says, so that not all clusters of a machine
//! scrub at midnight). An idle leader proposes one. The work goes in small steps, one per tick, on a lane
//! for which all others go first.

use std::time::Duration;

use quorate_consensus::Index;
use quorate_consensus::log::{LogEntry, LogError};
use quorate_consensus::peers::{ClusterId, Lane as Link};
use quorate_engine::EngineError;
use quorate_env::{Lane, Mono, Tasks};
use quorate_keyspace::snapshot::Export;
use xxhash_rust::xxh3::Xxh3Default;

use crate::core::{Core, GROUP, Stop};
use crate::door::is_reachable;
use crate::frames::Frame;
use crate::jobs::Job;

/// Bytes that one step reads: a millisecond of a processor, 20 MB a second.
const STEP_BYTES: usize = 1024 * 1024;
/// How long a finding is told to the others: who is slower compares later.
const TOLD: Duration = Duration::from_secs(3600);

/// A walk through the content of a frozen state.
pub(crate) struct Walk {
    index: Index,
    export: Export,
    hash: Xxh3Default,
    piece: Vec<u8>,
}

impl Walk {
    /// True when more is left.
    fn step(&mut self) -> Result<bool, EngineError> {
        self.piece.clear();
        let more = self.export.next(STEP_BYTES, &mut self.piece)?;
        self.hash.update(&self.piece);
        Ok(more)
    }
}

/// What is being read.
enum Stage {
    Idle,
    /// The content; `None` while a step is on its way.
    Content(Option<Box<Walk>>),
    /// The log, from `next` to before `end`.
    Log {
        next: Index,
        end: Index,
        reading: bool,
    },
}

/// What a scrub has found.
#[derive(Clone, Copy, Debug)]
struct Finding {
    index: Index,
    hash: u64,
    at: Mono,
}

/// All work on scrubs.
pub(crate) struct Scrub {
    lane: Box<dyn Lane>,
    stage: Stage,
    finding: Option<Finding>,
    /// What is wrong here, and has to wait until the others can do without this node.
    damage: Option<String>,
    pub(crate) done: u64,
}

impl Scrub {
    pub(crate) fn new(tasks: &dyn Tasks) -> Self {
        let lane = tasks.background_lane("scrub");
        Self { lane, stage: Stage::Idle, finding: None, damage: None, done: 0 }
    }

    /// The hash over all records, at the index where this node took it last.
    pub(crate) fn finding(&self) -> Option<(Index, u64)> {
        self.finding.map(|finding| (finding.index, finding.hash))
    }
}

/// Whether a day of the cluster ends between two stamps. A cluster's first stamp ends none.
fn day_ends(every: Duration, cluster: ClusterId, before_ms: u64, after_ms: u64) -> bool {
    let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
    let day_of = |stamp_ms: u64| stamp_ms.saturating_add(cluster.0 % every_ms) / every_ms;
    before_ms != 0 && day_of(before_ms) != day_of(after_ms)
}

impl Core {
    /// Whether an entry with the time `now_ms` would begin a scrub.
    pub(crate) fn is_scrub_due(&self, now_ms: u64) -> bool {
        let before_ms = self.machine.keyspace().stamp_ms();
        day_ends(self.config.scrub_every, self.identity.cluster, before_ms, now_ms)
    }

    /// The entry just applied has brought the state's time from `before_ms` to where it is. A scrub under way goes on,
    /// and this day has none.
    pub(crate) fn begin_scrub_if_due(&mut self, before_ms: u64) {
        let keyspace = self.machine.keyspace();
        let (every, cluster) = (self.config.scrub_every, self.identity.cluster);
        if !matches!(self.scrub.stage, Stage::Idle)
            || !day_ends(every, cluster, before_ms, keyspace.stamp_ms())
        {
            return;
        }
        self.scrub.stage = Stage::Content(Some(Box::new(Walk {
            index: self.machine.applied(),
            export: Export::new(keyspace.view()),
            hash: Xxh3Default::new(),
            piece: Vec::with_capacity(STEP_BYTES),
        })));
    }

    /// By the clock: the next step, and what an earlier one has found.
    pub(crate) fn tend_scrub(&mut self) -> Result<(), Stop> {
        self.step_scrub();
        match self.scrub.damage.take() {
            Some(damage) if self.can_be_spared() => Err(Stop(damage)),
            damage => {
                self.scrub.damage = damage;
                Ok(())
            }
        }
    }

    fn step_scrub(&mut self) {
        match &mut self.scrub.stage {
            Stage::Content(walk) => {
                let Some(mut walk) = walk.take() else { return };
                let step = move || {
                    let more = walk.step();
                    Job::ContentScrubbed(walk, more)
                };
                self.snapshots.run(&*self.scrub.lane, step);
            }
            Stage::Log { next, end, reading } if !*reading => {
                let log = self.log.borrow();
                let low = (*next).max(log.first_index(GROUP));
                let bytes_max = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
                // Nothing is left, or not yet: what is not durable can't have rotted.
                let Some(reader) =
                    (low < *end).then(|| log.reader(GROUP, low, *end, bytes_max).ok()).flatten()
                else {
                    drop(log);
                    return self.scrub_over();
                };
                *reading = true;
                let read = move || Job::LogScrubbed(reader.read());
                self.snapshots.run(&*self.scrub.lane, read);
            }
            Stage::Log { .. } | Stage::Idle => {}
        }
    }

    fn scrub_over(&mut self) {
        self.scrub.stage = Stage::Idle;
        self.scrub.done += 1;
        self.check_own_snapshot();
        let index = self.scrub.finding.map_or(0, |finding| finding.index.0);
        tracing::info!(node = self.identity.name, index, "scrubbed");
    }

    /// A part of the content was read.
    pub(crate) fn content_scrubbed(&mut self, walk: Box<Walk>, more: Result<bool, EngineError>) {
        match more {
            Ok(true) => self.scrub.stage = Stage::Content(Some(walk)),
            Ok(false) => {
                let hash = walk.hash.digest();
                let finding = Finding { index: walk.index, hash, at: self.now() };
                self.scrub.finding = Some(finding);
                self.scrub.stage =
                    Stage::Log { next: Index(1), end: walk.index.next(), reading: false };
                self.tell_finding();
                self.compare_content();
            }
            Err(error) => {
                self.scrub.stage = Stage::Idle;
                self.found_damage(crate::storage::stop_for_engine(&error).0);
            }
        }
    }

    /// A part of the log was read.
    pub(crate) fn log_scrubbed(&mut self, read: Result<Vec<LogEntry>, LogError>) {
        let Stage::Log { next, reading, .. } = &mut self.scrub.stage else { return };
        *reading = false;
        let wrong = match read {
            Ok(entries) => match entries.last() {
                Some(last) => {
                    *next = last.index.next();
                    return;
                }
                None => return self.scrub_over(),
            },
            // Cut off meanwhile, which is as it should be; or vanished.
            Err(LogError::Purged { index, .. }) if self.log.borrow().first_index(GROUP) > index => {
                return;
            }
            Err(error) => error,
        };
        if wrong.is_damage() || matches!(wrong, LogError::Purged { .. }) {
            self.scrub.stage = Stage::Idle;
            self.found_damage(wrong.to_string());
        } else {
            tracing::warn!(error = %wrong, "the log can't be read again now");
            self.scrub_over();
        }
    }

    /// Bytes are wrong which no client has asked for yet, and which are checked whenever one does: the scrub has met them,
    /// or a backup, or who sends a snapshot. So there is time: this node must not take the majority with it.
    pub(crate) fn found_damage(&mut self, what: String) {
        if self.scrub.damage.is_some() {
            return;
        }
        tracing::error!(
            node = self.identity.name,
            what,
            "damage was found. This node stops as soon as all other voters can be reached; its next start \
             fetches the state from them. Alone, it goes on: take a backup now (`quorate backup create`)"
        );
        self.scrub.damage = Some(what);
    }

    fn can_be_spared(&self) -> bool {
        let Some(group) = &self.group else { return false };
        let own = self.identity.node;
        let voters = group.configuration().voters;
        let mut others = voters.iter().filter(|voter| **voter != own).peekable();
        others.peek().is_some() && others.all(|voter| is_reachable(self, *voter))
    }

    /// Tells the others what this node has found, as long as they may need it.
    pub(crate) fn tell_finding(&self) {
        let Some(Finding { index, hash, at }) = self.scrub.finding else { return };
        let Some(group) = &self.group else { return };
        if self.now().since(at) > TOLD {
            return;
        }
        let frame = Frame::Scrubbed { index, hash };
        let own = self.identity.node;
        for node in group.configuration().members().into_iter().filter(|node| *node != own) {
            self.send_frame(node, Link::Control, &frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_day_ends_once_for_all_members_and_not_with_the_first_stamp() {
        let ends =
            |cluster, before_ms, after_ms| day_ends(DAY, ClusterId(cluster), before_ms, after_ms);
        assert!(!ends(0, 0, 20_000 * DAY_MS), "the first stamp");
        assert!(!ends(0, DAY_MS, 2 * DAY_MS - 1));
        assert!(ends(0, 2 * DAY_MS - 1, 2 * DAY_MS));
        assert!(ends(0, DAY_MS, 9 * DAY_MS), "days without an entry count once");
        assert!(!ends(0, 5, 5));
        // Another cluster's days begin at another time.
        assert!(ends(1_000, 2 * DAY_MS - 1_001, 2 * DAY_MS - 1_000));
        assert!(!ends(1_000, 2 * DAY_MS - 1, 2 * DAY_MS));
    }
}

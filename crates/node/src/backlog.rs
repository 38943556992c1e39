//! Committed entries that wait for their keys, or for room in the engine, in order.
//!
//! To reads that must see such an entry it is as if it had been committed a moment later. With the memory engine none
//! ever waits.

use std::collections::{BTreeMap, VecDeque};

use quorate_api::limits::DATABASES;
use quorate_consensus::{Body, Committed, Index};
use quorate_engine::Need;
use quorate_keyspace::{Thawed, Want};

use crate::core::{Core, Stop};
use crate::entry::{Part, Parts};
use crate::jobs::{For, Job};

/// Records that one job fetches.
const FETCHED_MAX: usize = 64;
/// Entries that wait beyond this are not added to: appends are dropped, proposals wait.
pub(crate) const BACKLOG_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Beyond this they are applied without waiting for anything: at a start, the log may hold many.
const BACKLOG_BYTES_FORCED: usize = 128 * 1024 * 1024;

/// What an entry looks at.
#[derive(Default)]
struct Wants {
    /// Its records, while the databases lie like this.
    needs: Vec<Need>,
    placement: [u32; DATABASES as usize],
    housekeep: Option<Housekeep>,
    /// Jobs that fetch for it.
    fetching: usize,
}

/// The stamp and the bounds of a round of housekeeping.
#[derive(Clone, Copy)]
struct Housekeep {
    stamp_ms: u64,
    expire_max: usize,
    clear_max: usize,
}

/// A committed entry that is not applied.
struct Waiting {
    entry: Committed,
    wants: Wants,
    /// Its housekeeping was tried out on the state that it will find.
    rehearsed: bool,
    /// What it needs can't be read: applying it will say why.
    unreadable: bool,
}

/// See the file's head.
#[derive(Default)]
pub(crate) struct Backlog {
    entries: VecDeque<Waiting>,
    bytes: usize,
    /// Proposals whose keys are being fetched.
    early: BTreeMap<Index, Wants>,
    crowded: bool,
}

/// What an entry will look at. Malformed parts are found when it is applied.
fn wants_of(bytes: &[u8], want: &mut dyn FnMut(Want<'_>)) -> Option<Housekeep> {
    let Ok((stamp_ms, _, mut parts)) = Parts::of_entry(bytes, Vec::new()) else { return None };
    let mut housekeep = None;
    while let Ok(Some(part)) = parts.next() {
        let mut wants = |command: &crate::entry::Command| {
            let args = parts.args(command);
            for at in command.spec.key_positions(args.len()) {
                let (db, command) = (command.db, command.spec.id);
                want(Want::Key { db, command, args, at });
            }
        };
        match part {
            Part::Command(command) => wants(&command),
            Part::Transaction { watches, commands } => {
                commands.iter().for_each(&mut wants);
                for watch in &watches {
                    want(Want::Watch { db: watch.db, key: &watch.key });
                }
            }
            Part::Once { client, sequence, .. } => {
                want(Want::Once { client: parts.client(client), sequence });
            }
            Part::Housekeep { expire_max, clear_max } => {
                housekeep = Some(Housekeep { stamp_ms, expire_max, clear_max });
            }
            Part::Origin { .. } => {}
        }
    }
    housekeep
}

/// What a waiting entry weighs.
pub(crate) fn bytes_of(entry: &Committed) -> usize {
    match &entry.body {
        Body::Normal(bytes) => bytes.len(),
        Body::Empty | Body::Change { .. } => 0,
    }
}

impl Core {
    /// Applies a committed entry, now or when its keys are known and those before it are applied.
    pub(crate) fn take_committed(&mut self, entry: Committed) -> Result<(), Stop> {
        if !self.storage.blocks() {
            return self.apply_or_send_away(entry);
        }
        // Those of lost proposals have no other end.
        let later = self.storage.backlog.early.split_off(&entry.index.next());
        let mut early = std::mem::replace(&mut self.storage.backlog.early, later);
        let wants = match (early.remove(&entry.index), &entry.body) {
            (Some(wants), _) => wants,
            (None, Body::Normal(bytes)) => self.fetch_for(entry.index, bytes),
            (None, Body::Empty | Body::Change { .. }) => Wants::default(),
        };
        self.storage.backlog.bytes += bytes_of(&entry);
        let waiting = Waiting { entry, wants, rehearsed: false, unreadable: false };
        self.storage.backlog.entries.push_back(waiting);
        self.apply_backlog().map(drop)
    }

    /// Has what an entry looks at read while it is on its way to the logs.
    pub(crate) fn fetch_early(&mut self, index: Index, bytes: &[u8]) {
        if self.storage.blocks() {
            let wants = self.fetch_for(index, bytes);
            self.storage.backlog.early.insert(index, wants);
        }
    }

    fn wants(&self, bytes: &[u8]) -> Wants {
        let keyspace = self.machine.keyspace();
        let mut needs = Vec::new();
        let housekeep = wants_of(bytes, &mut |want| keyspace.add_needs_of(&want, &mut needs));
        Wants { needs, placement: keyspace.placement(), housekeep, fetching: 0 }
    }

    /// Has what the entry `bytes` at `index` looks at read.
    fn fetch_for(&mut self, index: Index, bytes: &[u8]) -> Wants {
        let mut wants = self.wants(bytes);
        let keyspace = self.machine.keyspace_mut();
        let fetches: Vec<_> =
            wants.needs.chunks(FETCHED_MAX).filter_map(|needs| keyspace.fetch(needs)).collect();
        wants.fetching = fetches.len();
        for fetch in fetches {
            self.read_elsewhere(move || Job::KeysRead(index, fetch.run().into(), For::Later));
        }
        if let Some(housekeep) = wants.housekeep {
            self.rehearse(index, housekeep, For::Later);
            wants.fetching += 1;
        }
        wants
    }

    /// Tries housekeeping out on the present state, for the sake of what it reads.
    fn rehearse(&mut self, index: Index, housekeep: Housekeep, purpose: For) {
        let Housekeep { stamp_ms, expire_max, clear_max } = housekeep;
        let rehearsal = self.machine.keyspace().rehearsal();
        self.read_elsewhere(move || {
            let thawed = rehearsal.housekeep(stamp_ms, expire_max, clear_max);
            Job::KeysRead(index, thawed, purpose)
        });
    }

    /// True when the entry whose turn it is can be applied without waiting for the device; else has what is
    /// missing read. It may have been let go of since it was fetched, or was read while a flush ended.
    fn is_next_known(&mut self) -> bool {
        let placement = self.machine.keyspace().placement();
        let Some(next) = self.storage.backlog.entries.front() else { return false };
        if next.wants.fetching > 0 || next.unreadable {
            return next.unreadable;
        }
        let mut wants = None;
        if next.wants.placement != placement
            && let Body::Normal(bytes) = &next.entry.body
        {
            wants = Some(self.wants(bytes));
        }
        let Some(next) = self.storage.backlog.entries.front_mut() else { return false };
        if let Some(wants) = wants {
            next.wants = wants;
        }
        let index = next.entry.index;
        if let Some(fetch) = self.machine.keyspace_mut().fetch(&next.wants.needs) {
            next.wants.fetching = 1;
            self.read_elsewhere(move || Job::KeysRead(index, fetch.run().into(), For::Now));
            return false;
        }
        // Order matters: only now is the state that which the entry will find.
        if let Some(housekeep) = next.wants.housekeep
            && !std::mem::replace(&mut next.rehearsed, true)
        {
            next.wants.fetching = 1;
            self.rehearse(index, housekeep, For::Now);
            return false;
        }
        true
    }

    /// What was read for the entry at `index` has come.
    pub(crate) fn keys_read(&mut self, index: Index, thawed: Thawed, purpose: For) {
        let keyspace = self.machine.keyspace_mut();
        let first =
            self.storage.backlog.entries.front().map_or(Index(0), |waiting| waiting.entry.index);
        let at = usize::try_from(index.0.wrapping_sub(first.0)).unwrap_or(usize::MAX);
        let Some(waiting) = self.storage.backlog.entries.get_mut(at) else {
            keyspace.thaw(thawed);
            if let Some(wants) = self.storage.backlog.early.get_mut(&index) {
                wants.fetching = wants.fetching.saturating_sub(1);
            }
            return;
        };
        waiting.wants.fetching = waiting.wants.fetching.saturating_sub(1);
        if purpose == For::Later || at > 0 {
            return keyspace.thaw(thawed);
        }
        match keyspace.hold(thawed) {
            Ok(true) => {}
            // A flush has ended meanwhile: once more.
            Ok(false) => waiting.rehearsed = false,
            Err(_) => waiting.unreadable = true,
        }
    }

    /// Applies what need not wait any more.
    pub(crate) fn apply_backlog(&mut self) -> Result<bool, Stop> {
        if self.storage.backlog.entries.is_empty() {
            return Ok(false);
        }
        let mut any = false;
        while !self.storage.backlog.entries.is_empty() {
            let ready = self.takes_committed() && self.is_next_known();
            if !ready && self.storage.backlog.bytes <= BACKLOG_BYTES_FORCED {
                break;
            }
            let Some(Waiting { entry, .. }) = self.storage.backlog.entries.pop_front() else {
                break;
            };
            self.storage.backlog.bytes -= bytes_of(&entry);
            self.apply(&entry)?;
            self.machine.keyspace_mut().release();
            if let Body::Change { configuration, .. } = &entry.body {
                self.note_configuration(entry.index, configuration.clone());
            }
            self.start_engine_work();
            any = true;
        }
        self.judge_crowd();
        Ok(any)
    }

    /// Whether the engine is to take what is committed now, or a flush is to end first.
    ///
    /// On a full disk none will end, and reads must see what is committed: it is taken all the same. That is little, for
    /// nothing more is proposed or let in, and it lies in memory as it is.
    fn takes_committed(&self) -> bool {
        let engine = self.machine.keyspace().engine();
        engine.has_room() || engine.stats().disk_full
    }

    pub(crate) fn judge_crowd(&mut self) {
        let full = !self.machine.keyspace().engine().has_room();
        if full {
            let now = self.now();
            self.storage.note_no_room(now);
        } else {
            self.storage.note_room();
        }
        let crowded = full || self.storage.backlog.bytes > BACKLOG_BYTES_MAX;
        if crowded != std::mem::replace(&mut self.storage.backlog.crowded, crowded) {
            tracing::debug!(crowded, full, "the engine takes no more writes, or does again");
        }
        if let Some(group) = &mut self.group {
            group.set_crowded(crowded);
        }
    }
}

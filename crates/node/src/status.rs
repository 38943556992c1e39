//! The status: figures handed up from every room.

use quorate_api::Status;
use quorate_api::status::{self, MemberStatus, Role};
use quorate_consensus::{Group, GroupRole};

use crate::core::{Core, GROUP};
use crate::door::is_reachable;
use crate::members::Wish;

impl Core {
    /// This node's view of itself and its group.
    pub(crate) fn status(&self) -> Status {
        let mut status = Status {
            id: self.identity.name.clone(),
            node: self.identity.node.0,
            addr: self.config.client_addr.clone(),
            group: GROUP.0,
            role: self.role(),
            stopped: self.stopped.clone(),
            leader: self.leader().map_or(0, |leader| leader.0),
            uptime_ms: millis(self.now().since(self.started_at)),
            forwarded: self.forwarded,
            read_rounds: self.reads.rounds,
            reads: self.reads.served,
            ..Status::default()
        };
        status.format_highest = self.config.formats.highest;
        if self.identity.cluster.0 != 0 {
            status.cluster = self.identity.cluster.to_string();
            status.format = self.machine.format();
        }
        if let Some((waits_for, is_refused)) = self.what_it_waits_for() {
            (status.waits_for, status.is_refused) = (Some(waits_for), is_refused);
        }
        status.disk_slow = self.disk_trouble();
        self.describe_log(&mut status);
        self.describe_state(&mut status);
        if let Some(group) = &self.group {
            status.term = group.term().0;
            status.commit = group.commit().0;
            status.elections_won = group.elections_won();
            status.members = self.describe_members(group);
        }
        status
    }

    fn role(&self) -> Role {
        let Some(group) = self.group.as_ref().filter(|_| self.stopped.is_none()) else {
            return if self.stopped.is_some() { Role::Stopped } else { Role::Waiting };
        };
        match group.role() {
            GroupRole::Leader => Role::Leader,
            GroupRole::Candidate => Role::Candidate,
            GroupRole::Follower if group.configuration().is_voter(self.identity.node) => {
                Role::Follower
            }
            GroupRole::Follower => Role::Learner,
        }
    }

    fn describe_log(&self, status: &mut Status) {
        let log = self.log.borrow();
        let stats = log.stats();
        status.log_first = log.first_index(GROUP).0;
        status.log_last = log.last_index(GROUP).0;
        status.log_bytes = stats.bytes;
        status.log_segments = stats.segments;
        status.fsyncs = stats.fsyncs;
        status.fsync_p99_us = u64::try_from(stats.fsync_p99.as_micros()).unwrap_or(u64::MAX);
        if stats.disk_full || self.lacks_room() {
            status.read_only = Some("the disk is full".to_owned());
        } else if let Some(waited) = self.storage.stalled_for(self.now()) {
            let waited = waited.as_secs();
            let why =
                format!("for {waited} s, what the engine has in memory has not got to the disk");
            status.read_only = Some(why);
        }
    }

    fn describe_state(&self, status: &mut Status) {
        let keyspace = self.machine.keyspace();
        let engine = keyspace.engine().stats();
        let counters = keyspace.counters();
        status.applied = keyspace.applied();
        status.digest = keyspace.digest();
        status.stamp_ms = keyspace.stamp_ms();
        status.engine = self.config.cellar.kind().name();
        status.engine_records = engine.records;
        status.engine_payload_bytes = engine.payload_bytes;
        status.engine_memory_bytes = engine.memory_bytes;
        status.engine_disk_bytes = engine.disk_bytes;
        status.engine_durable =
            if self.is_on_disk() { keyspace.engine().durable_applied() } else { 0 };
        status.engine_flushes = engine.flushes;
        status.engine_runs = engine.runs;
        status.engine_waited_reads = engine.waited_reads;
        status.cold_reads = self.storage.cold_reads;
        status.max_memory_bytes = self.pulses.smallest_memory(self.own_memory_limit());
        let databases = keyspace.databases().into_iter();
        status.databases = databases.map(|row| (row.db, row.keys, row.expiring)).collect();
        status.writes = self.machine.writes;
        status.entries = self.machine.entries;
        status.expired_keys = counters.expired;
        status.keyspace_hits = counters.hits;
        status.keyspace_misses = counters.misses;
        let mark = self.group.as_ref().and_then(Group::snapshot);
        status.snapshot_index = mark.map_or(0, |mark| mark.index.0);
        status.snapshot_bytes = self.snapshots.bytes;
        status.snapshots_made = self.snapshots.made;
        status.snapshots_installed = self.snapshots.installed;
        status.scrubs = self.scrub.done;
        status.scrub_index = self.scrub.finding().map_or(0, |(index, _)| index.0);
        status.snapshot_arriving = self.snapshots.arriving;
    }

    fn describe_members(&self, group: &Group) -> Vec<MemberStatus> {
        let (last, configuration, progress) =
            (group.last().0, group.configuration(), group.progress());
        let leader = group.leader();
        let describe = |(node, member): (quorate_consensus::NodeId, &crate::members::Member)| {
            let own = node == self.identity.node;
            let known = progress.iter().find(|progress| progress.node == node);
            let matched = known.map_or(if own { last.0 } else { 0 }, |known| known.matched.0);
            let (addr, peer_addr) = self.addrs(node, member);
            MemberStatus {
                node: node.0,
                id: member.name.clone(),
                addr,
                peer_addr,
                voter: configuration.is_voter(node),
                leader: leader == Some(node),
                matched,
                lag: if matched == 0 { 0 } else { last.0.saturating_sub(matched) },
                alive: own || is_reachable(self, node) && known.is_none_or(|known| known.active),
                silent_ms: millis(self.silence.of(node, self.now())),
                wish: match member.wish {
                    Wish::Vote => status::Wish::Vote,
                    Wish::StaysLearner => status::Wish::StaysLearner,
                    Wish::Replaces(node) => status::Wish::Replaces(node.0),
                },
            }
        };
        self.machine.members().iter().map(describe).collect()
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! What happens by the clock: ticks, deadlines, expiry, promotion, and what follows a change of role.

use bytes::Bytes;
use quorate_consensus::codec::Reader;
use quorate_consensus::peers::{Kind as FrameKind, Lane};
use quorate_consensus::{GroupRole, NodeId};

use crate::core::{Core, GROUP, PATIENCE_TIMES, Stop};
use crate::frames::Frame;
use crate::pulse::Told;

impl Core {
    /// One tick has passed.
    pub(crate) fn tick(&mut self) -> Result<(), Stop> {
        self.judge_clock();
        if let Some(group) = &mut self.group {
            group.tick();
            if group.role() == GroupRole::Leader || group.leader().is_some() {
                self.led_at = self.env.clock.now();
                self.leaderless_ticks = 0;
            } else {
                self.leaderless_ticks = self.leaderless_ticks.saturating_add(1);
            }
        }
        self.expire_writes();
        self.expire_reads();
        self.tend_passed();
        self.repeat_question();
        self.repeat_stamp();
        self.watch_memory();
        self.housekeep_if_due()?;
        self.tend_members()?;
        self.tend_silence();
        self.tend_readers();
        self.watch_disk();
        self.tend_registration();
        self.tend_snapshots()?;
        self.tend_scrub()?;
        self.pulse();
        Ok(())
    }

    fn expire_reads(&mut self) {
        let Some(limit) = self.now().0.checked_sub(self.patience()) else { return };
        let error = self.no_leader();
        let mut overdue = self.reads.take_overdue(quorate_env::Mono(limit));
        // On lanes that wait for no device, what takes long is at work, not stuck.
        let times = if self.storage.blocks() { 1 } else { PATIENCE_TIMES };
        let limit = self.now().0.saturating_sub(self.config.patience.saturating_mul(times));
        overdue.extend(self.storage.take_cold(|since| since.0 < limit));
        for batch in overdue {
            self.answer_all(batch.waiters, &error);
        }
    }

    /// A stamp that was asked for on a leader which is gone is asked for again.
    fn repeat_stamp(&mut self) {
        let applied_ms = self.machine.keyspace().stamp_ms();
        let wanted = self.reads.indexed.iter().map(|one| one.stamp_ms).max().unwrap_or(0);
        if wanted > applied_ms {
            self.want_stamp(wanted);
        }
    }

    fn watch_memory(&mut self) {
        let limit = self.pulses.smallest_memory(self.own_memory_limit());
        let stats = self.machine.keyspace().engine().stats();
        // A member that keeps everything in memory must be able to apply what one on disk admits.
        let held = if self.is_on_disk() { stats.payload_bytes } else { stats.memory_bytes };
        self.over_memory = held > limit;
    }

    fn housekeep_if_due(&mut self) -> Result<(), Stop> {
        if self.housekeep || !self.is_leading() {
            return Ok(());
        }
        let now_ms = self.now_ms();
        if self.is_scrub_due(now_ms) {
            self.housekeep = true;
            return Ok(());
        }
        if self.storage.blocks() {
            self.ask_whether_due(now_ms);
            return Ok(());
        }
        let due = self.machine.keyspace().housekeeping_due(now_ms);
        self.housekeep = due.map_err(|error| Stop(format!("the engine can't be read: {error}")))?;
        Ok(())
    }

    /// Role, term or leader have changed.
    pub(crate) fn role_changed(&mut self) {
        let Some(group) = &self.group else { return };
        let (role, term, leader) = (group.role(), group.term(), group.leader());
        tracing::info!(
            node = self.identity.name,
            ?role,
            term = term.0,
            leader = leader.map_or(0, |leader| leader.0),
            "role"
        );
        self.drop_round();
        self.repeat_question();
        self.tell_of_leader();
        if role != GroupRole::Leader {
            self.give_back_inbound();
            self.stamp_wanted_ms = 0;
            self.housekeep = false;
            self.snapshots.stop_sending();
        }
    }

    pub(crate) fn link_down(&mut self, node: NodeId, lane: Lane) {
        tracing::debug!(node = node.0, ?lane, "link down");
        if lane == Lane::Bulk {
            self.snapshot_link_down(node);
        }
        if lane == Lane::Control {
            self.doubt_answer(node);
        }
        if let Some(group) = &mut self.group {
            group.unreachable(node);
        }
    }

    /// Sends a frame of ours; false when the link is down.
    pub(crate) fn send_frame(&self, to: NodeId, lane: Lane, frame: &Frame) -> bool {
        let encode = |out: &mut Vec<u8>| frame.encode(GROUP, out);
        self.peers.as_ref().is_some_and(|peers| peers.send(to, lane, FrameKind::Node, encode))
    }

    /// A Raft message from a member.
    pub(crate) fn raft_frame(&mut self, from: NodeId, payload: Bytes) {
        let now = self.now();
        let mut reader = Reader::new(payload);
        let of_ours = reader.varint() == Ok(GROUP.0);
        let Some(group) = self.group.as_mut().filter(|_| of_ours) else { return };
        if let Err(error) = group.step(from, reader.rest(), now) {
            tracing::warn!(from = from.0, %error, "malformed message from a member");
        }
    }

    /// A message of ours from a member.
    pub(crate) fn node_frame(&mut self, from: NodeId, payload: Bytes) {
        let frame = match Frame::decode(payload) {
            Ok((GROUP, frame)) => frame,
            Ok((group, _)) => {
                return tracing::warn!(from = from.0, %group, "frame of no group of ours");
            }
            Err(error) => return tracing::warn!(from = from.0, %error, "malformed frame"),
        };
        match frame {
            Frame::Forward { term, number, parts } => {
                self.forwarded_to_us(from, term, number, parts);
            }
            Frame::Refused { number, why } => self.refused(number, why),
            Frame::ReadAsk { number, lease } => self.read_asked(from, number, lease),
            Frame::ReadAnswer { number, index, now_ms } => {
                self.read_answered(from, number, index, now_ms);
            }
            Frame::ReadPass { number, part } => self.read_passed(from, number, &part),
            Frame::ReadPassed { number, index, answer } => {
                self.passed_answered(number, index, answer);
            }
            Frame::Scrubbed { index, hash } => self.scrubbed_there(from, (index, hash)),
            Frame::StampAsk { stamp_ms } => self.stamp_asked(from, stamp_ms),
            Frame::Pulse { wall_ms, checkpoint, max_memory_bytes, lagging, disk_delay_ms } => {
                let told = Told { wall_ms, max_memory_bytes, lagging, disk_delay_ms };
                self.pulses.heard(from, told, self.env.clock.now());
                self.compare_digest(from, checkpoint);
            }
            Frame::Removed => self.told_of_removal(from),
            Frame::AdminAsk { number, request } => self.admin_asked(from, number, request),
            Frame::AdminAnswer { number, answer } => self.membership.answered(number, answer),
        }
    }

    /// A member has a read that waits for `stamp_ms`. A member's claim can't drive the clock: only a
    /// time which has come by the leader's own is committed.
    fn stamp_asked(&mut self, from: NodeId, stamp_ms: u64) {
        if !self.is_leading() || stamp_ms > self.now_ms() {
            return;
        }
        if stamp_ms > self.machine.keyspace().stamp_ms() {
            self.stamp_wanted_ms = self.stamp_wanted_ms.max(stamp_ms);
        }
        if let Some(group) = &self.group {
            // The entry with the stamp is the next one, or is on its way already.
            self.owed.insert(from, group.last().0.next());
        }
    }
}

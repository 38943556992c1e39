//! Compaction: snapshots that exist, the log that may go, and entries fetched from the disk.

use raft::GetEntriesContext;
use raft::eraftpb::{Message, MessageType, Snapshot};

use super::Group;
use super::advance::LogFailed;
use crate::configuration::Change;
use crate::log::{LogBatch, LogEntry};
use crate::observer::Moment;
use crate::tail::SnapshotMark;
use crate::{Index, NodeId, Term, message};

/// Old entries that a follower needs, to be read off the loop.
#[derive(Debug)]
pub struct Fetch {
    /// The first entry.
    pub low: Index,
    /// The entry behind the last.
    pub high: Index,
    /// How much to read at most.
    pub bytes_max: u64,
    context: GetEntriesContext,
}

impl Group {
    /// True when a follower needs a snapshot and none exists that would do; asked once.
    pub fn take_snapshot_wanted(&mut self) -> bool {
        self.raw.store().snapshot_wanted.take()
    }

    /// The newest snapshot file.
    pub fn snapshot(&self) -> Option<&SnapshotMark> {
        self.raw.store().snapshot.as_ref()
    }

    /// A snapshot has become a durable file: followers may be given it.
    pub fn snapshot_made(&mut self, mark: SnapshotMark) {
        self.raw.mut_store().snapshot = Some(mark);
    }

    /// Cuts the log up to and including `index`.
    ///
    /// Must: be called only for what the engine has made durable (memory: a snapshot's index).
    ///
    /// # Errors
    /// The log can't be written: the node must stop.
    pub fn compact(&mut self, index: Index) -> Result<(), LogFailed> {
        let Some(term) = self.term_at(index) else { return Ok(()) };
        if index < self.first() {
            return Ok(());
        }
        let purge = Some((index, term));
        let batch = LogBatch { group: self.group, purge, ..LogBatch::default() };
        self.log.borrow_mut().submit(batch).map_err(|error| LogFailed(error.to_string()))?;
        self.raw.mut_store().purge(index.0, term.0);
        self.show(Moment::CutsLog);
        Ok(())
    }

    /// Where to cut the log that is needed up to `index` only: so many entries are kept before it for members that
    /// are a little behind, and not more than so many bytes of them.
    pub fn cut_before(&self, index: Index, entries: u64, bytes: u64) -> Index {
        let log = self.log.borrow();
        let behind = log.bytes_since(self.group, index);
        let kept = |cut: u64| log.bytes_since(self.group, Index(cut)) - behind;
        let (mut low, mut high) = (index.0.saturating_sub(entries).max(self.first().0), index.0);
        while low < high {
            let middle = low + (high - low) / 2;
            if kept(middle) > bytes { low = middle + 1 } else { high = middle }
        }
        Index(high.min(index.0))
    }

    /// Bytes of log behind `index`.
    pub fn log_bytes_since(&self, index: Index) -> u64 {
        self.log.borrow().bytes_since(self.group, index)
    }

    /// A snapshot from the leader of `term` has arrived whole and is durable: offers it to raft, which
    /// accepts it ([`super::Output::install`]) unless the log has caught up meanwhile.
    pub fn offer_snapshot(&mut self, from: NodeId, term: Term, mark: &SnapshotMark) {
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = mark.index.0;
        metadata.term = mark.term.0;
        metadata.set_conf_state(mark.configuration.to_raft());
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgSnapshot);
        message.from = from.0;
        message.to = self.node.0;
        message.term = term.0;
        message.set_snapshot(snapshot);
        if let Err(error) = self.raw.step(message) {
            tracing::debug!(%error, "snapshot not taken");
        }
        self.redraw_timeout();
    }

    /// Old entries that followers wait for.
    pub fn take_fetches(&mut self) -> Vec<Fetch> {
        let fetches = self.raw.store().take_fetches();
        let ours = fetches.into_iter().map(|fetch| Fetch {
            low: Index(fetch.low),
            high: Index(fetch.high),
            bytes_max: fetch.bytes_max,
            context: fetch.context,
        });
        ours.collect()
    }

    /// The entries of a fetch have been read (none: they could not be).
    pub fn fetched(&mut self, fetch: Fetch, entries: &[LogEntry]) {
        let decoded: Result<Vec<_>, _> = entries.iter().map(message::from_log).collect();
        if self.raw.store().offer_fetched(fetch.low.0, decoded.unwrap_or_default()) {
            self.raw.on_entries_fetched(fetch.context);
        } else {
            // Raft asks again with the next heartbeat response.
            tracing::debug!(low = fetch.low.0, "old entries could not be read, or are gone");
        }
        self.raw.store().withdraw_fetched();
    }

    /// Entries for an operator to look at.
    ///
    /// # Errors
    /// As the log says.
    pub fn read_log(&self, index: Index) -> Result<Option<LogEntry>, crate::log::LogError> {
        if index < self.first() || index > self.last().0 {
            return Ok(None);
        }
        let context = GetEntriesContext::empty(false);
        let read = raft::Storage::entries(self.raw.store(), index.0, index.0 + 1, None, context);
        Ok(read.ok().and_then(|entries| entries.first().map(message::to_log)))
    }

    /// Reads a change entry.
    pub fn change_of(entry: &LogEntry) -> Option<Change> {
        Change::decode(entry.data.clone()).ok()
    }
}

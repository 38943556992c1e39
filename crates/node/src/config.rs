//! What a node is told at start: data, checked once. Components (clock, disk) are arguments; where its
//! engines come from stands here, since a directory keeps the kind for life.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_api::Consistency;
use quorate_consensus::Pace;
use quorate_consensus::peers::{Formats, Secret};
use quorate_engine::{Cellar, DiskCellar, DiskOptions, EngineKind, MemoryCellar};

use crate::format::FORMATS;

/// How a node comes into a cluster when its data directory is new. When it is not, only the addresses
/// count: members that are no longer where they were are looked for there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entrance {
    /// Waits until a member adds it.
    #[default]
    Wait,
    /// Founds a cluster of one.
    Bootstrap,
    /// Asks these addresses, in turn, until one has added it.
    Join(Vec<String>),
    /// Founds a cluster together with the others that are started in the same way, so many in all, this
    /// one included; or asks to be added where there is one already. They are looked for at the seeds.
    Expect(usize),
}

/// A node's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name; never given to another node of the cluster, not even after it has left.
    pub id: String,
    /// Where everything it must not forget lies.
    pub data_dir: PathBuf,
    /// Where its engine comes from. A data directory keeps the kind that it was made with.
    pub cellar: Arc<dyn Cellar>,
    /// `host:port` at which peers reach it.
    pub peer_addr: String,
    /// `host:port` at which clients reach it.
    pub client_addr: String,
    /// How it comes into a cluster.
    pub entrance: Entrance,
    /// Where members and founders are looked for, beside the addresses to join. A name may stand for
    /// several of them.
    pub seeds: Vec<String>,
    /// When it is added, it stays a learner: it serves reads and never votes.
    pub learner: bool,
    /// The cluster formats that it works with: those of this version, but in tests.
    pub formats: Formats,
    /// What the members share.
    pub secret: Secret,
    /// How reads behave that do not say otherwise.
    pub consistency: Consistency,
    /// How the group keeps time; the same on every member.
    pub pace: Pace,
    /// Writes that grow the data are refused when the engine holds more.
    pub max_memory_bytes: u64,
    /// A snapshot is made when the log behind the last one is larger than this, and larger than the
    /// data.
    pub snapshot_log_bytes: u64,
    /// Entries kept in the log behind a snapshot, so that a member which is a little behind needs none; of their
    /// bytes not more than a quarter of `snapshot_log_bytes`, or 1 MiB.
    pub entries_kept: u64,
    /// A log segment's size.
    pub segment_bytes: u64,
    /// How often all that is held is read again and compared; the same on every member.
    pub scrub_every: std::time::Duration,
    /// How long a command waits for a leader before it is refused.
    pub patience: std::time::Duration,
}

/// Memory for the engine of a directory that no node works with.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Where the engine of a directory of this kind comes from, when no node works with it.
pub(crate) fn cellar_of(kind: EngineKind) -> Arc<dyn Cellar> {
    match kind {
        EngineKind::Memory => Arc::new(MemoryCellar),
        EngineKind::Disk => {
            let options = DiskOptions { cache_bytes: CACHE_BYTES, ..DiskOptions::default() };
            Arc::new(DiskCellar::new(options))
        }
    }
}

impl Config {
    /// Bytes of entries kept behind a snapshot, at most: a few large values must not fill the disk.
    pub(crate) fn bytes_kept(&self) -> u64 {
        (self.snapshot_log_bytes / 4).max(1024 * 1024)
    }

    /// All addresses at which members may be found.
    pub fn all_seeds(&self) -> Vec<String> {
        let mut all = self.seeds.clone();
        if let Entrance::Join(addrs) = &self.entrance {
            all.extend(addrs.iter().filter(|addr| !self.seeds.contains(addr)).cloned());
        }
        all
    }

    /// Keeps data on the disk, with so many bytes of memory for what is read or written often.
    pub fn keep_on_disk(&mut self, cache_bytes: u64) {
        let options = DiskOptions::with_cache(cache_bytes);
        self.cellar = Arc::new(DiskCellar::new(options));
    }

    /// A node of this name with default settings.
    pub fn new(id: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            id: id.into(),
            data_dir: data_dir.into(),
            cellar: Arc::new(MemoryCellar),
            peer_addr: String::new(),
            client_addr: String::new(),
            entrance: Entrance::Wait,
            seeds: Vec::new(),
            learner: false,
            formats: FORMATS,
            secret: Secret::default(),
            consistency: Consistency::Linearizable,
            pace: Pace::default(),
            max_memory_bytes: u64::MAX,
            snapshot_log_bytes: 256 * 1024 * 1024,
            entries_kept: 1024,
            segment_bytes: 64 * 1024 * 1024,
            scrub_every: std::time::Duration::from_secs(24 * 60 * 60),
            patience: std::time::Duration::from_secs(3),
        }
    }
}

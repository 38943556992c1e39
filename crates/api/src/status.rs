//! A member's view of itself and its group: plain figures, handed up from room to room.

/// What a member is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Not part of any cluster yet: waits until a member adds it.
    Waiting,
    /// Receives the log, has no vote.
    Learner,
    /// Follows a leader, or looks for one.
    #[default]
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Has stopped for good and says why in [`Status::stopped`].
    Stopped,
}

impl Role {
    /// The word for INFO, tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Learner => "learner",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Stopped => "stopped",
        }
    }
}

/// One member, as the reporting node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its number within the group; never reused.
    pub node: u64,
    /// Its name, as given with `--id`.
    pub id: String,
    /// `host:port` at which clients reach it.
    pub addr: String,
    /// `host:port` at which peers reach it.
    pub peer_addr: String,
    /// True for a voter, false for a learner.
    pub voter: bool,
    /// True for the leader.
    pub leader: bool,
    /// Known durable log index (only the leader knows it of others).
    pub matched: u64,
    /// Entries behind the leader's last.
    pub lag: u64,
    /// Heard of within an election timeout (only the leader knows it of others).
    pub alive: bool,
    /// How long the reporting node could not reach it, milliseconds; 0: it can.
    pub silent_ms: u64,
    /// What is to become of it, where it is a learner.
    pub wish: Wish,
}

/// What is to become of a learner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// It gets a vote when it has caught up.
    #[default]
    Vote,
    /// It stays a learner until somebody promotes it.
    StaysLearner,
    /// When it has caught up it takes the place of the member with this number.
    Replaces(u64),
}

impl Wish {
    /// The word for JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::StaysLearner => "learner",
            Self::Replaces(_) => "replace",
        }
    }

    /// Whose place it takes.
    pub fn replaces(self) -> Option<u64> {
        match self {
            Self::Replaces(node) => Some(node),
            Self::Vote | Self::StaysLearner => None,
        }
    }
}

/// Everything INFO, `quorate status`, `/status` and `/metrics` say of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// This node's name.
    pub id: String,
    /// This node's number; 0 while it is in no cluster.
    pub node: u64,
    /// `host:port` others use.
    pub addr: String,
    /// The cluster's id in hexadecimal; empty while in no cluster.
    pub cluster: String,
    /// The format that the cluster writes; 0 while in no cluster.
    pub format: u64,
    /// The highest format that this node can work with.
    pub format_highest: u64,
    /// The group.
    pub group: u64,
    /// What it is doing.
    pub role: Role,
    /// Why it stopped.
    pub stopped: Option<String>,
    /// What it waits for while it is in no cluster.
    pub waits_for: Option<String>,
    /// True when a member has refused to add it, for the reason in [`Status::waits_for`], which somebody has to
    /// mend.
    pub is_refused: bool,
    /// Why writes are refused at the moment (a full disk, or one that does not keep up).
    pub read_only: Option<String>,
    /// The current term.
    pub term: u64,
    /// The leader's number; 0 when none is known.
    pub leader: u64,
    /// Highest committed index.
    pub commit: u64,
    /// Highest applied index.
    pub applied: u64,
    /// First index in the log.
    pub log_first: u64,
    /// Last index in the log.
    pub log_last: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Segments of the log.
    pub log_segments: u64,
    /// Syncs of the log since start.
    pub fsyncs: u64,
    /// Their 99th percentile, microseconds.
    pub fsync_p99_us: u64,
    /// Why the log's disk makes this node a bad leader.
    pub disk_slow: Option<String>,
    /// The last snapshot's index.
    pub snapshot_index: u64,
    /// The last snapshot's size.
    pub snapshot_bytes: u64,
    /// Snapshots made since start.
    pub snapshots_made: u64,
    /// Snapshots received since start.
    pub snapshots_installed: u64,
    /// Times that all data were read again since start.
    pub scrubs: u64,
    /// The index at which they were compared with the other members' last.
    pub scrub_index: u64,
    /// Of a snapshot that is being received: bytes that have come, and of how many, where that is known.
    pub snapshot_arriving: Option<(u64, Option<u64>)>,
    /// The rolling digest at `applied`.
    pub digest: u64,
    /// The last stamp applied, Unix milliseconds.
    pub stamp_ms: u64,
    /// All members.
    pub members: Vec<MemberStatus>,
    /// Engine kind, "memory" or "disk".
    pub engine: &'static str,
    /// Records in the engine.
    pub engine_records: u64,
    /// Payload bytes in the engine.
    pub engine_payload_bytes: u64,
    /// Estimated resident bytes of the engine.
    pub engine_memory_bytes: u64,
    /// Bytes of the engine's files; 0 for an engine in memory.
    pub engine_disk_bytes: u64,
    /// Up to which entry the engine's state is durable by itself; 0 for an engine in memory.
    pub engine_durable: u64,
    /// Flushes to the disk since the start.
    pub engine_flushes: u64,
    /// Sorted runs on the disk which a cold read may have to look into.
    pub engine_runs: u64,
    /// Reads of the disk that the shard's thread has waited for.
    pub engine_waited_reads: u64,
    /// Reads that had to wait for the disk since the start.
    pub cold_reads: u64,
    /// The limit in force for writes that grow the data: the smallest of the members'.
    pub max_memory_bytes: u64,
    /// Keys, keys with expiry, per logical database, only those with keys.
    pub databases: Vec<(u8, u64, u64)>,
    /// Write commands applied since start.
    pub writes: u64,
    /// Read commands served since start.
    pub reads: u64,
    /// Commands forwarded to the leader since start.
    pub forwarded: u64,
    /// Entries applied since start.
    pub entries: u64,
    /// ReadIndex rounds started since start.
    pub read_rounds: u64,
    /// Keys removed because their time had come.
    pub expired_keys: u64,
    /// Reads that found their key, and that did not.
    pub keyspace_hits: u64,
    /// See `keyspace_hits`.
    pub keyspace_misses: u64,
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// Elections this node has won since start.
    pub elections_won: u64,
}

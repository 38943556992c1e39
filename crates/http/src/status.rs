//! A status as JSON.

use quorate_api::Status;
use quorate_api::status::MemberStatus;
use serde::Serialize;

/// A status in sections.
#[derive(Debug, Serialize)]
pub(crate) struct View<'a> {
    id: &'a str,
    node: u64,
    addr: &'a str,
    cluster: &'a str,
    group: u64,
    role: &'static str,
    term: u64,
    leader: Option<Leader<'a>>,
    format: u64,
    format_highest: Option<u64>,
    waits_for: Option<&'a str>,
    stopped: Option<&'a str>,
    read_only: Option<&'a str>,
    disk_slow: Option<&'a str>,
    commit: u64,
    applied: u64,
    /// Hexadecimal: JSON's numbers end at 2^53 for many readers. As `format_highest` and `uptime_ms`, none
    /// where another node has told the rest: it does not tell these.
    digest: Option<String>,
    stamp_ms: u64,
    uptime_ms: Option<u64>,
    members: Vec<Member<'a>>,
    log: Log,
    snapshot: Snapshot,
    engine: Engine,
    databases: Vec<Database>,
    counters: Counters,
}

#[derive(Debug, Serialize)]
struct Leader<'a> {
    node: u64,
    id: &'a str,
    addr: &'a str,
}

#[derive(Debug, Serialize)]
struct Member<'a> {
    node: u64,
    id: &'a str,
    addr: &'a str,
    peer_addr: &'a str,
    voter: bool,
    leader: bool,
    matched: u64,
    lag: u64,
    alive: bool,
    silent_ms: u64,
    wish: &'static str,
    replaces: Option<u64>,
}

/// The members and how the leader sees them.
#[derive(Debug, Serialize)]
pub(crate) struct Membership<'a> {
    cluster: &'a str,
    term: u64,
    leader: Option<Leader<'a>>,
    format: u64,
    seen_by: &'a str,
    last: u64,
    members: Vec<Member<'a>>,
}

impl<'a> From<&'a Status> for Membership<'a> {
    fn from(status: &'a Status) -> Self {
        Self {
            cluster: &status.cluster,
            term: status.term,
            leader: leader(status).map(Leader::from),
            format: status.format,
            seen_by: &status.id,
            last: status.log_last,
            members: status.members.iter().map(Member::from).collect(),
        }
    }
}

/// The leader's view of the cluster: of its own figures what is told to every member, whoever was asked.
#[derive(Debug, Serialize)]
pub(crate) struct ClusterView<'a> {
    id: &'a str,
    node: u64,
    addr: &'a str,
    cluster: &'a str,
    group: u64,
    role: &'static str,
    term: u64,
    leader: Option<Leader<'a>>,
    format: u64,
    commit: u64,
    applied: u64,
    stamp_ms: u64,
    members: Vec<Member<'a>>,
    log: LogEnds,
}

/// The first and the last entry of a log.
#[derive(Debug, Serialize)]
struct LogEnds {
    first: u64,
    last: u64,
}

impl<'a> From<&'a Status> for ClusterView<'a> {
    fn from(status: &'a Status) -> Self {
        Self {
            id: &status.id,
            node: status.node,
            addr: &status.addr,
            cluster: &status.cluster,
            group: status.group,
            role: status.role.as_str(),
            term: status.term,
            leader: leader(status).map(Leader::from),
            format: status.format,
            commit: status.commit,
            applied: status.applied,
            stamp_ms: status.stamp_ms,
            members: status.members.iter().map(Member::from).collect(),
            log: LogEnds { first: status.log_first, last: status.log_last },
        }
    }
}

impl<'a> From<&'a MemberStatus> for Leader<'a> {
    fn from(member: &'a MemberStatus) -> Self {
        Self { node: member.node, id: &member.id, addr: &member.addr }
    }
}

#[derive(Debug, Serialize)]
struct Log {
    first: u64,
    last: u64,
    bytes: u64,
    segments: u64,
    fsyncs: u64,
    fsync_p99_us: u64,
}

#[derive(Debug, Serialize)]
struct Snapshot {
    index: u64,
    bytes: u64,
    made: u64,
    installed: u64,
    arriving: Option<Arriving>,
}

/// A snapshot on its way in.
#[derive(Debug, Serialize)]
struct Arriving {
    bytes: u64,
    total: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Engine {
    kind: &'static str,
    records: u64,
    payload_bytes: u64,
    memory_bytes: u64,
    max_memory_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Database {
    db: u8,
    keys: u64,
    expires: u64,
}

#[derive(Debug, Serialize)]
struct Counters {
    writes: u64,
    reads: u64,
    forwarded: u64,
    entries: u64,
    read_rounds: u64,
    expired_keys: u64,
    keyspace_hits: u64,
    keyspace_misses: u64,
    elections_won: u64,
}

impl<'a> From<&'a Status> for View<'a> {
    fn from(status: &'a Status) -> Self {
        // Every node knows its own.
        let told = status.format_highest > 0;
        Self {
            id: &status.id,
            node: status.node,
            addr: &status.addr,
            cluster: &status.cluster,
            group: status.group,
            role: status.role.as_str(),
            term: status.term,
            leader: leader(status).map(Leader::from),
            format: status.format,
            format_highest: Some(status.format_highest).filter(|format| *format > 0),
            waits_for: status.waits_for.as_deref(),
            stopped: status.stopped.as_deref(),
            read_only: status.read_only.as_deref(),
            disk_slow: status.disk_slow.as_deref(),
            commit: status.commit,
            applied: status.applied,
            digest: told.then(|| format!("{:016x}", status.digest)),
            stamp_ms: status.stamp_ms,
            uptime_ms: told.then_some(status.uptime_ms),
            members: status.members.iter().map(Member::from).collect(),
            log: Log::from(status),
            snapshot: Snapshot::from(status),
            engine: Engine::from(status),
            databases: databases(status),
            counters: Counters::from(status),
        }
    }
}

/// The leader, where one is known.
pub(crate) fn leader(status: &Status) -> Option<&MemberStatus> {
    status.members.iter().find(|member| status.leader != 0 && member.node == status.leader)
}

fn databases(status: &Status) -> Vec<Database> {
    let databases = status.databases.iter();
    databases.map(|&(db, keys, expires)| Database { db, keys, expires }).collect()
}

impl<'a> From<&'a MemberStatus> for Member<'a> {
    fn from(member: &'a MemberStatus) -> Self {
        Self {
            node: member.node,
            id: &member.id,
            addr: &member.addr,
            peer_addr: &member.peer_addr,
            voter: member.voter,
            leader: member.leader,
            matched: member.matched,
            lag: member.lag,
            alive: member.alive,
            silent_ms: member.silent_ms,
            wish: member.wish.as_str(),
            replaces: member.wish.replaces(),
        }
    }
}

impl From<&Status> for Log {
    fn from(status: &Status) -> Self {
        Self {
            first: status.log_first,
            last: status.log_last,
            bytes: status.log_bytes,
            segments: status.log_segments,
            fsyncs: status.fsyncs,
            fsync_p99_us: status.fsync_p99_us,
        }
    }
}

impl From<&Status> for Snapshot {
    fn from(status: &Status) -> Self {
        Self {
            index: status.snapshot_index,
            bytes: status.snapshot_bytes,
            made: status.snapshots_made,
            installed: status.snapshots_installed,
            arriving: status.snapshot_arriving.map(|(bytes, total)| Arriving { bytes, total }),
        }
    }
}

impl From<&Status> for Engine {
    fn from(status: &Status) -> Self {
        Self {
            kind: status.engine,
            records: status.engine_records,
            payload_bytes: status.engine_payload_bytes,
            memory_bytes: status.engine_memory_bytes,
            max_memory_bytes: status.max_memory_bytes,
        }
    }
}

impl From<&Status> for Counters {
    fn from(status: &Status) -> Self {
        Self {
            writes: status.writes,
            reads: status.reads,
            forwarded: status.forwarded,
            entries: status.entries,
            read_rounds: status.read_rounds,
            expired_keys: status.expired_keys,
            keyspace_hits: status.keyspace_hits,
            keyspace_misses: status.keyspace_misses,
            elections_won: status.elections_won,
        }
    }
}

//! What a stopped node's directory holds, for an operator's eyes: read with the code that a start uses,
//! through an overlay, so that what a start would mend is mended in memory and nothing is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_api::AdminReply;
use quorate_consensus::log::{Log, LogConfig, Recovered};
use quorate_consensus::{Index, Term};
use quorate_engine::{EngineKind, MemoryEngine};
use quorate_env::Env;
use quorate_env::disk::DirLock;
use quorate_env::overlay::Overlay;

use crate::core::GROUP;
use crate::describe;
use crate::identity;
use crate::machine::Machine;
use crate::remains::{self, Kept};

/// Why a directory can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is no node in it.
    #[error("{0} holds no node")]
    Nobody(String),
    /// A process works with it.
    #[error("{0} is in use by a running node; stop that one, or look at a copy of the directory")]
    InUse(String),
    /// It can't be read, or is damaged.
    #[error("{0}")]
    Unreadable(String),
}

fn unreadable(error: impl std::fmt::Display) -> InspectError {
    InspectError::Unreadable(error.to_string())
}

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node's name.
    pub id: String,
    /// Its number; 0 while it is in no cluster.
    pub node: u64,
    /// The cluster in hexadecimal.
    pub cluster: String,
}

/// A member, by the state's own table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub node: u64,
    /// Its name.
    pub id: String,
    /// Where peers reach it.
    pub peer_addr: String,
    /// Where clients reach it.
    pub client_addr: String,
    /// Whether it has a vote.
    pub voter: bool,
}

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogView {
    /// Whose it is.
    pub owner: Owner,
    /// Its segments and their bytes.
    pub segments: u64,
    /// See `segments`.
    pub bytes: u64,
    /// The current term.
    pub term: u64,
    /// Whom the node voted for in it; 0: nobody.
    pub vote: u64,
    /// What it knows to be committed.
    pub commit: u64,
    /// The first entry.
    pub first: u64,
    /// The last entry.
    pub last: u64,
    /// Where its end was cut: file, offset, why.
    pub cuts: Vec<(PathBuf, u64, String)>,
    /// The index up to which the node votes for others only, since its own end is in doubt.
    pub in_doubt: Option<u64>,
    /// The entries asked for: index, term, kind, content.
    pub entries: Vec<(u64, u64, &'static str, String)>,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotView {
    /// Whose it is.
    pub owner: Owner,
    /// Its file, or an engine's directory.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// The last entry in it.
    pub index: u64,
    /// That one's term.
    pub term: u64,
    /// Records in it.
    pub records: u64,
    /// Keys in it.
    pub keys: u64,
    /// The members at its index.
    pub members: Vec<Member>,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineView {
    /// Whose it is.
    pub owner: Owner,
    /// What holds it while the node runs.
    pub engine: &'static str,
    /// The last entry in what it was read from: a snapshot, or what an engine on the disk has kept.
    pub snapshot: u64,
    /// The last entry applied: what the log says is committed.
    pub applied: u64,
    /// The leader's clock then, Unix milliseconds.
    pub stamp_ms: u64,
    /// The digest there; members compare it.
    pub digest: u64,
    /// Records of all kinds.
    pub records: u64,
    /// True when `records` and `payload_bytes` are estimates.
    pub estimated: bool,
    /// Their bytes.
    pub payload_bytes: u64,
    /// Databases with keys: number, keys, keys with an expiry.
    pub databases: Vec<(u8, u64, u64)>,
    /// The members.
    pub members: Vec<Member>,
}

/// A directory that nobody writes to while this lives.
struct Held {
    env: Env,
    owner: Owner,
    engine: EngineKind,
    _lock: Box<dyn DirLock>,
}

fn hold(env: &Env, dir: &Path) -> Result<Held, InspectError> {
    let text = || dir.display().to_string();
    if !identity::is_there(&*env.disk, dir).map_err(unreadable)? {
        return Err(InspectError::Nobody(text()));
    }
    let env = Env { disk: Arc::new(Overlay::new(Arc::clone(&env.disk))), ..env.clone() };
    let lock = env.disk.lock(&dir.join(identity::LOCK)).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => InspectError::InUse(text()),
        _ => unreadable(format!("{}: {error}", text())),
    })?;
    let identity = identity::look(&*env.disk, dir)
        .ok_or_else(|| unreadable(format!("{}/identity is damaged", text())))?;
    let owner =
        Owner { id: identity.name, node: identity.node.0, cluster: identity.cluster.to_string() };
    Ok(Held { env, owner, engine: identity.engine, _lock: lock })
}

impl Held {
    fn log(&self, dir: &Path) -> Result<(Log, Recovered), InspectError> {
        Log::open(&self.env, &dir.join("log"), LogConfig::default()).map_err(unreadable)
    }

    fn newest(&self, dir: &Path, log: &Log) -> Result<Option<Kept>, InspectError> {
        remains::newest(&self.env, dir, self.engine, log, &mut remains::untold).map_err(unreadable)
    }
}

fn members(machine: &Machine) -> Vec<Member> {
    let configuration = machine.configuration();
    let all = machine.members().iter();
    all.map(|(node, member)| Member {
        node: node.0,
        id: member.name.clone(),
        peer_addr: member.peer_addr.clone(),
        client_addr: member.client_addr.clone(),
        voter: configuration.is_voter(node),
    })
    .collect()
}

/// Shows a log, and `count` of its entries: from `from` on, or the last ones.
///
/// # Errors
/// [`InspectError`].
pub fn log(env: &Env, dir: &Path, from: Option<u64>, count: u64) -> Result<LogView, InspectError> {
    let held = hold(env, dir)?;
    let (log, recovered) = held.log(dir)?;
    let group = recovered.groups.get(&GROUP);
    let hard_state = group.map(|group| group.hard_state).unwrap_or_default();
    let (first, last) = (log.first_index(GROUP), log.last_index(GROUP));
    let from = from.unwrap_or_else(|| (last.0 + 1).saturating_sub(count)).max(first.0);
    let mut entries = Vec::new();
    let to = Index(from.saturating_add(count).min(last.0 + 1));
    let shown = remains::each_entry(&log, Index(from), to, |entry| {
        if let AdminReply::LogEntry { index, term, kind, data } = describe::entry(&entry) {
            entries.push((index, term, kind, data));
        }
        Ok(())
    });
    shown.map_err(unreadable)?;
    let stats = log.stats();
    let cuts = recovered.cuts.iter();
    Ok(LogView {
        owner: held.owner,
        segments: stats.segments,
        bytes: stats.bytes,
        term: hard_state.term.0,
        vote: hard_state.vote.0,
        commit: hard_state.commit.0,
        first: first.0,
        last: last.0,
        cuts: cuts.map(|cut| (cut.file.clone(), cut.offset, format!("{:?}", cut.reason))).collect(),
        in_doubt: group.and_then(|group| group.doubt).map(|doubt| doubt.index.0),
        entries,
    })
}

/// Shows what is durable apart from the log, every byte of which is checked: the newest snapshot, or what
/// an engine on the disk has kept; `None`: there is none.
///
/// # Errors
/// [`InspectError`].
pub fn snapshot(env: &Env, dir: &Path) -> Result<Option<SnapshotView>, InspectError> {
    let held = hold(env, dir)?;
    let (log, _) = held.log(dir)?;
    let Some(Kept { path, mark, machine }) = held.newest(dir, &log)? else { return Ok(None) };
    let keyspace = machine.keyspace();
    let bytes = if held.engine == EngineKind::Disk {
        keyspace.engine().stats().disk_bytes
    } else {
        let opened = held.env.disk.open(&path, quorate_env::OpenMode::Read).map_err(unreadable)?;
        opened.len().map_err(unreadable)?
    };
    Ok(Some(SnapshotView {
        owner: held.owner,
        file: path,
        bytes,
        index: mark.index.0,
        term: mark.term.0,
        records: remains::read_all(&machine, &mut |_| ()).map_err(unreadable)?,
        keys: keyspace.databases().iter().map(|row| row.keys).sum(),
        members: members(&machine),
    }))
}

/// Shows the state: what is durable apart from the log, and what the log says is committed behind it.
///
/// # Errors
/// [`InspectError`].
pub fn engine(env: &Env, dir: &Path) -> Result<EngineView, InspectError> {
    let held = hold(env, dir)?;
    let (log, recovered) = held.log(dir)?;
    let (mut machine, kept) = match held.newest(dir, &log)? {
        Some(kept) => (kept.machine, (kept.mark.index, kept.mark.term)),
        None => {
            let empty = Machine::open(Box::new(MemoryEngine::new())).map_err(unreadable)?;
            (empty, (Index(0), Term(0)))
        }
    };
    let commit = recovered.groups.get(&GROUP).map_or(Index(0), |group| group.hard_state.commit);
    remains::replay(&log, &mut machine, kept, commit, &mut remains::untold).map_err(unreadable)?;
    let keyspace = machine.keyspace();
    let stats = keyspace.engine().stats();
    let rows = keyspace.databases();
    Ok(EngineView {
        owner: held.owner,
        engine: held.engine.name(),
        snapshot: kept.0.0,
        applied: keyspace.applied(),
        stamp_ms: keyspace.stamp_ms(),
        digest: keyspace.digest(),
        records: stats.records,
        estimated: stats.estimated,
        payload_bytes: stats.payload_bytes,
        databases: rows
            .iter()
            .filter(|row| row.keys > 0)
            .map(|row| (row.db, row.keys, row.expiring))
            .collect(),
        members: members(&machine),
    })
}

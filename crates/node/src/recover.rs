//! Recovery from the loss of a majority: one survivor's directory becomes a new cluster of one.
//!
//! Everything that the survivor has is kept, entries of which it does not know whether they were committed
//! included: some may have been acknowledged, and those that were not are writes of which clients heard
//! nothing certain. What other members had beyond its last entry is lost, and nobody can tell what it was.
//! So that whoever saw it can tell:
//!
//! - the cluster gets a new id: members of the old one, should they come back, are refused and refuse;
//! - revisions jump far beyond any that may have been given: a WATCH, an ETag or a fencing token from before
//!   is never equal to one from after, and never above it.
//!
//! What is in the directory is read through an overlay, so that looking changes nothing. The new state is
//! built beside the old one and takes its place by renames, which are repeated when a crash comes between.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quorate_consensus::log::{HardState, Log, LogConfig, Recovered};
use quorate_consensus::peers::ClusterId;
use quorate_consensus::{Configuration, Index, NodeId, SnapshotMark, Term};
use quorate_engine::EngineKind;
use quorate_env::Env;
use quorate_env::disk::{DirLock, read_file};
use quorate_env::overlay::Overlay;

use crate::core::{ENGINE_DIR, GROUP};
use crate::identity::{self, FILE, Identity};
use crate::machine::Machine;
use crate::remains::{self, Kept};
use crate::{config, fresh_log, new_state};

/// How far indexes, and with them revisions, jump: more than a cluster writes while one member lags, at a
/// hundred thousand entries a second for three hours. Indexes have room for ten thousand such jumps.
const JUMP: u64 = 1 << 30;
/// Where the new state is built.
const WORKSHOP: &str = "recovering";
/// Marks what was put aside.
const BEFORE: &str = ".before-recovery-";

/// Why a directory can't be recovered. Nothing in it was changed, but as far as the text says so.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It is no member's, or in use.
    #[error(transparent)]
    Identity(#[from] identity::IdentityError),
    /// It belongs to a node that is in no cluster.
    #[error("{0} belongs to a node that is in no cluster: there is nothing to recover")]
    NoMember(String),
    /// What it holds can't be used.
    #[error("{0}. Recover another survivor, or restore a backup")]
    Unusable(String),
    /// The device failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What a survivor has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its name.
    pub id: String,
    /// The cluster it belongs to, in hexadecimal.
    pub cluster: String,
    /// Its newest snapshot.
    pub snapshot: u64,
    /// The last entry that it knows to be committed.
    pub commit: u64,
    /// Its last entry.
    pub last: u64,
    /// That one's term.
    pub term: u64,
    /// The leader's clock at the last entry that carried it, Unix milliseconds.
    pub stamp_ms: u64,
    /// Keys in all databases.
    pub keys: u64,
    /// The other members, as it knows them: name and address.
    pub others: Vec<(String, String)>,
    /// The end of its log was cut where more may have been acknowledged.
    pub in_doubt: bool,
    /// A recovery was begun and not finished: it would be finished first.
    pub unfinished: bool,
}

/// What a recovery has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCluster {
    /// Its id, in hexadecimal.
    pub cluster: String,
    /// The index from which it goes on.
    pub index: u64,
    /// Where the old log and snapshots are.
    pub kept: Vec<PathBuf>,
}

/// How far a look or a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes of the snapshot that were read; a state that lies in an engine's own files is not read at this point.
    Load {
        /// So far.
        bytes: u64,
        /// In all.
        of: u64,
    },
    /// Entries of the log that were applied to it.
    Replay {
        /// So far.
        entries: u64,
        /// In all.
        of: u64,
    },
    /// Records of the state that were read and found whole.
    Check {
        /// So far.
        records: u64,
    },
    /// Bytes of the new state that were written.
    Write {
        /// So far.
        bytes: u64,
    },
}

/// Is told how far it is, often.
pub type Tell<'a> = &'a mut dyn FnMut(Step);

/// A survivor's state.
struct Remains {
    identity: Identity,
    machine: Machine,
    mark: SnapshotMark,
    hard_state: HardState,
    last: (Index, Term),
    in_doubt: bool,
    _lock: Box<dyn DirLock>,
}

fn unusable(error: impl std::fmt::Display) -> RecoverError {
    RecoverError::Unusable(error.to_string())
}

/// Finds out what there is in `dir`, and changes nothing.
///
/// # Errors
/// [`RecoverError`].
pub fn look(env: &Env, dir: &Path, tell: Tell<'_>) -> Result<Survivor, RecoverError> {
    let (unfinished, remains) = remains(env, dir, tell)?;
    // So that the one which is chosen can be recovered.
    remains::read_all(&remains.machine, &mut |records| tell(Step::Check { records }))
        .map_err(unusable)?;
    Ok(remains.describe(unfinished))
}

/// Makes a cluster of one of what is in `dir`.
///
/// # Errors
/// [`RecoverError`]; after a failing device the same may be tried again.
pub async fn recover(env: &Env, dir: &Path, tell: Tell<'_>) -> Result<NewCluster, RecoverError> {
    if is_unfinished(env, dir)? {
        let (_, lock) = open_identity(env, dir)?;
        let made = take_place(env, dir);
        drop(lock);
        return made;
    }
    let (_, mut remains) = remains(env, dir, tell)?;
    let workshop = dir.join(WORKSHOP);
    clear(env, &workshop)?;
    let cluster = ClusterId(env.rng.next_u64() | 1);
    let mark = remains.begin_anew(cluster)?;
    let view = remains.machine.keyspace().view();
    let cellar = config::cellar_of(remains.identity.engine);
    let mut written = |bytes| tell(Step::Write { bytes });
    new_state::write(env, &workshop, &*cellar, mark.clone(), view, &mut written)
        .map_err(unusable)?;
    fresh_log::write(env, &workshop.join("log"), &mark).await.map_err(unusable)?;
    // Order matters: with this file the new state is complete, and from here on it takes the old one's place,
    // whatever happens.
    let voters = mark.configuration.voters.first().copied();
    let identity = Identity {
        cluster,
        node: voters.unwrap_or_default(),
        lost_node: NodeId(0),
        peers: Vec::new(),
        pledge: ClusterId(0),
        removed: false,
        ..remains.identity.clone()
    };
    identity.save(&*env.disk, &workshop)?;
    take_place(env, dir)
}

fn is_unfinished(env: &Env, dir: &Path) -> Result<bool, RecoverError> {
    Ok(env.disk.exists(&dir.join(WORKSHOP).join(FILE))?)
}

/// Why a node can't start from `dir`: a recovery there was interrupted in the middle.
pub(crate) fn unfinished(env: &Env, dir: &Path) -> Option<String> {
    let there = is_unfinished(env, dir).unwrap_or_default();
    there.then(|| {
        format!(
            "a recovery of {0} was interrupted; finish it: quorate recover --data-dir {0} --yes",
            dir.display()
        )
    })
}

fn open_identity(env: &Env, dir: &Path) -> Result<(Identity, Box<dyn DirLock>), RecoverError> {
    if !env.disk.exists(&dir.join(FILE))? {
        return Err(RecoverError::Unusable(format!("{} holds no node", dir.display())));
    }
    let bytes = read_file(&*env.disk, &dir.join(FILE))?;
    let found = Identity::of(bytes).map_err(unusable)?;
    Ok(identity::open(&*env.disk, &*env.rng, dir, &found.name, found.engine)?)
}

/// Reads everything, through an overlay.
fn remains(env: &Env, dir: &Path, tell: Tell<'_>) -> Result<(bool, Remains), RecoverError> {
    let unfinished = is_unfinished(env, dir)?;
    let (identity, lock) = open_identity(env, dir)?;
    if identity.node.0 == 0 && identity.lost_node.0 != 0 {
        let what = "this node has found damage in its own log, put it aside and waits for its peers: it has no state";
        return Err(RecoverError::Unusable(what.to_owned()));
    }
    if identity.node.0 == 0 {
        return Err(RecoverError::NoMember(dir.display().to_string()));
    }
    let above = Env { disk: Arc::new(Overlay::new(Arc::clone(&env.disk))), ..env.clone() };
    let (log, recovered) =
        Log::open(&above, &dir.join("log"), LogConfig::default()).map_err(unusable)?;
    let mut load = |bytes, of| tell(Step::Load { bytes, of });
    let kept = remains::newest(&above, dir, identity.engine, &log, &mut load).map_err(unusable)?;
    let Some(Kept { mark, mut machine, .. }) = kept else {
        return Err(RecoverError::Unusable(format!("{} holds no state", dir.display())));
    };
    let mut replayed = |entries, of| tell(Step::Replay { entries, of });
    let applied = (mark.index, mark.term);
    let last = remains::replay(&log, &mut machine, applied, Index(u64::MAX - 1), &mut replayed);
    let last = last.map_err(unusable)?;
    let Recovered { groups, .. } = recovered;
    let group = groups.get(&GROUP);
    let remains = Remains {
        identity,
        machine,
        mark,
        hard_state: group.map(|group| group.hard_state).unwrap_or_default(),
        last,
        in_doubt: group.is_some_and(|group| group.doubt.is_some()),
        _lock: lock,
    };
    Ok((unfinished, remains))
}

impl Remains {
    fn describe(&self, unfinished: bool) -> Survivor {
        let keyspace = self.machine.keyspace();
        let own = self.identity.node;
        let others = self.machine.members().iter().filter(|(node, _)| *node != own);
        Survivor {
            id: self.identity.name.clone(),
            cluster: self.identity.cluster.to_string(),
            snapshot: self.mark.index.0,
            commit: self.hard_state.commit.0.max(self.mark.index.0),
            last: self.last.0.0,
            term: self.last.1.0,
            stamp_ms: keyspace.stamp_ms(),
            keys: keyspace.databases().iter().map(|row| row.keys).sum(),
            others: others
                .map(|(_, member)| (member.name.clone(), member.client_addr.clone()))
                .collect(),
            in_doubt: self.in_doubt,
            unfinished,
        }
    }

    /// The state with which the new cluster begins.
    fn begin_anew(&mut self, cluster: ClusterId) -> Result<SnapshotMark, RecoverError> {
        let index = Index(self.last.0.0 + JUMP);
        let term = Term(self.last.1.0.max(self.hard_state.term.0) + 1);
        let note = RecoveredFrom { cluster: self.identity.cluster, last: self.last, into: cluster };
        let node = self.machine.recover(self.identity.node, index, note.encode());
        let node = node
            .map_err(unusable)?
            .ok_or_else(|| unusable("this node is no member by its own table"))?;
        Ok(SnapshotMark { index, term, configuration: Configuration::of_one(node) })
    }
}

/// What is noted in the state of a cluster that was recovered.
struct RecoveredFrom {
    cluster: ClusterId,
    last: (Index, Term),
    into: ClusterId,
}

impl RecoveredFrom {
    fn encode(&self) -> Bytes {
        let mut out = vec![1];
        for number in [self.cluster.0, self.last.0.0, self.last.1.0, self.into.0] {
            quorate_consensus::codec::put_varint(&mut out, number);
        }
        out.into()
    }
}

/// Removes what an attempt has left that did not come far.
fn clear(env: &Env, workshop: &Path) -> Result<(), RecoverError> {
    for name in ["log", "snapshots"] {
        let below = workshop.join(name);
        if !env.disk.exists(&below)? {
            continue;
        }
        for file in env.disk.list(&below)? {
            env.disk.remove(&below.join(file))?;
        }
        env.disk.sync_dir(&below)?;
    }
    let engine = workshop.join(ENGINE_DIR);
    if env.disk.exists(&engine)? {
        config::cellar_of(EngineKind::Disk).clear(&engine).map_err(unusable)?;
    }
    env.disk.create_dir_all(workshop)?;
    Ok(())
}

/// Puts the old state aside and the new one in its place. Each step is done once, however often this is
/// begun: what is in the workshop is not yet in its place.
fn take_place(env: &Env, dir: &Path) -> Result<NewCluster, RecoverError> {
    let workshop = dir.join(WORKSHOP);
    let bytes = read_file(&*env.disk, &workshop.join(FILE))?;
    let identity = Identity::of(bytes).map_err(unusable)?;
    let mut kept = Vec::new();
    for name in ["log", "snapshots", ENGINE_DIR] {
        let (new, place) = (workshop.join(name), dir.join(name));
        let aside = dir.join(format!("{name}{BEFORE}{}", identity.cluster));
        if env.disk.exists(&new)? {
            if env.disk.exists(&place)? && !env.disk.exists(&aside)? {
                env.disk.rename(&place, &aside)?;
                env.disk.sync_dir(dir)?;
            }
            env.disk.rename(&new, &place)?;
            env.disk.sync_dir(dir)?;
            env.disk.sync_dir(&workshop)?;
        }
        if env.disk.exists(&aside)? {
            kept.push(aside);
        }
    }
    identity.save(&*env.disk, dir)?;
    env.disk.remove(&workshop.join(FILE))?;
    env.disk.sync_dir(&workshop)?;
    // The new log is empty behind the state.
    let above = Env { disk: Arc::new(Overlay::new(Arc::clone(&env.disk))), ..env.clone() };
    let (log, _) = Log::open(&above, &dir.join("log"), LogConfig::default()).map_err(unusable)?;
    let index = log.purged(GROUP).0.0;
    Ok(NewCluster { cluster: identity.cluster.to_string(), index, kept })
}

//! How a backup becomes a cluster: of one node, to which others are added as to any.
//!
//! The new cluster has an id of its own, members of its own, and revisions far above any that the old
//! one may have given since: an ETag, a WATCH or a fencing token from a write that the backup does not hold
//! is never equal to one from after.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use quorate_consensus::peers::ClusterId;
use quorate_consensus::snapshot::SnapshotStore;
use quorate_consensus::{Index, NodeId, SnapshotMark, Term};
use quorate_engine::{EngineKind, MemoryEngine};
use quorate_env::Env;
use quorate_keyspace::Keyspace;
use quorate_keyspace::snapshot::Restore;

use super::file::{BackupError, Header, Unpacker};
use crate::core::GROUP;
use crate::fresh_log;
use crate::identity::{self, IdentityError};
use crate::machine::Machine;
use crate::members::Member;
use crate::snapshots;

/// How far indexes, and with them revisions, jump: more than the old cluster writes after the backup, at
/// a hundred entries a second for four months, or at a hundred thousand for three hours. There is room for
/// ten thousand such jumps.
const JUMP: u64 = 1 << 30;

/// Is told how many bytes of the file were read.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// A backup that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says of itself.
    pub header: Header,
    /// Keys in all databases.
    pub keys: u64,
    /// Records of all kinds.
    pub records: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of what it holds.
    pub raw_bytes: u64,
}

/// A backup whose every byte is as it was made; of what it means, nothing was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it says of itself.
    pub header: Header,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of what it holds.
    pub raw_bytes: u64,
}

/// What was made of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup.
    pub verified: Verified,
    /// The new cluster's id.
    pub cluster: ClusterId,
    /// The index from which it goes on.
    pub index: Index,
}

/// Why nothing was made of a backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file can't be used. Nothing else was touched.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The directory can't be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is a node in it.
    #[error(
        "{0} belongs to a node already; a backup becomes a new cluster: give a new directory, or move this one away"
    )]
    Occupied(String),
    /// Writing failed. The same command can be given again.
    #[error("restore: {0}")]
    Failed(String),
}

fn failed(error: impl std::fmt::Display) -> RestoreError {
    RestoreError::Failed(error.to_string())
}

/// Reads a backup to its end, into memory.
fn read(input: &mut dyn Read, progress: Progress<'_>) -> Result<(Verified, Keyspace), BackupError> {
    let mut unpacker = Unpacker::new(input)?;
    let wrong = |error: &dyn std::fmt::Display| BackupError::Damage(error.to_string());
    let mut restore = Restore::new(Box::new(MemoryEngine::new()));
    while let Some(raw) = unpacker.block()? {
        restore.feed(&raw).map_err(|error| wrong(&error))?;
        progress(unpacker.file_bytes());
    }
    let keyspace = restore.finish().map_err(|error| wrong(&error))?;
    let header = unpacker.header();
    if keyspace.applied() != header.index.0 || keyspace.stamp_ms() != header.stamp_ms {
        return Err(BackupError::Damage("content and header disagree".to_owned()));
    }
    let verified = Verified {
        header,
        keys: keyspace.databases().iter().map(|row| row.keys).sum(),
        records: keyspace.engine().stats().records,
        file_bytes: unpacker.file_bytes(),
        raw_bytes: unpacker.raw_bytes(),
    };
    Ok((verified, keyspace))
}

/// Reads a backup to its end and checks its bytes; needs little memory, however large it is.
///
/// # Errors
/// [`BackupError`].
pub fn check(input: &mut dyn Read) -> Result<Checked, BackupError> {
    let mut unpacker = Unpacker::new(input)?;
    while unpacker.block()?.is_some() {}
    let (file_bytes, raw_bytes) = (unpacker.file_bytes(), unpacker.raw_bytes());
    Ok(Checked { header: unpacker.header(), file_bytes, raw_bytes })
}

/// Reads a backup to its end and checks all of it, as a restore would; needs as much memory as the data.
///
/// # Errors
/// [`BackupError`].
pub fn verify(input: &mut dyn Read, progress: Progress<'_>) -> Result<Verified, BackupError> {
    read(input, progress).map(|(verified, _)| verified)
}

/// Makes of a backup a cluster of one node, called `name`, in the new directory `dir`. The file is read to
/// its end before the directory is touched.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(
    env: &Env,
    input: &mut dyn Read,
    dir: &Path,
    name: &str,
    progress: Progress<'_>,
) -> Result<Restored, RestoreError> {
    refuse_occupied(env, dir)?;
    let (verified, keyspace) = read(input, progress)?;
    let mut machine = Machine::of(keyspace).map_err(failed)?;
    let (mut identity, lock) =
        identity::open(&*env.disk, &*env.rng, dir, name, EngineKind::Memory)?;
    if identity.node.0 != 0 || identity.cluster.0 != 0 {
        return Err(RestoreError::Occupied(dir.display().to_string()));
    }
    crate::open::clear_away(env, dir, &identity).map_err(failed)?;
    let node = NodeId(1);
    let index = Index(verified.header.index.0 + JUMP);
    let term = Term(verified.header.term.0 + 1);
    // Its addresses are what it is started with: it says so as soon as it leads.
    let member = Member { name: name.to_owned(), instance: identity.instance, ..Member::default() };
    machine.found_beyond(index, node, &member).map_err(failed)?;
    let mark = SnapshotMark { index, term, configuration: machine.configuration().clone() };
    let store = SnapshotStore::open(Arc::clone(&env.disk), &dir.join("snapshots"), GROUP);
    let store = store.map_err(failed)?;
    snapshots::write(&store, &mark, &*machine.keyspace().view()).map_err(failed)?;
    fresh_log::write(env, &dir.join("log"), &mark).await.map_err(failed)?;
    // Order matters: only with the state on the disk is this node somebody.
    identity.cluster = ClusterId(env.rng.next_u64() | 1);
    identity.node = node;
    identity.save(&*env.disk, dir).map_err(failed)?;
    drop(lock);
    Ok(Restored { verified, cluster: identity.cluster, index })
}

/// Before a long file is read for nothing.
fn refuse_occupied(env: &Env, dir: &Path) -> Result<(), RestoreError> {
    if identity::is_there(&*env.disk, dir).map_err(failed)?
        && identity::look(&*env.disk, dir).is_none_or(|identity| identity.node.0 != 0)
    {
        return Err(RestoreError::Occupied(dir.display().to_string()));
    }
    Ok(())
}

//! How a backup becomes a cluster: of one node, to which others are added as to any.
//!
//! The new cluster has an id of its own, members of its own, and revisions far above any that the old
//! one may have given since: an ETag, a WATCH or a fencing token from a write that the backup does not hold
//! is never equal to one from after.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use quorate_consensus::peers::ClusterId;
use quorate_consensus::{Configuration, Index, NodeId, SnapshotMark, Term};
use quorate_engine::{EngineError, Reader as _};
use quorate_env::Env;
use quorate_keyspace::snapshot::{RestoreError as Stream, Sieve, Sifted, StreamWriter, TakeSifted};

use super::file::{BackupError, Header, Unpacker};
use crate::config::Config;
use crate::fresh_log;
use crate::identity::{self, Identity, IdentityError};
use crate::machine::{ApplyError, Machine};
use crate::members::Member;
use crate::new_state::{NewState, PIECE_BYTES};

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

/// What an error in the midst of a backup means.
fn told(error: Stream) -> RestoreError {
    match error {
        Stream::Engine(EngineError::Io(_) | EngineError::Cold) => failed(error),
        error => BackupError::Damage(error.to_string()).into(),
    }
}

/// Reads a backup to its end, checks all of it, and gives what is in it to `take`.
fn sift(
    unpacker: &mut Unpacker<'_>,
    progress: Progress<'_>,
    take: TakeSifted<'_>,
) -> Result<Verified, RestoreError> {
    let header = unpacker.header();
    let mut keys = 0;
    let mut checked = |sifted: Sifted<'_>| {
        if let Sifted::System(keyspace) = &sifted {
            if keyspace.applied() != header.index.0 || keyspace.stamp_ms() != header.stamp_ms {
                return Err(Stream::Malformed("content and header disagree"));
            }
            keys = keyspace.databases().iter().map(|row| row.keys).sum();
        }
        take(sifted)
    };
    let mut sieve = Sieve::default();
    while let Some(raw) = unpacker.block()? {
        sieve.feed(&raw, &mut checked).map_err(told)?;
        progress(unpacker.file_bytes());
    }
    let records = sieve.finish(&mut checked).map_err(told)?;
    let (file_bytes, raw_bytes) = (unpacker.file_bytes(), unpacker.raw_bytes());
    Ok(Verified { header, keys, records, file_bytes, raw_bytes })
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

/// Reads a backup to its end and checks all of it, as a restore would; needs little memory, however large it
/// is.
///
/// # Errors
/// [`RestoreError::Backup`].
pub fn verify(input: &mut dyn Read, progress: Progress<'_>) -> Result<Verified, RestoreError> {
    let mut unpacker = Unpacker::new(input)?;
    sift(&mut unpacker, progress, &mut |sifted| match sifted {
        Sifted::System(keyspace) => Machine::of(*keyspace).map(drop).map_err(unusable),
        Sifted::Record(..) => Ok(()),
    })
}

fn unusable(error: ApplyError) -> Stream {
    match error {
        ApplyError::Engine(error) => Stream::Engine(error),
        error => Stream::Engine(EngineError::Damage(error.to_string())),
    }
}

/// A backup's stream on its way into another cluster.
struct Passage {
    state: NewState,
    stream: StreamWriter,
    /// Not written yet.
    piece: Vec<u8>,
}

impl Passage {
    fn take(&mut self, sifted: Sifted<'_>, begin: (Index, NodeId, &Member)) -> Result<(), Stream> {
        match sifted {
            Sifted::System(keyspace) => {
                let (index, node, member) = begin;
                let mut machine = Machine::of(*keyspace).map_err(unusable)?;
                machine.found_beyond(index, node, member).map_err(unusable)?;
                self.stream = StreamWriter::begin(index.0, &mut self.piece);
                machine.keyspace().view().visit(&[], &[], &mut |key, value| {
                    self.stream.record(key, value, &mut self.piece);
                    ControlFlow::Continue(())
                })?;
            }
            Sifted::Record(key, value) => self.stream.record(key, value, &mut self.piece),
        }
        if self.piece.len() >= PIECE_BYTES {
            self.state.write(&self.piece)?;
            self.piece.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Stream> {
        self.stream.end(&mut self.piece);
        match self.state.write(&self.piece) {
            Ok(()) => self.state.finish(),
            Err(error) => {
                self.state.abandon();
                Err(error)
            }
        }
    }
}

/// Makes of a backup a cluster of one node: of `config` count its name, its new directory, and where its
/// engine comes from. Needs little memory, however large the backup is.
///
/// What is no backup, or of another version, is refused before the directory is touched; what is
/// damaged, when that is met: then the directory is that of a node without a cluster, as before its first
/// start, and the same may be tried again. Whoever can read the backup twice calls [`verify`] first.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(
    env: &Env,
    input: &mut dyn Read,
    config: &Config,
    progress: Progress<'_>,
) -> Result<Restored, RestoreError> {
    let dir = &config.data_dir;
    check_place(env, dir)?;
    let mut unpacker = Unpacker::new(input)?;
    let (identity, lock) =
        identity::open(&*env.disk, &*env.rng, dir, &config.id, config.cellar.kind())?;
    if identity.node.0 != 0 || identity.cluster.0 != 0 {
        return Err(RestoreError::Occupied(dir.display().to_string()));
    }
    let restored = restore_as(env, &mut unpacker, config, identity, progress).await;
    drop(lock);
    restored
}

/// As [`restore`], into a directory that is `identity`'s and locked.
async fn restore_as(
    env: &Env,
    unpacker: &mut Unpacker<'_>,
    config: &Config,
    mut identity: Identity,
    progress: Progress<'_>,
) -> Result<Restored, RestoreError> {
    let (dir, header) = (&config.data_dir, unpacker.header());
    crate::open::clear_away(env, dir, &identity).map_err(failed)?;
    crate::open::clear_engine(env, config).map_err(failed)?;
    let node = NodeId(1);
    let index = Index(header.index.0 + JUMP);
    let term = Term(header.term.0 + 1);
    // Its addresses are what it is started with: it says so as soon as it leads.
    let name = config.id.clone();
    let member = Member { name, instance: identity.instance, ..Member::default() };
    let mark = SnapshotMark { index, term, configuration: Configuration::of_one(node) };
    let state = NewState::begin(env, dir, &*config.cellar, mark.clone()).map_err(failed)?;
    let mut passage = Passage { state, stream: StreamWriter::default(), piece: Vec::new() };
    let sifted =
        sift(unpacker, progress, &mut |sifted| passage.take(sifted, (index, node, &member)));
    let verified = match sifted {
        Ok(verified) => verified,
        Err(error) => {
            passage.state.abandon();
            return Err(error);
        }
    };
    passage.finish().map_err(failed)?;
    fresh_log::write(env, &dir.join("log"), &mark).await.map_err(failed)?;
    // Order matters: only with the state on the disk is this node somebody.
    identity.cluster = ClusterId(env.rng.next_u64() | 1);
    identity.node = node;
    identity.save(&*env.disk, dir).map_err(failed)?;
    Ok(Restored { verified, cluster: identity.cluster, index })
}

/// Whether a backup can be restored into `dir`, before a long file is read for nothing.
///
/// # Errors
/// [`RestoreError::Occupied`].
pub fn check_place(env: &Env, dir: &Path) -> Result<(), RestoreError> {
    if identity::is_there(&*env.disk, dir).map_err(failed)?
        && identity::look(&*env.disk, dir).is_none_or(|identity| identity.node.0 != 0)
    {
        return Err(RestoreError::Occupied(dir.display().to_string()));
    }
    Ok(())
}

//! A state that is written where a start will find it, by nobody's node yet: of a cluster that is restored from a
//! backup or recovered from a disk. A file where the engine keeps nothing itself, a sealed state where it does.

use std::path::Path;
use std::sync::Arc;

use quorate_consensus::SnapshotMark;
use quorate_consensus::snapshot::{SnapshotError, SnapshotStore, SnapshotWriter};
use quorate_engine::{Cellar, EngineError, EngineKind, View};
use quorate_env::Env;
use quorate_keyspace::snapshot::{Export, Restore, RestoreError};

use crate::core::{ENGINE_DIR, GROUP};
use crate::snapshots;

/// Bytes that are written at once.
pub(crate) const PIECE_BYTES: usize = 1024 * 1024;

/// A state that is being written.
pub(crate) struct NewState {
    mark: SnapshotMark,
    target: Target,
}

enum Target {
    File(SnapshotStore, Box<SnapshotWriter>),
    Engine(Box<Restore>),
}

fn failed(error: SnapshotError) -> RestoreError {
    RestoreError::Engine(EngineError::Io(std::io::Error::other(error)))
}

impl NewState {
    /// Begins the state `mark` in `dir`, for a node of `cellar`'s kind.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn begin(
        env: &Env,
        dir: &Path,
        cellar: &dyn Cellar,
        mark: SnapshotMark,
    ) -> Result<Self, RestoreError> {
        let target = if cellar.kind() == EngineKind::Disk {
            Target::Engine(Box::new(Restore::new(cellar.fresh(&dir.join(ENGINE_DIR))?)))
        } else {
            let dir = dir.join("snapshots");
            let store = SnapshotStore::open(Arc::clone(&env.disk), &dir, GROUP).map_err(failed)?;
            let writer = store.writer(&mark).map_err(failed)?;
            Target::File(store, Box::new(writer))
        };
        Ok(Self { mark, target })
    }

    /// Writes the next piece of the state's stream.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), RestoreError> {
        match &mut self.target {
            Target::File(_, writer) => writer.write(piece).map_err(failed),
            Target::Engine(restore) => restore.feed(piece),
        }
    }

    /// Ends the state: it is on the disk, and is what a start finds.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn finish(self) -> Result<(), RestoreError> {
        match self.target {
            Target::File(store, writer) => {
                writer.finish().and_then(|_| store.prune()).map_err(failed)
            }
            Target::Engine(restore) => {
                let mut keyspace = restore.finish()?;
                assert_eq!(
                    keyspace.applied(),
                    self.mark.index.0,
                    "the state is of its mark's entry"
                );
                Ok(keyspace.engine_mut().seal(&snapshots::note_of(&self.mark))?)
            }
        }
    }

    /// Gives it up: nothing is left of it.
    pub(crate) fn abandon(self) {
        match self.target {
            Target::File(_, writer) => writer.abandon(),
            // What was not sealed goes with its engine.
            Target::Engine(restore) => drop(restore),
        }
    }
}

/// Writes all of `view` as the state `mark` in `dir`; `tell` is told how many bytes so far.
///
/// # Errors
/// The device failed, or what `view` reads is damaged.
pub(crate) fn write(
    env: &Env,
    dir: &Path,
    cellar: &dyn Cellar,
    mark: SnapshotMark,
    view: Box<dyn View>,
    tell: &mut dyn FnMut(u64),
) -> Result<(), RestoreError> {
    let mut state = NewState::begin(env, dir, cellar, mark)?;
    match fill(&mut state, view, tell) {
        Ok(()) => state.finish(),
        Err(error) => {
            state.abandon();
            Err(error)
        }
    }
}

fn fill(
    state: &mut NewState,
    view: Box<dyn View>,
    tell: &mut dyn FnMut(u64),
) -> Result<(), RestoreError> {
    let mut export = Export::new(view);
    let mut piece = Vec::new();
    let mut written = 0;
    loop {
        let more = export.next(PIECE_BYTES, &mut piece)?;
        state.write(&piece)?;
        written += piece.len() as u64;
        tell(written);
        if !more {
            return Ok(());
        }
        piece.clear();
    }
}

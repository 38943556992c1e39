//! What a stopped node's directory holds, read with the code that a start uses and without a change: through an
//! overlay, and a disk engine's state through links, so that what a start would mend is mended elsewhere.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_consensus::log::{Log, LogEntry};
use quorate_consensus::snapshot::SnapshotStore;
use quorate_consensus::{Body, Committed, Group, Index, SnapshotMark, Term};
use quorate_engine::{EngineError, EngineKind, MemoryEngine, Reader as _};
use quorate_env::Env;

use crate::config;
use crate::core::{ENGINE_DIR, GROUP};
use crate::machine::Machine;
use crate::open;
use crate::snapshots::{self, Restored};

/// Is told how far it is, and of how much.
pub(crate) type Far<'a> = &'a mut dyn FnMut(u64, u64);

/// Nobody wants to know.
pub(crate) fn untold(_: u64, _: u64) {}

/// Records between two words about them.
const RECORDS_TOLD: u64 = 1024;
/// Bytes of entries read at a time.
const READ_BYTES: u64 = 8 * 1024 * 1024;

/// A state that a directory holds, before its log is applied.
pub(crate) struct Kept {
    /// Where it lies.
    pub(crate) path: PathBuf,
    pub(crate) mark: SnapshotMark,
    pub(crate) machine: Machine,
}

/// The newest state in `dir`, whose log is `log`; `None` where there is none. `above` is an overlay.
///
/// # Errors
/// Why it can't be used, in words.
pub(crate) fn newest(
    above: &Env,
    dir: &Path,
    kind: EngineKind,
    log: &Log,
    tell: Far<'_>,
) -> Result<Option<Kept>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let found = if kind == EngineKind::Disk {
        let path = dir.join(ENGINE_DIR);
        if !above.disk.exists(&path).map_err(|error| text(&error))? {
            return Ok(None);
        }
        let engine = config::cellar_of(kind).look(&path).map_err(|error| text(&error))?;
        let standing = engine.map(|engine| open::stand(engine, log)).transpose();
        standing.map_err(|error| text(&error))?.map(|restored| (path, restored))
    } else {
        let store = SnapshotStore::open(Arc::clone(&above.disk), &dir.join("snapshots"), GROUP);
        let store = store.map_err(|error| text(&error))?;
        let newest = store.newest().map_err(|error| text(&error))?;
        let path = newest.map(|index| store.path(index));
        let read = |path: PathBuf| {
            let engine = Box::new(MemoryEngine::new());
            snapshots::read_telling(&store, &path, engine, tell).map(|restored| (path, restored))
        };
        path.map(read).transpose().map_err(|error| text(&error))?
    };
    let Some((path, Restored { mark, keyspace })) = found else { return Ok(None) };
    let machine = Machine::of(keyspace).map_err(|error| text(&error))?;
    Ok(Some(Kept { path, mark, machine }))
}

/// Reads every byte of the state of `machine`; how many records that are. What lies in memory was read
/// before, what lies on a disk may be damaged where nobody has looked.
///
/// # Errors
/// It is damaged, or can't be read.
pub(crate) fn read_all(machine: &Machine, tell: &mut dyn FnMut(u64)) -> Result<u64, EngineError> {
    let mut records = 0;
    machine.keyspace().view().visit(&[], &[], &mut |_, _| {
        records += 1;
        if records % RECORDS_TOLD == 0 {
            tell(records);
        }
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// Gives the entries in `from..to` to `take`.
///
/// # Errors
/// Why they can't be read, or what `take` said.
pub(crate) fn each_entry(
    log: &Log,
    from: Index,
    to: Index,
    mut take: impl FnMut(LogEntry) -> Result<(), String>,
) -> Result<(), String> {
    let mut next = from;
    while next < to {
        let entries = log.entries(GROUP, next, to, READ_BYTES);
        for entry in entries.map_err(|error| error.to_string())? {
            next = entry.index.next();
            take(entry)?;
        }
    }
    Ok(())
}

/// Applies what `log` has behind `applied`, up to entry `to` or its end; the last entry then.
///
/// # Errors
/// The log does not reach back so far, or an entry can't be applied.
pub(crate) fn replay(
    log: &Log,
    machine: &mut Machine,
    applied: (Index, Term),
    to: Index,
    tell: Far<'_>,
) -> Result<(Index, Term), String> {
    let (purged, _) = log.purged(GROUP);
    if applied.0 < purged {
        return Err(format!(
            "the log begins behind entry {purged}, but the newest state ends at {}",
            applied.0
        ));
    }
    let (mut last, from) = (applied, applied.0);
    let to = to.min(log.last_index(GROUP)).next();
    let total = to.0.saturating_sub(applied.0.next().0);
    each_entry(log, applied.0.next(), to, |entry| {
        let (index, term) = (entry.index, entry.term);
        let body = if Group::is_change(entry.kind) {
            let change =
                Group::change_of(&entry).ok_or_else(|| format!("entry {index} is malformed"))?;
            let configuration = machine.configuration().after(&change);
            Body::Change { change, configuration }
        } else if entry.data.is_empty() {
            Body::Empty
        } else {
            Body::Normal(entry.data)
        };
        last = (index, term);
        tell(index.0.saturating_sub(from.0), total);
        let applied = machine.apply(&Committed { index, term, body }, &mut |_, _| ());
        applied.map_err(|error| error.to_string())
    })?;
    Ok(last)
}

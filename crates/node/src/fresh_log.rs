//! A log that begins behind a snapshot: of a cluster that is restored from a backup or recovered from a disk.

use std::future::poll_fn;
use std::path::Path;

use quorate_consensus::log::{HardState, Log, LogBatch, LogConfig};
use quorate_consensus::{NodeId, SnapshotMark};
use quorate_env::Env;

use crate::core::GROUP;

/// Writes an empty log to `dir` that goes on behind `mark`; when this returns, it is on the disk.
///
/// # Errors
/// Why it is not, in words.
pub(crate) async fn write(env: &Env, dir: &Path, mark: &SnapshotMark) -> Result<(), String> {
    let (mut log, _) =
        Log::open(env, dir, LogConfig::default()).map_err(|error| error.to_string())?;
    let batch = LogBatch {
        group: GROUP,
        reset_to: Some((mark.index, mark.term)),
        hard_state: Some(HardState { term: mark.term, vote: NodeId(0), commit: mark.index }),
        sync: true,
        ..LogBatch::default()
    };
    log.submit(batch).map_err(|error| error.to_string())?;
    let done = poll_fn(|cx| log.poll_done(cx)).await;
    done.result.map_err(|error| error.to_string())
}

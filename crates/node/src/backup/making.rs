//! How a backup leaves a node: a frozen view, packed block by block on a lane of its own, as fast as the
//! blocks are taken. A slow taker holds the view and two blocks, nothing else.

use bytes::Bytes;
use quorate_api::{Api as _, Backup, Consistency, Error, OwnedCall};
use quorate_engine::EngineError;
use quorate_env::tasks::Job;
use quorate_keyspace::snapshot::Export;
use tokio::sync::{mpsc, oneshot};

use super::file::{BLOCK_BYTES, Header, Packer};
use crate::core::GROUP;
use crate::node::Node;
use crate::storage::stop_for_engine;

/// Pieces that wait to be taken.
const PIECES_MAX: usize = 2;

/// Why a backup came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    State(#[from] EngineError),
    #[error(transparent)]
    Packing(#[from] std::io::Error),
}

/// A backup in the making.
struct Making {
    export: Export,
    packer: Packer,
    /// What is exported and not packed.
    raw: Vec<u8>,
    exported: bool,
    ended: bool,
}

impl Making {
    /// The next piece; `None` behind the last.
    fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        if self.ended {
            return Ok(None);
        }
        if !self.exported && self.raw.len() < BLOCK_BYTES {
            self.exported = !self.export.next(BLOCK_BYTES - self.raw.len(), &mut self.raw)?;
        }
        let mut piece = Vec::new();
        let rest = self.raw.split_off(self.raw.len().min(BLOCK_BYTES));
        let raw = std::mem::replace(&mut self.raw, rest);
        if !raw.is_empty() {
            self.packer.block(&raw, &mut piece)?;
        }
        if self.exported && self.raw.is_empty() {
            self.packer.end(&mut piece);
            self.ended = true;
        }
        Ok(Some(piece.into()))
    }
}

/// Begins a backup once what `consistency` asks for holds.
pub(crate) async fn back_up(node: Node, consistency: Consistency) -> Result<Backup, Error> {
    barrier(&node, consistency).await?;
    let (header, view, env) = {
        let core = node.core().borrow();
        if let Some(reason) = &core.stopped {
            return Err(Error::Stopped { reason: reason.clone().into() });
        }
        let Some(group) = &core.group else { return Err(core.no_leader()) };
        let index = core.machine.applied();
        let mark = group.snapshot().filter(|mark| mark.index == index).map(|mark| mark.term);
        let Some(term) = group.term_at(index).or(mark) else {
            return Err(Error::not_applied("a snapshot is being installed"));
        };
        let stamp_ms = core.machine.keyspace().stamp_ms();
        let cluster = core.identity.cluster;
        let taken_ms = core.env.clock.wall_ms();
        let header = Header { cluster, group: GROUP.0, index, term, stamp_ms, taken_ms };
        (header, core.machine.keyspace().view(), core.env.clone())
    };
    let failed = |error: std::io::Error| Error::not_applied(format!("begin a backup: {error}"));
    let (packer, beginning) = Packer::new(&header).map_err(failed)?;
    let export = Export::new(view);
    let making = Making { export, packer, raw: Vec::new(), exported: false, ended: false };
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    env.tasks.spawn(Box::pin(pump(node, making, beginning.into(), sender)));
    tracing::info!(index = header.index.0, "backup begun");
    Ok(Backup { index: header.index.0, pieces })
}

/// A read of nothing in particular: when it is answered, this node's state is what was asked for.
async fn barrier(node: &Node, consistency: Consistency) -> Result<(), Error> {
    let call = OwnedCall::new(["GET", ""]).ok_or_else(|| Error::not_applied("no such command"))?;
    let mut session = node.open();
    session.submit(OwnedCall { consistency, ..call }.as_call());
    std::future::poll_fn(|cx| session.poll_answer(cx)).await?;
    let core = node.core().borrow();
    // Without room it is the leader that answers, and this node's own state stays behind.
    if session.seen_index() > core.machine.applied().0 {
        return Err(core.no_room("what was written lately is not in its state"));
    }
    Ok(())
}

async fn pump(
    node: Node,
    mut making: Making,
    beginning: Bytes,
    taker: mpsc::Sender<Result<Bytes, Error>>,
) {
    let mut piece = Ok(Some(beginning));
    loop {
        let last = match piece {
            Ok(Some(bytes)) => taker.send(Ok(bytes)).await.is_err(),
            Ok(None) => true,
            Err(failed) => {
                tracing::warn!(%failed, "backup failed");
                if let Failed::State(damage @ EngineError::Damage(_)) = &failed {
                    node.core().borrow_mut().found_damage(stop_for_engine(damage).0);
                }
                drop(taker.send(Err(Error::not_applied(failed.to_string()))).await);
                true
            }
        };
        if last {
            break;
        }
        let (sender, worked) = oneshot::channel();
        on_lane(
            &node,
            Box::new(move || {
                let piece = making.next();
                drop(sender.send((making, piece)));
            }),
        );
        // The lane ends with the node.
        let Ok((back, next)) = worked.await else { return };
        (making, piece) = (back, next);
    }
    // Freeing a view of a state that has changed since takes time: not on this thread.
    on_lane(&node, Box::new(move || drop(making)));
}

/// Most nodes never make a backup: the lane begins with the first.
fn on_lane(node: &Node, job: Job) {
    let mut core = node.core().borrow_mut();
    let tasks = std::sync::Arc::clone(&core.env.tasks);
    core.backup_lane.get_or_insert_with(|| tasks.lane("backup")).submit(job);
}

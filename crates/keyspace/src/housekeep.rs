//! Housekeeping: what entries proposed by the leader remove, in bounded steps, alike on every replica.

use std::ops::ControlFlow;

use quorate_engine::EngineError;

use crate::codec::Decoder;
use crate::record::Brief;
use crate::store::Store;
use crate::{once, slot, space, system, watch};

/// Idempotency records evicted per entry at most.
const ONCE_EVICTED_MAX: usize = 1024;
/// Tombstones looked at per entry at most.
const TOMBSTONES_SWEPT_MAX: usize = 1024;
/// How old a tombstone is at least when it is forgotten, and so how long a watch of an absent key
/// lasts. A transaction takes milliseconds; a watch that is older aborts and is tried again.
const TOMBSTONE_WINDOW_MS: u64 = 15 * 60 * 1000;

/// What one round of housekeeping did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Housekept {
    /// Entries of the expiry index removed, mostly with their keys.
    pub expired: usize,
    /// Records of flushed databases and deleted collections removed.
    pub cleared: usize,
    /// Idempotency records forgotten.
    pub forgotten: usize,
    /// Another round would find more to do at the same stamp.
    pub more: bool,
}

/// What housekeeping remembers from entry to entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Housekeeping {
    /// Tombstones below this revision may be gone: a watch of an absent key from before it aborts.
    pub(crate) floor: u64,
    /// The next floor, and the stamp at which it was taken.
    checkpoint: u64,
    checkpoint_ms: u64,
    /// Where the sweep of tombstones goes on; `None` when all below the floor are gone.
    sweep: Option<(u8, u16)>,
}

impl Housekeeping {
    /// The bytes of the system record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes =
            [self.floor, self.checkpoint, self.checkpoint_ms].map(u64::to_be_bytes).concat();
        if let Some((db, bucket)) = self.sweep {
            bytes.push(db);
            bytes.extend_from_slice(&bucket.to_be_bytes());
        }
        bytes
    }

    /// The reverse of [`Housekeeping::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let (floor, checkpoint, checkpoint_ms) = (decoder.u64()?, decoder.u64()?, decoder.u64()?);
        let sweep = if decoder.is_empty() { None } else { Some((decoder.u8()?, decoder.u16()?)) };
        decoder.is_empty().then_some(Self { floor, checkpoint, checkpoint_ms, sweep })
    }
}

/// Removes up to `budget` keys whose time has come at `now_ms`; how many index entries it took.
pub(crate) fn expire(store: &mut Store, now_ms: u64, budget: usize) -> Result<usize, EngineError> {
    let until = space::expiry_from(now_ms.saturating_add(1));
    let due = first_keys(store, space::expiry_from(0).as_slice(), until.as_slice(), budget)?;
    for index in &due {
        let (expire_ms, physical, key) = space::parts_of_expiry(index)?;
        let Some(db) = store.databases.get().logical(physical) else {
            // Of a flushed database: clearing would come to it later.
            store.delete(index)?;
            continue;
        };
        let place = store.place(db, key);
        let record = store.record(&place)?.filter(|record| record.expire_ms() == Some(expire_ms));
        let Some((brief, revision)) = record.map(|record| (*record.brief(), record.revision()))
        else {
            return Err(EngineError::Damage("the expiry index names a key without it".to_owned()));
        };
        store.remove_expired(&place, &brief, revision)?;
    }
    Ok(due.len())
}

/// Removes up to `budget` records that nobody can reach any more; how many.
pub(crate) fn clear(store: &mut Store, budget: usize) -> Result<usize, EngineError> {
    if !store.garbage {
        return Ok(0);
    }
    let mut cleared = 0;
    while let Some((key, _)) = store.first_of(&system::garbage_prefix())? {
        let physical = system::garbage_of_key(&key)?;
        cleared += clear_database(store, physical, budget - cleared)?;
        if cleared >= budget {
            return Ok(cleared);
        }
        store.delete(&key)?;
    }
    while let Some((key, _)) = store.first_of(&system::orphan_prefix())? {
        let elements = space::sub(system::object_of_orphan_key(&key)?, b"");
        let found = first_keys(store, elements.as_slice(), &elements.end(), budget - cleared)?;
        for element in &found {
            store.delete(element)?;
        }
        cleared += found.len();
        if cleared >= budget {
            return Ok(cleared);
        }
        store.delete(&key)?;
    }
    store.look_for_garbage()?;
    Ok(cleared)
}

/// Removes up to `budget` keys of a flushed database with their index entries; how many.
fn clear_database(store: &mut Store, physical: u32, budget: usize) -> Result<usize, EngineError> {
    let all = space::meta(physical, b"");
    let mut found = Vec::new();
    let mut failed = None;
    if budget > 0 {
        store.engine().visit(all.as_slice(), &all.end(), &mut |key, value| {
            match Brief::decode(value) {
                Ok(brief) => found.push((key.to_vec(), brief.expire_ms(), brief.object())),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() || found.len() >= budget {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    for (meta, expire_ms, object) in &found {
        let key = space::user_key_of_meta(meta)?;
        store.delete(space::slot(physical, slot::position(key), key).as_slice())?;
        if let Some(expire_ms) = expire_ms {
            store.delete(space::expiry(*expire_ms, physical, key).as_slice())?;
        }
        if let Some(object) = object {
            store.abandon(*object)?;
        }
        store.delete(meta)?;
    }
    Ok(found.len())
}

/// Moves the floor of the tombstones when it is time, and sweeps those below it.
pub(crate) fn sweep(store: &mut Store, now_ms: u64, revision: u64) -> Result<(), EngineError> {
    let mut memory = *store.housekeeping.get();
    let rest = memory.sweep.is_none();
    if rest && now_ms.saturating_sub(memory.checkpoint_ms) >= TOMBSTONE_WINDOW_MS {
        memory.floor = memory.checkpoint;
        memory.checkpoint = revision;
        memory.checkpoint_ms = now_ms;
        memory.sweep = (memory.floor > 0).then_some((0, 0));
        *store.housekeeping.change() = memory;
    }
    let Some((db, bucket)) = memory.sweep else { return Ok(()) };
    let all = system::tombstone_prefix();
    let (mut old, mut looked_at, mut failed) = (Vec::new(), 0, None);
    let mut next = None;
    store.engine().visit(
        system::tombstone_key(db, bucket).as_slice(),
        &all.end(),
        &mut |key, value| {
            if looked_at == TOMBSTONES_SWEPT_MAX {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            looked_at += 1;
            match watch::tombstone_of(value) {
                Ok(revision) if revision <= memory.floor => old.push(key.to_vec()),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            ControlFlow::Continue(())
        },
    )?;
    if let Some(error) = failed {
        return Err(error);
    }
    for key in &old {
        store.delete(key)?;
    }
    memory.sweep = next.as_deref().and_then(|key| {
        let mut decoder = Decoder::new(key);
        decoder.u16()?;
        Some((decoder.u8()?, decoder.u16()?))
    });
    *store.housekeeping.change() = memory;
    Ok(())
}

/// One round of everything.
pub(crate) fn run(
    store: &mut Store,
    now_ms: u64,
    revision: u64,
    expire_max: usize,
    clear_max: usize,
) -> Result<Housekept, EngineError> {
    let expired = expire(store, now_ms, expire_max)?;
    let cleared = clear(store, clear_max)?;
    let forgotten = once::evict(store, now_ms, ONCE_EVICTED_MAX)?;
    sweep(store, now_ms, revision)?;
    Ok(Housekept { expired, cleared, forgotten, more: due(store, now_ms)? })
}

/// The earliest time at which a key expires.
pub(crate) fn next_expiry_ms(store: &Store) -> Result<Option<u64>, EngineError> {
    let all = space::KeyBuf::new(space::EXPIRY);
    let first = store.first_of(&all)?;
    first.map(|(key, _)| space::parts_of_expiry(&key).map(|(expire_ms, ..)| expire_ms)).transpose()
}

/// Up to `count` keys of records between `from` and `to`.
fn first_keys(
    store: &Store,
    from: &[u8],
    to: &[u8],
    count: usize,
) -> Result<Vec<Vec<u8>>, EngineError> {
    let mut keys = Vec::new();
    if count > 0 {
        store.engine().visit(from, to, &mut |key, _| {
            keys.push(key.to_vec());
            if keys.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(keys)
}

/// True when [`run`] at `now_ms` would find anything to do.
pub(crate) fn due(store: &Store, now_ms: u64) -> Result<bool, EngineError> {
    let memory = store.housekeeping.get();
    let floor_due = now_ms.saturating_sub(memory.checkpoint_ms) >= TOMBSTONE_WINDOW_MS;
    Ok(store.garbage
        || memory.sweep.is_some()
        || next_expiry_ms(store)?.is_some_and(|next| next <= now_ms)
        || once::due(store, now_ms)?
        || (floor_due && store.first_of(&system::tombstone_prefix())?.is_some()))
}

#[cfg(test)]
mod tests;

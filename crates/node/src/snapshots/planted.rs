//! Bugs on purpose, by which the gym shows that it would find them.

use bytes::Bytes;
use quorate_consensus::Index;
use quorate_consensus::planted::{self, Planted};
use quorate_engine::{EngineError, MemoryEngine};
use quorate_keyspace::Keyspace;

/// Records, by key.
type Records = std::collections::BTreeMap<Vec<u8>, Bytes>;

fn records_of(states: &[&Keyspace]) -> Result<Records, EngineError> {
    let mut records = Records::new();
    for state in states {
        state.view().visit(&[], &[], &mut |key, value| {
            records.insert(key.to_vec(), value.to_bytes());
            std::ops::ControlFlow::Continue(())
        })?;
    }
    Ok(records)
}

fn keyspace_of(records: Records, applied: u64) -> Result<Keyspace, EngineError> {
    use quorate_engine::Engine as _;
    let mut engine = MemoryEngine::new();
    for (key, value) in records {
        engine.put(&key, value)?;
    }
    engine.write(applied)?;
    Keyspace::open(Box::new(engine))
}

/// The old state shines through wherever the new one has nothing.
pub(super) fn overlay(new: &Keyspace, old: &Keyspace) -> Result<Keyspace, EngineError> {
    keyspace_of(records_of(&[old, new])?, new.applied())
}

/// The state is taken for that of `index`, or its keys' revisions are forgotten.
pub(super) fn misread(read: Keyspace, index: Index) -> Result<Keyspace, EngineError> {
    if planted::is(Planted::SnapshotWithoutIndex) {
        let mut records = records_of(&[&read])?;
        // The state's own record says it, too, behind its format (see FORMAT.md).
        for (_, value) in records.iter_mut().filter(|(key, _)| **key == [0x01, 0x01]) {
            let mut bytes = value.to_vec();
            bytes.splice(1..9, index.0.to_be_bytes());
            *value = bytes.into();
        }
        return keyspace_of(records, index.0);
    }
    if !planted::is(Planted::WatchNotRestored) {
        return Ok(read);
    }
    let mut records = records_of(&[&read])?;
    // Keys are under 0x02; behind a record's type and flags comes its revision (see FORMAT.md).
    for (_, value) in records.iter_mut().filter(|(key, _)| key.first() == Some(&0x02)) {
        let mut bytes = value.to_vec();
        bytes.iter_mut().skip(2).take(8).for_each(|byte| *byte = 0);
        *value = bytes.into();
    }
    keyspace_of(records, read.applied())
}

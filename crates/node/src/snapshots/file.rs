//! A snapshot's file: written, read and checked; and the note beside a sealed state.

use bytes::Bytes;
use quorate_consensus::codec::{DecodeError, Reader, put_varint};
use quorate_consensus::snapshot::{SnapshotError, SnapshotStore};
use quorate_consensus::{Index, SnapshotMark, Term};
use quorate_engine::{Engine, EngineError, View};
use quorate_keyspace::Keyspace;
use quorate_keyspace::snapshot::{Restore, RestoreError, export};

#[cfg(feature = "planted-bugs")]
use super::planted::misread;

/// A state read from a snapshot.
pub(crate) struct Restored {
    pub(crate) mark: SnapshotMark,
    pub(crate) keyspace: Keyspace,
}

/// Writes `view` as the snapshot `mark`; its size.
pub(crate) fn write(
    store: &SnapshotStore,
    mark: &SnapshotMark,
    view: &dyn View,
) -> Result<u64, SnapshotError> {
    let mut writer = store.writer(mark)?;
    let mut failed = None;
    let exported = export(view, &mut |bytes| match writer.write(bytes) {
        Ok(()) => std::ops::ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            std::ops::ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        writer.abandon();
        return Err(error);
    }
    if let Err(error) = exported {
        writer.abandon();
        let source = std::io::Error::other(error);
        return Err(SnapshotError::Io { file: "engine".to_owned(), source });
    }
    let bytes = writer.finish()?;
    store.prune()?;
    Ok(bytes)
}

/// Reads a snapshot file from end to end and checks its bytes, not what they mean.
pub(super) fn check(store: &SnapshotStore, index: Index) -> Result<(), SnapshotError> {
    let mut reader = store.reader(&store.path(index))?;
    while reader.next_chunk()?.is_some() {}
    Ok(())
}

/// Reads a snapshot file into `engine`, a fresh one, checking everything.
pub(crate) fn read(
    store: &SnapshotStore,
    path: &std::path::Path,
    engine: Box<dyn Engine>,
) -> Result<Restored, SnapshotError> {
    read_telling(store, path, engine, &mut |_, _| ())
}

/// As [`read`]; `tell` is told how many bytes were read, and of how many.
pub(crate) fn read_telling(
    store: &SnapshotStore,
    path: &std::path::Path,
    engine: Box<dyn Engine>,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Restored, SnapshotError> {
    let file = || path.display().to_string();
    let malformed = |error: RestoreError| match error {
        RestoreError::Malformed(what) => SnapshotError::Damage { file: file(), offset: 0, what },
        RestoreError::Engine(error) => {
            // Whoever asked wants to know whether it is room that is missing.
            let kind = match &error {
                EngineError::Io(source) => source.kind(),
                EngineError::Damage(_) | EngineError::Cold => std::io::ErrorKind::Other,
            };
            SnapshotError::Io { file: file(), source: std::io::Error::new(kind, error) }
        }
    };
    let mut reader = store.reader(path)?;
    let total = reader.total_bytes()?;
    let mut restore = Restore::new(engine);
    while let Some(chunk) = reader.next_chunk()? {
        restore.feed(&chunk).map_err(malformed)?;
        tell(reader.read_bytes(), total);
    }
    let keyspace = restore.finish().map_err(malformed)?;
    #[cfg(feature = "planted-bugs")]
    let keyspace = misread(keyspace, reader.mark().index)
        .map_err(|error| malformed(RestoreError::Engine(error)))?;
    if keyspace.applied() != reader.mark().index.0 {
        let what = "content and header disagree";
        return Err(SnapshotError::Damage { file: file(), offset: 0, what });
    }
    Ok(Restored { mark: reader.mark().clone(), keyspace })
}

/// What is kept beside a sealed state: the place in the log that it stands for.
pub(crate) fn note_of(mark: &SnapshotMark) -> Vec<u8> {
    let mut note = Vec::new();
    put_varint(&mut note, mark.index.0);
    put_varint(&mut note, mark.term.0);
    note
}

/// The index and term in a note.
pub(crate) fn place_of(note: &[u8]) -> Result<(Index, Term), DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(note));
    let place = (Index(reader.varint()?), Term(reader.varint()?));
    reader.end()?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::Path;
    use std::sync::Arc;

    use quorate_consensus::Configuration;
    use quorate_engine::engine::Visitor;
    use quorate_engine::{EngineStats, Found, MemoryEngine, Reader};
    use quorate_env::local::MemoryDisk;
    use quorate_keyspace::Moment;

    use super::*;
    use crate::core::GROUP;

    /// Its device fails every batch like this.
    struct Failing(MemoryEngine, ErrorKind);

    impl Reader for Failing {
        fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
            self.0.get(key)
        }

        fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
            self.0.visit(from, to, visitor)
        }
    }

    impl Engine for Failing {
        fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
            self.0.put(key, value)
        }

        fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
            self.0.delete(key)
        }

        fn write(&mut self, _: u64) -> Result<(), EngineError> {
            Err(EngineError::Io(self.1.into()))
        }

        fn applied(&self) -> u64 {
            self.0.applied()
        }

        fn durable_applied(&self) -> u64 {
            0
        }

        fn view(&self) -> Box<dyn View> {
            self.0.view()
        }

        fn reset(&mut self) {
            self.0.reset();
        }

        fn maintain(&mut self, budget: usize) -> bool {
            self.0.maintain(budget)
        }

        fn stats(&self) -> EngineStats {
            self.0.stats()
        }

        fn resident(&self) -> &dyn Reader {
            &self.0
        }
    }

    #[test]
    fn whoever_reads_a_snapshot_learns_whether_the_engine_had_no_room_for_it() {
        let mut keyspace = Keyspace::open(Box::new(MemoryEngine::new())).unwrap();
        keyspace.begin(Moment { index: 1, stamp_ms: 1, seed: 0 });
        keyspace.finish().unwrap();
        let disk = Arc::new(MemoryDisk::default());
        let store = SnapshotStore::open(disk, Path::new("/snapshots"), GROUP).unwrap();
        let configuration = Configuration::default();
        let mark = SnapshotMark { index: Index(1), term: Term(1), configuration };
        write(&store, &mark, &*keyspace.engine().view()).unwrap();
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::BrokenPipe] {
            let engine = Box::new(Failing(MemoryEngine::new(), kind));
            match read(&store, &store.path(mark.index), engine) {
                Err(SnapshotError::Io { source, .. }) => assert_eq!(source.kind(), kind),
                Err(other) => panic!("{other}"),
                Ok(_) => panic!("a batch that failed was taken as written"),
            }
        }
        let whole = read(&store, &store.path(mark.index), Box::new(MemoryEngine::new())).unwrap();
        assert_eq!(whole.keyspace.applied(), 1);
    }
}

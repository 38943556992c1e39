//! What a read command sees: one state, at one time.

use std::cell::Cell;

use quorate_api::Args;
use quorate_engine::{EngineError, Reader};
use xxhash_rust::xxh3::xxh3_64;

use crate::copies::Copies;
use crate::database::{Database, Databases};
use crate::hint;
use crate::record::Record;
use crate::space;
use crate::stop::Stop;
use crate::types::Kind;

/// The context of a read command.
pub(crate) struct Reading<'a> {
    /// The records.
    pub(crate) reader: &'a dyn Reader,
    /// Where small values are copied for a reply.
    pub(crate) copies: &'a Copies,
    /// The logical databases.
    pub(crate) databases: &'a Databases,
    /// The database the command runs in.
    pub(crate) db: u8,
    /// The last stamp applied: what expired by then is gone for good.
    pub(crate) stamp_ms: u64,
    /// The time of the read, not before `stamp_ms`.
    pub(crate) now_ms: u64,
    /// The revision of the state that is read.
    pub(crate) seen: u64,
    /// All the chance there is, see [`Reading::random`].
    pub(crate) chance: [u64; 2],
    /// The command's name, for error texts.
    pub(crate) name: &'static str,
    /// What was met on the way.
    pub(crate) met: Met,
}

/// What a read met on its way.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// Keys that were there.
    pub(crate) hits: Cell<u64>,
    /// Keys that were not.
    pub(crate) misses: Cell<u64>,
    /// The latest expiry between the applied stamp and the time of the read; 0: none.
    pub(crate) crossed_ms: Cell<u64>,
}

impl<'a> Reading<'a> {
    /// A random number, the same each time for one command.
    pub(crate) fn random(&self) -> u64 {
        let mut bytes = [0; 16];
        for (room, word) in bytes.chunks_exact_mut(8).zip(self.chance) {
            room.copy_from_slice(&word.to_le_bytes());
        }
        xxh3_64(&bytes)
    }

    /// The row of the database that is read.
    pub(crate) fn row(&self) -> &Database {
        self.databases.row(self.db)
    }

    /// Says, every few keys, which of `args` come next to a command that has come to the `nth` one.
    pub(crate) fn expect(&self, nth: usize, args: Args<'_>) {
        if hint::is_worth_it(nth, args) {
            let physical = self.row().physical;
            let keys = args.iter_from(1 + nth);
            hint::give(self.reader, keys.map(|key| space::meta(physical, key)));
        }
    }

    /// The record of `key`, unless it has expired; counted as a hit or a miss.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Record<'a>>, EngineError> {
        let found = self.peek(key)?;
        let count = if found.is_some() { &self.met.hits } else { &self.met.misses };
        count.set(count.get() + 1);
        Ok(found)
    }

    /// As [`Reading::find`], uncounted.
    pub(crate) fn peek(&self, key: &[u8]) -> Result<Option<Record<'a>>, EngineError> {
        let meta = space::meta(self.row().physical, key);
        let record = self.reader.get(meta.as_slice())?.map(Record::decode).transpose()?;
        Ok(record.filter(|record| self.visible(record)))
    }

    /// The record of `key` if it is a string; the WRONGTYPE error if it is something else.
    pub(crate) fn find_string(&self, key: &[u8]) -> Result<Option<Record<'a>>, Stop> {
        match self.find(key)? {
            Some(record) if record.kind() != Kind::String => Err(crate::types::wrong_type()),
            found => Ok(found),
        }
    }

    /// False when `record` has expired. An expiry that only the time of the read has passed is noted
    /// in [`Met::crossed_ms`]: the reply then must not be used.
    pub(crate) fn visible(&self, record: &Record<'_>) -> bool {
        let Some(expire_ms) = record.expire_ms() else { return true };
        if expire_ms <= self.now_ms && expire_ms > self.stamp_ms {
            self.met.crossed_ms.set(self.met.crossed_ms.get().max(expire_ms));
        }
        expire_ms > self.now_ms
    }
}

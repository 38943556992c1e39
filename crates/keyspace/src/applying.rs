//! What a write command works on: the state, at the moment of its entry.

use quorate_api::Reply;
use quorate_api::limits::VALUE_BYTES_MAX;
use quorate_engine::EngineError;

use crate::record::{Brief, Encoding, Head, Record};
use crate::stop::Stop;
use crate::store::{Elements, Place, Store};
use crate::types::Kind;

/// The context of a write command.
#[derive(Debug)]
pub(crate) struct Applying<'a> {
    /// The state.
    pub(crate) store: &'a mut Store,
    /// The database the command runs in.
    pub(crate) db: u8,
    /// The command's revision, given to every record it writes.
    pub(crate) revision: u64,
    /// The entry's stamp.
    pub(crate) now_ms: u64,
    /// The command's name, for error texts.
    pub(crate) name: &'static str,
}

impl Applying<'_> {
    /// Where `key` is in the command's own database.
    pub(crate) fn place<'k>(&self, key: &'k [u8]) -> Place<'k> {
        self.store.place(self.db, key)
    }

    /// The record at `place`. One that has expired is removed and not found.
    pub(crate) fn find(
        &mut self,
        place: &Place<'_>,
    ) -> Result<Option<Record<'static>>, EngineError> {
        match self.store.record(place)?.map(Record::into_owned) {
            Some(record) if record.expired_at(self.now_ms) => {
                self.store.remove_expired(place, record.brief(), record.revision())?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// As [`Applying::find`], for a command that does not look at the payload.
    pub(crate) fn find_brief(&mut self, place: &Place<'_>) -> Result<Option<Brief>, EngineError> {
        match self.store.brief(place)? {
            Some(brief) if brief.expired_at(self.now_ms) => {
                self.find_revision(place).map(|found| found.map(|(brief, _)| brief))
            }
            found => Ok(found),
        }
    }

    /// As [`Applying::find_brief`], and when the record was last written.
    pub(crate) fn find_revision(
        &mut self,
        place: &Place<'_>,
    ) -> Result<Option<(Brief, u64)>, EngineError> {
        let found = self.store.record(place)?.map(|record| (*record.brief(), record.revision()));
        match found {
            Some((brief, revision)) if brief.expired_at(self.now_ms) => {
                self.store.remove_expired(place, &brief, revision)?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// The record at `place` if it is a string; the WRONGTYPE error if it is something else.
    pub(crate) fn find_string(
        &mut self,
        place: &Place<'_>,
    ) -> Result<Option<Record<'static>>, Stop> {
        match self.find(place)? {
            Some(record) if record.kind() != Kind::String => Err(crate::types::wrong_type()),
            found => Ok(found),
        }
    }

    /// Puts `record` at `place`, where `old` is now. With an expiry that has passed nothing is put,
    /// and `old` is removed.
    pub(crate) fn write(
        &mut self,
        place: &Place<'_>,
        old: Option<&Brief>,
        record: Record<'_>,
    ) -> Result<(), EngineError> {
        if !record.expired_at(self.now_ms) {
            return self.store.write(place, old, record);
        }
        old.map_or(Ok(()), |old| self.remove(place, old))
    }

    /// Puts a string at `place`, where `old` is now.
    pub(crate) fn write_string(
        &mut self,
        place: &Place<'_>,
        old: Option<&Brief>,
        expire_ms: Option<u64>,
        value: &[u8],
    ) -> Result<(), EngineError> {
        self.write_string_as(place, old, self.string_head(Encoding::Auto, expire_ms), value)
    }

    /// As [`Applying::write_string`], under a head of its own.
    pub(crate) fn write_string_as(
        &mut self,
        place: &Place<'_>,
        old: Option<&Brief>,
        head: Head,
        value: &[u8],
    ) -> Result<(), EngineError> {
        if Brief::of_string(head).expired_at(self.now_ms) {
            return old.map_or(Ok(()), |old| self.remove(place, old));
        }
        self.store.write_string(place, old, head, value)
    }

    /// The head of a string that this command writes.
    pub(crate) fn string_head(&self, encoding: Encoding, expire_ms: Option<u64>) -> Head {
        Head { kind: Kind::String, encoding, revision: self.revision, expire_ms }
    }

    /// Removes `old` from `place`.
    pub(crate) fn remove(&mut self, place: &Place<'_>, old: &Brief) -> Result<(), EngineError> {
        self.store.remove(place, old, Elements::Drop, self.revision)
    }

    /// Refuses a string that would be longer than a value may be.
    pub(crate) fn check_length(bytes: usize) -> Result<(), Stop> {
        if bytes <= VALUE_BYTES_MAX {
            return Ok(());
        }
        Err(Reply::err("string exceeds maximum allowed size (proto-max-bulk-len)").into())
    }
}

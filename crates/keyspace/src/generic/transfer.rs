//! Records that change their place: RENAME, RENAMENX, COPY, MOVE.

use quorate_api::{Args, CommandId, Reply};
use quorate_engine::EngineError;

use super::databases;
use crate::applying::Applying;
use crate::record::{Brief, Head, Record};
use crate::stop::{Outcome, Stop};
use crate::store::{Elements, Place};
use crate::types::{Kind, wrong_type};

/// Puts `record` at `to`, under this command's revision, and removes it from `from`. A collection's
/// elements stay where they are: only its record moves.
fn transfer(
    on: &mut Applying<'_>,
    from: &Place<'_>,
    to: &Place<'_>,
    record: &Record<'_>,
    replaced: Option<&Brief>,
) -> Result<(), EngineError> {
    on.store.remove(from, record.brief(), Elements::Keep, on.revision)?;
    let head = Head { revision: on.revision, ..*record.head() };
    on.store.write(to, replaced, record.with_head(head))
}

/// RENAME key newkey, RENAMENX key newkey.
pub(crate) fn rename(on: &mut Applying<'_>, id: CommandId, args: Args<'_>) -> Outcome {
    let only_new = id == CommandId::Renamenx;
    let (from, to) = (on.place(args.at(1)), on.place(args.at(2)));
    let Some(record) = on.find(&from)? else { return Ok(Reply::err("no such key")) };
    if from.key == to.key {
        return Ok(if only_new { Reply::Int(0) } else { Reply::Ok });
    }
    let replaced = on.find_brief(&to)?;
    if only_new && replaced.is_some() {
        return Ok(Reply::Int(0));
    }
    transfer(on, &from, &to, &record, replaced.as_ref())?;
    Ok(if only_new { Reply::Int(1) } else { Reply::Ok })
}

/// The database that MOVE takes its key to.
pub(crate) fn destination_of_move(args: Args<'_>) -> Result<u8, Stop> {
    databases::parse(args.at(2))
}

/// MOVE key db.
pub(crate) fn move_key(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let db = destination_of_move(args)?;
    if db == on.db {
        return Err(same_objects());
    }
    let (from, to) = (on.place(args.at(1)), on.store.place(db, args.at(1)));
    let Some(record) = on.find(&from)? else { return Ok(Reply::Int(0)) };
    if on.find_brief(&to)?.is_some() {
        return Ok(Reply::Int(0));
    }
    transfer(on, &from, &to, &record, None)?;
    Ok(Reply::Int(1))
}

/// Where COPY has the key that it writes.
pub(crate) const COPY_DESTINATION: usize = 2;

/// What stands behind COPY's keys.
#[derive(Default)]
pub(crate) struct CopyOptions {
    /// The destination's database, where it is named.
    pub(crate) db: Option<u8>,
    replace: bool,
}

impl CopyOptions {
    /// Of COPY's arguments.
    pub(crate) fn parse(args: Args<'_>) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut rest = args.iter_from(COPY_DESTINATION + 1);
        while let Some(word) = rest.next() {
            if word.eq_ignore_ascii_case(b"REPLACE") {
                options.replace = true;
            } else if word.eq_ignore_ascii_case(b"DB") {
                let number = rest.next().ok_or_else(Reply::syntax)?;
                options.db = Some(databases::parse(number)?);
            } else {
                return Err(Reply::syntax().into());
            }
        }
        Ok(options)
    }
}

/// COPY source destination [DB destination-db] [REPLACE].
pub(crate) fn copy(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let CopyOptions { db, replace } = CopyOptions::parse(args)?;
    let from = on.place(args.at(1));
    let to = on.store.place(db.unwrap_or(on.db), args.at(COPY_DESTINATION));
    if (from.db, from.key) == (to.db, to.key) {
        return Err(same_objects());
    }
    let Some(record) = on.find(&from)? else { return Ok(Reply::Int(0)) };
    // A collection's copy needs elements of its own: two records must never share an object id.
    if record.kind() != Kind::String {
        return Err(wrong_type());
    }
    let replaced = on.find_brief(&to)?;
    if replaced.is_some() && !replace {
        return Ok(Reply::Int(0));
    }
    let head = Head { revision: on.revision, ..*record.head() };
    on.store.write(&to, replaced.as_ref(), record.with_head(head))?;
    Ok(Reply::Int(1))
}

fn same_objects() -> Stop {
    Reply::err("source and destination objects are the same").into()
}

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

/// MOVE key db.
pub(crate) fn move_key(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let db = databases::parse(args.at(2))?;
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

/// COPY source destination [DB destination-db] [REPLACE].
pub(crate) fn copy(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let (mut db, mut replace) = (on.db, false);
    let mut rest = args.iter_from(3);
    while let Some(word) = rest.next() {
        if word.eq_ignore_ascii_case(b"REPLACE") {
            replace = true;
        } else if word.eq_ignore_ascii_case(b"DB") {
            db = databases::parse(rest.next().ok_or_else(Reply::syntax)?)?;
        } else {
            return Ok(Reply::syntax());
        }
    }
    let (from, to) = (on.place(args.at(1)), on.store.place(db, args.at(2)));
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

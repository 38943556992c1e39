//! Whole databases: DBSIZE, FLUSHDB, FLUSHALL, SWAPDB.

use quorate_api::limits::DATABASES;
use quorate_api::{Args, CommandId, Reply};

use crate::applying::Applying;
use crate::number;
use crate::reading::Reading;
use crate::stop::{Outcome, Stop};

/// DBSIZE: as in Redis, expired keys count until they are removed.
pub(crate) fn dbsize(on: &Reading<'_>) -> Reply {
    Reply::Int(i64::try_from(on.row().keys).unwrap_or(i64::MAX))
}

/// FLUSHDB [ASYNC | SYNC], FLUSHALL [ASYNC | SYNC]: both are O(1) and clear later.
pub(crate) fn flush(on: &mut Applying<'_>, id: CommandId, args: Args<'_>) -> Outcome {
    let known =
        |word: &[u8]| word.eq_ignore_ascii_case(b"ASYNC") || word.eq_ignore_ascii_case(b"SYNC");
    if args.len() > 2 || !args.get(1).is_none_or(known) {
        return Ok(Reply::syntax());
    }
    let flushed = if id == CommandId::Flushall { 0..DATABASES } else { on.db..on.db + 1 };
    for db in flushed {
        on.store.flush(db, on.revision)?;
    }
    Ok(Reply::Ok)
}

/// SWAPDB index1 index2.
pub(crate) fn swap(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let first = integer(args.at(1)).ok_or_else(|| Reply::err("invalid first DB index"))?;
    let second = integer(args.at(2)).ok_or_else(|| Reply::err("invalid second DB index"))?;
    let (first, second) = (in_range(first)?, in_range(second)?);
    if first != second {
        on.store.databases.change().swap(first, second, on.revision);
    }
    Ok(Reply::Ok)
}

/// A number that fits C's `int`, as Redis takes for databases.
fn integer(text: &[u8]) -> Option<i32> {
    number::parse(text).and_then(|number| i32::try_from(number).ok())
}

fn in_range(number: i32) -> Result<u8, Stop> {
    let db = u8::try_from(number).ok().filter(|db| *db < DATABASES);
    db.ok_or_else(|| Reply::err("DB index is out of range").into())
}

/// The database that `text` names, for COPY and MOVE.
pub(crate) fn parse(text: &[u8]) -> Result<u8, Stop> {
    let number = i32::try_from(number::parse_or_error(text)?).map_err(|_| {
        let (low, high) = (i32::MIN, i32::MAX);
        Reply::err(format!("value is out of range, value must between {low} and {high}"))
    })?;
    in_range(number)
}

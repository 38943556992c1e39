//! Commands that set a string: SET, SETNX, SETEX, PSETEX, GETSET, MSET, MSETNX.

use quorate_api::{Args, CommandId, Reply};
use quorate_engine::EngineError;

use super::options::{Condition, Expiry, SetOptions};
use crate::applying::Applying;
use crate::commands::wrong_arity;
use crate::expiry::{Origin, Time, Unit};
use crate::hint;
use crate::record::{Brief, Record};
use crate::stop::{Outcome, Stop};

/// True when SET with these arguments never looks at the value that it replaces.
pub(crate) fn is_blind(args: Args<'_>) -> bool {
    SetOptions::parse(args).is_ok_and(|options| !options.wants_string())
}

/// SET key value [...].
pub(crate) fn set(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let options = SetOptions::parse(args)?;
    let time = match options.expiry {
        Expiry::At(time) => Some(time.positive(on.now_ms, on.name)?),
        Expiry::Unsaid | Expiry::Keep | Expiry::Persist => None,
    };
    let value = args.at(2);
    Applying::check_length(value.len())?;
    let place = on.place(args.at(1));
    // Only a command that asks for the value has it looked at.
    let wants_string = options.wants_string();
    let record = if wants_string { on.find_string(&place)? } else { None };
    let old = match &record {
        Some(record) => Some(*record.brief()),
        None if wants_string => None,
        None => on.find_brief(&place)?,
    };
    let old = old.as_ref();
    let before = Reply::bulk_or_nil(record.as_ref().filter(|_| options.get).map(Record::value));
    let fits = match options.condition {
        Condition::None => true,
        Condition::Absent => old.is_none(),
        Condition::Present => old.is_some(),
        Condition::Equal(expected) => record.is_some_and(|old| old.payload() == expected),
    };
    if !fits {
        return Ok(before);
    }
    let expire_ms = match options.expiry {
        Expiry::Keep => old.and_then(Brief::expire_ms),
        Expiry::Unsaid | Expiry::Persist | Expiry::At(_) => time,
    };
    on.write_string(&place, old, expire_ms, value)?;
    Ok(if options.get { before } else { Reply::Ok })
}

/// Sets `key`, whatever is there, without an expiry.
fn overwrite(on: &mut Applying<'_>, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    let place = on.place(key);
    let old = on.find_brief(&place)?;
    on.write_string(&place, old.as_ref(), None, value)
}

/// SETNX key value.
pub(crate) fn setnx(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    Applying::check_length(args.at(2).len())?;
    let place = on.place(args.at(1));
    if on.find_brief(&place)?.is_some() {
        return Ok(Reply::Int(0));
    }
    on.write_string(&place, None, None, args.at(2))?;
    Ok(Reply::Int(1))
}

/// SETEX key seconds value, PSETEX key milliseconds value.
pub(crate) fn setex(on: &mut Applying<'_>, id: CommandId, args: Args<'_>) -> Outcome {
    let unit = if id == CommandId::Setex { Unit::Seconds } else { Unit::Milliseconds };
    let time = Time { text: args.at(2), unit, origin: Origin::Stamp };
    let expire_ms = time.positive(on.now_ms, on.name)?;
    Applying::check_length(args.at(3).len())?;
    let place = on.place(args.at(1));
    let old = on.find_brief(&place)?;
    on.write_string(&place, old.as_ref(), Some(expire_ms), args.at(3))?;
    Ok(Reply::Ok)
}

/// GETSET key value.
pub(crate) fn getset(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    Applying::check_length(args.at(2).len())?;
    let place = on.place(args.at(1));
    let old = on.find_string(&place)?;
    on.write_string(&place, old.as_ref().map(Record::brief), None, args.at(2))?;
    Ok(Reply::bulk_or_nil(old.as_ref().map(Record::value)))
}

/// The keys and values of MSET and MSETNX.
fn pairs<'a>(args: Args<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
    args.iter_from(1).step_by(2).zip(args.iter_from(2).step_by(2))
}

fn overwrite_all(on: &mut Applying<'_>, args: Args<'_>) -> Result<(), Stop> {
    for (nth, (key, value)) in pairs(args).enumerate() {
        if hint::is_worth_it(nth, args) {
            on.store.expect(on.db, args.iter_from(1 + 2 * nth).step_by(2));
        }
        overwrite(on, key, value)?;
    }
    Ok(())
}

/// Refuses what MSET and MSETNX can't do, before anything is done.
fn check_pairs(on: &Applying<'_>, args: Args<'_>) -> Result<(), Stop> {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity(on.name).into());
    }
    pairs(args).try_for_each(|(_, value)| Applying::check_length(value.len()))
}

/// MSET key value [key value ...].
pub(crate) fn mset(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    check_pairs(on, args)?;
    overwrite_all(on, args)?;
    Ok(Reply::Ok)
}

/// MSETNX key value [key value ...].
pub(crate) fn msetnx(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    check_pairs(on, args)?;
    for (key, _) in pairs(args) {
        let place = on.place(key);
        if on.find_brief(&place)?.is_some() {
            return Ok(Reply::Int(0));
        }
    }
    overwrite_all(on, args)?;
    Ok(Reply::Int(1))
}

//! Strings as numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.

use quorate_api::{Args, CommandId, Reply};

use crate::applying::Applying;
use crate::long_double::LongDouble;
use crate::number::{self, Decimal};
use crate::record::{Encoding, Record};
use crate::stop::{Outcome, Stop};

/// INCR key, DECR key.
pub(crate) fn step(on: &mut Applying<'_>, id: CommandId, args: Args<'_>) -> Outcome {
    add(on, args.at(1), if id == CommandId::Incr { 1 } else { -1 })
}

/// INCRBY key increment.
pub(crate) fn incrby(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    add(on, args.at(1), number::parse_or_error(args.at(2))?)
}

/// DECRBY key decrement.
pub(crate) fn decrby(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let Some(increment) = number::parse_or_error(args.at(2))?.checked_neg() else {
        return Ok(Reply::err("decrement would overflow"));
    };
    add(on, args.at(1), increment)
}

fn add(on: &mut Applying<'_>, key: &[u8], increment: i64) -> Outcome {
    let place = on.place(key);
    let old = on.find_string(&place)?;
    let before = old.as_ref().map_or(Ok(0), |old| number::parse_or_error(old.payload()))?;
    let Some(sum) = before.checked_add(increment) else {
        return Ok(Reply::err("increment or decrement would overflow"));
    };
    let expire_ms = old.as_ref().and_then(Record::expire_ms);
    on.write_string(
        &place,
        old.as_ref().map(Record::brief),
        expire_ms,
        Decimal::new(sum).as_bytes(),
    )?;
    Ok(Reply::Int(sum))
}

/// INCRBYFLOAT key increment.
pub(crate) fn incrbyfloat(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let parse = |text: &[u8]| {
        LongDouble::parse(text).ok_or_else(|| Stop::from(Reply::err("value is not a valid float")))
    };
    let place = on.place(args.at(1));
    let old = on.find_string(&place)?;
    let before = old.as_ref().map_or(Ok(LongDouble::ZERO), |old| parse(old.payload()))?;
    let Some(sum) = before.add(parse(args.at(2))?) else {
        return Ok(Reply::err("increment would produce NaN or Infinity"));
    };
    let text = sum.to_decimal();
    let head = on.string_head(Encoding::Text, old.as_ref().and_then(Record::expire_ms));
    on.write_string_as(&place, old.as_ref().map(Record::brief), head, text.as_bytes())?;
    Ok(Reply::Bulk(text.into_owned().into()))
}

//! Which keys there are: DEL, UNLINK, EXISTS, TOUCH, TYPE, KEYS, RANDOMKEY.

use std::ops::ControlFlow;

use quorate_api::{Args, Reply};
use quorate_engine::{EngineError, Found};

use crate::applying::Applying;
use crate::glob;
use crate::reading::Reading;
use crate::record::Record;
use crate::slot::{HASH_BITS, SLOTS, slot_bounds};
use crate::space;
use crate::stop::Outcome;

/// DEL key [key ...], UNLINK key [key ...].
pub(crate) fn delete(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let mut deleted = 0;
    for key in args.iter_from(1) {
        let place = on.place(key);
        if let Some(old) = on.find_brief(&place)? {
            on.remove(&place, &old)?;
            deleted += 1;
        }
    }
    Ok(Reply::Int(deleted))
}

/// EXISTS key [key ...], TOUCH key [key ...]: a key that is named twice counts twice.
pub(crate) fn exists(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let mut found = 0;
    for key in args.iter_from(1) {
        found += i64::from(on.find(key)?.is_some());
    }
    Ok(Reply::Int(found))
}

/// TYPE key.
pub(crate) fn type_of(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let found = on.find(args.at(1))?;
    Ok(Reply::Simple(found.map_or("none", |record| record.kind().name()).into()))
}

/// KEYS pattern, in the order of keys. What the pattern starts with literally narrows the visit.
pub(crate) fn keys(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let pattern = args.at(1);
    let prefix = space::meta(on.row().physical, glob::literal_prefix(pattern));
    let all = pattern == b"*";
    let (mut found, mut failed) = (Vec::new(), None);
    on.reader.visit(prefix.as_slice(), &prefix.end(), &mut |meta, value| {
        let mut take = || {
            let key = space::user_key_of_meta(meta)?;
            if (all || glob::matches(pattern, key))
                && on.visible(&Record::decode(Found::Lent(value))?)
            {
                found.push(Reply::bulk(key));
            }
            Ok::<_, EngineError>(())
        };
        match take() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(Reply::Array(found)), |error| Err(error.into()))
}

/// RANDOMKEY: a random slot that has keys, then a random place in it.
///
/// Seeking a random position alone would nearly always give the same key where all keys share one
/// hash tag: they lie close together in the order of positions.
pub(crate) fn randomkey(on: &Reading<'_>) -> Outcome {
    let (physical, random) = (on.row().physical, on.random());
    let index = |position| space::slot(physical, position, b"");
    let (all, all_end) = (index(0), space::slot_prefix(physical).end());
    let drawn = index(random % (u64::from(SLOTS) << HASH_BITS));
    let landed = match on.reader.first(drawn.as_slice(), &all_end)? {
        None => on.reader.first(all.as_slice(), drawn.as_slice())?,
        landed => landed,
    };
    let Some((landed, _)) = landed else { return Ok(Reply::Nil) };
    let (start, end) = slot_bounds(space::parts_of_slot(&landed)?.0);
    let within = index(start | (random.rotate_left(HASH_BITS) & (end - start - 1)));
    let (start, end) = (index(start), index(end));
    // From the place in the slot to the slot's end, the slot's beginning, and only when all of these
    // keys have expired, any other one.
    let rounds = [
        (within.as_slice(), end.as_slice()),
        (start.as_slice(), within.as_slice()),
        (all.as_slice(), all_end.as_slice()),
    ];
    for (from, to) in rounds {
        if let Some(key) = first_visible(on, from, to)? {
            return Ok(Reply::bulk(&key));
        }
    }
    Ok(Reply::Nil)
}

/// The first key of the slot index between `from` and `to` that has not expired.
fn first_visible(on: &Reading<'_>, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
    let mut from = from.to_vec();
    while let Some((mut index, _)) = on.reader.first(&from, to)? {
        let (_, key) = space::parts_of_slot(&index)?;
        if on.peek(key)?.is_some() {
            return Ok(Some(key.to_vec()));
        }
        index.push(0);
        from = index;
    }
    Ok(None)
}

//! Commands that give a string back: GET, MGET, STRLEN, GETDEL, GETEX.

use quorate_api::{Args, Reply};

use super::options::{Expiry, parse_getex};
use crate::applying::Applying;
use crate::reading::Reading;
use crate::record::Head;
use crate::stop::Outcome;
use crate::types::Kind;

/// GET key.
pub(crate) fn get(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let found = on.find_string(args.at(1))?;
    Ok(found.map_or(Reply::Nil, |record| record.reply(on.copies)))
}

/// MGET key [key ...]: what is no string counts as absent.
pub(crate) fn mget(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let mut values = Vec::with_capacity(args.len());
    for (nth, key) in args.iter_from(1).enumerate() {
        on.expect(nth, args);
        let found = on.find(key)?.filter(|record| record.kind() == Kind::String);
        values.push(found.map_or(Reply::Nil, |record| record.reply(on.copies)));
    }
    Ok(Reply::Array(values))
}

/// STRLEN key.
pub(crate) fn strlen(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let found = on.find_string(args.at(1))?;
    let length = found.map_or(0, |record| record.payload().len());
    Ok(Reply::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// GETDEL key.
pub(crate) fn getdel(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let place = on.place(args.at(1));
    let Some(old) = on.find_string(&place)? else { return Ok(Reply::Nil) };
    on.remove(&place, old.brief())?;
    Ok(Reply::Bulk(old.value()))
}

/// GETEX key [EX seconds | PX milliseconds | EXAT ... | PXAT ... | PERSIST].
pub(crate) fn getex(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let expiry = parse_getex(args)?;
    let place = on.place(args.at(1));
    let Some(old) = on.find_string(&place)? else { return Ok(Reply::Nil) };
    let expire_ms = match expiry {
        Expiry::Unsaid | Expiry::Keep => old.expire_ms(),
        Expiry::Persist => None,
        Expiry::At(time) => Some(time.positive(on.now_ms, on.name)?),
    };
    // Without a change there is no new revision: a plain GETEX must not abort those who watch.
    if expire_ms != old.expire_ms() {
        let head = Head { expire_ms, revision: on.revision, ..*old.head() };
        on.write(&place, Some(old.brief()), old.with_head(head))?;
    }
    Ok(Reply::Bulk(old.value()))
}

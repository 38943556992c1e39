//! Which keys there are: DEL, UNLINK, EXISTS, TOUCH, TYPE, KEYS.

use std::ops::ControlFlow;

use quorate_api::{Args, Reply};
use quorate_engine::EngineError;

use crate::applying::Applying;
use crate::glob;
use crate::hint;
use crate::reading::Reading;
use crate::record::Record;
use crate::space;
use crate::stop::Outcome;

/// DEL key [key ...], UNLINK key [key ...].
pub(crate) fn delete(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let mut deleted = 0;
    for (nth, key) in args.iter_from(1).enumerate() {
        if hint::is_worth_it(nth, args) {
            on.store.expect(on.db, args.iter_from(1 + nth));
        }
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
    for (nth, key) in args.iter_from(1).enumerate() {
        on.expect(nth, args);
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
            if (all || glob::matches(pattern, key)) && on.visible(&Record::decode(value.lend())?) {
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

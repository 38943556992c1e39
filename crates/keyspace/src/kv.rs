//! The commands of Quorate's own front-ends: values with their revisions, for ETags and WATCH.

use quorate_api::{Args, Reply};
use quorate_engine::EngineError;

use crate::applying::Applying;
use crate::expiry::invalid;
use crate::number;
use crate::reading::Reading;
use crate::record::{Brief, Record};
use crate::stop::{Outcome, Stop};
use crate::store::Place;

/// What must hold for a KV.PUT or KV.DELETE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// Nothing.
    None,
    /// `*`: the key must be absent (`If-None-Match: *`).
    Absent,
    /// `+`: the key must be there (`If-Match: *`).
    Present,
    /// The key must be there with this revision (`If-Match: "..."`).
    Revision(u64),
}

impl Condition {
    fn parse(text: &[u8]) -> Result<Self, Stop> {
        match text {
            b"" => Ok(Self::None),
            b"*" => Ok(Self::Absent),
            b"+" => Ok(Self::Present),
            text => {
                let revision = number::parse_u64(text).map(Self::Revision);
                revision.ok_or_else(|| Reply::err("invalid condition").into())
            }
        }
    }

    fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::None => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Revision(revision) => found == Some(revision),
        }
    }
}

/// What is at `place`, and its revision where `condition` may want it (else 0).
fn find(
    on: &mut Applying<'_>,
    place: &Place<'_>,
    condition: Condition,
) -> Result<Option<(Brief, u64)>, EngineError> {
    if condition == Condition::None {
        return Ok(on.find_brief(place)?.map(|old| (old, 0)));
    }
    on.find_revision(place)
}

/// A revision (or a time) as a number of the protocol; both stay below 2^63.
fn int(number: u64) -> Reply {
    Reply::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Whether it was done, and the key's revision: the new one, or the current one (0: absent).
fn done(done: bool, revision: u64) -> Reply {
    Reply::Array(vec![Reply::Int(i64::from(done)), int(revision)])
}

/// KV.GET key: value, revision, and expiry in Unix milliseconds or nil.
pub(crate) fn get(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let Some(record) = on.find_string(args.at(1))? else { return Ok(Reply::Nil) };
    let expire_ms = record.expire_ms().map_or(Reply::Nil, int);
    Ok(Reply::Array(vec![record.reply(on.copies), int(record.revision()), expire_ms]))
}

/// KV.PUT key value condition ttl-ms.
pub(crate) fn put(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let condition = Condition::parse(args.at(3))?;
    let ttl_ms = number::parse_u64(args.at(4)).ok_or_else(|| invalid(on.name))?;
    let expire_ms = match ttl_ms {
        0 => None,
        ttl_ms => {
            let moment = on.now_ms.checked_add(ttl_ms);
            let moment = moment.filter(|moment| i64::try_from(*moment).is_ok());
            Some(moment.ok_or_else(|| invalid(on.name))?)
        }
    };
    Applying::check_length(args.at(2).len())?;
    let place = on.place(args.at(1));
    let found = find(on, &place, condition)?;
    let revision = found.map(|(_, revision)| revision);
    if !condition.holds(revision) {
        return Ok(done(false, revision.unwrap_or(0)));
    }
    let old = found.map(|(old, _)| old);
    on.write_string(&place, old.as_ref(), expire_ms, args.at(2))?;
    Ok(done(true, on.revision))
}

/// KV.DELETE key condition: 1 and this command's revision, or 0 and the current one where the
/// condition failed (0: there is no such key).
pub(crate) fn delete(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let condition = Condition::parse(args.at(2))?;
    let place = on.place(args.at(1));
    let Some((old, revision)) = find(on, &place, condition)? else { return Ok(done(false, 0)) };
    if !condition.holds(Some(revision)) {
        return Ok(done(false, revision));
    }
    on.remove(&place, &old)?;
    Ok(done(true, on.revision))
}

/// REVISIONS key [key ...]: each key's revision or 0, and last the revision of the state read.
pub(crate) fn revisions(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let mut replies = Vec::with_capacity(args.len());
    for key in args.iter_from(1) {
        replies.push(int(on.peek(key)?.as_ref().map_or(0, Record::revision)));
    }
    replies.push(int(on.seen));
    Ok(Reply::Array(replies))
}

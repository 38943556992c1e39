//! SCAN: a stateless walk over the slot index.
//!
//! A cursor is the position at which to go on (see [`crate::slot::position`]), which depends on keys
//! alone: it is valid on any node, after any change and after a failover. A key that is there from the
//! first call to the last is returned: keys do not move, and all keys of one position are returned
//! together. One that comes or goes meanwhile may be returned or not, and none is returned twice.

use std::ops::ControlFlow;

use quorate_api::{Args, Reply};
use quorate_engine::EngineError;

use crate::reading::Reading;
use crate::stop::{Outcome, Stop};
use crate::types::Kind;
use crate::{glob, number, space};

/// How many index entries a call looks at unless COUNT says otherwise (as Redis).
const COUNT_DEFAULT: usize = 10;

/// The options of SCAN.
struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    kind: Option<Wanted>,
}

/// The argument of TYPE.
#[derive(Clone, Copy)]
enum Wanted {
    Kind(Kind),
    /// A type that doesn't exist: no key has it.
    Unknown,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Self, Stop> {
        let mut options = Self { count: COUNT_DEFAULT, pattern: None, kind: None };
        let mut rest = args.iter_from(2);
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or_else(Reply::syntax)?;
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("COUNT") {
                let count = number::parse_or_error(value)?;
                if count < 1 {
                    return Err(Reply::syntax().into());
                }
                options.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if is("MATCH") {
                options.pattern = (value != b"*").then_some(value);
            } else if is("TYPE") {
                let kind = Kind::from_name(value);
                options.kind = Some(kind.map_or(Wanted::Unknown, Wanted::Kind));
            } else {
                return Err(Reply::syntax().into());
            }
        }
        Ok(options)
    }

    /// True when `key` passes.
    fn admits(&self, on: &Reading<'_>, key: &[u8]) -> Result<bool, EngineError> {
        if self.pattern.is_some_and(|pattern| !glob::matches(pattern, key)) {
            return Ok(false);
        }
        // Without expiries and types in question the index alone knows the answer.
        if self.kind.is_none() && on.row().expiring == 0 {
            return Ok(true);
        }
        let Some(record) = on.peek(key)? else { return Ok(false) };
        Ok(match self.kind {
            None => true,
            Some(Wanted::Kind(kind)) => record.kind() == kind,
            Some(Wanted::Unknown) => false,
        })
    }
}

/// A cursor as Redis reads it (`strtoul`): nothing is 0, a sign may stand in front, and a negative number counts
/// down from the end of all positions.
fn cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type].
pub(crate) fn scan(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let cursor = cursor(args.at(1)).ok_or_else(|| Reply::err("invalid cursor"))?;
    let options = Options::parse(args)?;
    let (keys, next) = page(on, cursor, options.count)?;
    let mut found = Vec::new();
    for key in keys {
        if options.admits(on, &key)? {
            found.push(Reply::Bulk(key.into()));
        }
    }
    let next = Reply::Bulk(next.to_string().into());
    Ok(Reply::Array(vec![next, Reply::Array(found)]))
}

/// At least `count` keys from the position `from` on, whole positions only, and the cursor behind
/// them; 0 when these were the last.
fn page(on: &Reading<'_>, from: u64, count: usize) -> Result<(Vec<Vec<u8>>, u64), EngineError> {
    let physical = on.row().physical;
    let start = space::slot(physical, from, b"");
    let end = space::slot_prefix(physical).end();
    let (mut keys, mut last, mut next) = (Vec::new(), from, 0);
    let mut failed = None;
    on.reader.visit(start.as_slice(), &end, &mut |index, _| {
        let (position, key) = match space::parts_of_slot(index) {
            Ok(parts) => parts,
            Err(error) => {
                failed = Some(error);
                return ControlFlow::Break(());
            }
        };
        if keys.len() >= count && position != last {
            next = last + 1;
            return ControlFlow::Break(());
        }
        last = position;
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok((keys, next)), Err)
}

//! Commands on a part of a string: APPEND, SETRANGE, GETRANGE, SUBSTR.

use quorate_api::{Args, Reply};

use crate::applying::Applying;
use crate::number;
use crate::reading::Reading;
use crate::record::{Encoding, Record};
use crate::stop::Outcome;

/// The reply that tells a string's new length.
fn length(bytes: usize) -> Reply {
    Reply::Int(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// APPEND key value.
pub(crate) fn append(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let place = on.place(args.at(1));
    let old = on.find_string(&place)?;
    let (before, added) = (old.as_ref().map_or(b"".as_slice(), Record::payload), args.at(2));
    let total = before.len() + added.len();
    Applying::check_length(total)?;
    let encoding = if old.is_some() { Encoding::Raw } else { Encoding::Auto };
    let head = on.string_head(encoding, old.as_ref().and_then(Record::expire_ms));
    let new = Record::build(head, total, |bytes| {
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(added);
    });
    on.write(&place, old.as_ref().map(Record::brief), new)?;
    Ok(length(total))
}

/// SETRANGE key offset value.
pub(crate) fn setrange(on: &mut Applying<'_>, args: Args<'_>) -> Outcome {
    let offset = number::parse_or_error(args.at(2))?;
    let Ok(offset) = usize::try_from(offset) else {
        return Ok(Reply::err("offset is out of range"));
    };
    let place = on.place(args.at(1));
    let old = on.find_string(&place)?;
    let (before, value) = (old.as_ref().map_or(b"".as_slice(), Record::payload), args.at(3));
    if value.is_empty() {
        return Ok(length(before.len()));
    }
    let end = offset.saturating_add(value.len());
    Applying::check_length(end)?;
    let total = end.max(before.len());
    let head = on.string_head(Encoding::Raw, old.as_ref().and_then(Record::expire_ms));
    let new = Record::build(head, total, |bytes| {
        let start = bytes.len();
        bytes.extend_from_slice(before.get(..offset).unwrap_or(before));
        bytes.resize(start + offset, 0);
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(before.get(end..).unwrap_or_default());
    });
    on.write(&place, old.as_ref().map(Record::brief), new)?;
    Ok(length(total))
}

/// GETRANGE key start end, and its old name SUBSTR: both ends count, negative ones from the end.
pub(crate) fn getrange(on: &Reading<'_>, args: Args<'_>) -> Outcome {
    let (start, end) = (number::parse_or_error(args.at(2))?, number::parse_or_error(args.at(3))?);
    let Some(record) = on.find_string(args.at(1))? else { return Ok(Reply::bulk(b"")) };
    let value = record.value();
    let range = clamp(start, end, value.len());
    Ok(Reply::Bulk(value.slice(range)))
}

/// The bytes from `start` to `end`, both included, of a string of `len` bytes.
fn clamp(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let from_front = |at: i64| {
        let at = if at < 0 { at.saturating_add_unsigned(len as u64) } else { at };
        usize::try_from(at.max(0)).unwrap_or(usize::MAX)
    };
    let (start, end) = (from_front(start), from_front(end).saturating_add(1).min(len));
    if start < end { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_clamped_to_the_string() {
        let cases = [
            (0, 3, 0..4),
            (0, -1, 0..10),
            (-3, -1, 7..10),
            (5, 100, 5..10),
            (10, 20, 0..0),
            (3, 2, 0..0),
            (-1, -3, 0..0),
            (-100, 2, 0..3),
            (-100, -100, 0..1),
            (0, i64::MAX, 0..10),
            (i64::MIN, i64::MAX, 0..10),
        ];
        for (start, end, range) in cases {
            assert_eq!(clamp(start, end, 10), range, "{start} {end}");
        }
        assert_eq!(clamp(0, -1, 0), 0..0);
    }
}

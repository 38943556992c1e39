//! Hints: which records are asked for next, so that an engine can fetch what it needs for them side by side.

use quorate_api::Args;
use quorate_engine::Reader;

use crate::keyspace::EXPECTED_MAX;
use crate::space::KeyBuf;

/// True where a command that has come to its `nth` key does well to say which ones come next. Whoever has it
/// executed has done so for the first ones.
pub(crate) fn is_worth_it(nth: usize, args: Args<'_>) -> bool {
    nth.is_multiple_of(EXPECTED_MAX) && args.len() > EXPECTED_MAX + 1
}

/// Says that these records come next, as many of them as are worth it.
pub(crate) fn give(reader: &dyn Reader, mut records: impl Iterator<Item = KeyBuf>) {
    let records: [_; EXPECTED_MAX] = std::array::from_fn(|_| records.next());
    let mut keys: [&[u8]; EXPECTED_MAX] = [&[]; EXPECTED_MAX];
    let mut count = 0;
    for (key, record) in keys.iter_mut().zip(records.iter().flatten()) {
        *key = record.as_slice();
        count += 1;
    }
    reader.expect(keys.get(..count).unwrap_or_default());
}

//! The command table: one row per command feeds decoding, arity, flags, key positions, routing,
//! COMMAND, COMMAND DOCS and `docs/commands.md`.
//!
//! The rows stand in one file per family; [`lookup`] finds a row by name, [`by_id`] by the number that
//! stands in the log.

mod connection;
mod generic;
mod id;
mod internal;
mod server;
mod spec;
mod string;
mod transaction;

pub use id::CommandId;
pub use spec::{Family, Flags, Keys, Spec, arity_fits};

/// The families in the order of the documentation.
const FAMILIES: [&[Spec]; 6] = [
    string::COMMANDS,
    generic::COMMANDS,
    transaction::COMMANDS,
    connection::COMMANDS,
    server::COMMANDS,
    internal::COMMANDS,
];

/// Every command a client may send, in the order of the documentation; internal ones are left out.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    FAMILIES.into_iter().flatten().filter(|spec| !spec.flags.has(Flags::INTERNAL))
}

/// Buckets of the name index: a power of two well above the number of commands.
const BUCKETS: usize = 512;
/// The longest name of any row.
const NAME_BYTES_MAX: usize = 24;

/// Name and id indexes, built by the compiler. An entry is (family + 1, row), 0 means empty.
const BY_NAME: [(u8, u8); BUCKETS] = index_by_name();
const BY_ID: [(u8, u8); id::COUNT] = index_by_id();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses a bad index")]
#[expect(clippy::cast_possible_truncation, reason = "families and rows are few; asserted")]
const fn index_by_name() -> [(u8, u8); BUCKETS] {
    let mut index = [(0, 0); BUCKETS];
    let mut family = 0;
    while family < FAMILIES.len() {
        let rows = FAMILIES[family];
        assert!(rows.len() < 256);
        let mut row = 0;
        while row < rows.len() {
            let name = rows[row].name.as_bytes();
            assert!(name.len() <= NAME_BYTES_MAX);
            let mut bucket = hash(name) % BUCKETS;
            while index[bucket].0 != 0 {
                bucket = (bucket + 1) % BUCKETS;
            }
            index[bucket] = (family as u8 + 1, row as u8);
            row += 1;
        }
        family += 1;
    }
    index
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses a bad index")]
#[expect(clippy::cast_possible_truncation, reason = "families and rows are few; asserted above")]
const fn index_by_id() -> [(u8, u8); id::COUNT] {
    let mut index = [(0, 0); id::COUNT];
    let mut family = 0;
    while family < FAMILIES.len() {
        let rows = FAMILIES[family];
        let mut row = 0;
        while row < rows.len() {
            let id = rows[row].id as usize;
            assert!(index[id].0 == 0, "two rows have the same id");
            index[id] = (family as u8 + 1, row as u8);
            row += 1;
        }
        family += 1;
    }
    index
}

/// FNV-1a over the upper-cased name.
#[expect(clippy::indexing_slicing, reason = "bounded by the loop; const fn has no iterators")]
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at].to_ascii_uppercase() as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ (hash >> 15)) as usize
}

fn row((family, row): (u8, u8)) -> Option<&'static Spec> {
    FAMILIES.get(usize::from(family).checked_sub(1)?)?.get(usize::from(row))
}

/// The row of `name`, in any case; `None` when no command has that name.
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut bucket = hash(name) % BUCKETS;
    loop {
        let spec = row(*BY_NAME.get(bucket)?)?;
        if spec.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(spec);
        }
        bucket = (bucket + 1) % BUCKETS;
    }
}

/// The row with this number in the log; `None` for a number this version does not know.
pub fn by_id(number: u16) -> Option<&'static Spec> {
    row(*BY_ID.get(usize::from(number))?)
}

/// The row of `id`.
///
/// # Panics
/// Never: a test checks that every id has a row.
pub fn spec(id: CommandId) -> &'static Spec {
    by_id(id as u16).expect("every id has a row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_name_in_any_case_and_by_id() {
        for spec in FAMILIES.into_iter().flatten() {
            for name in [spec.name.to_owned(), spec.name.to_lowercase()] {
                assert_eq!(lookup(name.as_bytes()).map(|found| found.id), Some(spec.id), "{name}");
            }
            assert_eq!(by_id(spec.id as u16).map(|found| found.name), Some(spec.name));
        }
    }

    #[test]
    fn an_unknown_name_or_number_is_not_found() {
        assert!(lookup(b"NOSUCH").is_none());
        assert!(lookup(b"").is_none());
        assert!(lookup(&[b'A'; 4096]).is_none());
        assert!(by_id(u16::MAX).is_none());
        assert!(by_id(0).is_none());
    }

    #[test]
    fn what_a_command_does_with_its_keys_is_said_of_all_at_once_or_of_each() {
        for spec in FAMILIES.into_iter().flatten() {
            let keys = spec.key_positions(usize::try_from(spec.arity.abs()).unwrap()).count();
            assert_eq!(spec.uses.is_empty(), spec.keys.first == 0 || spec.id == CommandId::Object);
            assert!(spec.uses.len() < 2 || spec.uses.len() == keys, "{}", spec.name);
            for word in spec.uses.iter().map(|uses| uses.split(' ').next().unwrap()) {
                let known: &[&str] =
                    if spec.is_write() { &["RW", "OW", "RM", "RO"] } else { &["RO"] };
                assert!(known.contains(&word), "{}: {word}", spec.name);
            }
        }
    }

    #[test]
    fn a_data_command_is_either_a_read_or_a_write() {
        for spec in FAMILIES.into_iter().flatten() {
            let kinds = u8::from(spec.is_read()) + u8::from(spec.is_write());
            let local =
                matches!(spec.family, Family::Connection | Family::Server | Family::Transaction);
            assert_eq!(
                kinds,
                u8::from(!local || spec.flags.has(Flags::WRITE | Flags::READ)),
                "{}",
                spec.name
            );
        }
    }
}

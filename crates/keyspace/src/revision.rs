//! When in the order of all writes: an entry's index and a command's position in it, as one number.
//!
//! A revision is global and never a counter per key: a key that is deleted and created again never
//! shows a revision it had before, so an ETag or a watch cannot take the new key for the old one.

use quorate_api::limits::ENTRY_COMMANDS_MAX;

/// Bits of the position below the index.
const POSITION_BITS: u32 = 20;
/// The highest position within an entry.
const POSITION_MAX: u64 = (1 << POSITION_BITS) - 1;

const _: () = assert!(ENTRY_COMMANDS_MAX == 1 << POSITION_BITS);

/// The entry that is being applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Its index in the log.
    pub index: u64,
    /// The time that the leader stamped on it, Unix milliseconds.
    pub stamp_ms: u64,
    /// All the chance there is: commands that need a random number derive it from here.
    pub seed: u64,
}

/// The revision of the command at `position` of the entry `index`.
///
/// # Panics
/// When the position does not fit beside the index: the node admits no such entry.
pub(crate) fn revision(index: u64, position: u64) -> u64 {
    assert!(position <= POSITION_MAX, "an entry has at most {ENTRY_COMMANDS_MAX} commands");
    assert!(index < 1 << (63 - POSITION_BITS), "an index fits beside the position");
    (index << POSITION_BITS) | position
}

/// The revision of the whole state after the entry `index`: not below any revision in it.
pub(crate) fn revision_after(index: u64) -> u64 {
    revision(index, POSITION_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_order_by_index_and_then_by_position() {
        assert_eq!(revision(1, 0), 1 << 20);
        assert!(revision(1, 5) < revision(1, 6));
        assert!(revision(1, 5) < revision_after(1));
        assert!(revision_after(1) < revision(2, 0));
    }

    #[test]
    #[should_panic(expected = "an entry has at most")]
    fn a_position_beyond_the_entrys_limit_is_a_defect() {
        revision(1, 1 << 20);
    }
}

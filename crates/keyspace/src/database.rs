//! The 16 logical databases and the physical ones behind them.
//!
//! Records name a *physical* database. FLUSHDB gives the logical one a new physical id and leaves the
//! old records to housekeeping; SWAPDB exchanges two rows: both are O(1).

use quorate_api::limits::DATABASES;

use crate::codec::Decoder;

/// [`DATABASES`], as a length.
const ROWS: usize = DATABASES as usize;

/// One row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Database {
    /// Where its records are.
    pub(crate) physical: u32,
    /// How many keys it has, expired ones included until they are removed.
    pub(crate) keys: u64,
    /// How many of them have an expiry.
    pub(crate) expiring: u64,
    /// The revision at which it last changed as a whole (FLUSHDB, FLUSHALL, SWAPDB) while it had
    /// keys. It stays with the logical number, because that is what a watch names.
    pub(crate) changed: u64,
}

/// All rows, and the next physical id to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Databases {
    rows: [Database; ROWS],
    next_physical: u32,
}

impl Default for Databases {
    fn default() -> Self {
        let mut databases = Self { rows: [Database::default(); ROWS], next_physical: 0 };
        for row in &mut databases.rows {
            row.physical = databases.next_physical;
            databases.next_physical += 1;
        }
        databases
    }
}

impl Databases {
    /// The row of `db`.
    ///
    /// # Panics
    /// When there is no such database: every door checks.
    pub(crate) fn row(&self, db: u8) -> &Database {
        self.rows.get(usize::from(db)).expect("the database's number was checked at the door")
    }

    /// As [`Databases::row`].
    pub(crate) fn row_mut(&mut self, db: u8) -> &mut Database {
        self.rows.get_mut(usize::from(db)).expect("the database's number was checked at the door")
    }

    /// All rows with their numbers.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u8, &Database)> {
        (0..DATABASES).zip(&self.rows)
    }

    /// The logical database that `physical` belongs to; `None` for one that was flushed.
    pub(crate) fn logical(&self, physical: u32) -> Option<u8> {
        self.rows().find(|(_, row)| row.physical == physical).map(|(db, _)| db)
    }

    /// Exchanges the contents of two databases.
    pub(crate) fn swap(&mut self, first: u8, second: u8, revision: u64) {
        let (mut one, mut two) = (*self.row(first), *self.row(second));
        // Swapping two empty databases changes nothing that anyone could see.
        if one.keys == 0 && two.keys == 0 {
            return;
        }
        one.changed = revision;
        two.changed = revision;
        *self.row_mut(first) = two;
        *self.row_mut(second) = one;
    }

    /// Gives `db` a new, empty physical database and returns the old one's id. Ids are not reused:
    /// after 2^32 flushes they start again, and then `taken` says which still has records.
    pub(crate) fn replace<E>(
        &mut self,
        db: u8,
        revision: u64,
        mut taken: impl FnMut(u32) -> Result<bool, E>,
    ) -> Result<u32, E> {
        let physical = loop {
            let candidate = self.next_physical;
            self.next_physical = candidate.wrapping_add(1);
            if self.logical(candidate).is_none() && !taken(candidate)? {
                break candidate;
            }
        };
        let fresh = Database { physical, keys: 0, expiring: 0, changed: revision };
        Ok(std::mem::replace(self.row_mut(db), fresh).physical)
    }

    /// The bytes of the system record: next id, then the rows.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + ROWS * 28);
        bytes.extend_from_slice(&self.next_physical.to_be_bytes());
        for row in &self.rows {
            bytes.extend_from_slice(&row.physical.to_be_bytes());
            bytes.extend_from_slice(&row.keys.to_be_bytes());
            bytes.extend_from_slice(&row.expiring.to_be_bytes());
            bytes.extend_from_slice(&row.changed.to_be_bytes());
        }
        bytes
    }

    /// The reverse of [`Databases::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let next_physical = decoder.u32()?;
        let mut rows = [Database::default(); ROWS];
        for row in &mut rows {
            *row = Database {
                physical: decoder.u32()?,
                keys: decoder.u64()?,
                expiring: decoder.u64()?,
                changed: decoder.u64()?,
            };
        }
        decoder.is_empty().then_some(Self { rows, next_physical })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_its_documented_bytes() {
        let mut databases = Databases::default();
        *databases.row_mut(0) = Database { physical: 0x11, keys: 2, expiring: 1, changed: 9 };
        let bytes = databases.encode();
        assert_eq!(bytes.len(), 452);
        let head = b"\0\0\0\x10\0\0\0\x11\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x09";
        assert_eq!(&bytes[..32], head);
        assert_eq!(Databases::decode(&bytes), Some(databases));
        assert_eq!(Databases::decode(&bytes[1..]), None);
    }

    #[test]
    fn swapping_exchanges_contents_but_not_the_marks() {
        let mut databases = Databases::default();
        databases.row_mut(0).keys = 5;
        databases.swap(0, 1, 77);
        assert_eq!(*databases.row(1), Database { physical: 0, keys: 5, expiring: 0, changed: 77 });
        assert_eq!(*databases.row(0), Database { physical: 1, keys: 0, expiring: 0, changed: 77 });
        assert_eq!(databases.logical(0), Some(1));
    }

    #[test]
    fn swapping_empty_databases_is_not_a_change() {
        let mut databases = Databases::default();
        databases.swap(2, 3, 77);
        assert_eq!(databases, Databases::default());
    }

    #[test]
    fn a_physical_id_is_not_given_out_while_anything_of_it_is_left() {
        let mut databases = Databases { next_physical: u32::MAX, ..Databases::default() };
        let taken = |physical| Ok::<_, ()>(physical == 16);
        assert_eq!(databases.replace(3, 1, taken), Ok(3));
        assert_eq!(databases.row(3).physical, u32::MAX);
        assert_eq!(databases.replace(3, 2, taken), Ok(u32::MAX));
        assert_eq!(databases.row(3).physical, 3);
        assert_eq!(databases.replace(4, 2, taken), Ok(4));
        assert_eq!(databases.row(4).physical, 17);
    }
}

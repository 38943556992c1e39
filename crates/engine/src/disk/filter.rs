//! The filter of a table: which keys it certainly does not have.
//!
//! A new key's lookup asks the filters of all runs of the first level, some dozens, and nearly all of them say no. The
//! tree's own way to its filter reads the header again each time, and takes the steps of one lookup one behind the
//! other: an eighth of a load. Here the header is read once, and a caller asks many filters for two bits each, with
//! nothing to wait for or to guess in between ([`Filter::is_likely`]), before it asks the few that are left for all bits.

use std::path::Path;

use lsm_tree::table::Block;
use lsm_tree::{CompressionType, Table, UserValue};

/// The head of the tree's format: a magic number, the kind of the filter and that of its hash (0, 0: a Bloom filter over
/// XXH3); then how many bits it has, and how many of them each key sets.
const HEAD: [u8; 6] = [b'L', b'S', b'M', 3, 0, 0];

/// See the file's head.
#[derive(Clone)]
pub(super) struct Filter {
    block: UserValue,
    bits: u64,
    /// 2^128 divided by [`Self::bits`], rounded up.
    inverse: u128,
    hashes: u64,
}

/// Where the bits of the filter begin.
const BITS_AT: usize = HEAD.len() + 16;

fn read_block(path: &Path, table: &Table) -> lsm_tree::Result<Option<Block>> {
    let Some(place) = table.regions.filter else { return Ok(None) };
    #[expect(clippy::disallowed_methods, reason = "the engine's own directory")]
    let file = std::fs::File::open(path)?;
    Block::from_file(&file, place, CompressionType::None).map(Some)
}

impl Filter {
    /// That of `table`; `None` where it has none in this form, or it can't be read now: the table says so when it is
    /// asked.
    pub(super) fn of(table: &Table) -> Option<Self> {
        let block = read_block(&table.path, table).ok()??.data;
        Self::decode(block)
    }

    /// How much of `table` that is.
    pub(super) fn bytes_of(table: &Table) -> u64 {
        table.regions.filter.map_or(0, |place| u64::from(place.size()))
    }

    fn decode(block: UserValue) -> Option<Self> {
        let numbers = block.strip_prefix(&HEAD[..])?;
        let (bits, numbers) = numbers.split_first_chunk()?;
        let (hashes, map) = numbers.split_first_chunk()?;
        let (bits, hashes) = (u64::from_le_bytes(*bits), u64::from_le_bytes(*hashes));
        let has_room = bits > 1 && bits.div_ceil(8) <= map.len() as u64;
        if !has_room || bits > u64::from(u32::MAX) || hashes < 2 {
            return None;
        }
        let inverse = u128::MAX / u128::from(bits) + 1;
        Some(Self { block, bits, inverse, hashes })
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.block.len() as u64
    }

    /// `hash` modulo [`Self::bits`], for which a division takes three quarters of a lookup (Lemire et al., "Faster
    /// Remainder by Direct Computation", 2019; exact, for the divisor is below 2^32 and the other number below 2^64).
    fn place(&self, hash: u64) -> u64 {
        let fraction = self.inverse.wrapping_mul(u128::from(hash));
        let (high, low) = (fraction >> 64, fraction & u128::from(u64::MAX));
        let bits = u128::from(self.bits);
        let place = (high * bits + ((low * bits) >> 64)) >> 64;
        u64::try_from(place).unwrap_or(0)
    }

    fn has_bit(&self, hash: u64) -> bool {
        let at = self.place(hash);
        let byte = usize::try_from(at / 8).ok().and_then(|at| self.block.get(BITS_AT + at));
        // What is not there says nothing.
        byte.is_none_or(|byte| byte & (0x80 >> (at % 8)) != 0)
    }

    /// False: the key of this hash is not there. Looks at two bits.
    pub(super) fn is_likely(&self, hash: u64) -> bool {
        self.has_bit(hash) & self.has_bit(hash.wrapping_add(second(hash)))
    }

    /// False: the key of this hash is not there.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let (mut first, mut step) = (hash, second(hash));
        (1..=self.hashes).all(|nth| {
            let there = self.has_bit(first);
            first = first.wrapping_add(step);
            step = step.wrapping_mul(nth);
            there
        })
    }
}

/// The tree's second hash, made of the first one.
fn second(hash: u64) -> u64 {
    (hash >> 32).wrapping_mul(0x517c_c1b7_2722_0a95)
}

#[cfg(test)]
mod tests {
    use lsm_tree::config::BloomConstructionPolicy;
    use lsm_tree::table::filter::standard_bloom::{Builder, StandardBloomFilterReader};

    use super::*;

    #[test]
    fn it_says_what_the_trees_own_says() {
        for keys in [1_u16, 2, 7, 1000, 30_000] {
            let hash = |key: u64| Builder::get_hash(&key.to_be_bytes());
            let mut builder = BloomConstructionPolicy::BitsPerKey(10.0).init(usize::from(keys));
            let keys = u64::from(keys);
            (0..keys).for_each(|key| builder.set_with_hash(hash(key)));
            let bytes = builder.build();
            let tree = StandardBloomFilterReader::new(&bytes).unwrap();
            let ours = Filter::decode(UserValue::from(&bytes)).unwrap();
            let mut likely = 0;
            for key in 0..2 * keys + 10_000 {
                let there = tree.contains_hash(hash(key));
                assert!(there || key >= keys);
                assert_eq!(ours.may_have(hash(key)), there, "{key} of {keys}");
                assert!(!there || ours.is_likely(hash(key)), "{key} of {keys}");
                likely += u64::from(ours.is_likely(hash(key)));
            }
            assert!(likely < keys + 10_000, "it says nothing: {likely} of {}", 2 * keys + 10_000);
        }
    }

    #[test]
    fn another_format_is_none() {
        let mut builder = BloomConstructionPolicy::BitsPerKey(10.0).init(100);
        builder.set_with_hash(7);
        let bytes = builder.build();
        assert!(Filter::decode(UserValue::from(&bytes)).is_some());
        for at in 0..6 {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(Filter::decode(UserValue::from(&other)).is_none(), "byte {at}");
        }
        assert!(Filter::decode(UserValue::from(&bytes[..bytes.len() - 1])).is_none());
        assert!(Filter::decode(UserValue::from(&bytes[..10])).is_none());
    }
}

//! Hash slots as Redis Cluster has them, and a key's place in the order of SCAN.

use xxhash_rust::xxh3::xxh3_64;

/// Hash slots.
pub const SLOTS: u16 = 16_384;

/// Bits of a position below the slot.
pub(crate) const HASH_BITS: u32 = 48;

/// CRC16-CCITT (XModem), the polynomial 0x1021 that Redis Cluster uses.
const CRC16: [u16; 256] = crc16_table();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses a bad index")]
#[expect(clippy::cast_possible_truncation, reason = "at most 255")]
const fn crc16_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        let [high, _] = crc.to_be_bytes();
        let index = usize::from(high ^ byte);
        (crc << 8) ^ CRC16.get(index).copied().unwrap_or_default()
    })
}

/// The part of `key` that decides its slot: what stands between the first `{` and the first `}`
/// behind it, unless that is empty.
fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = (|| {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    })();
    tag.unwrap_or(key)
}

/// The hash slot of `key`, as Redis Cluster computes it.
pub fn slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

/// The place of `key` in the order of SCAN: `slot << 48 | low 48 bits of XXH3(key)`. It depends on
/// nothing but the key, which is why a cursor is valid on any node and after a failover.
pub(crate) fn position(key: &[u8]) -> u64 {
    let hash = xxh3_64(key) & ((1 << HASH_BITS) - 1);
    (u64::from(slot(key)) << HASH_BITS) | hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        let known: [(&[u8], u16); 8] = [
            (b"", 0),
            (b"123456789", 12_739),
            (b"foo", 12_182),
            (b"bar", 5_061),
            (b"{user1000}.following", 3_443),
            (b"foo{}{bar}", 8_363),
            (b"foo{{bar}}zap", 4_015),
            (b"foo{bar}{zap}", 5_061),
        ];
        for (key, expected) in known {
            assert_eq!(slot(key), expected, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn keys_of_one_hash_tag_share_a_slot_but_not_a_position() {
        assert_eq!(slot(b"{a}1"), slot(b"{a}2"));
        assert_ne!(position(b"{a}1"), position(b"{a}2"));
        let slots = [b"{a}1", b"{a}2"].map(|key| position(key) >> HASH_BITS);
        assert_eq!(slots, [u64::from(slot(b"a")); 2]);
    }

    #[test]
    fn a_position_leaves_room_for_the_cursor_behind_it() {
        assert!(position(b"x") < u64::from(SLOTS) << HASH_BITS);
        assert!((u64::from(SLOTS) << HASH_BITS) < i64::MAX.cast_unsigned());
    }
}

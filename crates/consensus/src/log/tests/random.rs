//! Any bytes, any edits: an error or the truth, never a panic.

use std::path::Path;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection::vec, test_runner::Config};

use super::model::{Oracle, content, submit};
use super::world::{DIR, World, entries, hard};
use crate::log::manifest::{MANIFEST, Manifest};
use crate::log::record::{HEADER_BYTES, Header, Kind, Place, Position};
use crate::log::segment::{SegmentName, read_header};
use crate::log::walk::Walk;
use crate::{GroupId, Index, Term};

fn place() -> impl Strategy<Value = Place> {
    (any::<u64>(), any::<u32>(), any::<u64>())
        .prop_map(|(segment, offset, salt)| Place { at: Position { segment, offset }, salt })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Entry),
        Just(Kind::HardState),
        Just(Kind::Purge),
        Just(Kind::Reset),
        Just(Kind::State),
        Just(Kind::End),
        Just(Kind::Settled)
    ]
}

fn header() -> impl Strategy<Value = Header> {
    (kind(), any::<u8>(), any::<[u64; 4]>(), any::<[u32; 2]>()).prop_map(
        |(kind, byte, long, short)| {
            let mut header = Header::new(kind, GroupId(long[0]), Index(long[1]), Term(long[2]));
            header.aux = long[3];
            header.entry_kind = byte;
            (header.data_bytes, header.data_crc) = (short[0], short[1]);
            header
        },
    )
}

fn filled() -> (World, Oracle) {
    let world = World::new();
    let mut oracle = Oracle::default();
    let (mut log, _) = world.open().unwrap();
    for index in 1..60 {
        assert!(submit(&mut log, &mut oracle, entries(index, index + 1, 1)));
        if index % 7 == 0 {
            assert!(submit(&mut log, &mut oracle, hard(index, 2, index - 1)));
        }
    }
    (world, oracle)
}

proptest! {
    #![proptest_config(Config { cases: 256, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_header_reads_back_in_its_place_and_nowhere_else(
        header in header(), here in place(), there in place(),
    ) {
        let bytes = header.encode(here);
        assert_eq!(Header::decode(&bytes, here), Some(header));
        assert_eq!(Header::decode(&bytes, there).is_some(), here == there);
    }

    #[test]
    fn a_header_with_a_flipped_bit_is_no_header(header in header(), here in place(), bit in 0_usize..512) {
        let mut bytes = header.encode(here);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::decode(&bytes, here), None);
    }

    #[test]
    fn any_bytes_are_no_records(bytes in vec(any::<u8>(), 0..3000), offset in 0_u32..4000) {
        let name = SegmentName { id: 1, salt: 2, bytes: 4096, end: None };
        let walk = Walk::new(&bytes, name.place(offset), None);
        assert!(walk.records.is_empty() && !walk.has_content());
        assert!(Header::decode(&bytes, name.start()).is_none());
    }

    #[test]
    fn any_header_with_a_valid_checksum_is_walked_without_panic(
        header in header(), bytes in vec(any::<u8>(), 0..200), end in any::<Option<u32>>(),
    ) {
        let name = SegmentName { id: 1, salt: 2, bytes: 4096, end: None };
        let mut file = header.encode(name.place(0)).to_vec();
        file.extend(bytes);
        let walk = Walk::new(&file, name.place(0), end);
        assert!(walk.stop as usize <= file.len());
        assert!(file.len() >= HEADER_BYTES as usize);
    }

    #[test]
    fn any_bytes_are_no_manifest(bytes in vec(any::<u8>(), 0..400)) {
        assert_eq!(Manifest::decode(Path::new("m"), &bytes).unwrap(), None);
        assert_eq!(read_header(Path::new("s"), &bytes).unwrap(), None);
    }

    #[test]
    fn any_edit_of_any_file_is_survived(
        edits in vec((any::<usize>(), any::<usize>(), vec(any::<u8>(), 1..700)), 1..4),
        cut in any::<Option<u16>>(),
    ) {
        let (world, oracle) = filled();
        let mut paths = world.segments();
        paths.push(Path::new(DIR).join(MANIFEST));
        for (file, at, bytes) in edits {
            let path = &paths[file % paths.len()];
            let mut content = world.disk.content(path);
            let at = at % content.len().min(4096);
            let end = content.len().min(at + bytes.len());
            content[at..end].copy_from_slice(&bytes[..end - at]);
            if let Some(cut) = cut {
                content.truncate(usize::from(cut));
            }
            world.disk.put(path, content);
        }
        match world.open() {
            Err(error) => assert!(error.is_damage(), "{error}"),
            Ok((log, recovered)) => {
                let found = content(&log, &recovered);
                // Several blocks of random bytes may well be taken for a torn write; never for data.
                oracle.check_doubt_or_prefix(&found);
            }
        }
    }
}

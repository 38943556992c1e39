//! The backup file.
//!
//! ```text
//! "QUORBKUP" | format u32 | header length u32 | header crc32c u32 | header
//! { length u32 | raw length u32 | crc32c u32 of the bytes, salted by the block's number | zstd frame } ...
//! 0 u32 | crc32c u32 of the trailer | blocks u64 | raw bytes u64 | xxh3-64 of all raw bytes u64
//! ```
//!
//! All numbers outside of the header little endian. The header is varints: kind, cluster, group, index, term,
//! stamp, base index, time of making. What the blocks hold, one behind the other, is the stream of
//! [`quorate_keyspace::snapshot`]. Nothing in the file depends on the node that made it but that time: behind the
//! header, two backups of one index are the same bytes. (Format 1 lacked the time.)
//!
//! Room is left: kind 1 is a whole state; kind 2 is kept for entries between a base index and the
//! index, with which backups become incremental and go to a point in time. A file is written from front to
//! back and never sought in, so it can go to a pipe or, in parts, to an object store.

use std::io::{self, Read};

use quorate_consensus::codec::{Reader, put_varint};
use quorate_consensus::peers::ClusterId;
use quorate_consensus::{Index, Term};
use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 8] = b"QUORBKUP";
const FORMAT: u32 = 2;
/// The first one, without the time of making.
const TIMELESS: u32 = 1;
const FULL: u64 = 1;
/// Bytes of a block before they are compressed; only the last one is smaller.
pub(super) const BLOCK_BYTES: usize = 1024 * 1024;
/// What zstd may make of them at worst, with room to spare: a longer block is damage.
const PACKED_BYTES_MAX: u32 = 2 * 1024 * 1024;
const HEADER_BYTES_MAX: usize = 64 * 1024;
const TRAILER_BYTES: usize = 24;
/// zstd's own default: a third of the data at 200 MB/s and more.
const LEVEL: i32 = 3;

/// What a backup says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The cluster of which it was made.
    pub cluster: ClusterId,
    /// Its group.
    pub group: u64,
    /// The last entry that is in it.
    pub index: Index,
    /// That one's term.
    pub term: Term,
    /// The leader's clock at the last entry that carried it, Unix milliseconds.
    pub stamp_ms: u64,
    /// When it was made by the clock of the node that made it, Unix milliseconds; 0 where that is not known.
    pub taken_ms: u64,
}

/// Why a file can't be used as a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It can't be read.
    #[error("can't read the backup: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no backup of Quorate")]
    Foreign,
    /// Made by a newer version, or of a kind that this one does not know.
    #[error("the backup has {0}, which this version does not know; use the version that made it")]
    Version(String),
    /// It is not as it was made.
    #[error("the backup is damaged: {0}; nothing of it can be trusted")]
    Damage(String),
    /// It ends before its end.
    #[error("the backup is not whole: it ends early")]
    Short,
}

fn damage(what: impl Into<String>) -> BackupError {
    BackupError::Damage(what.into())
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for number in [
            FULL,
            self.cluster.0,
            self.group,
            self.index.0,
            self.term.0,
            self.stamp_ms,
            // The base of an increment.
            0,
            self.taken_ms,
        ] {
            put_varint(&mut header, number);
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&length(&header).to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        out.extend_from_slice(&header);
        out
    }

    fn decode(format: u32, bytes: Vec<u8>) -> Result<Self, BackupError> {
        let mut reader = Reader::new(bytes.into());
        let malformed = |_| damage("the header is malformed");
        let kind = reader.varint().map_err(malformed)?;
        if kind != FULL {
            return Err(BackupError::Version(format!("kind {kind}")));
        }
        let mut number = || reader.varint().map_err(malformed);
        let mut header = Self {
            cluster: ClusterId(number()?),
            group: number()?,
            index: Index(number()?),
            term: Term(number()?),
            stamp_ms: number()?,
            taken_ms: 0,
        };
        if number()? != 0 {
            return Err(damage("a whole state has no base"));
        }
        if format != TIMELESS {
            header.taken_ms = number()?;
        }
        reader.end().map_err(malformed)?;
        Ok(header)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// A block that took another one's place is damage, too.
fn checksum(number: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), bytes)
}

/// Makes the file's bytes of the stream's.
pub(super) struct Packer {
    blocks: u64,
    raw_bytes: u64,
    hash: Xxh3,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Packer {
    /// A packer, and the file's beginning.
    pub(super) fn new(header: &Header) -> io::Result<(Self, Vec<u8>)> {
        let zstd = zstd::bulk::Compressor::new(LEVEL)?;
        Ok((Self { blocks: 0, raw_bytes: 0, hash: Xxh3::new(), zstd }, header.encode()))
    }

    /// The next block.
    pub(super) fn block(&mut self, raw: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        assert!(raw.len() <= BLOCK_BYTES && !raw.is_empty(), "a block of the right size");
        let packed = self.zstd.compress(raw)?;
        out.extend_from_slice(&length(&packed).to_le_bytes());
        out.extend_from_slice(&length(raw).to_le_bytes());
        out.extend_from_slice(&checksum(self.blocks, &packed).to_le_bytes());
        out.extend_from_slice(&packed);
        self.blocks += 1;
        self.raw_bytes += raw.len() as u64;
        self.hash.update(raw);
        Ok(())
    }

    /// The file's end.
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        for number in [self.blocks, self.raw_bytes, self.hash.digest()] {
            trailer.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&0_u32.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&trailer).to_le_bytes());
        out.extend_from_slice(&trailer);
    }
}

/// Reads a file from front to back, checking everything.
pub(super) struct Unpacker<'a> {
    input: &'a mut dyn Read,
    header: Header,
    blocks: u64,
    raw_bytes: u64,
    file_bytes: u64,
    hash: Xxh3,
    zstd: zstd::bulk::Decompressor<'static>,
}

impl<'a> Unpacker<'a> {
    /// Reads the header.
    pub(super) fn new(input: &'a mut dyn Read) -> Result<Self, BackupError> {
        let mut magic = Vec::new();
        input.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(BackupError::Foreign);
        }
        let header = Header {
            cluster: ClusterId(0),
            group: 0,
            index: Index(0),
            term: Term(0),
            stamp_ms: 0,
            taken_ms: 0,
        };
        let mut unpacker = Self {
            input,
            header,
            blocks: 0,
            raw_bytes: 0,
            file_bytes: MAGIC.len() as u64,
            hash: Xxh3::new(),
            zstd: zstd::bulk::Decompressor::new()?,
        };
        let format = unpacker.number()?;
        if !(TIMELESS..=FORMAT).contains(&format) {
            return Err(BackupError::Version(format!("format {format}")));
        }
        let (bytes, sum) = (unpacker.number()?, unpacker.number()?);
        if bytes as usize > HEADER_BYTES_MAX {
            return Err(damage("the header is too long"));
        }
        let bytes = unpacker.take(bytes as usize)?;
        if crc32c::crc32c(&bytes) != sum {
            return Err(damage("the header's checksum is wrong"));
        }
        unpacker.header = Header::decode(format, bytes)?;
        Ok(unpacker)
    }

    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// Bytes of the file read so far.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Bytes of the stream so far.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, BackupError> {
        let mut taken = vec![0; bytes];
        self.input.read_exact(&mut taken).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::Short,
            _ => error.into(),
        })?;
        self.file_bytes += bytes as u64;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, BackupError> {
        let bytes = self.take(4)?;
        let bytes = bytes.first_chunk().ok_or(BackupError::Short)?;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// The next block's part of the stream; `None` at the end of the file, which was right.
    pub(super) fn block(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        let packed_bytes = self.number()?;
        if packed_bytes == 0 {
            return self.end().map(|()| None);
        }
        let number = self.blocks;
        let wrong = |what: &str| damage(format!("block {number}: {what}"));
        let (raw_bytes, sum) = (self.number()?, self.number()?);
        if packed_bytes > PACKED_BYTES_MAX || raw_bytes as usize > BLOCK_BYTES {
            return Err(wrong("it can't be so long"));
        }
        let packed = self.take(packed_bytes as usize)?;
        if checksum(number, &packed) != sum {
            return Err(wrong("its checksum is wrong"));
        }
        let raw = self.zstd.decompress(&packed, raw_bytes as usize);
        let raw = raw.map_err(|_| wrong("it can't be decompressed"))?;
        if raw.len() != raw_bytes as usize {
            return Err(wrong("it has another length than it says"));
        }
        self.blocks += 1;
        self.raw_bytes += raw.len() as u64;
        self.hash.update(&raw);
        Ok(Some(raw))
    }

    fn end(&mut self) -> Result<(), BackupError> {
        let sum = self.number()?;
        let trailer = self.take(TRAILER_BYTES)?;
        if crc32c::crc32c(&trailer) != sum {
            return Err(damage("the end's checksum is wrong"));
        }
        let mut expected = Vec::with_capacity(TRAILER_BYTES);
        for number in [self.blocks, self.raw_bytes, self.hash.digest()] {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        if trailer != expected {
            return Err(damage("the end tells of another content"));
        }
        if self.input.read(&mut [0])? != 0 {
            return Err(damage("there are bytes behind its end"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            cluster: ClusterId(5),
            group: 1,
            index: Index(300),
            term: Term(2),
            stamp_ms: 9,
            taken_ms: 10,
        }
    }

    fn packed(blocks: &[&[u8]]) -> Vec<u8> {
        let (mut packer, mut file) = Packer::new(&header()).unwrap();
        blocks.iter().for_each(|raw| packer.block(raw, &mut file).unwrap());
        packer.end(&mut file);
        file
    }

    fn unpacked(file: &[u8]) -> Result<Vec<u8>, BackupError> {
        let mut input = file;
        let mut unpacker = Unpacker::new(&mut input)?;
        assert_eq!(unpacker.header(), header());
        let mut stream = Vec::new();
        while let Some(raw) = unpacker.block()? {
            stream.extend_from_slice(&raw);
        }
        Ok(stream)
    }

    #[test]
    fn the_bytes_of_a_backup_are_fixed() {
        let file = packed(&[b"stream"]);
        assert_eq!(&file[..12], b"QUORBKUP\x02\0\0\0");
        assert_eq!(file[12..16], [9, 0, 0, 0]);
        assert_eq!(file[20..29], [1, 5, 1, 0xac, 2, 2, 9, 0, 10]);
        assert_eq!(file[33..37], [6, 0, 0, 0]);
        // The zstd frame's own magic.
        assert_eq!(file[41..45], [0x28, 0xb5, 0x2f, 0xfd]);
        let end = &file[file.len() - 32..];
        assert_eq!(end[..4], [0; 4]);
        assert_eq!(end[8..24], [1, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_was_packed_comes_back() {
        let large = vec![7; BLOCK_BYTES];
        assert_eq!(unpacked(&packed(&[])).unwrap(), b"");
        assert_eq!(unpacked(&packed(&[b"a", &large, b"b"])).unwrap().len(), BLOCK_BYTES + 2);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let file = packed(&[b"one block", b"another block"]);
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unpacked(&damaged).is_err(), "bit {bit}");
        }
        for len in 0..file.len() {
            assert!(unpacked(&file[..len]).is_err(), "cut to {len}");
        }
        assert!(unpacked(&[file.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn a_backup_of_the_first_format_is_read_and_does_not_say_when_it_was_made() {
        let file = packed(&[b"stream"]);
        let mut old = file[..8].to_vec();
        old.extend_from_slice(&[1, 0, 0, 0, 8, 0, 0, 0]);
        old.extend_from_slice(&crc32c::crc32c(&file[20..28]).to_le_bytes());
        old.extend_from_slice(&file[20..28]);
        old.extend_from_slice(&file[29..]);
        let mut input = old.as_slice();
        let mut unpacker = Unpacker::new(&mut input).unwrap();
        assert_eq!(unpacker.header(), Header { taken_ms: 0, ..header() });
        assert_eq!(unpacker.block().unwrap().unwrap(), b"stream");
        assert_eq!(unpacker.block().unwrap(), None);
    }

    #[test]
    fn blocks_in_another_order_are_noticed() {
        let file = packed(&[b"first", b"other"]);
        let start = 29;
        let len = (file.len() - start - 32) / 2;
        let (first, rest) = file[start..].split_at(len);
        let (second, end) = rest.split_at(len);
        let swapped = [&file[..start], second, first, end].concat();
        assert!(matches!(unpacked(&swapped), Err(BackupError::Damage(_))));
    }

    #[test]
    fn other_versions_and_kinds_are_named() {
        let mut newer = packed(&[]);
        newer[8] = 3;
        assert!(unpacked(&newer).unwrap_err().to_string().contains("format 3"));
        let increment = Header::decode(FORMAT, vec![2, 5, 1, 9, 2, 9, 4, 8]).unwrap_err();
        assert!(increment.to_string().contains("kind 2"));
        assert!(matches!(unpacked(b"PK\x03\x04 something else"), Err(BackupError::Foreign)));
        assert!(matches!(unpacked(b""), Err(BackupError::Foreign)));
    }
}

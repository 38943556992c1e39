//! The stream's bytes: records into it, one by one, and out of it again.

use quorate_api::limits::{COMMAND_BYTES_MAX, KEY_BYTES_MAX};

use super::{END, MAGIC, RECORD, RestoreError};
use crate::codec::Decoder;
use crate::once::REPLY_BYTES_MAX;
use crate::space::{EXPIRY, SYSTEM};

/// The longest record key: a user key behind the longest prefix, with room for elements of it.
const RECORD_KEY_BYTES_MAX: usize = 2 * KEY_BYTES_MAX;
/// The longest record value: above that of any value or stored reply.
const RECORD_VALUE_BYTES_MAX: usize = COMMAND_BYTES_MAX;

const _: () = assert!(REPLY_BYTES_MAX + 64 < RECORD_VALUE_BYTES_MAX);

/// Bytes of a record's head: mark and two lengths.
pub(super) const HEAD_BYTES: usize = 9;

/// The head of a record.
pub(super) fn head(key: &[u8], value: &[u8]) -> [u8; HEAD_BYTES] {
    let length = |bytes: &[u8]| {
        u32::try_from(bytes.len()).expect("records are far below 4 GiB").to_be_bytes()
    };
    let ([a, b, c, d], [e, f, g, h]) = (length(key), length(value));
    [RECORD, a, b, c, d, e, f, g, h]
}

/// Makes a stream of records that are given in order.
#[derive(Debug, Default)]
pub struct StreamWriter {
    records: u64,
}

impl StreamWriter {
    /// Appends the beginning of a state at entry `applied` to `out`.
    pub fn begin(applied: u64, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&applied.to_be_bytes());
        Self::default()
    }

    /// Appends the next record.
    pub fn record(&mut self, key: &[u8], value: &[u8], out: &mut Vec<u8>) {
        self.records += 1;
        out.extend_from_slice(&head(key, value));
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }

    /// Appends the end.
    pub fn end(&self, out: &mut Vec<u8>) {
        out.push(END);
        out.extend_from_slice(&self.records.to_be_bytes());
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }
}

/// What comes next in the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expecting {
    #[default]
    Header,
    Record,
    Nothing,
}

/// A record of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamRecord<'a> {
    /// The entry of which the stream's state is.
    pub applied: u64,
    /// The record's key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// Receives the records of a stream.
pub type TakeRecord<'a> = &'a mut dyn FnMut(StreamRecord<'_>) -> Result<(), RestoreError>;

/// Reads a stream that comes in pieces of any size, and checks that it is one: its frame, its end, the
/// order of its records and their lengths. What they mean is not looked at.
#[derive(Debug, Default)]
pub struct StreamReader {
    expecting: Expecting,
    /// The start of what could not be decoded yet, for lack of its end.
    pending: Vec<u8>,
    applied: u64,
    records: u64,
    last_key: Vec<u8>,
}

impl StreamReader {
    /// The entry of which the state is; 0 until the stream has said so.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the next piece of the stream, and gives the records that are whole by then to `take`.
    ///
    /// # Errors
    /// The stream is malformed, or what `take` said: reading is over.
    pub fn feed(&mut self, piece: &[u8], take: TakeRecord<'_>) -> Result<(), RestoreError> {
        if self.pending.is_empty() {
            let taken = self.decode(piece, take)?;
            self.pending.extend_from_slice(piece.get(taken..).unwrap_or_default());
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(piece);
        let taken = self.decode(&pending, take)?;
        pending.drain(..taken);
        self.pending = pending;
        Ok(())
    }

    /// Takes as much of `bytes` as is whole; how much that was.
    fn decode(&mut self, bytes: &[u8], take: TakeRecord<'_>) -> Result<usize, RestoreError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut decoder = Decoder::new(rest);
            let taken = match self.expecting {
                Expecting::Header => self.take_header(&mut decoder)?,
                Expecting::Record => self.take_record(&mut decoder, take)?,
                Expecting::Nothing => return Err(RestoreError::Malformed("bytes behind its end")),
            };
            if taken.is_none() {
                break;
            }
            rest = decoder.rest();
        }
        Ok(bytes.len() - rest.len())
    }

    fn take_header(&mut self, decoder: &mut Decoder<'_>) -> Result<Option<()>, RestoreError> {
        let (Some(magic), Some(applied)) = (decoder.take(MAGIC.len()), decoder.u64()) else {
            return Ok(None);
        };
        if magic != MAGIC {
            return Err(RestoreError::Malformed("it is none, or of another version"));
        }
        self.applied = applied;
        self.expecting = Expecting::Record;
        Ok(Some(()))
    }

    fn take_record(
        &mut self,
        decoder: &mut Decoder<'_>,
        take: TakeRecord<'_>,
    ) -> Result<Option<()>, RestoreError> {
        match decoder.u8() {
            Some(RECORD) => {}
            Some(END) => return self.take_end(decoder),
            Some(_) => return Err(RestoreError::Malformed("an unknown mark")),
            None => return Ok(None),
        }
        let (Some(key_bytes), Some(value_bytes)) = (decoder.u32(), decoder.u32()) else {
            return Ok(None);
        };
        let length = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (key_bytes, value_bytes) = (length(key_bytes), length(value_bytes));
        if key_bytes > RECORD_KEY_BYTES_MAX || value_bytes > RECORD_VALUE_BYTES_MAX {
            return Err(RestoreError::Malformed("a record beyond the limits"));
        }
        let (Some(key), Some(value)) = (decoder.take(key_bytes), decoder.take(value_bytes)) else {
            return Ok(None);
        };
        if !key.first().is_some_and(|space| (SYSTEM..=EXPIRY).contains(space)) {
            return Err(RestoreError::Malformed("a record of no known space"));
        }
        if self.records > 0 && key <= self.last_key.as_slice() {
            return Err(RestoreError::Malformed("records out of order"));
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.records += 1;
        take(StreamRecord { applied: self.applied, key, value })?;
        Ok(Some(()))
    }

    fn take_end(&mut self, decoder: &mut Decoder<'_>) -> Result<Option<()>, RestoreError> {
        let Some(records) = decoder.u64() else { return Ok(None) };
        if records != self.records {
            return Err(RestoreError::Malformed("another number of records than it says"));
        }
        self.expecting = Expecting::Nothing;
        Ok(Some(()))
    }

    /// Says that there is no more.
    ///
    /// # Errors
    /// The stream was not whole.
    pub fn finish(&self) -> Result<(), RestoreError> {
        if self.expecting != Expecting::Nothing {
            return Err(RestoreError::Malformed("it ends early"));
        }
        if self.applied == 0 || self.records == 0 {
            return Err(RestoreError::Malformed("it holds no entry"));
        }
        Ok(())
    }
}

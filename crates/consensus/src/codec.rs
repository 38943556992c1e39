//! Bytes of everything that leaves the process: varints, byte strings, and a reader that can't be
//! led out of its buffer.
//!
//! Numbers are LEB128 varints unless a fixed width is said; byte strings carry their length first.
//! The reader never panics and never allocates more than what it was given.

use bytes::Bytes;

/// What was wrong with bytes from a wire or a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("bytes end too early")]
    Short,
    /// A number is too large for its field.
    #[error("number out of range")]
    Range,
    /// A tag that this version does not know.
    #[error("unknown tag {0}")]
    Tag(u64),
    /// Bytes are left behind the end.
    #[error("bytes left behind the end")]
    Trailing,
    /// A string is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
}

/// Appends `value` as a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends `bytes` behind their length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from a shared buffer; byte strings are slices of it, not copies.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
}

impl Reader {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// How far it has read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Short)?;
        self.at += 1;
        Ok(byte)
    }

    /// A truth value: 0 or 1.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Tag(other.into())),
        }
    }

    /// A varint.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Range);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Range)
    }

    /// A varint that counts things of at least `bytes_each` bytes, so that a lie can't make us
    /// allocate more than was sent.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Range)?;
        if count.checked_mul(bytes_each.max(1)).is_none_or(|need| need > self.left()) {
            return Err(DecodeError::Short);
        }
        Ok(count)
    }

    /// A byte string.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.left() {
            return Err(DecodeError::Short);
        }
        let slice = self.bytes.slice(self.at..self.at + len);
        self.at += len;
        Ok(slice)
    }

    /// UTF-8 text.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn text(&mut self) -> Result<String, DecodeError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| DecodeError::Text)
    }

    /// All that is left.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.bytes.slice(self.at..);
        self.at = self.bytes.len();
        rest
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.left() == 0 { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_byte_strings_come_back(values: Vec<(u64, Vec<u8>)>) {
            let mut out = Vec::new();
            for (number, bytes) in &values {
                put_varint(&mut out, *number);
                put_bytes(&mut out, bytes);
            }
            let mut reader = Reader::new(out.into());
            for (number, bytes) in &values {
                prop_assert_eq!(reader.varint(), Ok(*number));
                let read = reader.bytes().unwrap();
                prop_assert_eq!(read.as_ref(), bytes.as_slice());
            }
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(bytes.into());
            while reader.left() > 0 && reader.bytes().is_ok() && reader.varint().is_ok() {}
        }
    }

    #[test]
    fn a_count_that_lies_is_refused_before_anything_is_allocated() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert_eq!(Reader::new(out.into()).count(8), Err(DecodeError::Short));
    }
}

//! Takes integers and slices off the front of bytes, never beyond their end.

/// What is left to decode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Decodes `bytes` from the front.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    /// A length in four bytes, and as many bytes.
    pub(crate) fn slice(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.u32()?).ok()?;
        self.take(count)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// True when nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }
}

/// Appends a length in four bytes, and the bytes.
///
/// # Panics
/// When `bytes` exceed 4 GiB, which every limit forbids long before.
pub(crate) fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("below 4 GiB by the limits");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_none_and_takes_nothing() {
        let mut decoder = Decoder::new(b"\x01\x02\x03");
        assert_eq!(decoder.u32(), None);
        assert_eq!(decoder.u16(), Some(0x0102));
        assert_eq!(decoder.take(2), None);
        assert_eq!(decoder.u8(), Some(3));
        assert!(decoder.is_empty());
    }

    #[test]
    fn a_slice_comes_back() {
        let mut bytes = Vec::new();
        put_slice(&mut bytes, b"abc");
        assert_eq!(bytes, b"\0\0\0\x03abc");
        assert_eq!(Decoder::new(&bytes).slice(), Some(b"abc".as_slice()));
    }
}

//! A command's arguments: slices of one buffer, so that a command is copied once on its whole way.

use bytes::Bytes;

/// Where an argument lies in its buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

/// A command's arguments; argument 0 is the command's name as the client wrote it.
///
/// Invariant: every span lies within the buffer ([`Args::new`] checks).
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments in `bytes`; `None` when a span lies outside of it.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Option<Self> {
        let inside = |span: &Span| span.start <= span.end && span.end as usize <= bytes.len();
        spans.iter().all(inside).then_some(Self { bytes, spans })
    }

    /// How many, the name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True when not even a name is there.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `at`; an empty slice when there is none (arity is checked before).
    pub fn at(&self, at: usize) -> &'a [u8] {
        self.get(at).unwrap_or_default()
    }

    /// Argument `at`, where there is one.
    pub fn get(&self, at: usize) -> Option<&'a [u8]> {
        let span = self.spans.get(at)?;
        self.bytes.get(span.start as usize..span.end as usize)
    }

    /// All arguments from `from` on.
    pub fn iter_from(
        &self,
        from: usize,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans
            .get(from..)
            .unwrap_or_default()
            .iter()
            .map(move |span| bytes.get(span.start as usize..span.end as usize).unwrap_or_default())
    }

    /// Bytes of all arguments together.
    pub fn payload_bytes(&self) -> usize {
        self.spans.iter().map(|span| (span.end - span.start) as usize).sum()
    }
}

/// Arguments that own their buffer: queued in MULTI, or on their way between threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedArgs {
    bytes: Bytes,
    spans: Box<[Span]>,
}

impl OwnedArgs {
    /// Copies `parts` (the name first) into one buffer.
    ///
    /// # Panics
    /// When `parts` together exceed 4 GiB, which every limit forbids long before.
    pub fn new(parts: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for part in parts {
            let start = u32::try_from(bytes.len()).expect("arguments below 4 GiB");
            bytes.extend_from_slice(part.as_ref());
            let end = u32::try_from(bytes.len()).expect("arguments below 4 GiB");
            spans.push(Span { start, end });
        }
        Self { bytes: bytes.into(), spans: spans.into() }
    }

    /// Borrows them.
    pub fn as_args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, spans: &self.spans }
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        Self::new(args.iter_from(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_slices_of_their_buffer() {
        let args = OwnedArgs::new([b"SET".as_slice(), b"k", b""]);
        let args = args.as_args();
        assert_eq!(
            (args.len(), args.at(0), args.at(1), args.get(2)),
            (3, b"SET".as_slice(), b"k".as_slice(), Some(b"".as_slice()))
        );
        assert_eq!(args.get(3), None);
        assert_eq!(args.iter_from(1).collect::<Vec<_>>(), [b"k".as_slice(), b""]);
    }

    #[test]
    fn a_span_outside_of_the_buffer_is_refused() {
        assert!(Args::new(b"abc", &[Span { start: 2, end: 4 }]).is_none());
        assert!(Args::new(b"abc", &[Span { start: 3, end: 2 }]).is_none());
    }
}

//! Requests from bytes: finds where each argument lies, copies nothing, remembers how far it came.
//!
//! A [`Decoder`] never looks at a byte of a large argument: it jumps from header to header, and a
//! command that arrives in a thousand pieces costs one header more per piece. It never panics and
//! accepts no more than [`quorate_api::limits`] allow.

use quorate_api::Span;
use quorate_api::limits::{ARGS_MAX, COMMAND_BYTES_MAX, INLINE_BYTES_MAX, VALUE_BYTES_MAX};

use crate::inline;

/// Arguments of a command before AUTH (as Redis): a stranger may not make us hold much.
const STRANGER_ARGS_MAX: usize = 10;
/// Bytes of an argument before AUTH (as Redis).
const STRANGER_BULK_BYTES_MAX: usize = 16 * 1024;
/// Digits that surely fit an `i64`.
const DIGITS_MAX: usize = 18;

/// Whether the client has proved its password, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It has, or need not.
    Known,
    /// Not yet: only a handshake's worth of bytes is accepted.
    Stranger,
}

/// Bytes that are no request. The connection can't be understood any further: answer, then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// `*` with something that is no acceptable number.
    #[error("Protocol error: invalid multibulk length")]
    MultibulkLength,
    /// `$` with something that is no acceptable number.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// Another byte where an argument should begin.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    Expected(u8),
    /// An argument is not followed by CR LF.
    #[error("Protocol error: expected CR LF after an argument")]
    Trailer,
    /// Too many arguments before AUTH.
    #[error("Protocol error: unauthenticated multibulk length")]
    StrangerMultibulk,
    /// Too large an argument before AUTH.
    #[error("Protocol error: unauthenticated bulk length")]
    StrangerBulk,
    /// A number without an end.
    #[error("Protocol error: too big mbulk count string")]
    MultibulkDigits,
    /// A number without an end.
    #[error("Protocol error: too big bulk count string")]
    BulkDigits,
    /// An inline command without an end.
    #[error("Protocol error: too big inline request")]
    Inline,
    /// An inline command with a quote too many.
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
    /// All arguments together are too large.
    #[error("Protocol error: too big request")]
    Request,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The first `length` bytes are a command whose arguments lie in the input.
    Command {
        /// Bytes of the command.
        length: usize,
    },
    /// The first `length` bytes are an inline command whose arguments lie in [`Decoder::line`].
    Inline {
        /// Bytes of the command.
        length: usize,
    },
    /// The first `length` bytes say nothing: an empty line, `*0`.
    Nothing {
        /// Bytes to skip.
        length: usize,
    },
    /// The command goes on; it has at least `needed` bytes in all.
    Incomplete {
        /// Bytes of the command, as far as is known.
        needed: usize,
    },
}

/// The state of decoding one connection's bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Arguments still to come of the command under way; 0 at a command's start.
    missing: usize,
    /// Bytes of the command under way that need not be looked at again.
    at: usize,
    /// The arguments of the last inline command, unquoted.
    line: Vec<u8>,
}

/// A header's number.
enum Length {
    /// The number, and where the next byte is.
    Is(i64, usize),
    /// CR LF has not arrived.
    Missing,
    /// Not a number.
    Bad,
}

impl Decoder {
    /// At a command's start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the spans of [`Decoded::Inline`] point into.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Decodes the command at the start of `input` and puts its arguments into `spans`.
    ///
    /// After [`Decoded::Incomplete`], `input` must begin with the same bytes and `spans` be untouched
    /// at the next call; otherwise the next call begins a new command.
    ///
    /// # Errors
    /// The bytes are no request.
    pub fn decode(
        &mut self,
        input: &[u8],
        spans: &mut Vec<Span>,
        trust: Trust,
    ) -> Result<Decoded, ProtocolError> {
        if self.missing == 0 {
            match input.first() {
                None => return Ok(Decoded::Incomplete { needed: 1 }),
                Some(b'*') => {}
                Some(_) => return self.decode_inline(input, spans),
            }
            spans.clear();
            let (count, next) = match length(input, 1) {
                Length::Is(count, next) => (count, next),
                Length::Missing => return unfinished(input, 1, ProtocolError::MultibulkDigits),
                Length::Bad => return Err(ProtocolError::MultibulkLength),
            };
            let Ok(count) = usize::try_from(count) else {
                return Ok(Decoded::Nothing { length: next });
            };
            if count == 0 {
                return Ok(Decoded::Nothing { length: next });
            }
            if count > ARGS_MAX {
                return Err(ProtocolError::MultibulkLength);
            }
            if trust == Trust::Stranger && count > STRANGER_ARGS_MAX {
                return Err(ProtocolError::StrangerMultibulk);
            }
            (self.missing, self.at) = (count, next);
        }
        self.decode_arguments(input, spans, trust)
    }

    /// The arguments of a multibulk whose count is known.
    fn decode_arguments(
        &mut self,
        input: &[u8],
        spans: &mut Vec<Span>,
        trust: Trust,
    ) -> Result<Decoded, ProtocolError> {
        while self.missing > 0 {
            match input.get(self.at) {
                None => return Ok(Decoded::Incomplete { needed: self.at + 1 }),
                Some(b'$') => {}
                Some(&other) => return Err(ProtocolError::Expected(other)),
            }
            let (bytes, start) = match length(input, self.at + 1) {
                Length::Is(bytes, start) => (bytes, start),
                Length::Missing => {
                    return unfinished(input, self.at + 1, ProtocolError::BulkDigits);
                }
                Length::Bad => return Err(ProtocolError::BulkLength),
            };
            let bytes = usize::try_from(bytes).map_err(|_| ProtocolError::BulkLength)?;
            if bytes > VALUE_BYTES_MAX {
                return Err(ProtocolError::BulkLength);
            }
            if trust == Trust::Stranger && bytes > STRANGER_BULK_BYTES_MAX {
                return Err(ProtocolError::StrangerBulk);
            }
            let end = start + bytes;
            if end > COMMAND_BYTES_MAX {
                return Err(ProtocolError::Request);
            }
            match input.get(end..end + 2) {
                None => return Ok(Decoded::Incomplete { needed: end + 2 }),
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::Trailer),
            }
            spans.push(span(start, end)?);
            self.at = end + 2;
            self.missing -= 1;
        }
        let length = std::mem::take(&mut self.at);
        Ok(Decoded::Command { length })
    }

    /// A line of words, as typed into telnet.
    fn decode_inline(
        &mut self,
        input: &[u8],
        spans: &mut Vec<Span>,
    ) -> Result<Decoded, ProtocolError> {
        let fresh = input.get(self.at..).unwrap_or_default();
        let Some(newline) = fresh.iter().position(|byte| *byte == b'\n') else {
            if input.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::Inline);
            }
            self.at = input.len();
            return Ok(Decoded::Incomplete { needed: input.len() + 1 });
        };
        let newline = std::mem::take(&mut self.at) + newline;
        if newline > INLINE_BYTES_MAX {
            return Err(ProtocolError::Inline);
        }
        let line = input.get(..newline).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, &mut self.line, spans).map_err(|_| ProtocolError::Quotes)?;
        let length = newline + 1;
        Ok(if spans.is_empty() { Decoded::Nothing { length } } else { Decoded::Inline { length } })
    }
}

/// A header has no end yet: wait, unless it is longer than any header.
fn unfinished(input: &[u8], at: usize, too_long: ProtocolError) -> Result<Decoded, ProtocolError> {
    if input.len() - at.min(input.len()) > INLINE_BYTES_MAX {
        return Err(too_long);
    }
    Ok(Decoded::Incomplete { needed: input.len() + 1 })
}

fn span(start: usize, end: usize) -> Result<Span, ProtocolError> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(Span { start, end }),
        _ => Err(ProtocolError::Request),
    }
}

/// The number at `at` and the CR LF behind it.
#[inline]
fn length(input: &[u8], at: usize) -> Length {
    let digits = input.get(at..).unwrap_or_default();
    // Nearly every header has one or two digits.
    match digits {
        [one @ b'0'..=b'9', b'\r', b'\n', ..] => {
            return Length::Is(i64::from(one - b'0'), at + 3);
        }
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..] => {
            return Length::Is(i64::from(ten - b'0') * 10 + i64::from(one - b'0'), at + 4);
        }
        _ => {}
    }
    longer_length(digits, at)
}

/// The number that `digits`, found at `at`, begin with.
fn longer_length(digits: &[u8], at: usize) -> Length {
    let mut value = 0_i64;
    for (count, &byte) in digits.iter().enumerate().take(DIGITS_MAX) {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'\r' => {
                // Redis refuses leading zeros, and so do we.
                let padded = count > 1 && digits.first() == Some(&b'0');
                return match digits.get(count + 1) {
                    _ if count == 0 || padded => Length::Bad,
                    Some(b'\n') => Length::Is(value, at + count + 2),
                    Some(_) => Length::Bad,
                    None => Length::Missing,
                };
            }
            _ => return odd_length(digits, at),
        }
    }
    odd_length(digits, at)
}

/// Negative, unfinished or malformed numbers.
#[cold]
fn odd_length(digits: &[u8], at: usize) -> Length {
    let Some(end) = digits.iter().position(|byte| *byte == b'\r') else {
        return Length::Missing;
    };
    let text = digits.get(..end).unwrap_or_default();
    match (integer(text), digits.get(end + 1)) {
        (Some(value), Some(b'\n')) => Length::Is(value, at + end + 2),
        (Some(_), None) => Length::Missing,
        _ => Length::Bad,
    }
}

/// An integer as Redis' `string2ll` reads it: no plus, no leading zeros, no spaces.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    canonical.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;

//! Failures as bytes, where one member answers another: a tag per kind, then the reason.

use quorate_api::Error;
use quorate_consensus::codec::{DecodeError, Reader, put_bytes};

/// Appends `error`. Its hint stays behind: who asked knows the members itself.
pub(crate) fn encode(error: &Error, out: &mut Vec<u8>) {
    out.push(match error {
        Error::NotApplied { .. } => 10,
        Error::Unknown { .. } => 11,
        Error::Overloaded { .. } => 12,
        Error::Stopped { .. } => 13,
    });
    let (Error::NotApplied { reason, .. }
    | Error::Unknown { reason }
    | Error::Overloaded { reason }
    | Error::Stopped { reason }) = error;
    put_bytes(out, reason.as_bytes());
}

/// Reads what [`encode`] wrote behind `tag`.
pub(crate) fn decode(tag: u8, reader: &mut Reader) -> Result<Error, DecodeError> {
    Ok(match tag {
        10 => Error::not_applied(reader.text()?),
        11 => Error::unknown(reader.text()?),
        12 => Error::Overloaded { reason: reader.text()?.into() },
        13 => Error::Stopped { reason: reader.text()?.into() },
        other => return Err(DecodeError::Tag(other.into())),
    })
}

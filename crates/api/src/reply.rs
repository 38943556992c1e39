//! What a command answers: a value, or an error that is the same on every replica.

use std::borrow::Cow;

use bytes::Bytes;

/// The first word of an error reply, as a kind. The wire's spelling is the front-end's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorCode {
    /// Anything without a code of its own.
    Err = 1,
    /// The key holds another type.
    WrongType = 2,
    /// The memory limit forbids a command that may grow the data.
    Oom = 3,
    /// EXEC after a command that could not be queued.
    ExecAbort = 4,
    /// The client has not proved its password.
    NoAuth = 5,
    /// Wrong user name or password.
    WrongPass = 6,
    /// HELLO with a protocol version we don't speak.
    NoProto = 7,
    /// The idempotency key was used for another request.
    Conflict = 8,
}

impl ErrorCode {
    /// The code with this persisted number.
    pub fn from_u8(number: u8) -> Option<Self> {
        let all = [
            Self::Err,
            Self::WrongType,
            Self::Oom,
            Self::ExecAbort,
            Self::NoAuth,
            Self::WrongPass,
            Self::NoProto,
            Self::Conflict,
        ];
        all.into_iter().find(|code| *code as u8 == number)
    }
}

/// An error that is a result: deterministic, nothing was changed, the same on every replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError {
    /// Its kind.
    pub code: ErrorCode,
    /// The text behind the code, in Redis' own words.
    pub message: Cow<'static, str>,
}

/// A command's answer, independent of protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`.
    Ok,
    /// Another status, like `+PONG`.
    Simple(Cow<'static, str>),
    /// An error that is a result.
    Error(ReplyError),
    /// A number.
    Int(i64),
    /// Bytes.
    Bulk(Bytes),
    /// No value (RESP2: null bulk).
    Nil,
    /// No list (RESP2: null array), like an aborted EXEC.
    NilArray,
    /// A list.
    Array(Vec<Self>),
    /// Pairs (RESP2: a flat list).
    Map(Vec<(Self, Self)>),
    /// A set (RESP2: a list).
    Set(Vec<Self>),
    /// A floating point number (RESP2: a bulk string).
    Double(f64),
    /// A truth value (RESP2: 0 or 1).
    Bool(bool),
    /// Text with a three-letter format (RESP2: a bulk string).
    Verbatim([u8; 3], Bytes),
}

impl Reply {
    /// An `ERR` error.
    pub fn err(message: impl Into<Cow<'static, str>>) -> Self {
        Self::error(ErrorCode::Err, message)
    }

    /// An error of the given kind.
    pub fn error(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(ReplyError { code, message: message.into() })
    }

    /// The WRONGTYPE error.
    pub fn wrong_type() -> Self {
        Self::error(ErrorCode::WrongType, "Operation against a key holding the wrong kind of value")
    }

    /// `ERR syntax error`.
    pub fn syntax() -> Self {
        Self::err("syntax error")
    }

    /// `ERR value is not an integer or out of range`.
    pub fn not_an_integer() -> Self {
        Self::err("value is not an integer or out of range")
    }

    /// Bytes, copied.
    pub fn bulk(bytes: &[u8]) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes))
    }

    /// Bytes, or no value.
    pub fn bulk_or_nil(bytes: Option<Bytes>) -> Self {
        bytes.map_or(Self::Nil, Self::Bulk)
    }

    /// True for an error that is a result.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

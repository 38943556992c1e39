//! The data types: one folder or file per type, each with its commands.

pub(crate) mod string;

use quorate_api::Reply;

use crate::stop::Stop;

/// A key's type; the numbers stand in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A string.
    String = 1,
    /// A list. No command makes one yet; its tag is reserved, like those below.
    List = 2,
    /// A set.
    Set = 3,
    /// A sorted set.
    Zset = 4,
    /// A hash.
    Hash = 5,
    /// A stream.
    Stream = 6,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::String, Self::List, Self::Set, Self::Zset, Self::Hash, Self::Stream];

    /// The type with this number.
    pub(crate) fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The type with this name, in any case.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// What TYPE says.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }
}

/// The WRONGTYPE error.
pub(crate) fn wrong_type() -> Stop {
    Reply::wrong_type().into()
}

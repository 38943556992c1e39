//! What a command ends with when it does not succeed.

use std::fmt;

/// Why a command failed, and with that its exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was asked for something that can't be: 2, with the usage.
    Usage(String),
    /// It could not do it: 1.
    Other(String),
    /// It has already said why: 1.
    Told,
    /// Whoever read the output has had enough: nothing more is said.
    OutputClosed,
}

impl Failure {
    /// Wrong usage.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// Anything else.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Other(text) => f.write_str(text),
            Self::Told | Self::OutputClosed => Ok(()),
        }
    }
}

/// Writing to standard output is all that a command does without a message of its own for it.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::other(format!("can't write the output: {error}")),
        }
    }
}

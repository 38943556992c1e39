//! A failure of this node, never of the command: few kinds, each saying what the caller should do.

use std::borrow::Cow;

/// Why there is no reply. Never comes from applying an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing was changed and nothing will be: safe to retry, here or elsewhere.
    #[error("not applied: {reason}")]
    NotApplied {
        /// What stood in the way.
        reason: Cow<'static, str>,
        /// The client address of a member that may know better.
        hint: Option<String>,
    },
    /// The command may have taken effect, or may yet: only the client can know whether a retry is safe.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// How the trace was lost.
        reason: Cow<'static, str>,
    },
    /// Nothing was changed; retry later, slower.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// Which limit was met.
        reason: Cow<'static, str>,
    },
    /// This node has stopped for good (until it is restarted): retry elsewhere. Nothing was changed.
    #[error("stopped: {reason}")]
    Stopped {
        /// Why it stopped.
        reason: Cow<'static, str>,
    },
}

impl Error {
    /// Not applied, without a hint.
    pub fn not_applied(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::NotApplied { reason: reason.into(), hint: None }
    }

    /// Unknown.
    pub fn unknown(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unknown { reason: reason.into() }
    }
}

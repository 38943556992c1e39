//! What can go wrong with a call, as kinds that say what to do.

use std::borrow::Cow;

use quorate_api::ReplyError;

use crate::server::ServeError;

/// Why a call has no result. Each kind asks for something else of the caller: see [`ErrorKind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was changed and nothing will be.
    #[error("not applied: {reason}")]
    NotApplied {
        /// What stood in the way.
        reason: Cow<'static, str>,
        /// The client address of a member that may know better.
        hint: Option<String>,
    },
    /// The write may have taken effect, or may yet.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// How the trace was lost.
        reason: Cow<'static, str>,
    },
    /// A limit was met for longer than the call would wait. Nothing was changed.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// Which limit.
        reason: Cow<'static, str>,
    },
    /// This node has ended. Nothing was changed.
    #[error("stopped: {reason}")]
    Stopped {
        /// Why it ended.
        reason: Cow<'static, str>,
    },
    /// The cluster has looked at the request and says no: a result, the same on every node.
    #[error("rejected: {}", .0.message)]
    Rejected(ReplyError),
    /// The request can't be asked: it went nowhere.
    #[error("invalid: {0}")]
    Invalid(Cow<'static, str>),
}

/// What a caller does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Safe to call again, later or on another node; it was tried for as long as the call's timeout.
    NotApplied,
    /// Look at what is there, or call again under the same [`crate::Store::idempotency_key`].
    Unknown,
    /// Safe to call again, with fewer calls at a time.
    Overloaded,
    /// Start the node again, or ask another one.
    Stopped,
    /// Change the request or the data: the same call gets the same answer.
    Rejected,
    /// Mend the call: it breaks a rule of the interface.
    Invalid,
}

impl Error {
    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotApplied { .. } => ErrorKind::NotApplied,
            Self::Unknown { .. } => ErrorKind::Unknown,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Stopped { .. } => ErrorKind::Stopped,
            Self::Rejected(_) => ErrorKind::Rejected,
            Self::Invalid(_) => ErrorKind::Invalid,
        }
    }

    /// True when nothing was changed and the same call may succeed later.
    pub fn is_safe_to_retry(&self) -> bool {
        matches!(self.kind(), ErrorKind::NotApplied | ErrorKind::Overloaded)
    }

    pub(crate) fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(text.into())
    }

    pub(crate) fn stopped(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Stopped { reason: reason.into() }
    }

    pub(crate) fn unknown(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unknown { reason: reason.into() }
    }
}

impl From<quorate_api::Error> for Error {
    fn from(error: quorate_api::Error) -> Self {
        match error {
            quorate_api::Error::NotApplied { reason, hint } => Self::NotApplied { reason, hint },
            quorate_api::Error::Unknown { reason } => Self::Unknown { reason },
            quorate_api::Error::Overloaded { reason } => Self::Overloaded { reason },
            quorate_api::Error::Stopped { reason } => Self::Stopped { reason },
        }
    }
}

/// Why a [`crate::Node`] is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its port or its data directory can't be had. Nothing was changed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system gives no thread to run it on.
    #[error("can't start the node's thread: {0}")]
    Thread(std::io::Error),
    /// It is up, but no member has added it within the time; it was stopped. The same call again goes on
    /// where this one ended.
    #[error("not a voting member of the cluster within {waited:?}: {reason}")]
    NotJoined {
        /// How long it has tried.
        waited: std::time::Duration,
        /// What it is instead.
        reason: String,
    },
    /// It was up, and a member has refused to add it, or it has ended by itself, for a reason that somebody has to
    /// mend.
    #[error("not added to the cluster: {reason}")]
    Refused {
        /// Who has refused, and why.
        reason: String,
    },
    /// The settings contradict each other, or open what nobody guards.
    #[error("invalid: {0}")]
    Invalid(Cow<'static, str>),
}

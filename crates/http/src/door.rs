//! The way from a handler to the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use bytes::Bytes;
use quorate_api::{
    AdminReply, AdminRequest, Backup, Consistency, Handle, Idempotency, OwnedCall, Reply, Status,
};

use crate::budget::{Budget, Reserved};
use crate::error::{Kind, Problem};

/// What handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    handle: Handle,
    /// Our version.
    pub(crate) version: Arc<str>,
    /// Figures of this front-end.
    pub(crate) stats: Arc<Stats>,
    bodies: Budget,
    answers: Budget,
}

/// Figures of this front-end, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Open connections.
    pub(crate) connections: AtomicU64,
    /// Answers by class of status code, 1xx to 5xx.
    answers: [AtomicU64; 5],
}

impl Stats {
    /// Counts an answer.
    pub(crate) fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answers.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers so far, by class.
    pub(crate) fn answers(&self) -> [(&'static str, u64); 5] {
        let [a, b, c, d, e] = &self.answers;
        [("1xx", a), ("2xx", b), ("3xx", c), ("4xx", d), ("5xx", e)]
            .map(|(class, counter)| (class, counter.load(Ordering::Relaxed)))
    }
}

impl Door {
    /// A door to `handle`; `pending_bytes_max` as in [`crate::Options`].
    pub(crate) fn new(handle: Handle, version: &str, pending_bytes_max: usize) -> Self {
        Self {
            handle,
            version: version.into(),
            stats: Arc::default(),
            bodies: Budget::new(pending_bytes_max),
            answers: Budget::new(pending_bytes_max),
        }
    }

    /// Executes a read in database 0.
    pub(crate) async fn read(
        &self,
        parts: impl IntoIterator<Item: AsRef<[u8]>>,
        consistency: Consistency,
    ) -> Result<Reply, Problem> {
        let call = OwnedCall::new(parts).ok_or_else(Problem::unexpected_reply)?;
        self.call(OwnedCall { consistency, ..call }).await
    }

    /// Executes a write in database 0.
    pub(crate) async fn write(
        &self,
        parts: impl IntoIterator<Item: AsRef<[u8]>>,
        idempotency: Option<Idempotency>,
    ) -> Result<Reply, Problem> {
        let call = OwnedCall::new(parts).ok_or_else(Problem::unexpected_reply)?;
        self.call(OwnedCall { idempotency, ..call }).await
    }

    async fn call(&self, call: OwnedCall) -> Result<Reply, Problem> {
        match self.handle.call(call).await? {
            Reply::Error(error) => Err(error.into()),
            reply => Ok(reply),
        }
    }

    /// A backup.
    pub(crate) async fn back_up(&self, consistency: Consistency) -> Result<Backup, Problem> {
        Ok(self.handle.back_up(consistency).await?)
    }

    /// The node's own status.
    pub(crate) async fn status(&self) -> Result<Status, quorate_api::Error> {
        self.handle.status().await
    }

    /// Administers; the caller looks at a refusal itself.
    pub(crate) async fn ask(&self, request: AdminRequest) -> Result<AdminReply, Problem> {
        Ok(self.handle.administer(request).await?)
    }

    /// Administers, where success says nothing and a refusal is a problem.
    pub(crate) async fn change(&self, request: AdminRequest) -> Result<(), Problem> {
        let in_doubt = |error| match error {
            quorate_api::Error::Unknown { reason } => Problem::new(
                Kind::Unknown,
                format!(
                    "The change may have come about, or may yet: {reason}. Look at the members before you ask again."
                ),
            ),
            error => error.into(),
        };
        match self.handle.administer(request).await.map_err(in_doubt)? {
            AdminReply::Refused(reason) => {
                Err(Problem::new(Kind::Refused, format!("Nothing was changed: {reason}.")))
            }
            _ => Ok(()),
        }
    }

    /// A place for a request's body, to be grown as it arrives.
    pub(crate) fn reserve(&self) -> Reserved {
        self.bodies.reserve()
    }

    /// Counts an answer's bytes until they are sent.
    ///
    /// Order matters: a write's answer is held before the write is executed, for the problem says
    /// that nothing was changed.
    pub(crate) fn hold(&self, bytes: Bytes) -> Result<Bytes, Problem> {
        self.answers.hold(bytes).ok_or_else(|| {
            let detail = "Nothing was changed: too many answers wait for clients that read slowly. \
                          Send it again later.";
            Problem::new(Kind::Overloaded, detail)
        })
    }
}

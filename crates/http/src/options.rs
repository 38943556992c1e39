//! What the binary decides about the HTTP front-end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::limits;
use quorate_env::Clock;
use tokio::sync::watch;

/// Settings and components of a [`crate::Server`].
#[derive(Clone)]
pub struct Options {
    /// Our version, for the index, the metrics and the OpenAPI document.
    pub version: String,
    /// Asked for with HTTP Basic, under any user name, by everything except `/livez`.
    pub password: Option<String>,
    /// Names (with or without a port) under which clients reach this node, besides IP addresses and
    /// `localhost`; `*` accepts every name.
    pub hosts: Vec<String>,
    /// Becomes true when connections are to end after the request they are in.
    pub shutdown: Option<watch::Receiver<bool>>,
    /// Without a clock there are no time limits.
    pub clock: Option<Arc<dyn Clock>>,
    /// A request's head must arrive within this time (checked in steps of it, so at most twice it).
    pub head_time_max: Duration,
    /// A connection on which nothing moves for this long, while the node owes it nothing, is closed.
    pub idle_time_max: Duration,
    /// Bytes of request bodies held by all connections together, and of unsent answers likewise;
    /// beyond it: overloaded.
    pub pending_bytes_max: usize,
}

/// As nginx; longer than any sane client's pause, shorter than an attacker's patience.
const IDLE_TIME_MAX: Duration = Duration::from_secs(75);
/// A head fits into a few packets.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

impl Options {
    /// No password, no names, no clock, no shutdown signal.
    pub fn new(version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            password: None,
            hosts: Vec::new(),
            shutdown: None,
            clock: None,
            head_time_max: HEAD_TIME_MAX,
            idle_time_max: IDLE_TIME_MAX,
            pending_bytes_max: limits::PENDING_BYTES_MAX,
        }
    }
}

/// The password stays out of logs.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("version", &self.version)
            .field("password", &self.password.as_ref().map(|_| "(set)"))
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

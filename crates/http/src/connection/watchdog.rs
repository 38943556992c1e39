//! Time limits of a connection: a head that does not end, a client that neither sends nor reads.
//!
//! One timer per connection, not per request: it looks in steps and compares what it sees. A node
//! that takes its time for an answer is never interrupted; it has deadlines of its own.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use quorate_env::Clock;

use super::progress::Progress;

/// How long a connection may take for what; see [`crate::Options`].
#[derive(Clone)]
pub(crate) struct TimeLimits {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: Duration,
    pub(crate) idle: Duration,
}

/// Resolves when the connection is to be closed; never without limits.
pub(super) async fn overdue(limits: Option<TimeLimits>, progress: Arc<Progress>) {
    let Some(TimeLimits { clock, head, idle }) = limits else { return pending().await };
    let step = head.min(idle);
    let mut before = progress.look();
    let mut still_since = clock.now();
    loop {
        clock.sleep(step).await;
        let (sight, now) = (progress.look(), clock.now());
        let same_head = sight.in_head && before.in_head && sight.requests == before.requests;
        let moves = sight.owes_answer || sight.moved != before.moved;
        if moves {
            still_since = now;
        }
        if same_head || now.since(still_since) >= idle {
            return;
        }
        before = sight;
    }
}

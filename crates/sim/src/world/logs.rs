//! What the real code logs, as lines of the trace, without wall time.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Event, Level, Metadata, Subscriber};

use super::count;
use super::shared::{Shared, lock};
use super::trace::Recording;

struct Logs {
    shared: Arc<Shared>,
    recording: Recording,
    spans: AtomicU64,
}

/// A world that is not recorded listens too, and hears nothing: on a thread without a listener the
/// first event of a call site may switch it off for all threads, and so in the text of another world.
pub(crate) fn capture(shared: &Arc<Shared>) -> DefaultGuard {
    let recording = lock(&shared.trace).recording();
    let spans = AtomicU64::new(1);
    tracing::subscriber::set_default(Logs { shared: Arc::clone(shared), recording, spans })
}

struct Line {
    text: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => {
                self.message = format!("{value:?}");
                write!(self.text, " {value:?}")
            }
            name => write!(self.text, " {name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "a String takes all");
    }
}

impl Subscriber for Logs {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.recording {
            Recording::Text => LevelFilter::DEBUG,
            // What was said is counted, also where nobody reads it.
            Recording::Story | Recording::Digest => LevelFilter::INFO,
        })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match self.recording {
            Recording::Text => *metadata.level() <= Level::DEBUG,
            Recording::Story | Recording::Digest => *metadata.level() <= Level::INFO,
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let text = format!("{} {}:", metadata.level(), metadata.target());
        let mut line = Line { text, message: String::new() };
        event.record(&mut line);
        let host = *lock(&self.shared.current);
        lock(&self.shared.trace).log(self.shared.now(), host, &line.text);
        if *metadata.level() <= Level::INFO {
            count(&self.shared, &line.message);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

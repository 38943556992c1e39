//! Why a node is no more: written once by its thread, read by every handle.

use std::sync::{Arc, OnceLock};

/// The reason, when there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(Arc<OnceLock<String>>);

impl Ending {
    /// Says why; the first reason stands.
    pub(crate) fn because(&self, reason: impl Into<String>) {
        self.0.get_or_init(|| reason.into());
    }

    /// The reason.
    pub(crate) fn reason(&self) -> String {
        self.0.get().cloned().unwrap_or_else(|| "this node has ended".to_owned())
    }
}

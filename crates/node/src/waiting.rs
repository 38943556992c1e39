//! What a node that is in no cluster yet waits for: said in its log when it changes, and in its status.

use quorate_consensus::peers::DialError;

use crate::config::Entrance;
use crate::core::Core;
use crate::door;

/// What it waits for, as far as it has found out.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    text: String,
    is_refused: bool,
}

impl Core {
    /// It waits for what `text` says.
    pub(crate) fn waits(&mut self, text: String) {
        if self.waiting.text != text {
            tracing::info!("waiting: {text}");
        }
        self.waiting = Waiting { text, is_refused: false };
    }

    /// Who was asked at `addr` has not added this node.
    pub(crate) fn was_not_added(&mut self, addr: &str, error: &DialError) {
        let text = format!("{addr}: {error}");
        if self.waiting.text != text {
            tracing::warn!(addr, %error, "not added yet");
        }
        let is_refused = matches!(error, DialError::Refused(reason) if door::is_final(reason));
        self.waiting = Waiting { text, is_refused };
    }

    /// What it waits for, and whether a member has refused to add it for a reason that somebody has to mend;
    /// `None` when it is in a cluster.
    pub(crate) fn what_it_waits_for(&self) -> Option<(String, bool)> {
        if self.group.is_some() || self.stopped.is_some() {
            return None;
        }
        if !self.waiting.text.is_empty() {
            return Some((self.waiting.text.clone(), self.waiting.is_refused));
        }
        let text = match &self.config.entrance {
            Entrance::Join(addrs) => format!("{} is to add it", addrs.join(" or ")),
            Entrance::Expect(nodes) => format!("{nodes} nodes are to found a cluster together"),
            Entrance::Wait | Entrance::Bootstrap => "a member is to add it".to_owned(),
        };
        Some((text, false))
    }
}

//! Members that can't be reached: since when, and what an operator can do about it.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_api::EventKind;
use quorate_consensus::{Index, NodeId};
use quorate_env::Mono;

use crate::core::Core;
use crate::door::is_reachable;

/// A member that is silent for so long is pointed out: longer than a restart takes.
const POINTED_OUT_AFTER: Duration = Duration::from_secs(10);

/// Since when a member is silent.
#[derive(Clone, Copy, Debug)]
struct Silent {
    since: Mono,
    pointed_out: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Silence(BTreeMap<NodeId, Silent>);

impl Silence {
    /// How long `node` has been silent.
    pub(crate) fn of(&self, node: NodeId, now: Mono) -> Duration {
        self.0.get(&node).map_or(Duration::ZERO, |silent| now.since(silent.since))
    }
}

impl Core {
    /// By the clock: who is silent, and for how long.
    pub(crate) fn tend_silence(&mut self) {
        let (now, own) = (self.now(), self.identity.node);
        let members: Vec<_> =
            self.machine.members().iter().map(|(node, it)| (node, it.name.clone())).collect();
        self.silence.0.retain(|node, _| members.iter().any(|(member, _)| member == node));
        for (node, name) in members.into_iter().filter(|(node, _)| *node != own) {
            if is_reachable(self, node) {
                if self.silence.0.remove(&node).is_some_and(|silent| silent.pointed_out) {
                    let text = format!("{name} can be reached again");
                    self.tell(EventKind::MemberBack, Index(0), &name, text);
                }
                continue;
            }
            let silent =
                self.silence.0.entry(node).or_insert(Silent { since: now, pointed_out: false });
            if silent.pointed_out || now.since(silent.since) < POINTED_OUT_AFTER {
                continue;
            }
            silent.pointed_out = true;
            let text = format!(
                "{name} can't be reached for {} s; if it is gone for good, start a new node that neither \
                 founds nor joins by itself, and say: quorate member replace {name} HOST:PORT",
                POINTED_OUT_AFTER.as_secs()
            );
            self.tell(EventKind::MemberSilent, Index(0), &name, text);
        }
    }
}

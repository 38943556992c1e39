//! A toy in a node's place: one server, and two doors that lead to it. It keeps the machinery honest: the
//! right one must pass, and each wrong one must be found.

mod door;
mod server;
mod store;

use std::rc::Rc;

use crate::cluster::Boot;

/// What is wrong with a toy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Nothing.
    None,
    /// The doors answer reads from what they heard a while ago.
    StaleReads,
    /// Writes are acknowledged before they are durable.
    LazySync,
    /// Some writes are answered with "not applied" and applied.
    LyingRefusal,
    /// Two writes in a block are applied one after the other.
    TornBlocks,
    /// After a restart nobody listens any more.
    StaysDown,
}

impl Defect {
    /// All of them, as they are named on a command line.
    pub const NAMED: &[(&str, Self)] = &[
        ("none", Self::None),
        ("stale-reads", Self::StaleReads),
        ("lazy-sync", Self::LazySync),
        ("lying-refusal", Self::LyingRefusal),
        ("torn-blocks", Self::TornBlocks),
        ("stays-down", Self::StaysDown),
    ];

    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, defect)| *defect)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(_, defect)| *defect == self);
        named.map_or("", |(name, _)| name)
    }
}

/// A toy with this defect.
pub fn boot(defect: Defect) -> Rc<Boot> {
    Rc::new(move |spec| -> quorate_env::tasks::Task {
        match spec.number {
            1 => Box::pin(server::serve(spec, defect)),
            _ => Box::pin(door::serve(spec, defect)),
        }
    })
}

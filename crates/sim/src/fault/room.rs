//! Rooms: whose files are damaged. Never the identity: a node that does not know who it is is an operator's business.

use std::path::Path;

use crate::world::{Chance, DiskControl};

/// A part of a node that has files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The log.
    Log,
    /// Snapshots.
    Snapshots,
    /// The states of an engine on disk.
    Engine,
}

impl Room {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Log, Self::Snapshots, Self::Engine];

    /// Where its files are.
    pub fn dir(self) -> &'static Path {
        Path::new(match self {
            Self::Log => "/data/log",
            Self::Snapshots => "/data/snapshots",
            Self::Engine => "/data/engine",
        })
    }

    /// One of those that have files on `disk`, each as likely as the others, however many files it has.
    pub fn pick(disk: DiskControl<'_>, chance: &mut Chance) -> Option<Self> {
        let paths = disk.paths();
        let has_files = |room: &Self| paths.iter().any(|path| path.starts_with(room.dir()));
        let rooms: Vec<Self> = Self::ALL.iter().copied().filter(has_files).collect();
        chance.pick(&rooms).copied()
    }
}

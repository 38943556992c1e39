//! The flags of `quorate recover`.

use super::{CommandTable, Family, Flag, OUTPUT};

pub(super) const TABLE: CommandTable = CommandTable {
    name: "recover",
    about: "Makes a new cluster of one node from a data directory, when the majority is lost for good",
    after: "Nothing of this is needed while a majority can come back: then start its nodes. Run it with --dry-run on \
            every survivor first, and recover the one with the highest term, among those the one with the highest \
            entry: what others had beyond that is lost. The node must be stopped. The old log and \
            state are kept beside the new ones, so the disk needs room for both. Afterwards start the node as before; all others join it with \
            empty data directories. Exit code 0 when it is done, 1 when it can't be, 2 for wrong usage.",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[
            Flag::dir("data-dir", "The survivor's data directory."),
            Flag::switch("dry-run", "Show what there is and what would be lost; change nothing.")
                .on_command_line_only(),
            Flag::switch("yes", "Do it.").on_command_line_only(),
            OUTPUT,
        ],
    }],
};

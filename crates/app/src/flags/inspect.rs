//! The flags of `quorate inspect`.

use super::{CommandTable, Family, Flag, OUTPUT};

const DATA_DIR: Flag = Flag::dir("data-dir", "The directory of a node that is not running.");
const AFTER: &str = "The directory is never written: it is read through a copy in memory, what an engine has on \
                     the disk through links in a temporary directory. One that a running node uses is refused.";

pub(super) const LOG: CommandTable = CommandTable {
    name: "inspect log",
    about: "Shows a node's log: term, vote, commit, and its entries",
    after: AFTER,
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[
            DATA_DIR,
            Flag::value("from", "INDEX", "The first entry shown; the last 20 unless given.")
                .on_command_line_only(),
            Flag::value("count", "NUMBER", "How many entries are shown.")
                .default("20")
                .on_command_line_only(),
            OUTPUT,
        ],
    }],
};

pub(super) const SNAPSHOT: CommandTable = CommandTable {
    name: "inspect snapshot",
    about: "Shows a node's newest snapshot (or what its disk engine has kept), and checks every byte of it",
    after: AFTER,
    env_prefix: "QUORATE_",
    families: &[Family { heading: "Options", flags: &[DATA_DIR, OUTPUT] }],
};

pub(super) const ENGINE: CommandTable = CommandTable {
    name: "inspect engine",
    about: "Shows a node's state: what is kept, and what the log says is committed behind it",
    after: AFTER,
    env_prefix: "QUORATE_",
    families: &[Family { heading: "Options", flags: &[DATA_DIR, OUTPUT] }],
};

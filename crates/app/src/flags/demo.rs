//! The flags of `quorate demo`.

use super::{CommandTable, Family, Flag};

pub(super) const TABLE: CommandTable = CommandTable {
    name: "demo",
    about: "Runs a small cluster on this machine, to play with",
    after: "The nodes are processes of their own: kill one and see what happens. They listen on loopback, on \
            consecutive ports; their data stays, and the next demo resumes it. Ctrl-C stops them. Flags can \
            also be given as environment variables (QUORATE_DEMO_PORT for --port).",
    env_prefix: "QUORATE_DEMO_",
    families: &[Family {
        heading: "Options",
        flags: &[
            Flag::value("nodes", "NUMBER", "How many nodes, from 1 to 7.").default("3"),
            Flag::dir("dir", "Where their data and logs go.").default("demo"),
            Flag::value(
                "port",
                "PORT",
                "The first node's port; the others follow. Default: 7400, or that of the demo to resume.",
            ),
        ],
    }],
};

//! The flags of `quorate status`.

use super::{CommandTable, Family, Flag, OUTPUT, PASSWORD};

pub(super) const TABLE: CommandTable = CommandTable {
    name: "status",
    about: "Shows the members of a cluster and how they are",
    after: "Any member can be asked; the progress of the others is known to the leader, which is asked, too, \
            when it can be reached. Exit code 0 when the cluster has a leader, 1 when it has none or the node \
            can't be asked, 2 for wrong usage. Flags can also be given as environment variables \
            (QUORATE_ADDR for --addr).",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[
            Flag::value("addr", "HOST:PORT", "A member, where it listens for Redis clients.")
                .default("127.0.0.1:7400"),
            PASSWORD,
            OUTPUT,
            Flag::switch(
                "watch",
                "Ask every member, and show it all anew every --interval until interrupted; with json, one line \
                 for each look.",
            )
            .on_command_line_only(),
            Flag::value("interval", "SECONDS", "Between two looks, from 1 to 3600.").default("1"),
        ],
    }],
};

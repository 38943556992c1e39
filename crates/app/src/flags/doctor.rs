//! The flags of `quorate doctor`.

use super::{CommandTable, Family, Flag, OUTPUT, PASSWORD};

pub(super) const TABLE: CommandTable = CommandTable {
    name: "doctor",
    about: "Looks for what could be wrong with a cluster and with this machine, and says what to do",
    after: "Asks the node at --addr and every member it knows: clocks, disks, who reaches whom, versions, limits. \
            With --data-dir it also measures what an fsync takes there, and looks at the room on that disk. Exit \
            code 0 when all is well or only advice was found, 1 when something is wrong, 2 for wrong usage. \
            Flags can also be given as environment variables (QUORATE_ADDR for --addr).",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[
            Flag::value("addr", "HOST:PORT", "A member, where it listens for Redis clients.")
                .default("127.0.0.1:7400"),
            PASSWORD,
            Flag::dir(
                "data-dir",
                "A directory on the disk to measure; some files of 4 KiB are written there and removed.",
            ),
            OUTPUT,
        ],
    }],
};

//! The flags of `quorate backup`.

use super::{CommandTable, ENGINES, Family, Flag, OUTPUT, Offer, PASSWORD};

pub(super) const CREATE: CommandTable = CommandTable {
    name: "backup create",
    about: "Fetches a backup of the whole state at one index, while the cluster goes on",
    after: "Any node can be asked. The backup holds everything that was acknowledged before the command was \
            given; with --stale it is what that node has, also when no majority can be reached. It is checked \
            on its way; FILE is there when it is whole, and not before.",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[
            Flag::word("file", "FILE", "Where it goes; - is standard output.").offer(Offer::File),
            Flag::value("addr", "HOST:PORT", "A node, where it listens for HTTP clients.")
                .default("127.0.0.1:7400"),
            PASSWORD,
            Flag::switch("stale", "Takes what the node has, without asking the others.")
                .on_command_line_only(),
            OUTPUT,
        ],
    }],
};

pub(super) const VERIFY: CommandTable = CommandTable {
    name: "backup verify",
    about: "Reads a backup to its end and checks every byte, as a restore would",
    after: "Needs little memory, however large the backup is. Exit code 0 when it is whole, 1 when it is not.",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[
            Flag::word("file", "FILE", "The backup; - is standard input.").offer(Offer::File),
            OUTPUT,
        ],
    }],
};

pub(super) const RESTORE: CommandTable = CommandTable {
    name: "backup restore",
    about: "Makes a new cluster of a backup: one node, to which others are added as to any",
    after: "The backup is read to its end and checked before the directory is touched, and then once more; \
            standard input can be read only once: there, what is wrong is found on the way, and the \
            directory is a new node's then, without a cluster. Afterwards start the node with `quorate serve --data-dir DIR --id NAME` \
            and the same --engine, and others with --join. The cluster has a new id and no members but this one; \
            revisions go on far above those of the old cluster.",
    env_prefix: "QUORATE_",
    families: &[Family {
        heading: "Options",
        flags: &[
            Flag::word("file", "FILE", "The backup; - is standard input.").offer(Offer::File),
            Flag::dir("data-dir", "The new node's directory, which holds no node yet."),
            Flag::value("id", "NAME", "The new node's name."),
            Flag::value("engine", "ENGINE", "The new node's engine: memory, or disk.")
                .offer(ENGINES)
                .default("memory"),
            OUTPUT,
        ],
    }],
};

//! The flags of `quorate serve`, by family.

use super::{CommandTable, ENGINES, Family, Flag, Offer};

pub(super) const TABLE: CommandTable = CommandTable {
    name: "serve",
    about: "Runs a node",
    after: "Every flag can also be given as an environment variable (QUORATE_DATA_DIR for --data-dir) or \
            in a TOML file (data-dir = \"...\"). Flags win over the environment, the environment over the \
            file, the file over the defaults; `quorate serve --print-config` shows what comes out.\n\n\
            Sizes are numbers of bytes with a unit or without: 1kb is 1024, 1k is 1000; likewise mb, gb, tb.\n\n\
            SIGTERM or SIGINT: the node hands leadership over, finishes what is under way and exits with 0; a \
            second one ends it at once. SIGHUP: it reads its settings again and puts the log level into force. Exit codes: 0 after a shutdown, 2 for wrong usage, 1 for everything else.",
    env_prefix: "QUORATE_",
    families: &[NODE, ADDRESSES, ACCESS, DATA, BEHAVIOUR, LOGGING],
};

const NODE: Family = Family {
    heading: "Node",
    flags: &[
        Flag::value(
            "id",
            "NAME",
            "This node's name: up to 64 letters, digits, dots, dashes and underscores. Kept for life, and \
             never given to another node of the cluster, not even after this one has left.",
        ),
        Flag::dir(
            "data-dir",
            "Where everything lies that the node must not forget. New or empty at the first start; a later \
             start with the same directory resumes.",
        ),
        Flag::switch(
            "bootstrap",
            "Found a cluster of this one node, if the data directory is new. Give it to one node only.",
        ),
        Flag::list(
            "join",
            "HOST:PORT",
            "Ask these members, in turn, to add this node, if the data directory is new; otherwise look \
             there for members that have moved. With neither this nor --bootstrap a new node waits until \
             a member adds it.",
        ),
        Flag::value(
            "bootstrap-expect",
            "NUMBER",
            "Found a cluster together with the other nodes that are started with this flag: so many in all, from 1 \
             to 7, this one included. The command is the same on all of them (but for --id and addresses) and may \
             be repeated; nothing happens before all are there. Where there is a cluster already, join it. Needs \
             --peers.",
        ),
        Flag::list(
            "peers",
            "HOST:PORT",
            "Where other nodes are looked for: to found a cluster with --bootstrap-expect, and later whenever a \
             member is not where it was. A name may stand for several nodes; it is looked up anew each time. This \
             node may be among them.",
        ),
        Flag::switch(
            "learner",
            "When this node is added, it stays a learner: it has all data and serves reads, but has no vote. \
             `quorate member promote` gives it one.",
        ),
        Flag::file("config", "A TOML file with settings; keys are the flags' names."),
        Flag::switch(
            "print-config",
            "Print the settings in force, and where each comes from, as a TOML file; then exit.",
        )
        .on_command_line_only(),
    ],
};

const ADDRESSES: Family = Family {
    heading: "Addresses",
    flags: &[
        Flag::value(
            "listen",
            "HOST:PORT",
            "Where this node listens, for Redis clients, HTTP clients and peers alike; for those only that \
             have no listener of their own. Port 0 picks a free one.",
        )
        .default("127.0.0.1:7400"),
        Flag::value("resp-listen", "HOST:PORT", "A listener of their own for Redis clients."),
        Flag::value("http-listen", "HOST:PORT", "A listener of their own for HTTP clients."),
        Flag::value("peer-listen", "HOST:PORT", "A listener of their own for peers."),
        Flag::value(
            "advertise",
            "HOST[:PORT]",
            "Under which address others reach this node, where that is not the one it listens on. Without a \
             port: that of each listener. Needed with 0.0.0.0 and [::].",
        ),
        Flag::value(
            "peer-advertise",
            "HOST:PORT",
            "Under which address peers reach this node, where that differs from --advertise.",
        ),
        Flag::list(
            "http-host",
            "NAME",
            "Further names under which HTTP clients may ask this node, beside IP addresses, localhost and the \
             advertised names; * lets every name pass and gives up the defence against DNS rebinding.",
        ),
    ],
};

const ACCESS: Family = Family {
    heading: "Access",
    flags: &[
        Flag::file(
            "password-file",
            "Clients must prove the password in this file: Redis clients with AUTH or HELLO, HTTP clients \
             with Basic. Needed to listen for clients elsewhere than on loopback.",
        ),
        Flag::file(
            "cluster-secret-file",
            "Members prove to each other that they know the secret in this file, the same on all: at least 16 \
             bytes. Needed to listen for peers elsewhere than on loopback.",
        ),
        Flag::switch(
            "insecure",
            "Listen elsewhere than on loopback without a password or a cluster secret: whoever reaches the \
             port owns the data.",
        ),
    ],
};

const DATA: Family = Family {
    heading: "Memory and disk",
    flags: &[
        Flag::value(
            "engine",
            "ENGINE",
            "Where the data are kept. memory: all of them in memory. disk: on the disk, for data that outgrow \
             memory, with --cache-size of memory for what is read or written often. A data directory keeps the \
             one that it was made with; members of one cluster may differ.",
        )
        .offer(ENGINES)
        .default("memory"),
        Flag::value(
            "cache-size",
            "SIZE",
            "With --engine disk: memory for records and blocks that were read or written lately, and for what \
             writes have to know of keys (a third; a million keys take 12mb), besides about 100mb for writes on \
             their way to the disk; at least 1mb.",
        )
        .default("256mb"),
        Flag::value(
            "max-memory",
            "SIZE",
            "Writes that grow the data are refused when it takes more memory than this, on any member that \
             keeps it in memory; at least 1mb. Default: three quarters of what the machine or the cgroup has.",
        ),
        Flag::value(
            "snapshot-log-size",
            "SIZE",
            "Make a snapshot (with --engine disk: flush), and cut the log, when the log since the last one is \
             larger than this and (in memory) larger than the data; at least 1kb.",
        )
        .default("256mb"),
        Flag::value(
            "segment-size",
            "SIZE",
            "The size of a file of the log, from 64mb (the largest entry must fit) to 1gb; two are allocated \
             at least.",
        )
        .default("64mb"),
    ],
};

const BEHAVIOUR: Family = Family {
    heading: "Behaviour",
    flags: &[
        Flag::value(
            "read-mode",
            "MODE",
            "How reads behave that do not say otherwise. linearizable: current, trusting no clock. lease: one \
             round trip less, trusting that the members' clocks run at about the same rate.",
        )
        .offer(Offer::OneOf(&["linearizable", "lease"]))
        .default("linearizable"),
        Flag::value(
            "max-connections",
            "NUMBER",
            "Connections of Redis clients at most, from 1 to 1000000.",
        )
        .default("10000"),
        Flag::value(
            "tick-ms",
            "MS",
            "The unit of Raft's time, from 5 to 1000; the same on every member. A crashed leader is missed \
             after 12 to 24 ticks, heartbeats leave every 3.",
        )
        .default("30"),
        Flag::switch(
            "stop-on-eof",
            "Shut down when standard input ends: for programs that run a node as a child and want it to end \
             with them.",
        ),
    ],
};

const LOGGING: Family = Family {
    heading: "Logging",
    flags: &[
        Flag::value(
            "log-level",
            "LEVEL",
            "error, warn, info, debug or trace; also per room, as in info,quorate_node=debug (the others then \
             have info, if there is no word for all). Logs go to standard error.",
        )
        .offer(Offer::Also(&["error", "warn", "info", "debug", "trace"]))
        .default("info"),
        Flag::value("log-format", "FORMAT", "text, or json with one object per line.")
            .offer(Offer::OneOf(&["text", "json"]))
            .default("text"),
    ],
};

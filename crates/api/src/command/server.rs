//! The server; executed by the front-end from the node's status.

use super::{CommandId as Id, Family, Flags, Spec};

/// The rows.
pub(super) const COMMANDS: &[Spec] = &[
    Spec::new(Id::Time, "TIME", 1, Family::Server)
        .fast()
        .flags(Flags::ANYTIME)
        .tips(&["nondeterministic_output"])
        .doc("2.6.0", "O(1)", "Returns the server time.", ""),
    Spec::new(Id::Command, "COMMAND", -1, Family::Server)
        .flags(Flags::ANYTIME)
        .tips(&["nondeterministic_output_order"])
        .category("connection")
        .doc(
            "2.8.13",
            "O(N) where N is the number of commands.",
            "Returns detailed information about commands.",
            "[subcommand [argument ...]]",
        )
        .sub(&["COUNT", "DOCS", "GETKEYS", "GETKEYSANDFLAGS", "HELP", "INFO", "LIST"]),
    Spec::new(Id::Config, "CONFIG", -2, Family::Server)
        .flags(Flags::ADMIN)
        .doc(
            "2.0.0",
            "O(N) where N is the number of settings.",
            "Reads and changes settings of this node.",
            "subcommand [argument ...]",
        )
        .sub(&["GET", "HELP", "RESETSTAT", "SET"]),
    Spec::new(Id::Info, "INFO", -1, Family::Server)
        .flags(Flags::ANYTIME)
        .flags(Flags::DANGEROUS)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .doc(
            "1.0.0",
            "O(1)",
            "Returns information and statistics about the server.",
            "[section [section ...]]",
        ),
    Spec::new(Id::Role, "ROLE", 1, Family::Server)
        .fast()
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::DANGEROUS)
        .flags(Flags::ADMIN_CATEGORY)
        .doc("2.8.12", "O(1)", "Returns the replication role.", ""),
    Spec::new(Id::Leader, "LEADER", 1, Family::Server).fast().flags(Flags::ANYTIME).doc(
        "0.1.0",
        "O(1)",
        "Returns the address of the leader, as hraftd's Redis front does.",
        "",
    ),
    Spec::new(Id::Wait, "WAIT", 3, Family::Server)
        .flags(Flags::NO_SCRIPT)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .category("connection")
        .doc(
            "3.0.0",
            "O(1)",
            "Blocks until the connection's writes are on the given number of replicas.",
            "numreplicas timeout",
        ),
    Spec::new(Id::Debug, "DEBUG", -2, Family::Server)
        .flags(Flags::ADMIN)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .doc(
            "1.0.0",
            "Depends on the subcommand.",
            "Debugging: SLEEP delays this connection.",
            "subcommand [argument ...]",
        )
        .sub(&["HELP", "SLEEP"]),
];

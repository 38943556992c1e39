//! The connection itself; executed by the front-end.

use super::{CommandId as Id, Family, Flags, Spec};

/// The rows.
pub(super) const COMMANDS: &[Spec] = &[
    Spec::new(Id::Ping, "PING", -1, Family::Connection)
        .fast()
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("1.0.0", "O(1)", "Returns the server's liveliness response.", "[message]"),
    Spec::new(Id::Echo, "ECHO", 2, Family::Connection).fast().flags(Flags::ANYTIME).doc(
        "1.0.0",
        "O(1)",
        "Returns the given string.",
        "message",
    ),
    Spec::new(Id::Hello, "HELLO", -1, Family::Connection)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc(
            "6.0.0",
            "O(1)",
            "Handshakes with the server.",
            "[protover [AUTH username password] [SETNAME clientname]]",
        ),
    Spec::new(Id::Auth, "AUTH", -2, Family::Connection)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc("1.0.0", "O(1)", "Authenticates the connection.", "[username] password"),
    Spec::new(Id::Quit, "QUIT", -1, Family::Connection)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::NO_QUEUE)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc("1.0.0", "O(1)", "Closes the connection.", ""),
    Spec::new(Id::Reset, "RESET", 1, Family::Connection)
        .fast()
        .flags(Flags::NO_AUTH)
        .flags(Flags::NO_QUEUE)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc("6.2.0", "O(1)", "Resets the connection.", ""),
    Spec::new(Id::Select, "SELECT", 2, Family::Connection).fast().flags(Flags::ANYTIME).doc(
        "1.0.0",
        "O(1)",
        "Changes the selected database.",
        "index",
    ),
    Spec::new(Id::Client, "CLIENT", -2, Family::Connection)
        .doc(
            "2.4.0",
            "Depends on the subcommand.",
            "Inspects and names connections.",
            "subcommand [argument ...]",
        )
        .sub(&[
            "CONSISTENCY",
            "GETNAME",
            "HELP",
            "ID",
            "INFO",
            "KILL",
            "LIST",
            "NO-EVICT",
            "NO-TOUCH",
            "REPLY",
            "SETINFO",
            "SETNAME",
        ]),
    Spec::new(Id::Readonly, "READONLY", 1, Family::Connection).fast().flags(Flags::ANYTIME).doc(
        "3.0.0",
        "O(1)",
        "Lets this connection read from this node's own, possibly older, state.",
        "",
    ),
    Spec::new(Id::Readwrite, "READWRITE", 1, Family::Connection).fast().flags(Flags::ANYTIME).doc(
        "3.0.0",
        "O(1)",
        "Ends READONLY: reads are linearizable again.",
        "",
    ),
];

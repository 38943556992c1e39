//! Transactions.

use super::{CommandId as Id, Family, Flags, Spec};

/// The rows.
pub(super) const COMMANDS: &[Spec] = &[
    Spec::new(Id::Multi, "MULTI", 1, Family::Transaction)
        .fast()
        .flags(Flags::NO_QUEUE)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc("1.2.0", "O(1)", "Starts a transaction.", ""),
    Spec::new(Id::Exec, "EXEC", 1, Family::Transaction)
        .flags(Flags::NO_QUEUE)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::SKIP_SLOWLOG)
        .doc(
            "1.2.0",
            "Depends on the commands in the transaction.",
            "Executes all commands in a transaction.",
            "",
        ),
    Spec::new(Id::Discard, "DISCARD", 1, Family::Transaction)
        .fast()
        .flags(Flags::NO_QUEUE)
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc(
            "2.0.0",
            "O(N) where N is the number of queued commands.",
            "Discards a transaction.",
            "",
        ),
    Spec::new(Id::Watch, "WATCH", -2, Family::Transaction)
        .fast()
        .keys(1, -1, 1)
        .flags(Flags::NO_QUEUE)
        .uses(&["RO"])
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc(
            "2.2.0",
            "O(1) for every key.",
            "Monitors changes to keys to determine the execution of a transaction.",
            "key [key ...]",
        ),
    Spec::new(Id::Unwatch, "UNWATCH", 1, Family::Transaction)
        .fast()
        .flags(Flags::ANYTIME)
        .flags(Flags::NO_SCRIPT)
        .flags(Flags::ALLOW_BUSY)
        .doc("2.2.0", "O(1)", "Forgets about watched keys of a transaction.", ""),
];

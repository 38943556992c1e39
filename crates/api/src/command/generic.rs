//! Keys of any type, and databases.

use super::{CommandId as Id, Family, Flags, Spec};

/// The rows.
pub(super) const COMMANDS: &[Spec] = &[
    Spec::new(Id::Del, "DEL", -2, Family::Generic)
        .write()
        .keys(1, -1, 1)
        .uses(&["RM delete"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc(
            "1.0.0",
            "O(N) where N is the number of keys.",
            "Deletes one or more keys.",
            "key [key ...]",
        ),
    Spec::new(Id::Unlink, "UNLINK", -2, Family::Generic)
        .write()
        .fast()
        .keys(1, -1, 1)
        .uses(&["RM delete"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc(
            "4.0.0",
            "O(1) for each key removed.",
            "Deletes one or more keys; large values are reclaimed later.",
            "key [key ...]",
        ),
    Spec::new(Id::Exists, "EXISTS", -2, Family::Generic)
        .read()
        .fast()
        .keys(1, -1, 1)
        .uses(&["RO"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc(
            "1.0.0",
            "O(N) where N is the number of keys to check.",
            "Determines whether one or more keys exist.",
            "key [key ...]",
        ),
    Spec::new(Id::Type, "TYPE", 2, Family::Generic).read().fast().keys(1, 1, 1).uses(&["RO"]).doc(
        "1.0.0",
        "O(1)",
        "Determines the type of value stored at a key.",
        "key",
    ),
    Spec::new(Id::Touch, "TOUCH", -2, Family::Generic)
        .read()
        .fast()
        .keys(1, -1, 1)
        .uses(&["RO"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .doc(
            "3.2.1",
            "O(N) where N is the number of keys.",
            "Returns the number of existing keys out of those specified.",
            "key [key ...]",
        ),
    Spec::new(Id::Expire, "EXPIRE", -3, Family::Generic)
        .write()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW update"])
        .doc(
            "1.0.0",
            "O(1)",
            "Sets the expiration time of a key in seconds.",
            "key seconds [NX | XX | GT | LT]",
        ),
    Spec::new(Id::Pexpire, "PEXPIRE", -3, Family::Generic)
        .write()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW update"])
        .doc(
            "2.6.0",
            "O(1)",
            "Sets the expiration time of a key in milliseconds.",
            "key milliseconds [NX | XX | GT | LT]",
        ),
    Spec::new(Id::Expireat, "EXPIREAT", -3, Family::Generic)
        .write()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW update"])
        .doc(
            "1.2.0",
            "O(1)",
            "Sets the expiration time of a key to a Unix timestamp.",
            "key unix-time-seconds [NX | XX | GT | LT]",
        ),
    Spec::new(Id::Pexpireat, "PEXPIREAT", -3, Family::Generic)
        .write()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW update"])
        .doc(
            "2.6.0",
            "O(1)",
            "Sets the expiration time of a key to a Unix milliseconds timestamp.",
            "key unix-time-milliseconds [NX | XX | GT | LT]",
        ),
    Spec::new(Id::Ttl, "TTL", 2, Family::Generic)
        .read()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RO access"])
        .tips(&["nondeterministic_output"])
        .doc("1.0.0", "O(1)", "Returns the expiration time in seconds of a key.", "key"),
    Spec::new(Id::Pttl, "PTTL", 2, Family::Generic)
        .read()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RO access"])
        .tips(&["nondeterministic_output"])
        .doc("2.6.0", "O(1)", "Returns the expiration time in milliseconds of a key.", "key"),
    Spec::new(Id::Expiretime, "EXPIRETIME", 2, Family::Generic)
        .read()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RO access"])
        .doc("7.0.0", "O(1)", "Returns the expiration time of a key as a Unix timestamp.", "key"),
    Spec::new(Id::Pexpiretime, "PEXPIRETIME", 2, Family::Generic)
        .read()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RO access"])
        .doc(
            "7.0.0",
            "O(1)",
            "Returns the expiration time of a key as a Unix milliseconds timestamp.",
            "key",
        ),
    Spec::new(Id::Persist, "PERSIST", 2, Family::Generic)
        .write()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW update"])
        .doc("2.2.0", "O(1)", "Removes the expiration time of a key.", "key"),
    Spec::new(Id::Rename, "RENAME", 3, Family::Generic)
        .write()
        .keys(1, 2, 1)
        .uses(&["RW access delete", "OW update"])
        .doc("1.0.0", "O(1)", "Renames a key and overwrites the destination.", "key newkey"),
    Spec::new(Id::Renamenx, "RENAMENX", 3, Family::Generic)
        .write()
        .fast()
        .keys(1, 2, 1)
        .uses(&["RW access delete", "OW insert"])
        .doc(
            "1.0.0",
            "O(1)",
            "Renames a key only when the target key name doesn't exist.",
            "key newkey",
        ),
    Spec::new(Id::Copy, "COPY", -3, Family::Generic)
        .grow()
        .keys(1, 2, 1)
        .uses(&["RO access", "OW update"])
        .doc(
            "6.2.0",
            "O(N) where N is the size of the value.",
            "Copies the value of a key to a new key.",
            "source destination [DB destination-db] [REPLACE]",
        ),
    Spec::new(Id::Move, "MOVE", 3, Family::Generic)
        .write()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW access update"])
        .doc("1.0.0", "O(1)", "Moves a key to another database.", "key db"),
    Spec::new(Id::Keys, "KEYS", 2, Family::Generic)
        .read()
        .flags(Flags::DANGEROUS)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .doc(
            "1.0.0",
            "O(N) where N is the number of keys in the database.",
            "Returns all key names that match a pattern.",
            "pattern",
        ),
    Spec::new(Id::Scan, "SCAN", -2, Family::Generic)
        .read()
        .tips(&["nondeterministic_output", "request_policy:special"])
        .doc(
            "2.8.0",
            "O(1) for every call; O(N) for a complete iteration.",
            "Iterates over the key names in the database.",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        ),
    Spec::new(Id::Randomkey, "RANDOMKEY", 1, Family::Generic)
        .read()
        .flags(Flags::RANDOM)
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .doc("1.0.0", "O(1)", "Returns a random key name from the database.", ""),
    Spec::new(Id::Dbsize, "DBSIZE", 1, Family::Generic)
        .read()
        .fast()
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .doc("1.0.0", "O(1)", "Returns the number of keys in the database.", ""),
    Spec::new(Id::Flushdb, "FLUSHDB", -1, Family::Generic)
        .write()
        .flags(Flags::DANGEROUS)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc(
            "1.0.0",
            "O(1); the space is reclaimed later.",
            "Removes all keys from the current database.",
            "[ASYNC | SYNC]",
        ),
    Spec::new(Id::Flushall, "FLUSHALL", -1, Family::Generic)
        .write()
        .flags(Flags::DANGEROUS)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc(
            "1.0.0",
            "O(1); the space is reclaimed later.",
            "Removes all keys from all databases.",
            "[ASYNC | SYNC]",
        ),
    Spec::new(Id::Swapdb, "SWAPDB", 3, Family::Generic).write().fast().flags(Flags::DANGEROUS).doc(
        "4.0.0",
        "O(1)",
        "Swaps two databases.",
        "index1 index2",
    ),
    Spec::new(Id::Object, "OBJECT", -2, Family::Generic)
        .read()
        .keys(2, 2, 1)
        .doc("2.2.3", "O(1)", "Inspects the stored value of a key.", "subcommand key")
        .sub(&["ENCODING", "FREQ", "HELP", "IDLETIME", "REFCOUNT"]),
];

//! What Quorate's own front-ends need beyond Redis' commands; no client can send these over RESP.

use super::{CommandId as Id, Family, Flags, Spec};

/// The rows.
pub(super) const COMMANDS: &[Spec] = &[
    Spec::new(Id::KvGet, "KV.GET", 2, Family::Internal)
        .read()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RO access"])
        .flags(Flags::INTERNAL)
        .doc("0.1.0", "O(1)", "Value, revision and expiry of a string key.", "key"),
    Spec::new(Id::KvPut, "KV.PUT", 5, Family::Internal)
        .grow()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW access update"])
        .flags(Flags::INTERNAL)
        .doc("0.1.0", "O(1)", "Sets a string under a condition.", "key value condition ttl-ms"),
    Spec::new(Id::KvDelete, "KV.DELETE", 3, Family::Internal)
        .write()
        .fast()
        .keys(1, 1, 1)
        .uses(&["RW delete"])
        .flags(Flags::INTERNAL)
        .doc("0.1.0", "O(1)", "Deletes a key under a condition.", "key condition"),
    Spec::new(Id::Revisions, "REVISIONS", -2, Family::Internal)
        .read()
        .fast()
        .keys(1, -1, 1)
        .uses(&["RO"])
        .flags(Flags::INTERNAL)
        .doc(
            "0.1.0",
            "O(N)",
            "The revisions of keys, 0 where absent, and the revision of the state read, for WATCH.",
            "key [key ...]",
        ),
];

//! Strings.

use super::{CommandId as Id, Family, Spec};

/// The rows.
pub(super) const COMMANDS: &[Spec] = &[
    Spec::new(Id::Get, "GET", 2, Family::String).read().fast().keys(1, 1, 1).uses(&["RO access"]).doc("1.0.0", "O(1)", "Returns the string value of a key.", "key"),
    Spec::new(Id::Set, "SET", -3, Family::String).grow().keys(1, 1, 1).uses(&["RW access update variable_flags"]).doc("1.0.0", "O(1)", "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.", "key value [NX | XX | IFEQ comparison-value] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]"),
    Spec::new(Id::Setnx, "SETNX", 3, Family::String).grow().fast().keys(1, 1, 1).uses(&["OW insert"]).doc("1.0.0", "O(1)", "Sets the string value of a key only when the key doesn't exist.", "key value"),
    Spec::new(Id::Setex, "SETEX", 4, Family::String).grow().keys(1, 1, 1).uses(&["OW update"]).doc("2.0.0", "O(1)", "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.", "key seconds value"),
    Spec::new(Id::Psetex, "PSETEX", 4, Family::String).grow().keys(1, 1, 1).uses(&["OW update"]).doc("2.6.0", "O(1)", "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.", "key milliseconds value"),
    Spec::new(Id::Getset, "GETSET", 3, Family::String).grow().fast().keys(1, 1, 1).uses(&["RW access update"]).doc("1.0.0", "O(1)", "Returns the previous string value of a key after setting it to a new value.", "key value"),
    Spec::new(Id::Getdel, "GETDEL", 2, Family::String).write().fast().keys(1, 1, 1).uses(&["RW access delete"]).doc("6.2.0", "O(1)", "Returns the string value of a key after deleting the key.", "key"),
    Spec::new(Id::Getex, "GETEX", -2, Family::String).write().fast().keys(1, 1, 1).uses(&["RW access update"]).doc("6.2.0", "O(1)", "Returns the string value of a key after setting its expiration time.", "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]"),
    Spec::new(Id::Mget, "MGET", -2, Family::String).read().fast().keys(1, -1, 1).uses(&["RO access"]).tips(&["request_policy:multi_shard"]).doc("1.0.0", "O(N) where N is the number of keys to retrieve.", "Atomically returns the string values of one or more keys.", "key [key ...]"),
    Spec::new(Id::Mset, "MSET", -3, Family::String).grow().keys(1, -1, 2).uses(&["OW update"]).tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]).doc("1.0.1", "O(N) where N is the number of keys to set.", "Atomically creates or modifies the string values of one or more keys.", "key value [key value ...]"),
    Spec::new(Id::Msetnx, "MSETNX", -3, Family::String).grow().keys(1, -1, 2).uses(&["OW insert"]).tips(&["request_policy:multi_shard", "response_policy:agg_min"]).doc("1.0.1", "O(N) where N is the number of keys to set.", "Atomically modifies the string values of one or more keys only when all keys don't exist.", "key value [key value ...]"),
    Spec::new(Id::Append, "APPEND", 3, Family::String).grow().fast().keys(1, 1, 1).uses(&["RW insert"]).doc("2.0.0", "O(N) where N is the length of the value.", "Appends a string to the value of a key. Creates the key if it doesn't exist.", "key value"),
    Spec::new(Id::Strlen, "STRLEN", 2, Family::String).read().fast().keys(1, 1, 1).uses(&["RO"]).doc("2.2.0", "O(1)", "Returns the length of a string value.", "key"),
    Spec::new(Id::Getrange, "GETRANGE", 4, Family::String).read().keys(1, 1, 1).uses(&["RO access"]).doc("2.4.0", "O(N) where N is the length of the returned string.", "Returns a substring of the string stored at a key.", "key start end"),
    Spec::new(Id::Substr, "SUBSTR", 4, Family::String).read().keys(1, 1, 1).uses(&["RO access"]).doc("1.0.0", "O(N) where N is the length of the returned string.", "Returns a substring from a string value.", "key start end"),
    Spec::new(Id::Setrange, "SETRANGE", 4, Family::String).grow().keys(1, 1, 1).uses(&["RW update"]).doc("2.2.0", "O(N) where N is the length of the value.", "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.", "key offset value"),
    Spec::new(Id::Incr, "INCR", 2, Family::String).grow().fast().keys(1, 1, 1).uses(&["RW access update"]).doc("1.0.0", "O(1)", "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", "key"),
    Spec::new(Id::Decr, "DECR", 2, Family::String).grow().fast().keys(1, 1, 1).uses(&["RW access update"]).doc("1.0.0", "O(1)", "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", "key"),
    Spec::new(Id::Incrby, "INCRBY", 3, Family::String).grow().fast().keys(1, 1, 1).uses(&["RW access update"]).doc("1.0.0", "O(1)", "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.", "key increment"),
    Spec::new(Id::Decrby, "DECRBY", 3, Family::String).grow().fast().keys(1, 1, 1).uses(&["RW access update"]).doc("1.0.0", "O(1)", "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.", "key decrement"),
    Spec::new(Id::Incrbyfloat, "INCRBYFLOAT", 3, Family::String).grow().fast().keys(1, 1, 1).uses(&["RW access update"]).doc("2.6.0", "O(1)", "Increments the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.", "key increment"),
];

//! The numbers by which commands stand in the log: never changed, never reused.

/// A command's number in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum CommandId {
    /// GET.
    Get = 1,
    /// SET.
    Set = 2,
    /// SETNX.
    Setnx = 3,
    /// SETEX.
    Setex = 4,
    /// PSETEX.
    Psetex = 5,
    /// GETSET.
    Getset = 6,
    /// GETDEL.
    Getdel = 7,
    /// GETEX.
    Getex = 8,
    /// MGET.
    Mget = 9,
    /// MSET.
    Mset = 10,
    /// MSETNX.
    Msetnx = 11,
    /// APPEND.
    Append = 12,
    /// STRLEN.
    Strlen = 13,
    /// GETRANGE.
    Getrange = 14,
    /// SUBSTR.
    Substr = 15,
    /// SETRANGE.
    Setrange = 16,
    /// INCR.
    Incr = 17,
    /// DECR.
    Decr = 18,
    /// INCRBY.
    Incrby = 19,
    /// DECRBY.
    Decrby = 20,
    /// INCRBYFLOAT.
    Incrbyfloat = 21,
    /// DEL.
    Del = 64,
    /// UNLINK.
    Unlink = 65,
    /// EXISTS.
    Exists = 66,
    /// TYPE.
    Type = 67,
    /// TOUCH.
    Touch = 68,
    /// EXPIRE.
    Expire = 69,
    /// PEXPIRE.
    Pexpire = 70,
    /// EXPIREAT.
    Expireat = 71,
    /// PEXPIREAT.
    Pexpireat = 72,
    /// TTL.
    Ttl = 73,
    /// PTTL.
    Pttl = 74,
    /// EXPIRETIME.
    Expiretime = 75,
    /// PEXPIRETIME.
    Pexpiretime = 76,
    /// PERSIST.
    Persist = 77,
    /// RENAME.
    Rename = 78,
    /// RENAMENX.
    Renamenx = 79,
    /// COPY.
    Copy = 80,
    /// MOVE.
    Move = 81,
    /// KEYS.
    Keys = 82,
    /// SCAN.
    Scan = 83,
    /// RANDOMKEY.
    Randomkey = 84,
    /// DBSIZE.
    Dbsize = 85,
    /// FLUSHDB.
    Flushdb = 86,
    /// FLUSHALL.
    Flushall = 87,
    /// SWAPDB.
    Swapdb = 88,
    /// OBJECT.
    Object = 89,
    /// MULTI.
    Multi = 128,
    /// EXEC.
    Exec = 129,
    /// DISCARD.
    Discard = 130,
    /// WATCH.
    Watch = 131,
    /// UNWATCH.
    Unwatch = 132,
    /// PING.
    Ping = 160,
    /// ECHO.
    Echo = 161,
    /// HELLO.
    Hello = 162,
    /// AUTH.
    Auth = 163,
    /// QUIT.
    Quit = 164,
    /// RESET.
    Reset = 165,
    /// SELECT.
    Select = 166,
    /// CLIENT.
    Client = 167,
    /// READONLY.
    Readonly = 168,
    /// READWRITE.
    Readwrite = 169,
    /// TIME.
    Time = 192,
    /// COMMAND.
    Command = 193,
    /// CONFIG.
    Config = 194,
    /// INFO.
    Info = 195,
    /// ROLE.
    Role = 196,
    /// LEADER.
    Leader = 197,
    /// WAIT.
    Wait = 198,
    /// DEBUG.
    Debug = 199,
    /// KV.GET.
    KvGet = 240,
    /// KV.PUT.
    KvPut = 241,
    /// KV.DELETE.
    KvDelete = 242,
    /// REVISIONS.
    Revisions = 243,
}

/// One above the highest number.
pub(super) const COUNT: usize = 244;

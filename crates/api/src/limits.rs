//! Every limit in one place. Crossing one is a clear reply, never a crash and never unbounded memory.
//!
//! These are cluster-wide: a follower must be able to apply what a leader admits, so they are
//! constants of the format, not settings.

/// A key. Redis allows 512 MiB; nothing sane needs it, and keys are compared and copied often.
pub const KEY_BYTES_MAX: usize = 64 * 1024;
/// A value, and so one argument of a command. Redis: 512 MiB. An entry is replicated whole and must
/// fit into a log segment of 64 MiB.
pub const VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Arguments of one command, its name included (Redis: 1 Mi).
pub const ARGS_MAX: usize = 1024 * 1024;
/// Bytes of one command with all its arguments.
pub const COMMAND_BYTES_MAX: usize = 40 * 1024 * 1024;
/// An inline command's line (as Redis).
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Commands of one MULTI/EXEC block.
pub const TRANSACTION_COMMANDS_MAX: usize = 64 * 1024;
/// Commands of one log entry: positions must fit beside the index in a revision.
pub const ENTRY_COMMANDS_MAX: usize = 1 << 20;
/// Bytes of one log entry at which a batch is closed; a single larger command makes a larger entry.
pub const ENTRY_BYTES_TARGET: usize = 1024 * 1024;
/// Bytes of one log entry at the very most.
pub const ENTRY_BYTES_MAX: usize = 48 * 1024 * 1024;
/// Logical databases (SELECT 0..16).
pub const DATABASES: u8 = 16;
/// Commands of one connection that are decoded but not answered; beyond it the socket is not read.
pub const PIPELINE_COMMANDS_MAX: usize = 16 * 1024;
/// Bytes of unsent replies of one connection; beyond it its commands are not read.
pub const OUTPUT_BYTES_PAUSE: usize = 1024 * 1024;
/// Bytes of one reply, with what is unsent before it; a larger one is refused.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of replies which the clients of a node have not read, all together; beyond it: Overloaded. As many as
/// one reply of the largest size has, since a machine's memory must have room for this beside the data.
pub const UNREAD_BYTES_MAX: usize = OUTPUT_BYTES_MAX;
/// Bytes of unread replies which a connection may have whatever the others hold.
pub const UNREAD_BYTES_FREE: usize = 64 * 1024;
/// Milliseconds for which a client may take nothing of a large reply while others are refused for its sake;
/// then it is closed.
pub const UNREAD_STALL_MS_MAX: u64 = 30_000;
/// Bytes of commands which a node holds unfinished, of all connections; beyond it: Overloaded.
pub const PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Connections of a node unless configured.
pub const CONNECTIONS_MAX: usize = 10_000;
/// The longest name of a node: names stand in lists, tables and paths.
pub const ID_BYTES_MAX: usize = 64;
/// Voters of a group.
pub const VOTERS_MAX: usize = 7;
/// Members of a group, learners included.
pub const MEMBERS_MAX: usize = 32;
/// Bytes of an HTTP request's headers.
pub const HTTP_HEADER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a refused HTTP request that are read and thrown away, so that its answer is not lost: as many as
/// the largest request has that would have been taken.
pub const HTTP_LINGER_BYTES_MAX: usize = COMMAND_BYTES_MAX;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Keys watched by one connection.
pub const WATCHES_MAX: usize = 64 * 1024;
/// Nesting of RESP aggregates in replies that the client decodes.
pub const NESTING_MAX: usize = 32;

const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX < COMMAND_BYTES_MAX);
const _: () = assert!(COMMAND_BYTES_MAX + ENTRY_BYTES_TARGET < ENTRY_BYTES_MAX);
const _: () =
    assert!(UNREAD_BYTES_FREE < OUTPUT_BYTES_PAUSE && OUTPUT_BYTES_PAUSE < OUTPUT_BYTES_MAX);
const _: () =
    assert!(2 * VALUE_BYTES_MAX < UNREAD_BYTES_MAX && OUTPUT_BYTES_MAX <= UNREAD_BYTES_MAX);

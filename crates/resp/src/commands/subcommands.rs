//! The rows of subcommands, beside the command table: arity for the check, texts for COMMAND DOCS.

use quorate_api::{Args, CommandId as Id, Reply, Spec};

use crate::commands::is;
use crate::error;

/// A subcommand.
#[derive(Debug)]
pub(crate) struct Subcommand {
    pub(crate) container: Id,
    pub(crate) name: &'static str,
    /// As [`Spec::arity`], the container's name included.
    pub(crate) arity: i32,
    pub(crate) since: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) syntax: &'static str,
}

const fn row(
    container: Id,
    name: &'static str,
    arity: i32,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
) -> Subcommand {
    Subcommand { container, name, arity, since, summary, syntax }
}

/// All of them.
#[rustfmt::skip]
pub(crate) const SUBCOMMANDS: &[Subcommand] = &[
    row(Id::Client, "CONSISTENCY", -2, "0.1.0", "[LINEARIZABLE | LEASE | STALE [max-ms]]", "Shows or chooses what this connection's reads may miss."),
    row(Id::Client, "GETNAME", 2, "2.6.9", "", "Returns the name of the connection."),
    row(Id::Client, "HELP", 2, "5.0.0", "", "Returns helpful text about the subcommands."),
    row(Id::Client, "ID", 2, "5.0.0", "", "Returns the number of the connection."),
    row(Id::Client, "INFO", 2, "6.2.0", "", "Returns information about the connection."),
    row(Id::Client, "KILL", -3, "2.4.0", "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>] [MAXAGE maxage]>", "Closes connections."),
    row(Id::Client, "LIST", -2, "2.4.0", "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]", "Lists open connections."),
    row(Id::Client, "NO-EVICT", 3, "7.0.0", "<ON | OFF>", "Accepted for compatibility: clients are never evicted."),
    row(Id::Client, "NO-TOUCH", 3, "7.2.0", "<ON | OFF>", "Accepted for compatibility: reads never touch a key's age."),
    row(Id::Client, "REPLY", 3, "3.2.0", "<ON | OFF | SKIP>", "Chooses whether the connection is answered."),
    row(Id::Client, "SETINFO", 4, "7.2.0", "<LIB-NAME libname | LIB-VER libver>", "Sets the name or version of the client library."),
    row(Id::Client, "SETNAME", 3, "2.6.9", "connection-name", "Sets the name of the connection."),
    row(Id::Command, "COUNT", 2, "2.8.13", "", "Returns the number of commands."),
    row(Id::Command, "DOCS", -2, "7.0.0", "[command-name [command-name ...]]", "Returns the documentation of commands."),
    row(Id::Command, "GETKEYS", -3, "2.8.13", "command [arg [arg ...]]", "Returns the keys of a full command."),
    row(Id::Command, "GETKEYSANDFLAGS", -3, "7.0.0", "command [arg [arg ...]]", "Returns the keys of a full command and how it uses them."),
    row(Id::Command, "HELP", 2, "5.0.0", "", "Returns helpful text about the subcommands."),
    row(Id::Command, "INFO", -2, "2.8.13", "[command-name [command-name ...]]", "Returns arity, flags and keys of commands."),
    row(Id::Command, "LIST", -2, "7.0.0", "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]", "Returns the names of commands."),
    row(Id::Config, "GET", -3, "2.0.0", "parameter [parameter ...]", "Returns the values of settings."),
    row(Id::Config, "HELP", 2, "5.0.0", "", "Returns helpful text about the subcommands."),
    row(Id::Config, "RESETSTAT", 2, "2.0.0", "", "Sets the front-end's counters to zero."),
    row(Id::Config, "SET", -4, "2.0.0", "parameter value [parameter value ...]", "Changes settings of this node until it restarts."),
    row(Id::Object, "ENCODING", 3, "2.2.3", "key", "Returns the internal encoding of a value."),
    row(Id::Object, "FREQ", 3, "4.0.0", "key", "Returns the access frequency of a key."),
    row(Id::Object, "HELP", 2, "6.2.0", "", "Returns helpful text about the subcommands."),
    row(Id::Object, "IDLETIME", 3, "2.2.3", "key", "Returns the time since a key was last accessed."),
    row(Id::Object, "REFCOUNT", 3, "2.2.3", "key", "Returns the reference count of a value."),
];

impl Subcommand {
    /// `client|id`.
    pub(crate) fn full_name(&self) -> String {
        let container = quorate_api::command::spec(self.container).name;
        format!("{container}|{}", self.name).to_ascii_lowercase()
    }
}

/// The subcommands of `container`.
pub(crate) fn of(container: Id) -> impl Iterator<Item = &'static Subcommand> {
    SUBCOMMANDS.iter().filter(move |row| row.container == container)
}

fn find(container: Id, name: &[u8]) -> Option<&'static Subcommand> {
    of(container).find(|row| is(name, row.name))
}

/// The table's spelling of the subcommand `name` of `spec`.
pub(crate) fn name(spec: &Spec, name: &[u8]) -> Option<&'static str> {
    spec.subcommands.iter().find(|known| is(name, known)).copied()
}

/// Checks the number of arguments, and the subcommand where there must be one.
pub(crate) fn check(spec: &'static Spec, args: Args<'_>) -> Result<(), Reply> {
    if !spec.arity_fits(args.len()) {
        return Err(error::wrong_arity(&spec.name.to_ascii_lowercase()));
    }
    // DEBUG's are no subcommands to Redis' table: it finds them itself.
    let Some(name) = args.get(1).filter(|_| of(spec.id).next().is_some()) else { return Ok(()) };
    let Some(row) = find(spec.id, name) else {
        return Err(error::unknown_subcommand(spec.name, name));
    };
    let count = i32::try_from(args.len()).unwrap_or(i32::MAX);
    let fits = if row.arity >= 0 { count == row.arity } else { count >= -row.arity };
    if fits { Ok(()) } else { Err(error::wrong_arity(&row.full_name())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_those_of_the_command_table() {
        for spec in quorate_api::command::all().filter(|spec| spec.id != Id::Debug) {
            let rows: Vec<&str> = of(spec.id).map(|row| row.name).collect();
            assert_eq!(rows, spec.subcommands, "{}", spec.name);
        }
    }
}

//! The rows of subcommands, beside the command table: arity for the check, texts for COMMAND DOCS.

use quorate_api::command::{Flags, Keys, arity_fits};
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
    pub(crate) flags: Flags,
    pub(crate) keys: Keys,
    pub(crate) uses: &'static [&'static str],
    pub(crate) tips: &'static [&'static str],
}

const fn row(
    container: Id,
    name: &'static str,
    arity: i32,
    since: &'static str,
    syntax: &'static str,
    summary: &'static str,
) -> Subcommand {
    Subcommand {
        container,
        name,
        arity,
        since,
        summary,
        syntax,
        flags: Flags::NONE,
        keys: Keys { first: 0, last: 0, step: 0 },
        uses: &[],
        tips: &[],
    }
}

/// All of them.
#[rustfmt::skip]
pub(crate) const SUBCOMMANDS: &[Subcommand] = &[
    row(Id::Client, "CONSISTENCY", -2, "0.1.0", "[LINEARIZABLE | LEASE | STALE [max-ms]]", "Shows or chooses what this connection's reads may miss.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "GETNAME", 2, "2.6.9", "", "Returns the name of the connection.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "HELP", 2, "5.0.0", "", "Returns helpful text about the subcommands.").flags(Flags::ANYTIME),
    row(Id::Client, "ID", 2, "5.0.0", "", "Returns the number of the connection.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "INFO", 2, "6.2.0", "", "Returns information about the connection.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT).tips(&["nondeterministic_output"]),
    row(Id::Client, "KILL", -3, "2.4.0", "<ip:port | [ID client-id] [TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>] [MAXAGE maxage]>", "Closes connections.").flags(Flags::ADMIN).flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "LIST", -2, "2.4.0", "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]", "Lists open connections.").flags(Flags::ADMIN).flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT).tips(&["nondeterministic_output"]),
    row(Id::Client, "NO-EVICT", 3, "7.0.0", "<ON | OFF>", "Accepted for compatibility: clients are never evicted.").flags(Flags::ADMIN).flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "NO-TOUCH", 3, "7.2.0", "<ON | OFF>", "Accepted for compatibility: reads never touch a key's age.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "REPLY", 3, "3.2.0", "<ON | OFF | SKIP>", "Chooses whether the connection is answered.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "SETINFO", 4, "7.2.0", "<LIB-NAME libname | LIB-VER libver>", "Sets the name or version of the client library.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Client, "SETNAME", 3, "2.6.9", "connection-name", "Sets the name of the connection.").flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Command, "COUNT", 2, "2.8.13", "", "Returns the number of commands.").flags(Flags::ANYTIME),
    row(Id::Command, "DOCS", -2, "7.0.0", "[command-name [command-name ...]]", "Returns the documentation of commands.").flags(Flags::ANYTIME).tips(&["nondeterministic_output_order"]),
    row(Id::Command, "GETKEYS", -3, "2.8.13", "command [arg [arg ...]]", "Returns the keys of a full command.").flags(Flags::ANYTIME),
    row(Id::Command, "GETKEYSANDFLAGS", -3, "7.0.0", "command [arg [arg ...]]", "Returns the keys of a full command and how it uses them.").flags(Flags::ANYTIME),
    row(Id::Command, "HELP", 2, "5.0.0", "", "Returns helpful text about the subcommands.").flags(Flags::ANYTIME),
    row(Id::Command, "INFO", -2, "2.8.13", "[command-name [command-name ...]]", "Returns arity, flags and keys of commands.").flags(Flags::ANYTIME).tips(&["nondeterministic_output_order"]),
    row(Id::Command, "LIST", -2, "7.0.0", "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]", "Returns the names of commands.").flags(Flags::ANYTIME).tips(&["nondeterministic_output_order"]),
    row(Id::Config, "GET", -3, "2.0.0", "parameter [parameter ...]", "Returns the values of settings.").flags(Flags::ADMIN).flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Config, "HELP", 2, "5.0.0", "", "Returns helpful text about the subcommands.").flags(Flags::ANYTIME),
    row(Id::Config, "RESETSTAT", 2, "2.0.0", "", "Sets the front-end's counters to zero.").flags(Flags::ADMIN).flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT),
    row(Id::Config, "SET", -4, "2.0.0", "parameter value [parameter value ...]", "Changes settings of this node until it restarts.").flags(Flags::ADMIN).flags(Flags::ANYTIME).flags(Flags::NO_SCRIPT).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    row(Id::Object, "ENCODING", 3, "2.2.3", "key", "Returns the internal encoding of a value.").flags(Flags::READ).keyed(2, &["RO"]).tips(&["nondeterministic_output"]),
    row(Id::Object, "FREQ", 3, "4.0.0", "key", "Returns the access frequency of a key.").flags(Flags::READ).keyed(2, &["RO"]).tips(&["nondeterministic_output"]),
    row(Id::Object, "HELP", 2, "6.2.0", "", "Returns helpful text about the subcommands.").flags(Flags::ANYTIME),
    row(Id::Object, "IDLETIME", 3, "2.2.3", "key", "Returns the time since a key was last accessed.").flags(Flags::READ).keyed(2, &["RO"]).tips(&["nondeterministic_output"]),
    row(Id::Object, "REFCOUNT", 3, "2.2.3", "key", "Returns the reference count of a value.").flags(Flags::READ).keyed(2, &["RO"]).tips(&["nondeterministic_output"]),
];

impl Subcommand {
    const fn flags(mut self, flags: Flags) -> Self {
        self.flags = self.flags.with(flags);
        self
    }

    /// With one key, at `position`.
    const fn keyed(mut self, position: i32, uses: &'static [&'static str]) -> Self {
        self.keys = Keys { first: position, last: position, step: 1 };
        self.uses = uses;
        self
    }

    const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

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

/// True for a command that does nothing without a subcommand: what there is to say is said of those.
pub(crate) fn is_container(spec: &Spec) -> bool {
    spec.arity == -2 && of(spec.id).next().is_some()
}

/// The row of the subcommand `name` of `container`.
pub(crate) fn find(container: Id, name: &[u8]) -> Option<&'static Subcommand> {
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
    if arity_fits(row.arity, args.len()) {
        Ok(())
    } else {
        Err(error::wrong_arity(&row.full_name()))
    }
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

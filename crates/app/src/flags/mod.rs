//! The flags: one table per command, from which the parser, the help, the environment's variables and
//! the file's keys come. A flag has one name everywhere: `--data-dir`, `QUORATE_DATA_DIR`, `data-dir`.

mod backup;
mod demo;
mod doctor;
mod inspect;
mod member;
mod recover;
mod serve;
mod shell;
mod status;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, or `=true` or `=false`.
    Switch,
    /// A value.
    Value,
    /// Values, separated by commas or given one by one.
    List,
    /// A word at its place, without a name before it.
    Word,
}

/// What a shell can offer for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Nobody knows what the user wants to say.
    Nothing,
    /// These words, and it must be one of them.
    OneOf(&'static [&'static str]),
    /// These words, though others can be said.
    Also(&'static [&'static str]),
    /// What lies on this machine.
    File,
    /// The same, of directories.
    Directory,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Its name, without dashes before it.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What its value is called in the help.
    pub(crate) value: &'static str,
    /// What a shell offers for it.
    pub(crate) offer: Offer,
    /// Its value when nobody gives one; empty: none, or one that depends on the machine.
    pub(crate) default: &'static str,
    /// True when only the command line may have it.
    pub(crate) on_command_line_only: bool,
    /// What it does, and what the user must know.
    pub(crate) help: &'static str,
}

impl Flag {
    const fn new(kind: Kind, name: &'static str, value: &'static str, help: &'static str) -> Self {
        let offer = Offer::Nothing;
        Self { name, kind, value, offer, default: "", on_command_line_only: false, help }
    }

    const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Switch, name, "BOOL", help)
    }

    const fn value(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Value, name, value, help)
    }

    const fn list(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self::new(Kind::List, name, value, help)
    }

    const fn word(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Word, name, value, help).on_command_line_only()
    }

    /// A value that is the name of a file.
    const fn file(name: &'static str, help: &'static str) -> Self {
        Self::value(name, "FILE", help).offer(Offer::File)
    }

    /// A value that is the name of a directory.
    const fn dir(name: &'static str, help: &'static str) -> Self {
        Self::value(name, "DIR", help).offer(Offer::Directory)
    }

    const fn offer(self, offer: Offer) -> Self {
        Self { offer, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    const fn on_command_line_only(self) -> Self {
        Self { on_command_line_only: true, ..self }
    }
}

/// Flags that the help shows together.
#[derive(Debug)]
pub(crate) struct Family {
    /// Their heading.
    pub(crate) heading: &'static str,
    /// The flags.
    pub(crate) flags: &'static [Flag],
}

/// A command of the binary.
#[derive(Debug)]
pub(crate) struct CommandTable {
    /// Its name; of two words where it belongs to one of the [`GROUPS`].
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// What follows the flags in its long help.
    pub(crate) after: &'static str,
    /// What its environment variables begin with.
    pub(crate) env_prefix: &'static str,
    /// Its flags.
    pub(crate) families: &'static [Family],
}

impl CommandTable {
    /// All flags.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.families.iter().flat_map(|family| family.flags)
    }

    /// The flag of this name.
    pub(crate) fn flag(&self, name: &str) -> Option<&'static Flag> {
        self.flags().find(|flag| flag.name == name)
    }

    /// The flag's environment variable.
    pub(crate) fn env(&self, flag: &Flag) -> String {
        format!("{}{}", self.env_prefix, flag.name.replace('-', "_").to_ascii_uppercase())
    }
}

/// For people or for programs, on every command that shows something.
const OUTPUT: Flag = Flag::value("output", "FORMAT", "table, or json for programs.")
    .offer(Offer::OneOf(&["table", "json"]))
    .default("table");
/// What the commands that ask a node prove to it.
const PASSWORD: Flag = Flag::file("password-file", "The file with the nodes' password.");
/// Where the keys are kept.
const ENGINES: Offer = Offer::OneOf(&["memory", "disk"]);

/// Runs a node.
pub(crate) const SERVE: &CommandTable = &serve::TABLE;
/// Shows a cluster.
pub(crate) const STATUS: &CommandTable = &status::TABLE;
/// Looks for what could be wrong with a cluster.
pub(crate) const DOCTOR: &CommandTable = &doctor::TABLE;
/// Makes a cluster of what has survived.
pub(crate) const RECOVER: &CommandTable = &recover::TABLE;
/// Fetches a backup from a node.
pub(crate) const BACKUP_CREATE: &CommandTable = &backup::CREATE;
/// Checks a backup.
pub(crate) const BACKUP_VERIFY: &CommandTable = &backup::VERIFY;
/// Makes a new cluster of a backup.
pub(crate) const BACKUP_RESTORE: &CommandTable = &backup::RESTORE;
/// Shows a directory's log.
pub(crate) const INSPECT_LOG: &CommandTable = &inspect::LOG;
/// Shows a directory's snapshots.
pub(crate) const INSPECT_SNAPSHOT: &CommandTable = &inspect::SNAPSHOT;
/// Shows a directory's state.
pub(crate) const INSPECT_ENGINE: &CommandTable = &inspect::ENGINE;
/// Prints completions for a shell.
pub(crate) const COMPLETIONS: &CommandTable = &shell::COMPLETIONS;
/// Prints manual pages.
pub(crate) const MAN: &CommandTable = &shell::MAN;
/// Runs a small cluster on this machine.
pub(crate) const DEMO: &CommandTable = &demo::TABLE;
/// All commands.
pub(crate) const COMMANDS: &[&CommandTable] = &[
    SERVE,
    STATUS,
    &member::LIST,
    &member::ADD,
    &member::REMOVE,
    &member::PROMOTE,
    &member::DEMOTE,
    &member::TRANSFER,
    &member::REPLACE,
    DOCTOR,
    BACKUP_CREATE,
    BACKUP_VERIFY,
    BACKUP_RESTORE,
    RECOVER,
    INSPECT_LOG,
    INSPECT_SNAPSHOT,
    INSPECT_ENGINE,
    DEMO,
    COMPLETIONS,
    MAN,
];
/// First words of commands that belong together, and what they are about.
pub(crate) const GROUPS: &[(&str, &str)] = &[
    ("member", "Shows and changes the members of a cluster"),
    ("backup", "Makes, checks and restores backups"),
    ("inspect", "Shows what a stopped node's directory holds, and changes nothing"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_name_is_given_twice_within_a_command() {
        for table in COMMANDS {
            let names: BTreeSet<_> = table.flags().map(|flag| flag.name).collect();
            assert_eq!(names.len(), table.flags().count(), "{}", table.name);
        }
    }

    #[test]
    fn every_flag_is_explained_with_a_sentence() {
        for flag in COMMANDS.iter().flat_map(|table| table.flags()) {
            assert!(flag.help.ends_with('.'), "{}", flag.name);
        }
    }

    #[test]
    fn files_and_directories_are_offered_where_one_is_named() {
        for flag in COMMANDS.iter().flat_map(|table| table.flags()) {
            let offer = match flag.value {
                "FILE" => Offer::File,
                "DIR" => Offer::Directory,
                _ => continue,
            };
            assert_eq!(flag.offer, offer, "{}", flag.name);
        }
    }

    #[test]
    fn what_is_offered_is_explained_and_a_default_is_among_it() {
        for flag in COMMANDS.iter().flat_map(|table| table.flags()) {
            if let Offer::OneOf(words) | Offer::Also(words) = flag.offer {
                assert!(words.iter().all(|word| flag.help.contains(word)), "{}", flag.name);
                assert!(flag.default.is_empty() || words.contains(&flag.default), "{}", flag.name);
            }
        }
    }

    #[test]
    fn commands_of_two_words_belong_to_a_group() {
        for table in COMMANDS {
            if let Some((group, _)) = table.name.split_once(' ') {
                assert!(GROUPS.iter().any(|(name, _)| *name == group), "{}", table.name);
            }
        }
    }

    #[test]
    fn an_environment_variable_has_its_flags_name() {
        let flag = SERVE.flag("data-dir").unwrap();
        assert_eq!(SERVE.env(flag), "QUORATE_DATA_DIR");
        assert_eq!(DEMO.env(DEMO.flag("port").unwrap()), "QUORATE_DEMO_PORT");
    }
}

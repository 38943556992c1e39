//! The command line: clap's tree is built from the flag tables, and what was given becomes a layer.

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};

use crate::flags::{COMMANDS, CommandTable, Flag, GROUPS, Kind, Offer};
use crate::layers::{Layer, Source};

/// What the user wants.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// The command.
    pub(crate) table: &'static CommandTable,
    /// Its flags, as given.
    pub(crate) flags: Layer,
}

/// What the tree is for. Whether a value can be is judged later, whoever gave it; so only to others than the parser
/// it says which values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// To parse a command line, and to explain it.
    Parse,
    /// To be completed by a shell.
    Complete,
    /// To be read, as a manual.
    Read,
}

/// The whole tree.
pub(crate) fn tree(purpose: Use) -> Command {
    Command::new("quorate")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A distributed, fault-tolerant, durable, linearizable key-value store")
        .after_help("A cluster of three on this machine, to play with: quorate demo")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .max_term_width(100)
        .subcommands(top_level(purpose))
}

/// Commands in the order of the tables; those of a group stand where its first one does.
fn top_level(purpose: Use) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for table in COMMANDS {
        let Some((group, name)) = table.name.split_once(' ') else {
            commands.push(subcommand(table.name, table, purpose));
            continue;
        };
        let inner = subcommand(name, table, purpose);
        match commands.iter().position(|command| command.get_name() == group) {
            Some(at) => {
                let outer = commands.remove(at).subcommand(inner);
                commands.insert(at, outer);
            }
            None => commands.push(self::group(group).subcommand(inner)),
        }
    }
    commands
}

fn group(name: &'static str) -> Command {
    let about = GROUPS.iter().find(|(known, _)| *known == name).map_or("", |(_, about)| about);
    Command::new(name)
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

fn subcommand(name: &'static str, table: &'static CommandTable, purpose: Use) -> Command {
    let command = Command::new(name).about(table.about).after_help(table.after);
    table.families.iter().fold(command, |command, family| {
        let arg = |flag| offered(flag, arg(table, flag), purpose).help_heading(family.heading);
        command.args(family.flags.iter().map(arg))
    })
}

fn arg(table: &CommandTable, flag: &'static Flag) -> Arg {
    let mut help = flag.help.to_owned();
    if !flag.default.is_empty() {
        help.push_str(&format!(" [default: {}]", flag.default));
    }
    if !flag.on_command_line_only {
        help.push_str(&format!(" [env: {}]", table.env(flag)));
    }
    let arg = Arg::new(flag.name).value_name(flag.value).help(help);
    let arg = if flag.kind == Kind::Word { arg } else { arg.long(flag.name) };
    match flag.kind {
        Kind::Word => arg.required(flag.default.is_empty()),
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Value => arg.action(ArgAction::Set),
        Kind::List => arg.action(ArgAction::Append),
    }
}

/// `arg`, with what there is to say.
fn offered(flag: &Flag, arg: Arg, purpose: Use) -> Arg {
    match (purpose, flag.kind, flag.offer) {
        (Use::Parse, ..) => arg,
        // A shell would offer the value behind a space, where it is none.
        (Use::Complete, Kind::Switch, _) => {
            Arg::new(flag.name).long(flag.name).help(flag.help).action(ArgAction::SetTrue)
        }
        (_, _, Offer::OneOf(words)) | (Use::Complete, _, Offer::Also(words)) => {
            arg.value_parser(PossibleValuesParser::new(words))
        }
        (_, _, Offer::File) => arg.value_hint(ValueHint::FilePath),
        (_, _, Offer::Directory) => arg.value_hint(ValueHint::DirPath),
        (_, _, Offer::Nothing | Offer::Also(_)) => arg.value_hint(ValueHint::Other),
    }
}

/// Parses the command line, the binary's name first.
///
/// # Errors
/// It can't be understood, or asks for help.
pub(crate) fn parse(
    args: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Invocation, clap::Error> {
    let matches = tree(Use::Parse).try_get_matches_from(args)?;
    let found = matches.subcommand().and_then(|(name, matches)| match matches.subcommand() {
        Some((inner, matches)) => find(&format!("{name} {inner}")).zip(Some(matches)),
        None => find(name).zip(Some(matches)),
    });
    let (table, matches) = found.ok_or_else(|| {
        tree(Use::Parse).error(ErrorKind::MissingSubcommand, "a command is missing")
    })?;
    Ok(Invocation { table, flags: layer(table, matches) })
}

fn find(name: &str) -> Option<&'static CommandTable> {
    COMMANDS.iter().copied().find(|table| table.name == name)
}

fn layer(table: &CommandTable, matches: &ArgMatches) -> Layer {
    let mut layer = Layer::new(Source::Flag);
    for flag in table.flags() {
        if let Some(values) = matches.get_many::<String>(flag.name) {
            let values: Vec<&str> = values.map(String::as_str).collect();
            layer.put(flag.name, values.join(","));
        }
    }
    layer
}

/// An error of ours in clap's clothes: with the usage of the command.
pub(crate) fn wrong_usage(table: &CommandTable, text: &str) -> clap::Error {
    let mut root = tree(Use::Parse);
    root.build();
    let found = table.name.split(' ').try_fold(&mut root, Command::find_subcommand_mut);
    match found {
        Some(command) => command.error(ErrorKind::ValueValidation, text),
        None => tree(Use::Parse).error(ErrorKind::ValueValidation, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SERVE;

    fn parsed(args: &[&str]) -> Result<Invocation, clap::Error> {
        parse(args.iter().map(std::ffi::OsString::from))
    }

    #[test]
    fn the_tree_is_sound() {
        for purpose in [Use::Parse, Use::Complete, Use::Read] {
            tree(purpose).debug_assert();
        }
    }

    #[test]
    fn flags_become_a_layer() {
        let args = ["quorate", "serve", "--bootstrap", "--join", "a:1,b:2", "--join=c:3"];
        let invocation = parsed(&args).unwrap();
        assert_eq!(invocation.table.name, "serve");
        assert_eq!(invocation.flags.get("bootstrap"), Some("true"));
        assert_eq!(invocation.flags.get("join"), Some("a:1,b:2,c:3"));
        assert_eq!(invocation.flags.get("listen"), None);
    }

    #[test]
    fn a_command_of_two_words_takes_words_at_their_places() {
        let invocation =
            parsed(&["quorate", "member", "replace", "n3", "h:1", "--addr", "a:1"]).unwrap();
        assert_eq!(invocation.table.name, "member replace");
        assert_eq!(invocation.flags.get("member"), Some("n3"));
        assert_eq!(invocation.flags.get("with"), Some("h:1"));
        assert_eq!(invocation.flags.get("addr"), Some("a:1"));
        assert!(parsed(&["quorate", "member", "replace", "n3"]).is_err());
        assert!(parsed(&["quorate", "member"]).is_err());
        let text = wrong_usage(invocation.table, "x").to_string();
        assert!(text.contains("Usage: quorate member replace"), "{text}");
        let invocation = parsed(&["quorate", "backup", "create", "f", "--addr", "a:1"]).unwrap();
        assert_eq!(invocation.table.name, "backup create");
        assert_eq!(invocation.flags.get("file"), Some("f"));
        assert_eq!(invocation.flags.get("addr"), Some("a:1"));
        assert!(parsed(&["quorate", "backup", "verify"]).is_err());
        assert!(parsed(&["quorate", "backup"]).is_err());
        let text = wrong_usage(invocation.table, "x").to_string();
        assert!(text.contains("Usage: quorate backup create"), "{text}");
    }

    #[test]
    fn a_switch_takes_a_value_only_with_an_equals_sign() {
        let off = parsed(&["quorate", "serve", "--insecure=false"]).unwrap();
        assert_eq!(off.flags.get("insecure"), Some("false"));
        assert!(parsed(&["quorate", "serve", "--insecure", "false"]).is_err());
    }

    #[test]
    fn wrong_usage_shows_the_usage_and_exits_with_2() {
        let error = wrong_usage(SERVE, "--id is missing");
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        assert!(
            text.contains("--id is missing") && text.contains("Usage: quorate serve"),
            "{text}"
        );
    }
}

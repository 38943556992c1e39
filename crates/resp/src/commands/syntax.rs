//! From the table's notation (`key [EX seconds | KEEPTTL] [key ...]`) to Redis' argument maps, from
//! which redis-cli makes its hints.
//!
//! Words in upper case are literal tokens; what follows them in lower case belongs to them. `[ ]` is
//! optional, `< >` groups, `|` separates alternatives, `[x ...]` behind `x` repeats it.

use quorate_api::{CommandId, Reply, Spec};

/// An argument, or a group of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) token: Option<String>,
    pub(crate) is_optional: bool,
    pub(crate) is_multiple: bool,
}

/// What an argument is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value.
    #[default]
    Value,
    /// Nothing but its token.
    PureToken,
    /// All of these, in order.
    Block(Vec<Argument>),
    /// One of these.
    OneOf(Vec<Argument>),
}

/// Nesting of groups; the table is ours, so this is only a guard against a slip.
const DEPTH_MAX: usize = 8;

/// The arguments of a row's `syntax`.
pub(crate) fn parse(syntax: &str) -> Vec<Argument> {
    let mut spaced = String::new();
    for letter in syntax.chars() {
        if "[]<>|".contains(letter) {
            spaced.extend([' ', letter, ' ']);
        } else {
            spaced.push(letter);
        }
    }
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words };
    match parser.alternatives(0) {
        mut all if all.len() == 1 => {
            all.pop().map(|sequence| sequence.arguments).unwrap_or_default()
        }
        all => vec![one_of(all)],
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
}

/// Arguments in order; `repeats` when an ellipsis ended them.
#[derive(Default)]
struct Sequence {
    arguments: Vec<Argument>,
    repeats: bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.first().copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// Sequences separated by `|`, up to a closing bracket, which is taken.
    fn alternatives(&mut self, depth: usize) -> Vec<Sequence> {
        let mut all = vec![];
        let mut current = Sequence::default();
        while let Some(word) = self.next() {
            match word {
                "]" | ">" => break,
                "|" => all.push(std::mem::take(&mut current)),
                "..." => current.repeats = true,
                "[" if depth < DEPTH_MAX => {
                    let inner = self.alternatives(depth + 1);
                    add_optional(&mut current.arguments, inner);
                }
                "<" if depth < DEPTH_MAX => {
                    let inner = self.alternatives(depth + 1);
                    current.arguments.push(group(inner));
                }
                token if is_token(token) => current.arguments.push(self.token(token, depth)),
                name => current.arguments.push(value(name)),
            }
        }
        all.push(current);
        all
    }

    /// A token and the values that belong to it.
    fn token(&mut self, token: &str, depth: usize) -> Argument {
        let mut values = Vec::new();
        while let Some(word) = self.peek() {
            if word == "<" && values.is_empty() && depth < DEPTH_MAX {
                self.next();
                values.push(group(self.alternatives(depth + 1)));
                break;
            }
            if "[]<>|...".contains(word) || is_token(word) {
                break;
            }
            self.next();
            values.push(value(word));
        }
        let token_and = |argument: Argument| Argument { token: Some(token.to_owned()), ..argument };
        let name = token.to_ascii_lowercase();
        match values.len() {
            0 => token_and(Argument { name, kind: Kind::PureToken, ..Argument::default() }),
            1 => token_and(values.pop().unwrap_or_default()),
            _ => token_and(Argument { name, kind: Kind::Block(values), ..Argument::default() }),
        }
    }
}

fn is_token(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && !word.contains(|letter: char| letter.is_ascii_lowercase())
}

fn value(name: &str) -> Argument {
    Argument { name: name.to_owned(), ..Argument::default() }
}

/// `[x ...]` behind `x` says that `x` may be repeated; anything else may be left out.
fn add_optional(arguments: &mut Vec<Argument>, mut inner: Vec<Sequence>) {
    if let [Sequence { arguments: repeated, repeats: true }] = inner.as_slice() {
        let start = arguments.len().checked_sub(repeated.len());
        let behind = start.and_then(|start| arguments.get(start..));
        if let Some(start) = start
            && behind == Some(repeated.as_slice())
        {
            let block = arguments.split_off(start);
            arguments.push(Argument { is_multiple: true, ..all_of(block) });
            return;
        }
        // `TOKEN x [x ...]`: the token's last value is what repeats.
        if let ([repeated], Some(last)) = (repeated.as_slice(), arguments.last_mut())
            && last.token.is_some()
            && last.name == repeated.name
        {
            last.is_multiple = true;
            return;
        }
        let mut argument =
            inner.pop().map(|sequence| all_of(sequence.arguments)).unwrap_or_default();
        argument.is_optional = true;
        argument.is_multiple = true;
        arguments.push(argument);
        return;
    }
    arguments.push(Argument { is_optional: true, ..group(inner) });
}

/// The group of some alternatives.
fn group(mut all: Vec<Sequence>) -> Argument {
    match all.len() {
        0 | 1 => all_of(all.pop().unwrap_or_default().arguments),
        _ => one_of(all),
    }
}

fn all_of(mut arguments: Vec<Argument>) -> Argument {
    if arguments.len() == 1 {
        return arguments.pop().unwrap_or_default();
    }
    Argument { name: "data".to_owned(), kind: Kind::Block(arguments), ..Argument::default() }
}

fn one_of(all: Vec<Sequence>) -> Argument {
    let arguments = all.into_iter().map(|sequence| all_of(sequence.arguments)).collect();
    Argument { name: "options".to_owned(), kind: Kind::OneOf(arguments), ..Argument::default() }
}

/// Writes the maps of a command's arguments in COMMAND DOCS.
pub(crate) struct Writer<'a> {
    spec: &'a Spec,
    /// Arguments so far that are keys.
    keys: usize,
}

impl<'a> Writer<'a> {
    /// For the arguments of one command, in order.
    pub(crate) fn new(spec: &'a Spec) -> Self {
        Self { spec, keys: 0 }
    }

    /// The type that Redis gives such a value.
    fn value_type(&self, name: &str) -> &'static str {
        match name {
            "key" | "newkey" | "source" | "destination" if self.spec.keys.first > 0 => "key",
            "pattern" => "pattern",
            "unix-time-seconds" | "unix-time-milliseconds" => "unix-time",
            "increment" if self.spec.id == CommandId::Incrbyfloat => "double",
            "seconds" | "milliseconds" | "index" | "index1" | "index2" | "offset" | "count"
            | "start" | "end" | "stop" | "cursor" | "numreplicas" | "timeout" | "db"
            | "destination-db" | "protover" | "numkeys" | "increment" | "decrement"
            | "client-id" | "maxage" | "max-ms" | "rank" => "integer",
            "score" | "weight" => "double",
            _ => "string",
        }
    }

    /// Which of the command's key specifications the next key belongs to: with one for all, that one.
    fn next_key_spec(&mut self) -> Reply {
        let at = self.keys.min(self.spec.uses.len().saturating_sub(1));
        self.keys += 1;
        Reply::Int(i64::try_from(at).unwrap_or_default())
    }

    /// The map of the next argument.
    pub(crate) fn reply(&mut self, argument: &Argument) -> Reply {
        let bulk = |text: &str| Reply::bulk(text.as_bytes());
        let kind = match &argument.kind {
            Kind::Value => self.value_type(&argument.name),
            Kind::PureToken => "pure-token",
            Kind::Block(_) => "block",
            Kind::OneOf(_) => "oneof",
        };
        let mut map = vec![(bulk("name"), bulk(&argument.name)), (bulk("type"), bulk(kind))];
        if kind == "key" {
            map.push((bulk("key_spec_index"), self.next_key_spec()));
        }
        if let Some(token) = &argument.token {
            map.push((bulk("token"), bulk(token)));
        }
        let mut flags = Vec::new();
        if argument.is_optional {
            flags.push(Reply::Simple("optional".into()));
        }
        if argument.is_multiple {
            flags.push(Reply::Simple("multiple".into()));
        }
        if !flags.is_empty() {
            map.push((bulk("flags"), Reply::Set(flags)));
        }
        if let Kind::Block(inner) | Kind::OneOf(inner) = &argument.kind {
            let inner = inner.iter().map(|argument| self.reply(argument)).collect();
            map.push((bulk("arguments"), Reply::Array(inner)));
        }
        Reply::Map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A compact notation of what was understood.
    fn show(argument: &Argument) -> String {
        let inner = |all: &[Argument], separator: &str| {
            all.iter().map(show).collect::<Vec<_>>().join(separator)
        };
        let mut text = match &argument.kind {
            Kind::Value => argument.name.clone(),
            Kind::PureToken => String::new(),
            Kind::Block(all) => format!("({})", inner(all, " ")),
            Kind::OneOf(all) => format!("({})", inner(all, "|")),
        };
        if let Some(token) = &argument.token {
            text = format!("{token}:{text}");
        }
        for (is_set, sign) in [(argument.is_optional, "?"), (argument.is_multiple, "+")] {
            if is_set {
                text.push_str(sign);
            }
        }
        text
    }

    #[test]
    fn the_notation_is_understood() {
        let cases = [
            ("", ""),
            ("key", "key"),
            ("key [key ...]", "key+"),
            ("key value [key value ...]", "(key value)+"),
            ("key [NX | XX] [GET]", "key (NX:|XX:)? GET:?"),
            ("[EX seconds | KEEPTTL]", "(EX:seconds|KEEPTTL:)?"),
            ("[LIMIT offset count]", "LIMIT:(offset count)?"),
            ("<ON | OFF>", "(ON:|OFF:)"),
            ("[TYPE <A | B>] [ID id [id ...]]", "TYPE:(A:|B:)? ID:id?+"),
            (
                "[protover [AUTH username password] [SETNAME clientname]]",
                "(protover AUTH:(username password)? SETNAME:clientname?)?",
            ),
            ("subcommand [argument ...]", "subcommand argument?+"),
            ("cursor [MATCH pattern] [COUNT count]", "cursor MATCH:pattern? COUNT:count?"),
        ];
        for (syntax, expected) in cases {
            let shown: Vec<String> = parse(syntax).iter().map(show).collect();
            assert_eq!(shown.join(" "), expected, "{syntax}");
        }
    }

    #[test]
    fn every_row_of_the_table_is_understood() {
        for spec in quorate_api::command::all() {
            assert_eq!(parse(spec.syntax).is_empty(), spec.syntax.is_empty(), "{}", spec.name);
            let count = |sign: &[char]| spec.syntax.matches(sign).count();
            assert_eq!(count(&['[']), count(&[']']), "{}", spec.name);
            assert_eq!(count(&['<']), count(&['>']), "{}", spec.name);
        }
    }
}

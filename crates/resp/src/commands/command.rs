//! COMMAND: the command table, as clients and redis-cli read it.

use quorate_api::command::{self, Flags, Keys};
use quorate_api::{Args, CommandId, Reply, Spec};

use crate::commands::subcommands::{self, Subcommand};
use crate::commands::{help, is, syntax};
use crate::family;
use crate::glob;

/// Subcommand and number of arguments are already checked.
pub(crate) fn command(args: Args<'_>) -> Reply {
    let name = args.at(1).to_ascii_uppercase();
    match name.as_slice() {
        b"" => Reply::Array(command::all().map(|spec| Entry::of(spec).info()).collect()),
        b"COUNT" => Reply::Int(i64::try_from(command::all().count()).unwrap_or(i64::MAX)),
        b"INFO" if args.len() == 2 => {
            Reply::Array(command::all().map(|spec| Entry::of(spec).info()).collect())
        }
        b"INFO" => Reply::Array(args.iter_from(2).map(info_by_name).collect()),
        b"DOCS" => docs(args),
        b"LIST" => list(args).unwrap_or_else(|reply| reply),
        b"GETKEYS" => keys(args, |key, _| key).unwrap_or_else(|reply| reply),
        b"GETKEYSANDFLAGS" => {
            let with_flags = |key, flags| Reply::Array(vec![key, flags]);
            keys(args, with_flags).unwrap_or_else(|reply| reply)
        }
        _ => help::help("COMMAND"),
    }
}

fn bulk(text: &str) -> Reply {
    Reply::bulk(text.as_bytes())
}

fn simple(text: impl Into<std::borrow::Cow<'static, str>>) -> Reply {
    Reply::Simple(text.into())
}

/// A row that a client may ask for.
fn public(name: &[u8]) -> Option<&'static Spec> {
    command::lookup(name).filter(|spec| !spec.flags.has(Flags::INTERNAL))
}

/// `config|get`.
fn subcommand(name: &[u8]) -> Option<&'static Subcommand> {
    let bar = name.iter().position(|byte| *byte == b'|')?;
    let spec = public(name.get(..bar)?)?;
    let name = name.get(bar + 1..)?;
    subcommands::of(spec.id).find(|row| is(name, row.name))
}

fn info_by_name(name: &[u8]) -> Reply {
    if let Some(row) = subcommand(name) {
        return Entry::of_subcommand(row).info();
    }
    public(name).map_or(Reply::Nil, |spec| Entry::of(spec).info())
}

/// What COMMAND says of a command or of a subcommand.
struct Entry {
    name: String,
    arity: i32,
    flags: Flags,
    /// Of the family; the others follow from the flags.
    category: Option<String>,
    tips: &'static [&'static str],
    keys: Keys,
    uses: &'static [&'static str],
    subcommands: Vec<Self>,
}

impl Entry {
    fn of(spec: &'static Spec) -> Self {
        let subcommands: Vec<_> = subcommands::of(spec.id).map(Self::of_subcommand).collect();
        let whole = Self {
            name: spec.name.to_ascii_lowercase(),
            arity: spec.arity,
            flags: spec.flags,
            category: family::category(spec),
            tips: spec.tips,
            keys: spec.keys,
            uses: spec.uses,
            subcommands,
        };
        if !subcommands::is_container(spec) {
            return whole;
        }
        Self { flags: Flags::NONE, category: None, tips: &[], keys: NO_KEYS, uses: &[], ..whole }
    }

    fn of_subcommand(row: &'static Subcommand) -> Self {
        Self {
            name: row.full_name(),
            arity: row.arity,
            flags: row.flags,
            category: family::category(command::spec(row.container)),
            tips: row.tips,
            keys: row.keys,
            uses: row.uses,
            subcommands: Vec::new(),
        }
    }

    fn categories(&self) -> impl Iterator<Item = &str> {
        let own = self.category.as_deref();
        family::categories_of(self.flags).map(|name| -> &str { name }).chain(own)
    }

    /// The ten fields of COMMAND INFO.
    fn info(&self) -> Reply {
        let number = |number: i32| Reply::Int(i64::from(number));
        Reply::Array(vec![
            bulk(&self.name),
            number(self.arity),
            Reply::Set(flags(self.flags).map(simple).collect()),
            number(self.keys.first),
            number(self.keys.last),
            number(self.keys.step),
            Reply::Set(self.categories().map(|name| simple(format!("@{name}"))).collect()),
            Reply::Set(self.tips.iter().map(|tip| bulk(tip)).collect()),
            Reply::Set(self.key_specs()),
            Reply::Set(self.subcommands.iter().map(Self::info).collect()),
        ])
    }

    fn key_specs(&self) -> Vec<Reply> {
        let Keys { first, last, step } = self.keys;
        let each = first..;
        match self.uses {
            [uses] => vec![key_spec(Keys { first, last, step }, uses)],
            uses => each
                .zip(uses)
                .map(|(at, uses)| key_spec(Keys { first: at, last: at, step }, uses))
                .collect(),
        }
    }
}

const NO_KEYS: Keys = Keys { first: 0, last: 0, step: 0 };

fn flags(flags: Flags) -> impl Iterator<Item = &'static str> {
    let names = [
        (Flags::WRITE, "write"),
        (Flags::READ, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::NO_SCRIPT, "noscript"),
        (Flags::ANYTIME, "loading"),
        (Flags::ANYTIME, "stale"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];
    names.into_iter().filter(move |(flag, _)| flags.has(*flag)).map(|(_, name)| name)
}

/// How a command uses a key.
fn key_flags(uses: &'static str) -> Reply {
    Reply::Set(uses.split(' ').map(simple).collect())
}

fn key_spec(keys: Keys, uses: &'static str) -> Reply {
    let number = |number: i32| Reply::Int(i64::from(number));
    let last = if keys.last < 0 { keys.last } else { keys.last - keys.first };
    let begin = Reply::Map(vec![(bulk("index"), number(keys.first))]);
    let find = Reply::Map(vec![
        (bulk("lastkey"), number(last)),
        (bulk("keystep"), number(keys.step)),
        (bulk("limit"), number(0)),
    ]);
    let typed = |kind: &str, spec: Reply| {
        Reply::Map(vec![(bulk("type"), bulk(kind)), (bulk("spec"), spec)])
    };
    Reply::Map(vec![
        (bulk("flags"), key_flags(uses)),
        (bulk("begin_search"), typed("index", begin)),
        (bulk("find_keys"), typed("range", find)),
    ])
}

fn docs(args: Args<'_>) -> Reply {
    if args.len() == 2 {
        return Reply::Map(command::all().map(doc).collect());
    }
    let by_name = |name| match subcommand(name) {
        Some(row) => Some(subcommand_doc(row)),
        None => public(name).map(doc),
    };
    Reply::Map(args.iter_from(2).filter_map(by_name).collect())
}

/// A name and its documentation.
fn doc(spec: &'static Spec) -> (Reply, Reply) {
    let mut map = doc_fields(spec, spec.summary, spec.since, spec.syntax);
    let rows: Vec<_> = subcommands::of(spec.id).map(subcommand_doc).collect();
    if !rows.is_empty() {
        // A container's own syntax says nothing.
        map.retain(|(name, _)| *name != bulk("arguments"));
        map.push((bulk("subcommands"), Reply::Map(rows)));
    }
    (bulk(&spec.name.to_ascii_lowercase()), Reply::Map(map))
}

fn subcommand_doc(row: &'static Subcommand) -> (Reply, Reply) {
    let spec = command::spec(row.container);
    let map = doc_fields(spec, row.summary, row.since, row.syntax);
    (bulk(&row.full_name()), Reply::Map(map))
}

fn doc_fields(spec: &Spec, summary: &str, since: &str, syntax: &str) -> Vec<(Reply, Reply)> {
    let mut map = vec![
        (bulk("summary"), bulk(summary)),
        (bulk("since"), bulk(since)),
        (bulk("group"), bulk(&family::group(spec))),
        (bulk("complexity"), bulk(spec.complexity)),
    ];
    let arguments = syntax::parse(syntax);
    if !arguments.is_empty() {
        let mut writer = syntax::Writer::new(spec);
        let arguments = arguments.iter().map(|it| writer.reply(it)).collect();
        map.push((bulk("arguments"), Reply::Array(arguments)));
    }
    map
}

/// What COMMAND LIST is asked for.
enum Filter<'a> {
    Pattern(&'a [u8]),
    Category(&'a [u8]),
    /// There are no modules.
    Module,
}

impl Filter<'_> {
    fn matches(&self, entry: &Entry) -> bool {
        match self {
            Self::Pattern(pattern) => glob::matches(pattern, entry.name.as_bytes()),
            Self::Category(wanted) => entry.categories().any(|it| is(wanted, it)),
            Self::Module => false,
        }
    }
}

fn list(args: Args<'_>) -> Result<Reply, Reply> {
    let names = |spec: &'static Spec| spec.name.to_ascii_lowercase();
    if args.len() == 2 {
        return Ok(Reply::Array(command::all().map(|spec| bulk(&names(spec))).collect()));
    }
    if args.len() != 5 || !is(args.at(2), "FILTERBY") {
        return Err(Reply::syntax());
    }
    let filter = match args.at(3) {
        kind if is(kind, "PATTERN") => Filter::Pattern(args.at(4)),
        kind if is(kind, "ACLCAT") => Filter::Category(args.at(4)),
        kind if is(kind, "MODULE") => Filter::Module,
        _ => return Err(Reply::syntax()),
    };
    let mut found = Vec::new();
    for mut entry in command::all().map(Entry::of) {
        let rows = std::mem::take(&mut entry.subcommands);
        let matching = std::iter::once(entry).chain(rows).filter(|entry| filter.matches(entry));
        found.extend(matching.map(|entry| bulk(&entry.name)));
    }
    Ok(Reply::Array(found))
}

/// The keys of the command that begins at argument 2.
fn keys(args: Args<'_>, one: impl Fn(Reply, Reply) -> Reply) -> Result<Reply, Reply> {
    let spec = public(args.at(2)).ok_or_else(|| Reply::err("Invalid command specified"))?;
    let count = args.len() - 2;
    let row = args.get(3).and_then(|name| subcommands::find(spec.id, name));
    let (uses, arity) = match row {
        Some(row) => (row.uses, row.arity),
        None => (spec.uses, spec.arity),
    };
    if uses.is_empty() {
        return Err(Reply::err("The command has no key arguments"));
    }
    if !command::arity_fits(arity, count) {
        return Err(Reply::err("Invalid number of arguments specified for command"));
    }
    let sets_only = spec.id == CommandId::Set && !args.iter_from(5).any(|word| is(word, "GET"));
    let uses = if sets_only { SET_WITHOUT_GET } else { uses };
    let keys = spec.key_positions(count).filter_map(|at| args.get(at + 2)).enumerate();
    let reply = |(at, key)| {
        let uses = uses.get(at).or(uses.first()).copied().unwrap_or_default();
        // What varies has been found out.
        one(Reply::bulk(key), key_flags(uses.trim_end_matches(" variable_flags")))
    };
    Ok(Reply::Array(keys.map(reply).collect()))
}

/// What SET does with its key unless it returns the old value.
const SET_WITHOUT_GET: &[&str] = &["OW update"];

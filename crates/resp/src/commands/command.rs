//! COMMAND: the command table, as clients and redis-cli read it.

use quorate_api::command::{self, Flags};
use quorate_api::{Args, CommandId, Reply, Spec};

use crate::commands::subcommands::{self, Subcommand};
use crate::commands::{help, is, syntax};
use crate::family;
use crate::glob;

/// Subcommand and number of arguments are already checked.
pub(crate) fn command(args: Args<'_>) -> Reply {
    let name = args.at(1).to_ascii_uppercase();
    match name.as_slice() {
        b"" => Reply::Array(command::all().map(info).collect()),
        b"COUNT" => Reply::Int(i64::try_from(command::all().count()).unwrap_or(i64::MAX)),
        b"INFO" if args.len() == 2 => Reply::Array(command::all().map(info).collect()),
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
        return subcommand_info(row);
    }
    public(name).map_or(Reply::NilArray, info)
}

/// The ten fields of COMMAND INFO.
fn info(spec: &'static Spec) -> Reply {
    let subcommands = subcommands::of(spec.id).map(subcommand_info).collect();
    fields(spec, &spec.name.to_ascii_lowercase(), spec.arity, subcommands)
}

fn subcommand_info(row: &'static Subcommand) -> Reply {
    fields(command::spec(row.container), &row.full_name(), row.arity, Vec::new())
}

fn fields(spec: &Spec, name: &str, arity: i32, subcommands: Vec<Reply>) -> Reply {
    let number = |number: i32| Reply::Int(i64::from(number));
    let categories = family::categories(spec).into_iter();
    let keys = spec.keys;
    Reply::Array(vec![
        bulk(name),
        number(arity),
        Reply::Set(flags(spec).into_iter().map(simple).collect()),
        number(keys.first),
        number(keys.last),
        number(keys.step),
        Reply::Set(categories.map(|category| simple(format!("@{category}"))).collect()),
        Reply::Set(Vec::new()),
        Reply::Set(if keys.first > 0 { vec![key_spec(spec)] } else { Vec::new() }),
        Reply::Set(subcommands),
    ])
}

fn flags(spec: &Spec) -> Vec<&'static str> {
    let names = [
        (Flags::WRITE, "write"),
        (Flags::READ, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MULTI, "no_multi"),
    ];
    names.into_iter().filter(|(flag, _)| spec.flags.has(*flag)).map(|(_, name)| name).collect()
}

/// How a command uses its keys.
fn key_flags(spec: &Spec) -> Reply {
    let names: &[&'static str] = match spec.id {
        CommandId::Del | CommandId::Unlink => &["RM", "delete"],
        _ if spec.is_write() => &["RW", "access", "update"],
        _ => &["RO", "access"],
    };
    Reply::Set(names.iter().map(|name| simple(*name)).collect())
}

fn key_spec(spec: &Spec) -> Reply {
    let number = |number: i32| Reply::Int(i64::from(number));
    let keys = spec.keys;
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
        (bulk("flags"), key_flags(spec)),
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
        (bulk("group"), bulk(&family::group(spec.family))),
        (bulk("complexity"), bulk(spec.complexity)),
    ];
    let arguments = syntax::parse(syntax);
    if !arguments.is_empty() {
        let has_keys = spec.keys.first > 0;
        let arguments = arguments.iter().map(|it| syntax::reply(it, has_keys)).collect();
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
    fn matches(&self, spec: &Spec, name: &str) -> bool {
        match self {
            Self::Pattern(pattern) => glob::matches(pattern, name.as_bytes()),
            Self::Category(wanted) => family::categories(spec).iter().any(|it| is(wanted, it)),
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
    for spec in command::all() {
        let rows = subcommands::of(spec.id).map(Subcommand::full_name);
        let matching = std::iter::once(names(spec)).chain(rows);
        found.extend(matching.filter(|name| filter.matches(spec, name)).map(|name| bulk(&name)));
    }
    Ok(Reply::Array(found))
}

/// The keys of the command that begins at argument 2.
fn keys(args: Args<'_>, one: impl Fn(Reply, Reply) -> Reply) -> Result<Reply, Reply> {
    let spec = public(args.at(2)).ok_or_else(|| Reply::err("Invalid command specified"))?;
    let count = args.len() - 2;
    if spec.keys.first == 0 {
        return Err(Reply::err("The command has no key arguments"));
    }
    if !spec.arity_fits(count) {
        return Err(Reply::err("Invalid number of arguments specified for command"));
    }
    let keys = spec.key_positions(count).filter_map(|at| args.get(at + 2));
    Ok(Reply::Array(keys.map(|key| one(Reply::bulk(key), key_flags(spec))).collect()))
}

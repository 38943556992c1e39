//! `quorate inspect`: what a stopped node's directory holds, readable, and left as it is.

use std::io::Write;
use std::path::PathBuf;

use quorate_node::inspect::{self, InspectError, Member, Owner};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::flags::{CommandTable, INSPECT_ENGINE, INSPECT_LOG, INSPECT_SNAPSHOT};
use crate::layers::{Layer, Layers};
use crate::{moment, settings, table};

/// More would be a log, not a look at it.
const COUNT_MAX: u64 = 1_000_000;
/// Of an entry's content, in a table.
const CONTENT_CHARS: usize = 100;

struct Question {
    dir: PathBuf,
    json: bool,
    layers: Layers,
}

fn question(table: &'static CommandTable, flags: Layer) -> Result<Question, Failure> {
    let env = Layer::of_env(table, |name| std::env::var_os(name))?;
    let layers = Layers::new(table, vec![flags, env, Layer::of_defaults(table)]);
    let words = [("table", false), ("json", true)];
    let json = layers.parse("output", |text| settings::choice(text, &words))?;
    let path = |text: &str| Ok::<_, String>(PathBuf::from(text));
    let dir = layers.require("data-dir", path, "name a node's directory")?;
    Ok(Question { dir, json: json.unwrap_or(false), layers })
}

/// Reads with what a node's own code needs around it.
fn look<T>(work: impl FnOnce(&quorate::Env) -> Result<T, InspectError>) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let env = quorate::env::real::env();
    let found = LocalSet::new().block_on(&runtime, async { work(&env) });
    found.map_err(|error| Failure::other(error.to_string()))
}

fn owner_json(owner: &Owner) -> Value {
    json!({ "id": owner.id, "node": owner.node, "cluster": owner.cluster })
}

fn owner_line(owner: &Owner) -> String {
    match owner.node {
        0 => format!("node {}, in no cluster", owner.id),
        node => format!("node {} (number {node}) of cluster {}", owner.id, owner.cluster),
    }
}

fn members_json(members: &[Member]) -> Value {
    let member = |member: &Member| {
        json!({
            "node": member.node,
            "id": member.id,
            "peer_addr": member.peer_addr,
            "client_addr": member.client_addr,
            "voter": member.voter,
        })
    };
    members.iter().map(member).collect()
}

fn members_lines(members: &[Member]) -> Vec<String> {
    let row = |member: &Member| {
        let voter = if member.voter { "voter" } else { "learner" };
        vec![member.id.clone(), member.node.to_string(), voter.to_owned(), member.peer_addr.clone()]
    };
    let rows: Vec<_> = members.iter().map(row).collect();
    table::lines(&["MEMBER", "NUMBER", "ROLE", "ADDRESS"], &rows)
}

fn print(lines: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    Ok(lines.iter().try_for_each(|line| writeln!(out, "{line}"))?)
}

/// `quorate inspect log`.
///
/// # Errors
/// The directory can't be read.
pub(crate) fn log(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let Question { dir, json, layers } = question(INSPECT_LOG, flags)?;
    let from = layers.parse("from", |text| settings::number(text, 1..=u64::MAX))?;
    let count = layers.parse("count", |text| settings::number(text, 0..=COUNT_MAX))?;
    let view = look(|env| inspect::log(env, &dir, from, count.unwrap_or_default()))?;
    if json {
        let entry = |(index, term, kind, data): &(u64, u64, &str, String)| json!({ "index": index, "term": term, "kind": kind, "data": data });
        let cut = |(file, offset, reason): &(PathBuf, u64, String)| json!({ "file": file.display().to_string(), "offset": offset, "reason": reason });
        let object = json!({
            "owner": owner_json(&view.owner),
            "segments": view.segments,
            "bytes": view.bytes,
            "term": view.term,
            "vote": view.vote,
            "commit": view.commit,
            "first": view.first,
            "last": view.last,
            "in_doubt": view.in_doubt,
            "cuts": view.cuts.iter().map(cut).collect::<Vec<_>>(),
            "entries": view.entries.iter().map(entry).collect::<Vec<_>>(),
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    let mut lines = vec![
        owner_line(&view.owner),
        if view.last < view.first {
            format!("no entries behind {}, committed to {}", view.last, view.commit)
        } else {
            format!("entries {} to {}, committed to {}", view.first, view.last, view.commit)
        },
        format!("term {}, vote {}", view.term, view.vote),
        format!("{} segments, {} bytes", view.segments, view.bytes),
    ];
    for (file, offset, reason) in &view.cuts {
        lines.push(format!("a start would cut {} at byte {offset}: {reason}", file.display()));
    }
    if let Some(index) = view.in_doubt {
        lines.push(format!("the end is in doubt: it may have reached entry {index}"));
    }
    let row = |(index, term, kind, data): &(u64, u64, &str, String)| {
        let mut data: String = data.chars().take(CONTENT_CHARS + 1).collect();
        if data.chars().count() > CONTENT_CHARS {
            data.push_str(" ...");
        }
        vec![index.to_string(), term.to_string(), (*kind).to_owned(), data]
    };
    let rows: Vec<_> = view.entries.iter().map(row).collect();
    lines.push(String::new());
    lines.extend(table::lines(&["ENTRY", "TERM", "KIND", "CONTENT"], &rows));
    print(&lines, out)
}

/// `quorate inspect snapshot`.
///
/// # Errors
/// The directory can't be read, or there is no snapshot.
pub(crate) fn snapshot(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let Question { dir, json, .. } = question(INSPECT_SNAPSHOT, flags)?;
    let view = look(|env| inspect::snapshot(env, &dir))?
        .ok_or_else(|| Failure::other(format!("{} holds no snapshot", dir.display())))?;
    if json {
        let object = json!({
            "owner": owner_json(&view.owner),
            "file": view.file.display().to_string(),
            "bytes": view.bytes,
            "index": view.index,
            "term": view.term,
            "records": view.records,
            "keys": view.keys,
            "members": members_json(&view.members),
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    let mut lines = vec![
        owner_line(&view.owner),
        format!("{}: {} bytes, whole", view.file.display(), view.bytes),
        format!("entry {}, term {}", view.index, view.term),
        format!("{} keys, {} records", view.keys, view.records),
        String::new(),
    ];
    lines.extend(members_lines(&view.members));
    print(&lines, out)
}

/// `quorate inspect engine`.
///
/// # Errors
/// The directory can't be read.
pub(crate) fn engine(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let Question { dir, json, .. } = question(INSPECT_ENGINE, flags)?;
    let view = look(|env| inspect::engine(env, &dir))?;
    if json {
        let database = |(db, keys, expiring): &(u8, u64, u64)| json!({ "database": db, "keys": keys, "expiring": expiring });
        let object = json!({
            "owner": owner_json(&view.owner),
            "engine": view.engine,
            "snapshot": view.snapshot,
            "applied": view.applied,
            "stamp_ms": view.stamp_ms,
            "digest": format!("{:016x}", view.digest),
            "records": view.records,
            "estimated": view.estimated,
            "payload_bytes": view.payload_bytes,
            "databases": view.databases.iter().map(database).collect::<Vec<_>>(),
            "members": members_json(&view.members),
        });
        return Ok(writeln!(out, "{object:#}")?);
    }
    let now_ms = quorate::env::real::env().clock.wall_ms();
    let about = if view.estimated { "about " } else { "" };
    let mut lines = vec![
        owner_line(&view.owner),
        format!("engine {}: what it kept at entry {}, and the log", view.engine, view.snapshot),
        format!("applied to entry {}, digest {:016x}", view.applied, view.digest),
        format!("last write {}", moment::show(view.stamp_ms, now_ms)),
        format!("{}{} records, {} bytes", about, view.records, view.payload_bytes),
        String::new(),
    ];
    let row = |(db, keys, expiring): &(u8, u64, u64)| {
        vec![db.to_string(), keys.to_string(), expiring.to_string()]
    };
    let rows: Vec<_> = view.databases.iter().map(row).collect();
    lines.extend(table::lines(&["DATABASE", "KEYS", "EXPIRING"], &rows));
    lines.push(String::new());
    lines.extend(members_lines(&view.members));
    print(&lines, out)
}

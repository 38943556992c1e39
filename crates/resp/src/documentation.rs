//! `docs/commands.md`, from the command table.

use quorate_api::command::{self, Family, Flags};
use quorate_api::{CommandId, Spec};

use crate::commands::subcommands;
use crate::family;

/// What stands above the tables.
const HEAD: &str = "\
# Commands

Every command that Quorate understands over the Redis protocol. This page is generated from the
command table (`crates/api/src/command`); `QUORATE_BLESS=1 cargo test -p quorate-resp commands_md`
writes it anew.

Writes go through the log of a majority; reads are linearizable unless the connection asks for less
(`CLIENT CONSISTENCY`, `READONLY`). What success and each error promise stands in
[GUARANTEES](GUARANTEES.md).

What differs from Redis, besides what is not there:

- Inside MULTI, `CLIENT REPLY` and a `HELLO` that would change the protocol are refused: EXEC's reply is
  counted and encoded as a whole.
- On a port that takes more than Redis clients, a connection that has not sent its first bytes within 60
  seconds is closed, whatever `CONFIG GET timeout` says: nobody knows yet what it is. A listener of its own
  (`--resp-listen`) has no such limit, and a connection that has spoken once stays.
- `CONFIG SET` takes for a setting that can't be changed the value that it has.
- `used_memory` of INFO is what the data take by the engine's own count; `used_memory_peak` is the most that
  the process ever had resident.
- `INFO commandstats` has `calls` alone, and there is no `latencystats`: many commands share one log entry
  and one fsync, so that no time is one command's own. Errors are counted in `INFO errorstats`.
- FLUSHDB, FLUSHALL and SWAPDB by another client break a WATCH of a key that does *not* exist, too, unless the
  database was empty. (Redis: only of keys that exist.) What a flush took away is not kept, so nobody could tell
  whether the key had come in between, which must break it.
- RANDOMKEY is nearly uniform; the keys of a hash tag that has very many come up less often than others.
";

/// The page, in full.
pub fn commands_markdown() -> String {
    let mut page = HEAD.to_owned();
    let mut family: Option<Family> = None;
    for spec in command::all() {
        if family != Some(spec.family) {
            family = Some(spec.family);
            let mut title = family::name(spec.family).replace('-', " ");
            if let Some(first) = title.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            page.push_str(&format!("\n## {title}\n\n"));
            page.push_str(
                "| Command | What it does | Kind | Cost | Since |\n|---|---|---|---|---|\n",
            );
        }
        let rows: Vec<_> = subcommands::of(spec.id).collect();
        if rows.is_empty() || spec.id == CommandId::Command {
            let syntax = if rows.is_empty() { spec.syntax } else { "" };
            line(&mut page, spec, spec.name, syntax, spec.summary, spec.since);
        }
        for row in rows {
            let name = format!("{} {}", spec.name, row.name);
            line(&mut page, spec, &name, row.syntax, row.summary, row.since);
        }
    }
    page
}

fn line(page: &mut String, spec: &Spec, name: &str, syntax: &str, summary: &str, since: &str) {
    let usage = format!("{name} {syntax}").trim_end().replace('|', "\\|");
    let kind = match (spec.is_read(), spec.is_write()) {
        (true, _) => "read",
        (_, true) if spec.flags.has(Flags::DENYOOM) => "write, may grow",
        (_, true) => "write",
        _ => "local",
    };
    let cost = spec.complexity.trim_end_matches('.').replace('|', "\\|");
    let summary = summary.replace('|', "\\|");
    page.push_str(&format!("| `{usage}` | {summary} | {kind} | {cost} | {since} |\n"));
}

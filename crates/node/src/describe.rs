//! Log entries for an operator's eyes.

use std::fmt::Write as _;

use quorate_api::AdminReply;
use quorate_consensus::log::LogEntry;
use quorate_consensus::{Change, Group, MemberChange};

use crate::entry::{Part, Parts};
use crate::members::Note;

/// Commands shown of one entry.
const SHOWN_MAX: usize = 64;

/// An entry, readable.
pub(crate) fn entry(entry: &LogEntry) -> AdminReply {
    let (kind, data) = if Group::is_change(entry.kind) {
        let text = Group::change_of(entry).and_then(|change| self::change(&change));
        ("configuration", text.unwrap_or_else(|| "unreadable".to_owned()))
    } else if entry.data.is_empty() {
        ("empty", String::new())
    } else {
        ("command", parts(&entry.data))
    };
    AdminReply::LogEntry { index: entry.index.0, term: entry.term.0, kind, data }
}

/// Who gets a vote, and what the members table hears of it.
fn change(change: &Change) -> Option<String> {
    let note = Note::decode(change.context.clone()).ok()?;
    let mut said: Vec<_> = change
        .steps
        .iter()
        .map(|step| match step {
            MemberChange::AddLearner(node) => format!("number {node} has no vote"),
            MemberChange::Promote(node) => format!("number {node} has a vote"),
            MemberChange::Remove(node) => format!("number {node} leaves"),
        })
        .collect();
    if change.steps.is_empty() {
        said.push("the change is complete".to_owned());
    }
    match note {
        Note::Put(node, member) => {
            said.push(format!("number {node} is {} at {}", member.name, member.peer_addr));
        }
        Note::Gone(node) => said.push(format!("number {node} is gone for good")),
        Note::Replace(old, new, member) => {
            said.push(format!("number {new} is {}, which was number {old}", member.name));
        }
        Note::Succeed(old, new) => said.push(format!("number {new} takes the place of {old}")),
        Note::Format(format) => said.push(format!("the cluster writes format {format}")),
        Note::None => {}
    }
    Some(said.join("; "))
}

fn parts(bytes: &[u8]) -> String {
    let Ok((stamp_ms, _, mut parts)) = Parts::of_entry(bytes, Vec::new()) else {
        return "unreadable".to_owned();
    };
    let mut out = format!("at {stamp_ms}");
    let mut shown = 0;
    while let Ok(Some(part)) = parts.next() {
        shown += 1;
        if shown > SHOWN_MAX {
            out.push_str("; ...");
            break;
        }
        // Writing to a string can't fail.
        let written = match &part {
            Part::Command(command) => write!(out, "; {}", words(&parts, command)),
            Part::Transaction { commands, .. } => {
                let inner: Vec<_> = commands.iter().map(|command| words(&parts, command)).collect();
                write!(out, "; MULTI {} EXEC", inner.join(", "))
            }
            Part::Once { client, sequence, .. } => {
                write!(out, "; once {} {sequence}", parts.client(*client).escape_ascii())
            }
            Part::Origin { node, .. } => write!(out, "; from node {node}"),
            Part::Housekeep { .. } => write!(out, "; housekeeping"),
        };
        debug_assert!(written.is_ok());
    }
    out
}

fn words(parts: &Parts<'_>, command: &crate::entry::Command) -> String {
    let args = parts.args(command);
    let words = args.iter_from(0).map(|arg| {
        let shown = arg.get(..64).unwrap_or(arg).escape_ascii().to_string();
        if arg.len() > 64 { format!("{shown}... ({} bytes)", arg.len()) } else { shown }
    });
    let words: Vec<_> = words.take(16).collect();
    format!("[{}] {}", command.db, words.join(" "))
}

//! The HELP subcommands, from the rows of the others.

use std::borrow::Cow;

use quorate_api::{Reply, command};

use crate::commands::subcommands;

/// `CONTAINER HELP`, in the form in which Redis gives it.
pub(crate) fn help(container: &'static str) -> Reply {
    let mut lines: Vec<Cow<'static, str>> = vec![
        format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:").into(),
    ];
    if container == "DEBUG" {
        lines.push("SLEEP <seconds>".into());
        lines.push("    Delays the answers of this connection; no other is affected.".into());
    }
    let Some(spec) = command::lookup(container.as_bytes()) else { return Reply::Array(Vec::new()) };
    for row in subcommands::of(spec.id).filter(|row| row.name != "HELP") {
        lines.push(format!("{} {}", row.name, row.syntax).trim_end().to_owned().into());
        lines.push(format!("    {}", row.summary).into());
    }
    lines.push("HELP".into());
    lines.push("    Prints this help.".into());
    Reply::Array(lines.into_iter().map(Reply::Simple).collect())
}

//! Replies: every command is answered, with a reply that this command can have: what Redis' documentation of it states
//! under *Reply*, and for HTTP what `docs/HTTP.md` does.

use super::Violation;
use crate::history::{Command, Condition, History, Outcome, Reply};

/// Looks at the form of each reply.
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for operation in &history.operations {
        let Outcome::Done(replies) = &operation.outcome else { continue };
        let complete = replies.len() == operation.commands.len();
        if !complete || operation.answered().any(|(command, reply)| !fits(command, reply)) {
            violations.push(Violation::new("replies", operation.to_string()));
        }
    }
    violations
}

fn fits(command: &Command, reply: &Reply) -> bool {
    match command {
        Command::Get(_) => matches!(reply, Reply::Nil | Reply::Value(_)),
        Command::Set(..) | Command::SetPx(..) => matches!(reply, Reply::Ok),
        Command::SetIfEq { .. } => matches!(reply, Reply::Ok | Reply::Nil),
        Command::Del(_) => matches!(reply, Reply::Int(0 | 1)),
        Command::Incr(_) | Command::Append(..) => matches!(reply, Reply::Int(_)),
        Command::Read(_) => matches!(reply, Reply::Nil | Reply::At(..)),
        Command::Put { condition: Condition::None, .. } => matches!(reply, Reply::Revision(_)),
        Command::Put { .. } => matches!(reply, Reply::Revision(_) | Reply::Refused),
        Command::Remove(..) => matches!(reply, Reply::Ok | Reply::Refused),
    }
}

//! What a connection waits for before its next command is executed.

use std::task::{Context, Poll};

use quorate_api::admin::AdminReply;
use quorate_api::api::Administering;
use quorate_api::{Answer, CommandId, Reply};
use quorate_env::clock::Sleep;

use crate::commands::admin;
use crate::replies::Due;
use crate::session::Session;
use crate::transaction::Splice;

/// What the node says to WAIT.
fn replicas(reply: AdminReply) -> Reply {
    match reply {
        AdminReply::Replicas(count) => Reply::Int(i64::try_from(count).unwrap_or(i64::MAX)),
        AdminReply::Refused(reason) => Reply::err(reason),
        AdminReply::Done
        | AdminReply::Events { .. }
        | AdminReply::LogEntry { .. }
        | AdminReply::Status(_) => Reply::err("WAIT was answered with something else"),
    }
}

/// Why no command is executed.
pub(crate) enum Blocked {
    /// Nothing is in the way.
    No,
    /// All earlier answers must be in.
    Answers,
    /// WAIT.
    Replicas {
        administering: Administering,
        muted: bool,
        /// Without a limit of time: not worth keeping for a client that has gone.
        forever: bool,
    },
    /// WAIT in a block that has taken effect: how many have it right now.
    Block { administering: Administering, answer: Answer, splice: Splice, muted: bool },
    /// DEBUG SLEEP.
    Sleep {
        sleep: Sleep,
        /// The reply OK was given already (within EXEC), or is not wanted.
        muted: bool,
    },
}

impl Session {
    /// Goes on when what was waited for has come; true when it has.
    pub(crate) fn poll_blocked(&mut self, cx: &mut Context<'_>) -> bool {
        let (answer, muted): (Answer, bool) = match &mut self.blocked {
            Blocked::No => return false,
            Blocked::Answers => {
                if !self.replies.all_answered() {
                    return false;
                }
                self.blocked = Blocked::No;
                return true;
            }
            Blocked::Sleep { sleep, muted } => {
                if sleep.as_mut().poll(cx).is_pending() {
                    return false;
                }
                (Ok(Reply::Ok), *muted)
            }
            Blocked::Block { administering, .. } => {
                let Poll::Ready(result) = administering.as_mut().poll(cx) else { return false };
                let counted = result.map(replicas);
                self.finish_block(&counted);
                return true;
            }
            Blocked::Replicas { administering, muted, .. } => {
                let Poll::Ready(result) = administering.as_mut().poll(cx) else { return false };
                (result.map(replicas), *muted)
            }
        };
        self.blocked = Blocked::No;
        self.profile.blocked.set(false);
        if !muted {
            // Nothing is queued before it: the command waited for that.
            self.send(&answer, Due::Write);
        }
        true
    }

    /// The answer of a block that has taken effect, now that it is known who else has it.
    fn finish_block(&mut self, counted: &Answer) {
        // Order matters: a DEBUG SLEEP in the block blocks the connection anew.
        let Blocked::Block { answer, splice, muted, .. } =
            std::mem::replace(&mut self.blocked, Blocked::No)
        else {
            return;
        };
        self.muted = muted;
        let answer = splice.splice(answer, |spec, args| match (spec.id, counted) {
            (CommandId::Wait, Ok(Reply::Int(count))) => admin::counted(args, *count),
            (CommandId::Wait, _) => admin::counted(args, 0),
            _ => self.local(spec, args),
        });
        if !self.muted {
            self.send(&answer, Due::Write);
        }
    }

    /// True when a client that has stopped sending is not worth waiting for.
    pub(crate) fn is_blocked_forever(&self) -> bool {
        matches!(self.blocked, Blocked::Replicas { forever: true, .. })
    }
}

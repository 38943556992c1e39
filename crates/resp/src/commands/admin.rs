//! WAIT: until other members have this connection's writes.

use quorate_api::api::Administering;
use quorate_api::{AdminRequest, Args, Reply};

use crate::blocked::Blocked;
use crate::decode::integer;
use crate::session::{Flow, Session};

/// What WAIT asks for.
struct Wish {
    replicas: u64,
    timeout_ms: u64,
}

fn parse(args: Args<'_>) -> Result<Wish, Reply> {
    let replicas = integer(args.at(1)).ok_or_else(Reply::not_an_integer)?;
    let timeout = integer(args.at(2))
        .ok_or_else(|| Reply::err("timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| Reply::err("timeout is negative"))?;
    Ok(Wish { replicas: u64::try_from(replicas).unwrap_or_default(), timeout_ms })
}

impl Session {
    pub(crate) fn wait(&mut self, args: Args<'_>) -> Flow {
        // Order matters: the index to wait for is that of the last write's answer.
        if !self.replies.all_answered() {
            return Flow::Later;
        }
        match parse(args) {
            Err(reply) => self.reply(reply),
            Ok(Wish { replicas, timeout_ms }) => {
                let index = self.node.seen_index();
                let request = AdminRequest::Wait { index, replicas, timeout_ms };
                self.blocked = Blocked::Replicas {
                    administering: self.server.api.administer(request),
                    muted: self.muted,
                    forever: timeout_ms == 0,
                };
                self.profile.blocked.set(true);
            }
        }
        Flow::Done
    }

    /// Within EXEC nothing waits, as in Redis, but it takes the leader to know who has the writes right now.
    pub(crate) fn count_replicas(&self) -> Administering {
        let index = self.node.seen_index();
        self.server.api.administer(AdminRequest::Wait { index, replicas: 0, timeout_ms: 0 })
    }
}

/// The reply to a WAIT within EXEC.
pub(crate) fn counted(args: Args<'_>, count: i64) -> Reply {
    match parse(args) {
        Err(reply) => reply,
        Ok(_) => Reply::Int(count),
    }
}

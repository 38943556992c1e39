//! DEBUG SLEEP, which delays this connection only, and DEBUG HELP.

use std::time::Duration;

use quorate_api::{Args, Reply};

use crate::blocked::Blocked;
use crate::commands::{help, is, shown};
use crate::session::{Flow, Session};

/// A day; also what keeps the arithmetic of time safe.
const SLEEP_SECONDS_MAX: f64 = 86_400.0;

/// A subcommand that can be executed.
enum Parsed {
    Sleep(Duration),
    Reply(Reply),
}

fn parse(args: Args<'_>) -> Parsed {
    let name = args.at(1);
    if is(name, "HELP") && args.len() == 2 {
        return Parsed::Reply(help::help("DEBUG"));
    }
    if !is(name, "SLEEP") || args.len() != 3 {
        return Parsed::Reply(Reply::err(format!(
            "unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
            shown(name)
        )));
    }
    // As Redis (`atof`): what is no number is zero.
    let seconds: f64 =
        str::from_utf8(args.at(2)).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, SLEEP_SECONDS_MAX) } else { 0.0 };
    Parsed::Sleep(Duration::from_secs_f64(seconds))
}

impl Session {
    pub(crate) fn debug(&mut self, args: Args<'_>) -> Flow {
        match parse(args) {
            Parsed::Reply(reply) => self.reply(reply),
            Parsed::Sleep(_) if !self.replies.all_answered() => return Flow::Later,
            Parsed::Sleep(duration) => self.sleep(duration, self.muted),
        }
        Flow::Done
    }

    /// Within EXEC: the delay follows the reply.
    pub(crate) fn debug_within_block(&mut self, args: Args<'_>) -> Reply {
        match parse(args) {
            Parsed::Reply(reply) => reply,
            Parsed::Sleep(duration) => {
                self.sleep(duration, true);
                Reply::Ok
            }
        }
    }

    fn sleep(&mut self, duration: Duration, muted: bool) {
        self.blocked = Blocked::Sleep { sleep: self.server.env.clock.sleep(duration), muted };
        self.profile.blocked.set(true);
    }
}

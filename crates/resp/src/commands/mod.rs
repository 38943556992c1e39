//! The commands that the connection answers itself, one file each.

pub(crate) mod admin;
mod auth;
mod client;
mod command;
mod config;
mod debug;
mod hello;
mod help;
mod info;
pub(crate) mod role;
pub(crate) mod select;
pub(crate) mod subcommands;
pub(crate) mod syntax;
mod transaction;

use std::time::Duration;

use bytes::Bytes;
use quorate_api::{Args, CommandId as Id, Consistency, Reply, Spec};

use crate::session::Session;

impl Session {
    /// Answers a command at once, also within EXEC.
    pub(crate) fn local(&mut self, spec: &'static Spec, args: Args<'_>) -> Reply {
        match spec.id {
            Id::Ping => ping(args),
            Id::Echo => Reply::bulk(args.at(1)),
            Id::Select => self.select(args),
            Id::Auth => self.auth(args),
            Id::Hello => self.greet(args),
            Id::Client => self.client(args),
            Id::Readonly => {
                self.set_consistency(Some(Consistency::Stale { max_staleness: None }));
                Reply::Ok
            }
            Id::Readwrite => {
                self.set_consistency(None);
                Reply::Ok
            }
            Id::Unwatch => self.unwatch(),
            Id::Time => self.time(),
            Id::Command => command::command(args),
            Id::Config => self.config(args),
            Id::Info => self.info(args),
            Id::Role => role::role(&self.server.api.status()),
            Id::Leader => role::leader(&self.server.api.status()),
            Id::Debug => self.debug_within_block(args),
            // The table says otherwise; the compiler can't know.
            _ => Reply::err(format!("'{}' can't be executed here", spec.name)),
        }
    }

    fn time(&self) -> Reply {
        let wall = Duration::from_micros(self.server.env.clock.wall_us());
        let part = |number: String| Reply::Bulk(Bytes::from(number));
        Reply::Array(vec![part(wall.as_secs().to_string()), part(wall.subsec_micros().to_string())])
    }
}

fn ping(args: Args<'_>) -> Reply {
    match args.len() {
        1 => Reply::Simple("PONG".into()),
        2 => Reply::bulk(args.at(1)),
        _ => crate::error::wrong_arity("ping"),
    }
}

/// An argument as an option's name.
pub(crate) fn is(argument: &[u8], name: &str) -> bool {
    argument.eq_ignore_ascii_case(name.as_bytes())
}

/// A text for humans: INFO, CLIENT LIST.
pub(crate) fn text(text: String) -> Reply {
    Reply::Verbatim(*b"txt", Bytes::from(text))
}

/// Lossy text of an argument, for error messages.
pub(crate) fn shown(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument.get(..128).unwrap_or(argument)).into_owned()
}

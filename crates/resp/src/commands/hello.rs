//! HELLO, RESET and QUIT: how a connection begins, begins again, and ends.

use quorate_api::status::Role;
use quorate_api::{Args, ErrorCode, Reply};

use crate::commands::{client, is, shown};
use crate::decode::integer;
use crate::encode::Protocol;
use crate::session::{Flow, Replying, Session};

/// The version of Redis by which clients detect features.
pub(crate) const REDIS_VERSION: &str = "7.2.4";

/// What HELLO asks for.
#[derive(Default)]
struct Wishes<'a> {
    protocol: Option<Protocol>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn parse<'a>(args: Args<'a>) -> Result<Wishes<'a>, Reply> {
    let mut wishes = Wishes::default();
    if args.len() < 2 {
        return Ok(wishes);
    }
    wishes.protocol = Some(match integer(args.at(1)) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        Some(_) => {
            return Err(Reply::error(ErrorCode::NoProto, "unsupported protocol version"));
        }
        None => {
            let text = "Protocol version is not an integer or out of range";
            return Err(Reply::err(text));
        }
    });
    let mut at = 2;
    while let Some(option) = args.get(at) {
        match (args.get(at + 1), args.get(at + 2)) {
            (Some(user), Some(password)) if is(option, "AUTH") => {
                wishes.credentials = Some((user, password));
                at += 3;
            }
            (Some(name), _) if is(option, "SETNAME") => {
                wishes.name = Some(name);
                at += 2;
            }
            _ => {
                let text = format!("Syntax error in HELLO option '{}'", shown(option));
                return Err(Reply::err(text));
            }
        }
    }
    Ok(wishes)
}

impl Session {
    pub(crate) fn hello(&mut self, args: Args<'_>) -> Flow {
        // Order matters: earlier answers are still in the earlier protocol.
        if !self.replies.all_answered() {
            return Flow::Later;
        }
        let reply = self.greet(args);
        self.reply(reply);
        Flow::Done
    }

    /// HELLO when it is its turn, also within EXEC.
    pub(crate) fn greet(&mut self, args: Args<'_>) -> Reply {
        match parse(args) {
            Ok(wishes) => self.grant(&wishes),
            Err(reply) => reply,
        }
    }

    /// True for a HELLO that would make this connection speak the other protocol.
    pub(crate) fn switches_protocol(&self, args: Args<'_>) -> bool {
        parse(args)
            .is_ok_and(|wishes| wishes.protocol.is_some_and(|it| it != self.replies.protocol))
    }

    fn grant(&mut self, wishes: &Wishes<'_>) -> Reply {
        if let Some((user, password)) = wishes.credentials {
            let proof = self.prove(user, password);
            if proof.is_error() {
                return proof;
            }
        }
        if !self.authenticated {
            return Reply::error(
                ErrorCode::NoAuth,
                "HELLO must be called with the client already authenticated, otherwise the HELLO \
                 <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                 select the RESP protocol version at the same time",
            );
        }
        if let Some(name) = wishes.name {
            match client::name(name) {
                Ok(name) => drop(self.profile.name.replace(name)),
                Err(reply) => return reply,
            }
        }
        if let Some(protocol) = wishes.protocol {
            self.set_protocol(protocol);
        }
        self.introduce()
    }

    fn introduce(&self) -> Reply {
        let is_leader = self.server.api.status().role == Role::Leader;
        let field = |name: &str, value: Reply| (Reply::bulk(name.as_bytes()), value);
        let bulk = |text: &str| Reply::bulk(text.as_bytes());
        Reply::Map(vec![
            field("server", bulk("redis")),
            field("version", bulk(REDIS_VERSION)),
            field("server_name", bulk("quorate")),
            field("quorate_version", bulk(&self.server.version)),
            field("proto", Reply::Int(self.replies.protocol.number())),
            field("id", Reply::Int(self.profile.id.cast_signed())),
            field("mode", bulk("standalone")),
            field("role", bulk(if is_leader { "master" } else { "replica" })),
            field("modules", Reply::Array(Vec::new())),
        ])
    }

    /// RESET: as freshly connected.
    pub(crate) fn reset(&mut self) -> Flow {
        if !self.replies.all_answered() {
            return Flow::Later;
        }
        self.end_block();
        self.set_db(0);
        self.set_protocol(Protocol::Resp2);
        self.set_consistency(None);
        self.authenticated = self.server.password.is_none();
        drop(self.profile.name.take());
        self.profile.no_evict.set(false);
        self.profile.no_touch.set(false);
        self.replying = Replying::On;
        self.muted = false;
        self.reply(Reply::Simple("RESET".into()));
        Flow::Done
    }

    /// QUIT: everything is answered, then the connection is closed.
    pub(crate) fn quit(&mut self) {
        self.reply(Reply::Ok);
        self.ending = true;
    }
}

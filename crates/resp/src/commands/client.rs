//! CLIENT: what connections know and do of one another.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorate_api::{Args, Consistency, Reply};

use crate::commands::{help, is, shown, text};
use crate::decode::integer;
use crate::registry::Profile;
use crate::session::{Replying, Session};

/// A name that fits into a line of CLIENT LIST.
pub(crate) fn name(argument: &[u8]) -> Result<String, Reply> {
    plain("Client names", argument)
}

fn plain(what: &str, argument: &[u8]) -> Result<String, Reply> {
    let text = str::from_utf8(argument).ok();
    text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or_else(|| {
            Reply::err(format!("{what} cannot contain spaces, newlines or special characters."))
        })
}

fn bulk_or_nil(text: &str) -> Reply {
    if text.is_empty() { Reply::Nil } else { Reply::bulk(text.as_bytes()) }
}

impl Session {
    /// Subcommand and number of arguments are already checked.
    pub(crate) fn client(&mut self, args: Args<'_>) -> Reply {
        let result = match args.at(1).to_ascii_uppercase().as_slice() {
            b"ID" => Ok(Reply::Int(self.profile.id.cast_signed())),
            b"GETNAME" => Ok(bulk_or_nil(&self.profile.name.borrow())),
            b"SETNAME" => name(args.at(2)).map(|name| {
                drop(self.profile.name.replace(name));
                Reply::Ok
            }),
            b"SETINFO" => self.set_info(args),
            b"INFO" => Ok(text(self.profile.line(self.server.env.clock.now()) + "\n")),
            b"LIST" => self.list(args),
            b"KILL" => self.kill(args),
            b"REPLY" => self.set_replying(args.at(2)),
            b"NO-EVICT" => on_or_off(args.at(2)).map(|on| {
                self.profile.no_evict.set(on);
                Reply::Ok
            }),
            b"NO-TOUCH" => on_or_off(args.at(2)).map(|on| {
                self.profile.no_touch.set(on);
                Reply::Ok
            }),
            b"CONSISTENCY" => self.client_consistency(args),
            _ => Ok(help::help("CLIENT")),
        };
        result.unwrap_or_else(|reply| reply)
    }

    fn set_info(&self, args: Args<'_>) -> Result<Reply, Reply> {
        let (what, place) = if is(args.at(2), "LIB-NAME") {
            ("lib-name", &self.profile.library)
        } else if is(args.at(2), "LIB-VER") {
            ("lib-ver", &self.profile.library_version)
        } else {
            return Err(Reply::err(format!("Unrecognized option '{}'", shown(args.at(2)))));
        };
        drop(place.replace(plain(what, args.at(3))?));
        Ok(Reply::Ok)
    }

    fn set_replying(&mut self, wish: &[u8]) -> Result<Reply, Reply> {
        if is(wish, "ON") {
            self.replying = Replying::On;
            self.muted = false;
        } else if is(wish, "OFF") {
            self.replying = Replying::Off;
            self.muted = true;
        } else if is(wish, "SKIP") {
            if self.replying != Replying::Off {
                self.replying = Replying::Skip;
            }
            self.muted = true;
        } else {
            return Err(Reply::syntax());
        }
        Ok(Reply::Ok)
    }

    /// CLIENT CONSISTENCY [LINEARIZABLE | LEASE | STALE [max-ms]].
    fn client_consistency(&mut self, args: Args<'_>) -> Result<Reply, Reply> {
        let Some(wish) = args.get(2) else {
            let text = match self.consistency {
                None | Some(Consistency::Configured) => "default".to_owned(),
                Some(Consistency::Linearizable) => "linearizable".to_owned(),
                Some(Consistency::Lease) => "lease".to_owned(),
                Some(Consistency::Stale { max_staleness: None }) => "stale".to_owned(),
                Some(Consistency::Stale { max_staleness: Some(max) }) => {
                    format!("stale {}", max.as_millis())
                }
            };
            return Ok(Reply::Bulk(Bytes::from(text)));
        };
        let consistency = match args.get(3) {
            None if is(wish, "LINEARIZABLE") => Consistency::Linearizable,
            None if is(wish, "LEASE") => Consistency::Lease,
            None if is(wish, "STALE") => Consistency::Stale { max_staleness: None },
            Some(bound) if is(wish, "STALE") && args.len() == 4 => {
                let bound = integer(bound).and_then(|bound| u64::try_from(bound).ok());
                let bound = bound.ok_or_else(Reply::not_an_integer)?;
                Consistency::Stale { max_staleness: Some(Duration::from_millis(bound)) }
            }
            _ => return Err(Reply::syntax()),
        };
        self.set_consistency(Some(consistency));
        Ok(Reply::Ok)
    }

    fn list(&self, args: Args<'_>) -> Result<Reply, Reply> {
        let mut profiles = self.server.registry.all();
        match args.get(2) {
            None => {}
            Some(option) if is(option, "TYPE") && args.len() == 4 => {
                let kind = kind(args.at(3))?;
                profiles.retain(|_| kind == Kind::Normal);
            }
            Some(option) if is(option, "ID") && args.len() > 3 => {
                let number = |id: &[u8]| integer(id).ok_or_else(|| Reply::err("Invalid client ID"));
                let ids: Vec<i64> = args.iter_from(3).map(number).collect::<Result<_, _>>()?;
                let find = |id: &i64| {
                    let found = profiles.iter().find(|profile| profile.id.cast_signed() == *id);
                    found.map(Rc::clone)
                };
                profiles = ids.iter().filter_map(find).collect();
            }
            Some(_) => return Err(Reply::syntax()),
        }
        let now = self.server.env.clock.now();
        Ok(text(profiles.iter().map(|profile| profile.line(now) + "\n").collect()))
    }

    fn kill(&mut self, args: Args<'_>) -> Result<Reply, Reply> {
        if args.len() == 3 {
            let filter = Filter { addr: Some(args.at(2)), ..Filter::default() };
            return match self.kill_matching(&filter) {
                0 => Err(Reply::err("No such client")),
                _ => Ok(Reply::Ok),
            };
        }
        let filter = Filter::parse(args)?;
        Ok(Reply::Int(self.kill_matching(&filter)))
    }

    fn kill_matching(&mut self, filter: &Filter<'_>) -> i64 {
        let now = self.server.env.clock.now();
        let mut count = 0;
        for profile in self.server.registry.all() {
            let age = now.since(profile.opened).as_secs();
            let is_me = profile.id == self.profile.id;
            if !filter.matches(&profile, age) || (is_me && filter.skips_me) {
                continue;
            }
            count += 1;
            if is_me {
                // The reply must still leave.
                self.ending = true;
            } else {
                profile.kill();
            }
        }
        count
    }
}

fn on_or_off(argument: &[u8]) -> Result<bool, Reply> {
    if is(argument, "ON") {
        Ok(true)
    } else if is(argument, "OFF") {
        Ok(false)
    } else {
        Err(Reply::syntax())
    }
}

/// All our clients are of one type; the others exist only as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Other,
}

fn kind(argument: &[u8]) -> Result<Kind, Reply> {
    if is(argument, "NORMAL") {
        Ok(Kind::Normal)
    } else if ["MASTER", "SLAVE", "REPLICA", "PUBSUB"].iter().any(|name| is(argument, name)) {
        Ok(Kind::Other)
    } else {
        Err(Reply::err(format!("Unknown client type '{}'", shown(argument))))
    }
}

/// Which connections CLIENT KILL means.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    kind: Option<Kind>,
    age_min: Option<u64>,
    skips_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(args: Args<'a>) -> Result<Self, Reply> {
        let mut filter = Self { skips_me: true, ..Self::default() };
        let mut at = 2;
        while let Some(option) = args.get(at) {
            let value = args.get(at + 1).ok_or_else(Reply::syntax)?;
            let positive = |what: &str| {
                let number = integer(value).and_then(|number| u64::try_from(number).ok());
                let number = number.filter(|number| *number > 0);
                number.ok_or_else(|| Reply::err(format!("{what} should be greater than 0")))
            };
            if is(option, "ID") {
                filter.id = Some(positive("client-id")?);
            } else if is(option, "MAXAGE") {
                filter.age_min = Some(positive("maxage")?);
            } else if is(option, "ADDR") {
                filter.addr = Some(value);
            } else if is(option, "LADDR") {
                filter.laddr = Some(value);
            } else if is(option, "TYPE") {
                filter.kind = Some(kind(value)?);
            } else if is(option, "USER") {
                if value != b"default" {
                    return Err(Reply::err(format!("No such user '{}'", shown(value))));
                }
            } else if is(option, "SKIPME") {
                filter.skips_me = if is(value, "YES") {
                    true
                } else if is(value, "NO") {
                    false
                } else {
                    return Err(Reply::syntax());
                };
            } else {
                return Err(Reply::syntax());
            }
            at += 2;
        }
        Ok(filter)
    }

    fn matches(&self, profile: &Profile, age: u64) -> bool {
        self.id.is_none_or(|id| id == profile.id)
            && self.addr.is_none_or(|addr| addr == profile.addr.as_bytes())
            && self.laddr.is_none_or(|laddr| laddr == profile.laddr.as_bytes())
            && self.kind != Some(Kind::Other)
            && self.age_min.is_none_or(|age_min| age >= age_min)
    }
}

//! CONFIG: the settings of this node, as far as they exist.

use bytes::Bytes;
use quorate_api::{Args, Reply};

use crate::commands::{help, is, shown};
use crate::glob;
use crate::session::Session;

/// The setting that the front-end itself keeps.
const MAXCLIENTS: &str = "maxclients";
/// More connections than any machine has ports.
const MAXCLIENTS_MAX: usize = 1_000_000;

impl Session {
    /// Subcommand and number of arguments are already checked.
    pub(crate) fn config(&self, args: Args<'_>) -> Reply {
        if is(args.at(1), "GET") {
            self.config_get(args)
        } else if is(args.at(1), "SET") {
            self.config_set(args).unwrap_or_else(|reply| reply)
        } else if is(args.at(1), "RESETSTAT") {
            self.server.counters.reset();
            Reply::Ok
        } else {
            help::help("CONFIG")
        }
    }

    fn config_get(&self, args: Args<'_>) -> Reply {
        let mut all: Vec<(String, String)> = self
            .server
            .settings
            .borrow()
            .iter()
            .map(|setting| (setting.name.clone(), setting.value.clone()))
            .collect();
        all.push((MAXCLIENTS.to_owned(), self.server.connections_max.get().to_string()));
        let is_wanted =
            |name: &str| args.iter_from(2).any(|pattern| glob::matches(pattern, name.as_bytes()));
        let bulk = |text: String| Reply::Bulk(Bytes::from(text));
        let wanted = all.into_iter().filter(|(name, _)| is_wanted(name));
        Reply::Map(wanted.map(|(name, value)| (bulk(name), bulk(value))).collect())
    }

    /// All or nothing, as in Redis: what was changed is changed back when a later one is refused.
    fn config_set(&self, args: Args<'_>) -> Result<Reply, Reply> {
        let pairs = self.pairs(args)?;
        let mut undo: Vec<(&str, String)> = Vec::new();
        for (name, value) in &pairs {
            match self.set(name, value) {
                Ok(old) => undo.push((name, old)),
                Err(reason) => {
                    for (name, old) in undo.into_iter().rev() {
                        if let Err(reason) = self.set(name, &old) {
                            tracing::warn!(name, reason, "could not restore setting");
                        }
                    }
                    return Err(failed(name, &reason));
                }
            }
        }
        Ok(Reply::Ok)
    }

    /// Names and values, checked as far as that is possible before anything is changed.
    fn pairs(&self, args: Args<'_>) -> Result<Vec<(String, String)>, Reply> {
        let unknown = |name: &[u8]| {
            let name = shown(name);
            Reply::err(format!("Unknown option or number of arguments for CONFIG SET - '{name}'"))
        };
        if args.len() % 2 == 1 {
            return Err(Reply::syntax());
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut arguments = args.iter_from(2);
        while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
            let text = shown(name).to_ascii_lowercase();
            let settings = self.server.settings.borrow();
            let known = settings.iter().find(|setting| setting.name == text);
            if known.is_none() && text != MAXCLIENTS {
                return Err(unknown(name));
            }
            if pairs.iter().any(|(other, _)| *other == text) {
                return Err(failed(&text, "duplicate parameter"));
            }
            let value =
                str::from_utf8(value).map_err(|_| failed(&text, "argument must be text"))?;
            // Tools set what they rely on (`maxmemory-policy noeviction`): that it is so already is no error.
            if let Some(setting) = known.filter(|setting| setting.change.is_none())
                && !setting.value.eq_ignore_ascii_case(value)
            {
                return Err(failed(&text, "can't set immutable config"));
            }
            pairs.push((text, value.to_owned()));
        }
        Ok(pairs)
    }

    /// Changes one setting and returns its old value.
    fn set(&self, name: &str, value: &str) -> Result<String, String> {
        if name == MAXCLIENTS {
            let count: usize =
                value.parse().map_err(|_| "argument couldn't be parsed into an integer")?;
            if !(1..=MAXCLIENTS_MAX).contains(&count) {
                return Err(format!("argument must be between 1 and {MAXCLIENTS_MAX} inclusive"));
            }
            return Ok(self.server.connections_max.replace(count).to_string());
        }
        let change = {
            let settings = self.server.settings.borrow();
            settings.iter().find(|setting| setting.name == name).and_then(|it| it.change.clone())
        };
        // A fixed one is set only to what it is, see `pairs`.
        let Some(change) = change else { return Ok(value.to_owned()) };
        let value = change(value)?;
        let mut settings = self.server.settings.borrow_mut();
        let setting = settings.iter_mut().find(|setting| setting.name == name);
        let setting = setting.ok_or("the setting has gone")?;
        Ok(std::mem::replace(&mut setting.value, value))
    }
}

fn failed(name: &str, reason: &str) -> Reply {
    Reply::err(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}

//! What a single server that does one thing at a time would answer.

use std::rc::Rc;

use crate::history::{Command, Condition, Key, Reply, Value};

/// The end of a value that may go by itself.
pub const EXPIRES: char = '~';

/// The values of a few keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Model {
    values: Vec<Option<Value>>,
}

impl Model {
    /// No key has a value.
    pub fn new(keys: usize) -> Self {
        Self { values: vec![None; keys] }
    }

    /// Executes `command`; `keys` are the model's keys.
    pub fn execute(&mut self, keys: &[Key], command: &Command) -> Reply {
        let number = keys.iter().position(|key| key == command.key());
        let Some(value) = number.and_then(|number| self.values.get_mut(number)) else {
            return Reply::Unexpected("a key of another group".into());
        };
        match command {
            Command::Get(_) => value.clone().map_or(Reply::Nil, Reply::Value),
            Command::Set(_, new) | Command::SetPx(_, new, _) => {
                *value = Some(Rc::clone(new));
                Reply::Ok
            }
            Command::SetIfEq { expected, value: new, .. } => {
                if value.as_ref() != Some(expected) {
                    return Reply::Nil;
                }
                *value = Some(Rc::clone(new));
                Reply::Ok
            }
            Command::Append(_, token) => {
                let long = format!("{}{token}", value.as_deref().unwrap_or_default());
                let len = i64::try_from(long.len()).unwrap_or(i64::MAX);
                *value = Some(long.into());
                Reply::Int(len)
            }
            Command::Del(_) => Reply::Int(i64::from(value.take().is_some())),
            Command::Incr(_) => match value.as_ref().map_or(Ok(0), |value| value.parse::<i64>()) {
                Ok(number) => {
                    *value = Some((number + 1).to_string().into());
                    Reply::Int(number + 1)
                }
                Err(_) => Reply::Unexpected("ERR value is not an integer".into()),
            },
            // Without a revision: where a reply tells one, the key is not judged here.
            Command::Read(_) => value.clone().map_or(Reply::Nil, Reply::Value),
            Command::Put { condition: Condition::Absent, .. } if value.is_some() => Reply::Refused,
            Command::Put { value: new, condition: Condition::None | Condition::Absent, .. } => {
                *value = Some(Rc::clone(new));
                Reply::Ok
            }
            Command::Put { .. } | Command::Remove(..) => {
                Reply::Unexpected("a revision that nobody was told".into())
            }
        }
    }

    /// A value with a time to live may be gone when it is read: from then on it is. Executes a read that
    /// found nothing.
    pub fn expire(&mut self, keys: &[Key], command: &Command) {
        let number = keys.iter().position(|key| key == command.key());
        if let Some(value) = number.and_then(|number| self.values.get_mut(number)) {
            value.take_if(|value| command.is_read() && value.ends_with(EXPIRES));
        }
    }

    /// The values, for people.
    pub fn describe(&self, keys: &[Key]) -> String {
        let pairs = keys.iter().zip(&self.values);
        let text: Vec<String> = pairs
            .map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or("nil")))
            .collect();
        text.join(" ")
    }
}

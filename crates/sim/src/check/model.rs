//! What a single server that does one thing at a time would answer.

use std::rc::Rc;

use crate::history::{Command, Key, Reply, Value};

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
            Command::Set(_, new) => {
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
            Command::Del(_) => Reply::Int(i64::from(value.take().is_some())),
            Command::Incr(_) => match value.as_ref().map_or(Ok(0), |value| value.parse::<i64>()) {
                Ok(number) => {
                    *value = Some((number + 1).to_string().into());
                    Reply::Int(number + 1)
                }
                Err(_) => Reply::Unexpected("ERR value is not an integer".into()),
            },
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

//! What the clients did and heard: the only evidence that the checkers accept.

use std::fmt;
use std::rc::Rc;

use crate::world::SimTime;

/// A key.
pub type Key = Rc<str>;
/// A value. Every write of a register carries one of its own, so that a read names its writer.
pub type Value = Rc<str>;

/// One command, as the checkers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// GET.
    Get(Key),
    /// SET.
    Set(Key, Value),
    /// SET IFEQ: the new value, if the old one is as expected.
    SetIfEq {
        /// The key.
        key: Key,
        /// What must be there.
        expected: Value,
        /// What is there then.
        value: Value,
    },
    /// DEL.
    Del(Key),
    /// INCR.
    Incr(Key),
    /// APPEND of a token that nobody else appends.
    Append(Key, Value),
    /// SET PX: the value goes by itself, once.
    SetPx(Key, Value, u64),
    /// HTTP GET: the value and its revision.
    Read(Key),
    /// HTTP PUT.
    Put {
        /// The key.
        key: Key,
        /// What is there then.
        value: Value,
        /// What must be there.
        condition: Condition,
        /// Its `Idempotency-Key`: it is sent again until its outcome is certain.
        name: Option<Rc<str>>,
    },
    /// HTTP DELETE of the value at this revision (`If-Match`).
    Remove(Key, u64),
}

/// What must hold for a PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    None,
    /// The key is absent (`If-None-Match: *`).
    Absent,
    /// The key is at this revision (`If-Match`).
    At(u64),
}

impl Command {
    /// The key.
    pub fn key(&self) -> &Key {
        match self {
            Self::Get(key)
            | Self::Set(key, _)
            | Self::SetIfEq { key, .. }
            | Self::Del(key)
            | Self::Incr(key)
            | Self::Append(key, _)
            | Self::SetPx(key, ..)
            | Self::Read(key)
            | Self::Put { key, .. }
            | Self::Remove(key, _) => key,
        }
    }

    /// The unique value that it may leave behind.
    pub fn written(&self) -> Option<&Value> {
        match self {
            Self::Set(_, value)
            | Self::SetIfEq { value, .. }
            | Self::SetPx(_, value, _)
            | Self::Put { value, .. } => Some(value),
            Self::Get(_)
            | Self::Del(_)
            | Self::Incr(_)
            | Self::Append(..)
            | Self::Read(_)
            | Self::Remove(..) => None,
        }
    }

    /// True when it can't change anything.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Get(_) | Self::Read(_))
    }

    /// True when the key may be gone behind it.
    pub fn is_deletion(&self) -> bool {
        matches!(self, Self::Del(_) | Self::Remove(..))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(key) => write!(f, "GET {key}"),
            Self::Set(key, value) => write!(f, "SET {key} {value}"),
            Self::SetIfEq { key, expected, value } => {
                write!(f, "SET {key} {value} IFEQ {expected}")
            }
            Self::Del(key) => write!(f, "DEL {key}"),
            Self::Incr(key) => write!(f, "INCR {key}"),
            Self::Append(key, token) => write!(f, "APPEND {key} {token}"),
            Self::SetPx(key, value, ms) => write!(f, "SET {key} {value} PX {ms}"),
            Self::Read(key) => write!(f, "read {key}"),
            Self::Put { key, value, condition, name } => {
                write!(f, "put {key} {value}")?;
                match condition {
                    Condition::None => {}
                    Condition::Absent => f.write_str(" if absent")?,
                    Condition::At(revision) => write!(f, " if at {revision}")?,
                }
                name.as_ref().map_or(Ok(()), |name| write!(f, " named {name}"))
            }
            Self::Remove(key, revision) => write!(f, "remove {key} if at {revision}"),
        }
    }
}

/// A command's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Ok,
    /// No value.
    Nil,
    /// A number.
    Int(i64),
    /// A value.
    Value(Value),
    /// A value and its revision.
    At(Value, u64),
    /// It was done, at this revision.
    Revision(u64),
    /// It was not done, for its condition does not hold.
    Refused,
    /// Anything that no command of ours should be answered with.
    Unexpected(Rc<str>),
}

impl Reply {
    /// The value that it shows.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) | Self::At(value, _) => Some(value),
            _ => None,
        }
    }

    /// True when a write of a register was done.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Ok | Self::Revision(_))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Nil => f.write_str("nil"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Value(value) => write!(f, "{value}"),
            Self::At(value, revision) => write!(f, "{value} at {revision}"),
            Self::Revision(revision) => write!(f, "at {revision}"),
            Self::Refused => f.write_str("refused"),
            Self::Unexpected(what) => write!(f, "unexpected {what}"),
        }
    }
}

/// What the client knows of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect, with a reply for each of its commands.
    Done(Vec<Reply>),
    /// Nothing was changed and nothing will be.
    NotApplied(Rc<str>),
    /// It may have taken effect, or may yet.
    Unknown(Rc<str>),
}

/// A moment, with its place in the one order of all moments of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Its place.
    pub order: u64,
    /// For people.
    pub at: SimTime,
}

/// An operation's number.
pub type OperationId = usize;

/// Who asks, on which connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The session.
    pub session: u32,
    /// Its connection, by a number that no other one has.
    pub connection: u64,
    /// Its reads may be old.
    pub stale: bool,
    /// Its reads trust the leader's lease.
    pub lease: bool,
}

/// One command, or the commands of one MULTI/EXEC block.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who asked.
    pub asker: Asker,
    /// What for.
    pub commands: Vec<Command>,
    /// When.
    pub called: Moment,
    /// When the outcome was known; `None` while it is under way.
    pub returned: Option<Moment>,
    /// The outcome; unknown while it is under way.
    pub outcome: Outcome,
    /// Asked after all faults had ended and all other clients had stopped.
    pub last: bool,
}

impl Operation {
    /// Its replies, when it is known to have taken effect.
    pub fn replies(&self) -> Option<&[Reply]> {
        match &self.outcome {
            Outcome::Done(replies) => Some(replies),
            Outcome::NotApplied(_) | Outcome::Unknown(_) => None,
        }
    }

    /// Its commands with their replies, when it is known to have taken effect.
    pub fn answered(&self) -> impl Iterator<Item = (&Command, &Reply)> {
        self.commands.iter().zip(self.replies().unwrap_or_default())
    }

    /// True when it promises nothing about time: a read of a session that asked for no more.
    pub fn is_stale(&self) -> bool {
        self.asker.stale && self.commands.iter().all(Command::is_read)
    }

    /// True when it was over before `other` began.
    pub fn precedes(&self, other: &Self) -> bool {
        let known = !matches!(self.outcome, Outcome::Unknown(_));
        known && self.returned.is_some_and(|returned| returned < other.called)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let returned = self.returned.map_or_else(|| "never".to_owned(), |it| it.at.to_string());
        write!(f, "[{} .. {returned}] s{}", self.called.at, self.asker.session)?;
        for (number, command) in self.commands.iter().enumerate() {
            write!(f, "{} {command}", if number == 0 { "" } else { ";" })?;
        }
        match &self.outcome {
            Outcome::Done(replies) => replies.iter().try_for_each(|reply| write!(f, " -> {reply}")),
            Outcome::NotApplied(why) => write!(f, " not applied ({why})"),
            Outcome::Unknown(why) => write!(f, " unknown ({why})"),
        }
    }
}

/// A named operation that was sent again after its answer had come, and what was said then.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The operation.
    pub of: OperationId,
    /// The second answer.
    pub reply: Reply,
}

/// All operations of a run, in the order of their calls.
#[derive(Clone, Debug, Default)]
pub struct History {
    order: u64,
    /// The operations.
    pub operations: Vec<Operation>,
    /// Named operations that were answered twice.
    pub repeats: Vec<Repeat>,
}

impl History {
    fn moment(&mut self, at: SimTime) -> Moment {
        self.order += 1;
        Moment { order: self.order, at }
    }

    /// A client asks.
    pub fn call(&mut self, at: SimTime, asker: Asker, commands: Vec<Command>) -> OperationId {
        let called = self.moment(at);
        let outcome = Outcome::Unknown("under way".into());
        let last = false;
        self.operations.push(Operation { asker, commands, called, returned: None, outcome, last });
        self.operations.len() - 1
    }

    /// The client knows.
    pub fn finish(&mut self, at: SimTime, id: OperationId, outcome: Outcome) {
        let returned = self.moment(at);
        if let Some(operation) = self.operations.get_mut(id) {
            operation.returned = Some(returned);
            operation.outcome = outcome;
        }
    }

    /// Marks an operation as one of the last.
    pub fn mark_last(&mut self, id: OperationId) {
        if let Some(operation) = self.operations.get_mut(id) {
            operation.last = true;
        }
    }

    /// Reads that trusted a lease promise nothing about time any more, as reads of what a node has: where clocks were
    /// wrong by more than leases allow.
    pub fn distrust_leases(&mut self) {
        for operation in &mut self.operations {
            operation.asker.stale |= operation.asker.lease;
        }
    }

    /// Every key, sorted.
    pub fn keys(&self) -> Vec<Key> {
        let commands = self.operations.iter().flat_map(|operation| &operation.commands);
        let mut keys: Vec<Key> = commands.map(|command| Rc::clone(command.key())).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// How many operations were done, not applied, unknown.
    pub fn outcomes(&self) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for operation in &self.operations {
            match operation.outcome {
                Outcome::Done(_) => counts.0 += 1,
                Outcome::NotApplied(_) => counts.1 += 1,
                Outcome::Unknown(_) => counts.2 += 1,
            }
        }
        counts
    }
}

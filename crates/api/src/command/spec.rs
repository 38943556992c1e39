//! One row of the command table.

use super::CommandId;

/// Where a command belongs in the documentation and in `COMMAND LIST FILTERBY ACLCAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Strings.
    String,
    /// Keys of any type.
    Generic,
    /// MULTI and its kin.
    Transaction,
    /// About the connection.
    Connection,
    /// About the server.
    Server,
    /// Of Quorate's own front-ends; no client can send it over RESP.
    Internal,
}

/// Properties of a command, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// Goes through the log.
    pub const WRITE: Self = Self(1);
    /// Goes behind the read barrier.
    pub const READ: Self = Self(1 << 1);
    /// May grow the data: refused beyond the memory limit.
    pub const DENYOOM: Self = Self(1 << 2);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 3);
    /// For administrators.
    pub const ADMIN: Self = Self(1 << 4);
    /// Not inside MULTI.
    pub const NO_MULTI: Self = Self(1 << 5);
    /// Allowed before AUTH.
    pub const NO_AUTH: Self = Self(1 << 6);
    /// In Redis' category of dangerous commands: may take long, or hits everybody's data.
    pub const DANGEROUS: Self = Self(1 << 7);
    /// Never sent by clients.
    pub const INTERNAL: Self = Self(1 << 8);
    /// Depends on chance (its answer may differ between replicas were it not seeded).
    pub const RANDOM: Self = Self(1 << 9);
    /// Acts on the connection at once, also inside MULTI's queueing (EXEC, DISCARD, RESET, QUIT ...).
    pub const NO_QUEUE: Self = Self(1 << 10);
    /// Needs no data: Redis' `loading` and `stale`. This flag and those below are words for clients.
    pub const ANYTIME: Self = Self(1 << 11);
    /// Not from scripts.
    pub const NO_SCRIPT: Self = Self(1 << 12);
    /// Allowed while a script runs too long.
    pub const ALLOW_BUSY: Self = Self(1 << 13);
    /// Not in the slow log: what it executes stands there itself.
    pub const SKIP_SLOWLOG: Self = Self(1 << 14);
    /// In the category of administrators' commands without being flagged as one (ROLE).
    pub const ADMIN_CATEGORY: Self = Self(1 << 15);

    /// True when any flag of `other` is in `self`.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, rhs: Self) -> Self {
        self.with(rhs)
    }
}

/// Which arguments are keys: `first`, then every `step`th up to `last` (negative: from the end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Position of the first key; 0: no keys.
    pub first: i32,
    /// Position of the last key; -1: the last argument.
    pub last: i32,
    /// Distance between keys.
    pub step: i32,
}

/// A row of the command table.
#[derive(Debug)]
pub struct Spec {
    /// Its number in the log.
    pub id: CommandId,
    /// Its name in upper case.
    pub name: &'static str,
    /// The number of arguments, name included; negative: at least that many.
    pub arity: i32,
    /// Its properties.
    pub flags: Flags,
    /// Its keys.
    pub keys: Keys,
    /// What it does with its keys, in the words of Redis' key specifications (`RW access update`): one use of
    /// all of them, or one of each in turn.
    pub uses: &'static [&'static str],
    /// Its family.
    pub family: Family,
    /// The ACL category in the place of its family's.
    pub category: Option<&'static str>,
    /// What routing clients and proxies may rely on, in Redis' words.
    pub tips: &'static [&'static str],
    /// The Redis version that introduced it (ours where Redis has no such command).
    pub since: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// What it does, one sentence.
    pub summary: &'static str,
    /// Its arguments, in Redis' notation.
    pub syntax: &'static str,
    /// Its subcommands' names, in upper case, where it has any.
    pub subcommands: &'static [&'static str],
}

/// True when `count` arguments (name included) are what `arity` asks for (negative: at least that many).
pub fn arity_fits(arity: i32, count: usize) -> bool {
    let Ok(count) = i32::try_from(count) else { return false };
    if arity >= 0 { count == arity } else { count >= -arity }
}

impl Spec {
    /// A row without flags, keys and texts.
    pub const fn new(id: CommandId, name: &'static str, arity: i32, family: Family) -> Self {
        Self {
            id,
            name,
            arity,
            flags: Flags::NONE,
            keys: Keys { first: 0, last: 0, step: 0 },
            uses: &[],
            family,
            category: None,
            tips: &[],
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
            syntax: "",
            subcommands: &[],
        }
    }

    /// With these flags.
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = self.flags.with(flags);
        self
    }

    /// A read.
    pub const fn read(self) -> Self {
        self.flags(Flags::READ)
    }

    /// A write.
    pub const fn write(self) -> Self {
        self.flags(Flags::WRITE)
    }

    /// A write that may grow the data.
    pub const fn grow(self) -> Self {
        self.flags(Flags::WRITE).flags(Flags::DENYOOM)
    }

    /// Fast.
    pub const fn fast(self) -> Self {
        self.flags(Flags::FAST)
    }

    /// With keys at `first`, ..., `last`.
    pub const fn keys(mut self, first: i32, last: i32, step: i32) -> Self {
        self.keys = Keys { first, last, step };
        self
    }

    /// Which uses its keys so.
    pub const fn uses(mut self, uses: &'static [&'static str]) -> Self {
        self.uses = uses;
        self
    }

    /// In another ACL category than its family's.
    pub const fn category(mut self, category: &'static str) -> Self {
        self.category = Some(category);
        self
    }

    /// With these tips.
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// With its documentation.
    pub const fn doc(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
        syntax: &'static str,
    ) -> Self {
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self.syntax = syntax;
        self
    }

    /// With subcommands.
    pub const fn sub(mut self, subcommands: &'static [&'static str]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// True when `count` arguments (name included) are a possible number.
    pub fn arity_fits(&self, count: usize) -> bool {
        arity_fits(self.arity, count)
    }

    /// Goes through the log.
    pub const fn is_write(&self) -> bool {
        self.flags.has(Flags::WRITE)
    }

    /// Goes behind the read barrier.
    pub const fn is_read(&self) -> bool {
        self.flags.has(Flags::READ)
    }

    /// The positions of the keys among `count` arguments.
    pub fn key_positions(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let last =
            if self.keys.last < 0 { count + self.keys.last } else { self.keys.last.min(count - 1) };
        let step = self.keys.step.max(1);
        let first = self.keys.first;
        let range = if first <= 0 { 1..1 } else { first..last + 1 };
        // Stepping a range would divide, and this is asked for every command.
        let (mut at, end) = (range.start, range.end);
        std::iter::from_fn(move || {
            let here = Some(at).filter(|at| *at < end)?;
            at = here.saturating_add(step);
            usize::try_from(here).ok()
        })
    }
}

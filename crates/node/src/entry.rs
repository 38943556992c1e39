//! The bytes of a log entry: one group commit's commands, in order, with the time and the chance that
//! all replicas shall see.
//!
//! ```text
//! format u8 | stamp ms u64 LE | seed u64 LE | part ...
//!
//! 1  command      db u8 | command id u16 LE | argument count | { length | bytes } ...
//! 2  transaction  watches | { db u8 | key | revision | seen } ... | calls | { command } ...
//! 3  once         client | sequence | fingerprint u64 LE       (names the part behind it)
//! 4  origin       node | forward | parts                       (whose the next parts are)
//! 5  housekeep    expire max | clear max
//! ```
//!
//! Numbers without a width are varints, byte strings carry their length. A command is encoded here
//! once, from the connection's buffer; what is logged, sent and applied are these bytes.

use std::collections::VecDeque;

use quorate_api::command::by_id;
use quorate_api::limits::{ARGS_MAX, DATABASES, TRANSACTION_COMMANDS_MAX, WATCHES_MAX};
use quorate_api::{Args, Call, CommandId, Span, Spec, Transaction, Watch};
use quorate_consensus::NodeId;
use quorate_consensus::codec::{put_bytes, put_varint};
use quorate_keyspace::keyspace::EXPECTED_MAX;

/// The format of entries.
const FORMAT: u8 = 1;
/// The same, of an entry that takes long to apply, as some builds wrote it. Others could not read that, and the
/// members of a cluster that is being upgraded must.
const FORMAT_LONG: u8 = 2;
/// What the seed of an entry begins with that takes long to apply. Of others one in 65536 does by chance: what
/// becomes of it is the same, a little later.
const SEED_LONG: [u8; 2] = *b"LO";
/// Bytes in front of the first part.
pub(crate) const HEADER_BYTES: usize = 17;
const SEED_AT: usize = 9;

/// Fewer keys than this are not looked ahead for.
const AHEAD_MIN: usize = 3;
/// More parts than this are not read ahead: some have no keys, and a batch may have many of them.
const AHEAD_MAX: usize = 2 * EXPECTED_MAX;

const COMMAND: u8 = 1;
const TRANSACTION: u8 = 2;
const ONCE: u8 = 3;
const ORIGIN: u8 = 4;
const HOUSEKEEP: u8 = 5;

/// The bytes are not an entry of this version: the replica can't apply it and must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed entry at byte {at}: {what}")]
pub(crate) struct EntryError {
    at: usize,
    what: &'static str,
}

/// Appends a command.
pub(crate) fn put_command(out: &mut Vec<u8>, call: &Call<'_>) {
    out.push(COMMAND);
    put_call(out, call.db, call.spec.id, call.args);
}

fn put_call(out: &mut Vec<u8>, db: u8, id: CommandId, args: Args<'_>) {
    out.reserve(args.payload_bytes() + 8 + 5 * args.len());
    out.push(db);
    out.extend_from_slice(&(id as u16).to_le_bytes());
    put_varint(out, args.len() as u64);
    for arg in args.iter_from(0) {
        put_bytes(out, arg);
    }
}

/// Appends a transaction.
pub(crate) fn put_transaction(out: &mut Vec<u8>, transaction: &Transaction) {
    out.push(TRANSACTION);
    put_varint(out, transaction.watches.len() as u64);
    for watch in &transaction.watches {
        out.push(watch.db);
        put_bytes(out, &watch.key);
        put_varint(out, watch.revision);
        put_varint(out, watch.seen);
    }
    put_varint(out, transaction.calls.len() as u64);
    for call in &transaction.calls {
        put_call(out, call.db, call.spec.id, call.args.as_args());
    }
}

/// Appends the name of the part that follows.
pub(crate) fn put_once(out: &mut Vec<u8>, client: &[u8], sequence: u64, fingerprint: u64) {
    out.push(ONCE);
    put_bytes(out, client);
    put_varint(out, sequence);
    out.extend_from_slice(&fingerprint.to_le_bytes());
}

/// Says that the next `parts` parts belong to `forward` of `node`.
pub(crate) fn put_origin(out: &mut Vec<u8>, node: NodeId, forward: u64, parts: usize) {
    out.push(ORIGIN);
    put_varint(out, node.0);
    put_varint(out, forward);
    put_varint(out, parts as u64);
}

/// Appends a housekeeping step.
pub(crate) fn put_housekeep(out: &mut Vec<u8>, expire_max: usize, clear_max: usize) {
    out.push(HOUSEKEEP);
    put_varint(out, expire_max as u64);
    put_varint(out, clear_max as u64);
}

/// An entry's header with room for the stamp, which [`seal`] sets.
pub(crate) fn put_header(out: &mut Vec<u8>) {
    out.push(FORMAT);
    out.extend_from_slice(&[0; HEADER_BYTES - 1]);
}

/// Sets stamp and seed in an entry that begins with a header.
pub(crate) fn seal(entry: &mut [u8], stamp_ms: u64, seed: u64) {
    let long = is_marked(entry);
    if let Some(header) = entry.get_mut(1..HEADER_BYTES) {
        let (stamp, chance) = header.split_at_mut(8);
        stamp.copy_from_slice(&stamp_ms.to_le_bytes());
        chance.copy_from_slice(&seed.to_le_bytes());
    }
    if long {
        mark_long(entry);
    }
}

/// A command inside an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    pub(crate) db: u8,
    pub(crate) spec: &'static Spec,
    /// Where its arguments' spans lie in the spans of the part.
    first: usize,
    count: usize,
}

impl Command {
    /// True for a command on keys with a possible number of arguments.
    fn fits(&self) -> bool {
        self.spec.arity_fits(self.count) && (self.spec.is_read() || self.spec.is_write())
    }
}

/// What stands in an entry, one after the other.
#[derive(Debug)]
pub(crate) enum Part {
    Command(Command),
    Transaction { watches: Vec<Watch>, commands: Vec<Command> },
    Once { client: Span, sequence: u64, fingerprint: u64 },
    Origin { node: NodeId, forward: u64, parts: u64 },
    Housekeep { expire_max: usize, clear_max: usize },
}

impl Part {
    /// Keys that it is worth to know ahead.
    fn keys(&self) -> usize {
        match self {
            Self::Command(command) => command.spec.key_positions(command.count).count(),
            // Looked at by itself; and what is in it may be much.
            Self::Transaction { .. } | Self::Housekeep { .. } => EXPECTED_MAX,
            Self::Once { .. } | Self::Origin { .. } => 0,
        }
    }

    /// Its arguments, those of a block's commands taken together.
    fn args(&self) -> usize {
        match self {
            Self::Command(command) => command.count,
            Self::Transaction { commands, .. } => {
                commands.iter().map(|command| command.count).sum()
            }
            Self::Once { .. } | Self::Origin { .. } | Self::Housekeep { .. } => 0,
        }
    }
}

/// Reads an entry's parts.
pub(crate) struct Parts<'a> {
    bytes: &'a [u8],
    /// How far it has read.
    at: usize,
    /// Of the parts that were read ahead, and of the current one.
    spans: Vec<Span>,
    /// Parts that were read ahead, each with where it ends.
    ahead: VecDeque<(Part, usize)>,
    /// Keys that it is worth to know in them, when they were read.
    keys_ahead: usize,
    /// Why there are no more behind those.
    failed: Option<EntryError>,
    /// How far it has given parts out.
    given: usize,
}

impl<'a> Parts<'a> {
    /// The header's stamp and seed, and the parts behind it. `spans` is reused memory.
    pub(crate) fn of_entry(
        bytes: &'a [u8],
        spans: Vec<Span>,
    ) -> Result<(u64, u64, Self), EntryError> {
        let mut parts = Self::bare(bytes, spans);
        if !matches!(parts.u8()?, FORMAT | FORMAT_LONG) {
            return Err(parts.wrong("unknown format"));
        }
        let (stamp_ms, seed) = (parts.u64()?, parts.u64()?);
        parts.given = parts.at;
        Ok((stamp_ms, seed, parts))
    }

    /// Parts without a header, as they are forwarded.
    pub(crate) fn bare(bytes: &'a [u8], spans: Vec<Span>) -> Self {
        Self { bytes, at: 0, spans, ahead: VecDeque::new(), keys_ahead: 0, failed: None, given: 0 }
    }

    /// True when nothing is left to give out.
    fn is_at_end(&self) -> bool {
        self.given == self.bytes.len()
    }

    /// How far it has given parts out.
    pub(crate) fn position(&self) -> usize {
        self.given
    }

    /// Gives the reused memory back.
    pub(crate) fn into_spans(self) -> Vec<Span> {
        self.spans
    }

    fn wrong(&self, what: &'static str) -> EntryError {
        EntryError { at: self.at, what }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], EntryError> {
        let end = self.at.checked_add(len).ok_or_else(|| self.wrong("length"))?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.wrong("ends too early"))?;
        self.at = end;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, EntryError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.wrong("ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    fn u64(&mut self) -> Result<u64, EntryError> {
        let bytes = self.take(8)?;
        <[u8; 8]>::try_from(bytes).map(u64::from_le_bytes).map_err(|_| self.wrong("number"))
    }

    fn varint(&mut self) -> Result<u64, EntryError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.wrong("number too long"))
    }

    fn count(&mut self, max: usize) -> Result<usize, EntryError> {
        let count = usize::try_from(self.varint()?).ok().filter(|count| *count <= max);
        count.ok_or_else(|| self.wrong("count over the limit"))
    }

    fn span(&mut self) -> Result<Span, EntryError> {
        let len = self.count(self.bytes.len())?;
        let start = self.at;
        self.take(len)?;
        let bound = |at: usize| u32::try_from(at).map_err(|_| self.wrong("entry too long"));
        Ok(Span { start: bound(start)?, end: bound(self.at)? })
    }

    fn slice(&self, span: Span) -> &'a [u8] {
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// What stands before a command's arguments: the database, which command, how many they are.
    fn command_head(&mut self) -> Result<(u8, &'static Spec, usize), EntryError> {
        let db = self.u8()?;
        let id = self.take(2)?;
        let number = <[u8; 2]>::try_from(id).map_or(0, u16::from_le_bytes);
        let spec = by_id(number).ok_or_else(|| self.wrong("unknown command"))?;
        Ok((db, spec, self.count(ARGS_MAX)?))
    }

    fn command(&mut self) -> Result<Command, EntryError> {
        let (db, spec, count) = self.command_head()?;
        let first = self.spans.len();
        for _ in 0..count {
            let span = self.span()?;
            self.spans.push(span);
        }
        Ok(Command { db, spec, first, count })
    }

    fn transaction(&mut self) -> Result<Part, EntryError> {
        let watches = (0..self.count(WATCHES_MAX)?)
            .map(|_| {
                let db = self.u8()?;
                let span = self.span()?;
                let key = bytes::Bytes::copy_from_slice(self.slice(span));
                Ok(Watch { db, key, revision: self.varint()?, seen: self.varint()? })
            })
            .collect::<Result<_, _>>()?;
        let commands = (0..self.count(TRANSACTION_COMMANDS_MAX)?)
            .map(|_| self.command())
            .collect::<Result<_, _>>()?;
        Ok(Part::Transaction { watches, commands })
    }

    /// The next part; its arguments are found with [`Parts::args`] until the next call.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, EntryError> {
        self.read_ahead();
        match self.ahead.pop_front() {
            Some((part, end)) => {
                self.given = end;
                Ok(Some(part))
            }
            None => self.failed.map_or(Ok(None), Err),
        }
    }

    fn read(&mut self) -> Result<Part, EntryError> {
        let part = match self.u8()? {
            COMMAND => Part::Command(self.command()?),
            TRANSACTION => self.transaction()?,
            ONCE => Part::Once {
                client: self.span()?,
                sequence: self.varint()?,
                fingerprint: self.u64()?,
            },
            ORIGIN => Part::Origin {
                node: NodeId(self.varint()?),
                forward: self.varint()?,
                parts: self.varint()?,
            },
            HOUSEKEEP => Part::Housekeep {
                expire_max: self.count(usize::MAX)?,
                clear_max: self.count(usize::MAX)?,
            },
            _ => return Err(self.wrong("unknown part")),
        };
        Ok(part)
    }

    /// Reads the next parts ahead, as many as have some [`EXPECTED_MAX`] keys, unless those of the last time are not
    /// used up. True when it did.
    pub(crate) fn read_ahead(&mut self) -> bool {
        if !self.ahead.is_empty() || self.failed.is_some() || self.at == self.bytes.len() {
            return false;
        }
        self.spans.clear();
        self.keys_ahead = 0;
        while self.keys_ahead < EXPECTED_MAX
            && self.ahead.len() < AHEAD_MAX
            && self.at < self.bytes.len()
        {
            match self.read() {
                Ok(part) => {
                    self.keys_ahead += part.keys();
                    self.ahead.push_back((part, self.at));
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        true
    }

    /// The keys, with their databases, of the commands that were read ahead; none where they are too few for a hint to
    /// pay for itself. Blocks are passed over.
    pub(crate) fn keys_ahead(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let commands = self.ahead.iter().filter_map(|(part, _)| match part {
            Part::Command(command) => Some(command),
            _ => None,
        });
        let many = self.keys_ahead >= AHEAD_MIN;
        commands.filter(move |_| many).flat_map(|command| {
            let args = self.args(command);
            let positions = command.spec.key_positions(command.count);
            positions.map(move |at| (command.db, args.at(at)))
        })
    }

    /// The arguments of a command of the current part.
    pub(crate) fn args(&self, command: &Command) -> Args<'_> {
        let spans = self.spans.get(command.first..command.first + command.count);
        Args::new(self.bytes, spans.unwrap_or_default()).unwrap_or_else(|| {
            // Every span was cut from these bytes.
            unreachable!("a span outside of its entry")
        })
    }

    /// The client of a [`Part::Once`].
    pub(crate) fn client(&self, client: Span) -> &'a [u8] {
        self.slice(client)
    }
}

/// The commands in parts of our own, those inside of transactions counted.
pub(crate) fn commands_in(bytes: &[u8]) -> usize {
    let mut parts = Parts::bare(bytes, Vec::new());
    let mut count = 0;
    while let Ok(Some(part)) = parts.next() {
        count += match part {
            Part::Command(_) => 1,
            Part::Transaction { commands, .. } => commands.len() + 1,
            Part::Once { .. } | Part::Origin { .. } | Part::Housekeep { .. } => 0,
        };
    }
    count
}

/// More arguments than this in one command or block, and it takes long: some 4 us for each that is a key.
const LONG_ARGS: usize = 8 * 1024;

/// Keys that a SCAN on the loop looks at.
const SCAN_MAX: u64 = 4 * 1024;

/// True for an entry that holds a command, or a block, which takes long: whoever made it has said so. Small
/// commands do not, however many they are: an entry is closed at [`quorate_api::limits::ENTRY_BYTES_TARGET`].
pub(crate) fn is_long(entry: &[u8]) -> bool {
    // An argument takes two bytes at least.
    entry.len() > 2 * LONG_ARGS && (entry.first() == Some(&FORMAT_LONG) || is_marked(entry))
}

fn is_marked(entry: &[u8]) -> bool {
    entry.get(SEED_AT..).is_some_and(|seed| seed.starts_with(&SEED_LONG))
}

/// Says in the header of `entry` that something in it takes long.
pub(crate) fn mark_long(entry: &mut [u8]) {
    if let Some(beginning) = entry.get_mut(SEED_AT..SEED_AT + SEED_LONG.len()) {
        beginning.copy_from_slice(&SEED_LONG);
    }
}

/// True for one part of our own that takes long.
pub(crate) fn is_long_part(bytes: &[u8]) -> bool {
    // An argument takes two bytes at least.
    bytes.len() > 2 * LONG_ARGS && {
        let mut parts = Parts::bare(bytes, Vec::new());
        std::iter::from_fn(|| parts.next().ok().flatten()).any(|part| part.args() > LONG_ARGS)
    }
}

/// True for a read that takes long: it is answered beside the loop, from a frozen state.
pub(crate) fn is_long_read(part: &Part, parts: &Parts<'_>) -> bool {
    let visits_much = |command: &Command| match command.spec.id {
        CommandId::Keys => true,
        CommandId::Scan => {
            let args = parts.args(command);
            let mut words =
                args.iter_from(2).skip_while(|word| !word.eq_ignore_ascii_case(b"count"));
            let count = words.nth(1).and_then(|count| std::str::from_utf8(count).ok());
            count.and_then(|count| count.parse().ok()).is_some_and(|count: u64| count > SCAN_MAX)
        }
        _ => command.count > LONG_ARGS,
    };
    match part {
        Part::Command(command) => visits_much(command),
        Part::Transaction { commands, .. } => {
            part.args() > LONG_ARGS || commands.iter().any(visits_much)
        }
        Part::Once { .. } | Part::Origin { .. } | Part::Housekeep { .. } => false,
    }
}

/// Checks parts which a peer has sent before they enter the log: an entry that can't be applied would
/// stop every replica. Gives the number of answers they ask for, and whether one of them takes long.
pub(crate) fn check_forwarded(bytes: &[u8]) -> Result<(usize, bool), EntryError> {
    let mut parts = Parts::bare(bytes, Vec::new());
    let (mut answers, mut long) = (0, false);
    let mut named = false;
    while let Some(part) = parts.next()? {
        long |= part.args() > LONG_ARGS;
        let once = matches!(part, Part::Once { .. });
        if named && once {
            return Err(parts.wrong("a name for a name"));
        }
        match part {
            Part::Command(command) if !command.fits() => {
                return Err(parts.wrong("arguments do not fit the command"));
            }
            Part::Transaction { commands, .. } if !commands.iter().all(Command::fits) => {
                return Err(parts.wrong("arguments do not fit the command"));
            }
            Part::Command(_) | Part::Transaction { .. } => answers += 1,
            Part::Once { .. } => {}
            Part::Origin { .. } | Part::Housekeep { .. } => {
                return Err(parts.wrong("a part that members do not forward"));
            }
        }
        named = once;
    }
    if named { Err(parts.wrong("a name for nothing")) } else { Ok((answers, long)) }
}

/// Checks the one read that a member has passed to the leader: what is no read would change this
/// replica and no other.
pub(crate) fn check_passed(bytes: &[u8]) -> Result<(), EntryError> {
    let mut parts = Parts::bare(bytes, Vec::new());
    let reads =
        |command: &Command| command.fits() && command.spec.is_read() && command.db < DATABASES;
    match parts.next()? {
        Some(Part::Command(command)) if reads(&command) => {}
        Some(Part::Transaction { watches, commands })
            if watches.is_empty() && commands.iter().all(reads) => {}
        _ => return Err(parts.wrong("no read")),
    }
    if parts.is_at_end() { Ok(()) } else { Err(parts.wrong("more than one read")) }
}

#[cfg(test)]
mod tests;

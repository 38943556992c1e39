//! The state machine: committed entries into the keyspace, answers out. A pure function of state and
//! entry: the same on every replica.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_api::{Answer, Reply};
use quorate_consensus::{Body, Committed, Configuration, Index, NodeId, Term};
use quorate_engine::{Engine, EngineError};
use quorate_keyspace::{Keyspace, Moment, WatchRef};

use crate::entry::{Command, EntryError, Part, Parts};
use crate::format;
use crate::members::{self, Members, Note};

/// A committed entry can't be applied: this replica must stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The entry is not one of this version.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A record of the node's own is damaged.
    #[error("{0} record: {1}")]
    Record(&'static str, quorate_consensus::codec::DecodeError),
}

/// Whose a part's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Of the session that handed it in on the node which proposed the entry.
    Proposer,
    /// Of a session on `node`, which forwarded it in batch `forward`.
    Origin { node: NodeId, forward: u64 },
}

/// Receives the answers of an entry, in order.
pub(crate) type Answers<'a> = &'a mut dyn FnMut(Owner, Answer);

/// Checkpoints of the digest which are remembered for comparison.
const CHECKPOINTS: usize = 1024;
/// Entries between two checkpoints.
const CHECKPOINT_ENTRIES: u64 = 64;

/// The replicated state of one group on this node.
pub(crate) struct Machine {
    keyspace: Keyspace,
    members: Members,
    configuration: Configuration,
    format: u64,
    applied_term: Term,
    spans: Vec<quorate_api::Span>,
    checkpoints: VecDeque<(Index, u64)>,
    pub(crate) writes: u64,
    pub(crate) entries: u64,
}

impl Machine {
    /// The state in `engine`.
    pub(crate) fn open(engine: Box<dyn Engine>) -> Result<Self, ApplyError> {
        Self::of(Keyspace::open(engine)?)
    }

    /// The state of a keyspace that was restored from a snapshot.
    pub(crate) fn of(keyspace: Keyspace) -> Result<Self, ApplyError> {
        let mut machine = Self {
            keyspace,
            members: Members::default(),
            configuration: Configuration::default(),
            format: 1,
            applied_term: Term(0),
            spans: Vec::new(),
            checkpoints: VecDeque::new(),
            writes: 0,
            entries: 0,
        };
        let wrong = |name: &'static str| move |error| ApplyError::Record(name, error);
        if let Some(bytes) = machine.keyspace.system_get(members::RECORD)? {
            machine.members = Members::decode(bytes).map_err(wrong("members"))?;
        }
        if let Some(bytes) = machine.keyspace.system_get(members::CONFIGURATION)? {
            machine.configuration = Configuration::decode(bytes).map_err(wrong("configuration"))?;
        }
        if let Some(bytes) = machine.keyspace.system_get(format::RECORD)? {
            machine.format = format::decode(bytes).map_err(wrong("format"))?;
        }
        Ok(machine)
    }

    /// The same state for reading, while this one is on a lane; `None` where the engine has no twin.
    pub(crate) fn twin(&self) -> Result<Option<Self>, EngineError> {
        Ok(self.keyspace.twin()?.map(|keyspace| Self {
            keyspace,
            members: self.members.clone(),
            configuration: self.configuration.clone(),
            format: self.format,
            applied_term: self.applied_term,
            spans: Vec::new(),
            checkpoints: self.checkpoints.clone(),
            writes: self.writes,
            entries: self.entries,
        }))
    }

    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    pub(crate) fn into_keyspace(self) -> Keyspace {
        self.keyspace
    }

    pub(crate) fn keyspace_mut(&mut self) -> &mut Keyspace {
        &mut self.keyspace
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub(crate) fn applied(&self) -> Index {
        Index(self.keyspace.applied())
    }

    /// The cluster format in force.
    pub(crate) fn format(&self) -> u64 {
        self.format
    }

    /// The term of the last entry applied since start; 0 before.
    pub(crate) fn applied_term(&self) -> Term {
        self.applied_term
    }

    /// The newest checkpoint of the digest.
    pub(crate) fn checkpoint(&self) -> Option<(Index, u64)> {
        self.checkpoints.back().copied()
    }

    /// The digest at `index`, where it is remembered.
    pub(crate) fn digest_at(&self, index: Index) -> Option<u64> {
        let found = self.checkpoints.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        self.checkpoints.get(found).map(|(_, digest)| *digest)
    }

    /// The first entry of a new cluster: its founders, all of them voters. Not a log entry; it becomes
    /// the first snapshot. The same for each of them.
    pub(crate) fn found(
        &mut self,
        founders: &[(NodeId, members::Member)],
        format: u64,
    ) -> Result<(), ApplyError> {
        self.keyspace.begin(Moment { index: 1, stamp_ms: 0, seed: 0 });
        for (node, member) in founders {
            self.members.apply(&Note::Put(*node, member.clone()));
        }
        let voters = founders.iter().map(|(node, _)| *node).collect();
        self.configuration = Configuration { voters, ..Configuration::default() };
        self.save_members()?;
        self.raise_format(format)?;
        self.keyspace.finish()?;
        Ok(())
    }

    /// Only `node` is left, under a new number, from entry `index` on; `note` says of what this was made.
    pub(crate) fn recover(
        &mut self,
        node: NodeId,
        index: Index,
        note: Bytes,
    ) -> Result<Option<NodeId>, ApplyError> {
        self.keyspace.begin_beyond(Moment { index: index.0, stamp_ms: 0, seed: 0 });
        let successor = self.members.recover(node);
        self.configuration = successor.map_or_else(Configuration::default, Configuration::of_one);
        self.save_members()?;
        self.keyspace.system_put(members::RECOVERED, note)?;
        self.keyspace.finish()?;
        Ok(successor)
    }

    /// Several leaders may have proposed the same step, or an old one a step that is done.
    fn raise_format(&mut self, format: u64) -> Result<(), EngineError> {
        if format > self.format {
            self.format = format;
            self.keyspace.system_put(format::RECORD, format::encode(format))?;
        }
        Ok(())
    }

    /// The state of another cluster as the first one of a new cluster of one, whose first entry is far
    /// behind all of the other's. Nobody of that one is a member, nor ever was.
    pub(crate) fn found_beyond(
        &mut self,
        index: Index,
        node: NodeId,
        member: &members::Member,
    ) -> Result<(), ApplyError> {
        self.keyspace.begin_beyond(Moment { index: index.0, stamp_ms: 0, seed: 0 });
        self.members = Members::default();
        self.members.apply(&Note::Put(node, member.clone()));
        self.configuration = Configuration::of_one(node);
        self.save_members()?;
        self.keyspace.finish()?;
        Ok(())
    }

    fn save_members(&mut self) -> Result<(), EngineError> {
        self.keyspace.system_put(members::RECORD, self.members.encode())?;
        let configuration = self.configuration.encode();
        self.keyspace.system_put(members::CONFIGURATION, configuration.into())
    }

    /// Applies one entry.
    pub(crate) fn apply(
        &mut self,
        entry: &Committed,
        answers: Answers<'_>,
    ) -> Result<(), ApplyError> {
        match &entry.body {
            Body::Empty => self.begin(entry, 0, 0),
            Body::Normal(bytes) => self.apply_parts(entry, bytes, answers)?,
            Body::Change { change, configuration } => {
                self.begin(entry, 0, 0);
                let note = Note::decode(change.context.clone());
                let note = note.map_err(|error| ApplyError::Record("change", error))?;
                self.members.apply(&note);
                self.configuration = configuration.clone();
                self.save_members()?;
                if let Note::Format(format) = note {
                    self.raise_format(format)?;
                }
            }
        }
        self.keyspace.finish()?;
        self.entries += 1;
        self.applied_term = entry.term;
        if entry.index.0.is_multiple_of(CHECKPOINT_ENTRIES) {
            if self.checkpoints.len() == CHECKPOINTS {
                self.checkpoints.pop_front();
            }
            self.checkpoints.push_back((entry.index, self.keyspace.digest()));
        }
        Ok(())
    }

    fn begin(&mut self, entry: &Committed, stamp_ms: u64, seed: u64) {
        self.keyspace.begin(Moment { index: entry.index.0, stamp_ms, seed });
    }

    fn apply_parts(
        &mut self,
        entry: &Committed,
        bytes: &Bytes,
        answers: Answers<'_>,
    ) -> Result<(), ApplyError> {
        let spans = std::mem::take(&mut self.spans);
        let (stamp_ms, seed, mut parts) = Parts::of_entry(bytes, spans)?;
        self.begin(entry, stamp_ms, seed);
        let mut owner = Owner::Proposer;
        let mut owned = 0;
        let mut name = None;
        loop {
            self.hint(&mut parts);
            let Some(part) = parts.next()? else { break };
            match part {
                Part::Origin { node, forward, parts } => {
                    owner = Owner::Origin { node, forward };
                    owned = parts;
                    continue;
                }
                Part::Once { client, sequence, fingerprint } => {
                    name = Some((parts.client(client), sequence, fingerprint));
                    continue;
                }
                Part::Housekeep { expire_max, clear_max } => {
                    self.keyspace.housekeep(expire_max, clear_max)?;
                    continue;
                }
                Part::Command(command) => {
                    let reply =
                        self.once(name.take(), |machine| machine.command(&parts, &command))?;
                    answers(owner, Ok(reply));
                }
                Part::Transaction { watches, commands } => {
                    let reply = self.once(name.take(), |machine| {
                        machine.transaction(&parts, &watches, &commands)
                    })?;
                    answers(owner, Ok(reply));
                }
            }
            if owner != Owner::Proposer {
                owned -= 1;
                if owned == 0 {
                    owner = Owner::Proposer;
                }
            }
        }
        self.spans = parts.into_spans();
        Ok(())
    }

    /// Called before each part is read: tells the keyspace, every few parts, what the next ones will ask for.
    pub(crate) fn hint(&self, parts: &mut Parts<'_>) {
        if parts.read_ahead() {
            self.keyspace.expect(parts.keys_ahead());
        }
    }

    /// A named request is applied once; sent again, it gets the stored reply.
    fn once(
        &mut self,
        name: Option<(&[u8], u64, u64)>,
        apply: impl FnOnce(&mut Self) -> Result<Reply, EngineError>,
    ) -> Result<Reply, EngineError> {
        let Some((client, sequence, fingerprint)) = name else { return apply(self) };
        if let Some(stored) = self.keyspace.once_before(client, sequence, fingerprint)? {
            return Ok(stored);
        }
        let reply = apply(self)?;
        self.keyspace.once_after(client, sequence, fingerprint, &reply)?;
        Ok(reply)
    }

    fn command(&mut self, parts: &Parts<'_>, command: &Command) -> Result<Reply, EngineError> {
        self.writes += 1;
        self.keyspace.apply(command.db, command.spec, parts.args(command))
    }

    fn transaction(
        &mut self,
        parts: &Parts<'_>,
        watches: &[quorate_api::Watch],
        commands: &[Command],
    ) -> Result<Reply, EngineError> {
        if !self.keyspace.watches_hold(watches.iter().map(WatchRef::from))? {
            return Ok(Reply::NilArray);
        }
        let replies = commands.iter().map(|command| self.command(parts, command));
        Ok(Reply::Array(replies.collect::<Result<_, _>>()?))
    }
}

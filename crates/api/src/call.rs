//! One request to a session: a command or a transaction, with how it is to be executed.

use std::time::Duration;

use bytes::Bytes;

use crate::{Args, OwnedArgs, Spec};

/// What a read is allowed to miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// What the session has chosen, or else the node's own default.
    #[default]
    Configured,
    /// Current at some moment between call and reply; trusts no clock.
    Linearizable,
    /// As linearizable while clock *rates* stay within the stated bound.
    Lease,
    /// This node's own state, never older than what the session has seen. With a bound, an error when
    /// the node has not heard of a leader's state for longer.
    Stale {
        /// The bound; `None`: any age.
        max_staleness: Option<Duration>,
    },
}

/// Names a write, so that sending it again cannot repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Who sends it: an HTTP `Idempotency-Key` or an embedded client's id.
    pub client: Bytes,
    /// Which of its requests (0 for HTTP keys, which name one request).
    pub sequence: u64,
}

/// A command to execute, borrowed from the connection's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Its row of the command table; arity is already checked ([`Spec::arity_fits`]).
    pub spec: &'static Spec,
    /// The logical database, below [`crate::limits::DATABASES`].
    pub db: u8,
    /// Its arguments, the name included.
    pub args: Args<'a>,
    /// For reads; ignored for writes.
    pub consistency: Consistency,
    /// For writes that must not be repeated.
    pub idempotency: Option<&'a Idempotency>,
}

/// A command that owns its arguments.
#[derive(Clone, Debug)]
pub struct OwnedCall {
    /// See [`Call::spec`].
    pub spec: &'static Spec,
    /// See [`Call::db`].
    pub db: u8,
    /// See [`Call::args`].
    pub args: OwnedArgs,
    /// See [`Call::consistency`].
    pub consistency: Consistency,
    /// See [`Call::idempotency`].
    pub idempotency: Option<Idempotency>,
}

impl OwnedCall {
    /// A linearizable call in database 0; `None` when no command has that name or the number of
    /// arguments is wrong.
    pub fn new(parts: impl IntoIterator<Item: AsRef<[u8]>>) -> Option<Self> {
        let args = OwnedArgs::new(parts);
        let spec = crate::command::lookup(args.as_args().at(0))?;
        spec.arity_fits(args.as_args().len()).then_some(Self {
            spec,
            db: 0,
            args,
            consistency: Consistency::Linearizable,
            idempotency: None,
        })
    }

    /// Borrows it.
    pub fn as_call(&self) -> Call<'_> {
        Call {
            spec: self.spec,
            db: self.db,
            args: self.args.as_args(),
            consistency: self.consistency,
            idempotency: self.idempotency.as_ref(),
        }
    }
}

/// A key whose change aborts a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The logical database.
    pub db: u8,
    /// The key.
    pub key: Bytes,
    /// The key's revision when it was watched; 0 when it did not exist.
    pub revision: u64,
    /// The state in which that was read, as a revision: an absent key that was created and deleted
    /// since then must abort, too.
    pub seen: u64,
}

/// MULTI/EXEC: commands that take effect as one, or not at all when a watched key has changed.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// What must not have changed.
    pub watches: Vec<Watch>,
    /// The queued commands; `consistency` and `idempotency` of each are ignored. A SELECT inside of
    /// the block has already been resolved into `db`.
    pub calls: Vec<OwnedCall>,
    /// For the reply of the whole block.
    pub idempotency: Option<Idempotency>,
}

//! MULTI/EXEC on the side of the connection: what is queued, what goes to the node as one block, and
//! where local replies are spliced into its answer.

use quorate_api::limits::{COMMAND_BYTES_MAX, TRANSACTION_COMMANDS_MAX};
use quorate_api::{Answer, Args, CommandId, Consistency, Error, OwnedArgs, OwnedCall, Reply, Spec};
use quorate_api::{Transaction, Watch};

use crate::commands::select;

/// A command queued by MULTI.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) spec: &'static Spec,
    pub(crate) args: OwnedArgs,
}

/// The block between MULTI and EXEC.
#[derive(Debug, Default)]
pub(crate) struct Block {
    queued: Vec<Queued>,
    bytes: usize,
    /// A command could not be queued: EXEC will refuse.
    pub(crate) aborted: bool,
}

impl Block {
    /// Commands queued.
    pub(crate) fn len(&self) -> usize {
        self.queued.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The commands that are queued.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &'static Spec> {
        self.queued.iter().map(|queued| queued.spec)
    }

    /// Queues a command; refused when the block grows too large.
    pub(crate) fn queue(&mut self, spec: &'static Spec, args: Args<'_>) -> Result<(), Reply> {
        if self.queued.len() >= TRANSACTION_COMMANDS_MAX {
            let text = format!("a transaction has at most {TRANSACTION_COMMANDS_MAX} commands");
            return Err(Reply::err(text));
        }
        let bytes = args.payload_bytes() + args.len() * size_of::<quorate_api::Span>();
        if self.bytes + bytes > COMMAND_BYTES_MAX {
            let text = format!("a transaction has at most {COMMAND_BYTES_MAX} bytes");
            return Err(Reply::err(text));
        }
        self.bytes += bytes;
        self.queued.push(Queued { spec, args: args.into() });
        Ok(())
    }

    /// Divides the block into what the node executes and what the connection does when it has.
    /// `db` is the database in force at EXEC; a SELECT in the block changes it from there on.
    pub(crate) fn split(self, mut db: u8, watches: Vec<Watch>) -> (Transaction, Splice) {
        let mut calls = Vec::with_capacity(self.queued.len());
        let mut parts = Vec::with_capacity(self.queued.len());
        for Queued { spec, args } in self.queued {
            if spec.is_read() || spec.is_write() {
                let consistency = Consistency::Configured;
                calls.push(OwnedCall { spec, db, args, consistency, idempotency: None });
                parts.push(None);
            } else {
                if spec.id == CommandId::Select {
                    db = select::database(args.as_args().at(1)).unwrap_or(db);
                }
                parts.push(Some(Queued { spec, args }));
            }
        }
        (Transaction { watches, calls, idempotency: None }, Splice { parts })
    }
}

/// For each command of a block: its answer comes from the node (`None`), or from the connection.
#[derive(Debug)]
pub(crate) struct Splice {
    parts: Vec<Option<Queued>>,
}

impl Splice {
    /// True when the node answers for every command, so that nothing is spliced.
    pub(crate) fn is_remote(&self) -> bool {
        self.parts.iter().all(Option::is_none)
    }

    /// True when the block holds a WAIT, which asks how far the others are when the block has taken effect.
    pub(crate) fn counts_replicas(&self) -> bool {
        self.parts.iter().flatten().any(|part| part.spec.id == CommandId::Wait)
    }

    /// Puts local replies between those of the node. `local` is called only when the block took
    /// effect, in the order of the commands.
    pub(crate) fn splice(
        self,
        answer: Answer,
        mut local: impl FnMut(&'static Spec, Args<'_>) -> Reply,
    ) -> Answer {
        let Reply::Array(replies) = answer? else { return Ok(Reply::NilArray) };
        let remote = self.parts.iter().filter(|part| part.is_none()).count();
        if replies.len() != remote {
            return Err(Error::unknown("the node's answer does not fit the transaction"));
        }
        let mut replies = replies.into_iter();
        let parts = self.parts.into_iter();
        let spliced = parts.map(|part| match part {
            Some(Queued { spec, args }) => local(spec, args.as_args()),
            None => replies.next().unwrap_or(Reply::Nil),
        });
        Ok(Reply::Array(spliced.collect()))
    }
}

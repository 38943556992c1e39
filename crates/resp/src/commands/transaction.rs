//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: Redis' semantics, with the node as the judge.

use bytes::Bytes;
use quorate_api::{
    Answer, Args, Call, CommandId, Consistency, Error, Reply, Spec, Transaction, command,
};

use crate::blocked::Blocked;
use crate::commands::is;
use crate::error;
use crate::replies::{Awaited, Due};
use crate::session::{Flow, Session};
use crate::transaction::Block;
use crate::unread::{overloaded, returns_values};
use crate::watches::Watches;

impl Session {
    pub(crate) fn multi(&mut self) {
        if self.block.is_some() {
            return self.reply(Reply::err("MULTI calls can not be nested"));
        }
        self.block = Some(Block::default());
        self.profile.queued.set(Some(0));
        self.reply(Reply::Ok);
    }

    /// Queues a command that has passed every check.
    pub(crate) fn queue(&mut self, spec: &'static Spec, args: Args<'_>) -> Flow {
        // EXEC's array is counted and encoded as a whole: CLIENT REPLY would cut it in two, and HELLO change
        // the protocol in its middle.
        let cuts = match spec.id {
            CommandId::Client => is(args.at(1), "REPLY"),
            CommandId::Hello => self.switches_protocol(args),
            _ => spec.flags.has(command::Flags::NO_MULTI),
        };
        if cuts {
            let text = "Command not allowed inside a transaction";
            return self.refuse(spec, Ok(Reply::err(text)));
        }
        let queued = match &mut self.block {
            // As Redis: what will never be executed is not kept.
            Some(block) if block.aborted => Ok(()),
            Some(block) => block.queue(spec, args),
            None => Ok(()),
        };
        if let Err(reply) = queued {
            return self.refuse(spec, Ok(reply));
        }
        if !self.hold() {
            return self.refuse(spec, Err(too_much_held()));
        }
        self.profile.queued.set(self.block.as_ref().map(Block::len));
        self.reply(Reply::Simple("QUEUED".into()));
        Flow::Done
    }

    pub(crate) fn exec(&mut self) {
        if self.block.is_none() {
            return self.reply(Reply::err("EXEC without MULTI"));
        }
        let watch_failed = self.watches.failed;
        let watches = std::mem::take(&mut self.watches);
        let block = self.end_block().unwrap_or_default();
        if block.aborted || watch_failed {
            return self.reply(error::exec_abort());
        }
        block.specs().for_each(|spec| self.server.counters.count_call(spec.id));
        let asks_nobody = watches.is_empty();
        let (transaction, splice) = block.split(self.db, watches.into_vec());
        let muted = self.muted;
        if asks_nobody && transaction.calls.is_empty() && !splice.counts_replicas() {
            let answer =
                splice.splice(Ok(Reply::Array(Vec::new())), |spec, args| self.local(spec, args));
            self.muted = muted;
            return self.reply(answer.unwrap_or(Reply::NilArray));
        }
        let due = due(&transaction);
        if due == Due::Write && self.server.unread.is_crowded() && returns_something(&transaction) {
            return self.answer(&Err(overloaded()));
        }
        self.node.transact(transaction);
        if splice.is_remote() && !muted {
            return self.replies.await_answer(due);
        }
        if splice.is_remote() {
            return self.replies.await_other(Awaited::Dropped);
        }
        // What the block does to the connection (SELECT) is not known before the answer.
        self.replies.await_other(Awaited::Block { splice, muted });
        self.blocked = Blocked::Answers;
    }

    pub(crate) fn discard(&mut self) {
        if self.block.is_none() {
            return self.reply(Reply::err("DISCARD without MULTI"));
        }
        self.end_block();
        self.reply(Reply::Ok);
    }

    /// Forgets the block and the watched keys.
    pub(crate) fn end_block(&mut self) -> Option<Block> {
        let block = self.block.take();
        self.watches = Watches::default();
        self.profile.queued.set(None);
        self.profile.watched.set(0);
        // Holding less is always allowed.
        let _less = self.hold();
        block
    }

    pub(crate) fn watch(&mut self, args: Args<'_>) {
        if self.block.is_some() {
            return self.reply(Reply::err("WATCH inside MULTI is not allowed"));
        }
        if let Err(reply) = self.watches.check(args.len() - 1, args.payload_bytes()) {
            self.watches.failed = true;
            return self.reply(reply);
        }
        let spec = command::spec(CommandId::Revisions);
        let consistency = Consistency::Linearizable;
        self.node.submit(Call { spec, db: self.db, args, consistency, idempotency: None });
        let keys = args.iter_from(1).map(Bytes::copy_from_slice).collect();
        self.replies.await_other(Awaited::Revisions { db: self.db, keys, muted: self.muted });
        // Order matters: a read behind WATCH must not see an older state than WATCH did.
        self.blocked = Blocked::Answers;
    }

    /// The revisions of the keys to be watched have come.
    pub(crate) fn watched(&mut self, db: u8, keys: Vec<Bytes>, answer: Answer) -> Answer {
        let added = match &answer {
            Ok(Reply::Array(revisions)) => self.watches.add(db, keys, revisions),
            _ => None,
        };
        self.profile.watched.set(self.watches.len());
        let held = self.hold();
        if added.is_some() && held {
            return Ok(Reply::Ok);
        }
        self.watches.failed = true;
        if !held {
            return Err(too_much_held());
        }
        match answer {
            Ok(Reply::Error(_)) | Err(_) => answer,
            Ok(_) => Ok(Reply::err("the keys could not be watched")),
        }
    }

    pub(crate) fn unwatch(&mut self) -> Reply {
        self.watches = Watches::default();
        self.profile.watched.set(0);
        let _less = self.hold();
        Reply::Ok
    }

    /// Accounts for what the block and the watches hold; false when all connections hold too much.
    fn hold(&mut self) -> bool {
        let block = self.block.as_ref().map_or(0, Block::bytes);
        self.account.hold(block + self.watches.bytes())
    }
}

/// Why a transaction may not grow.
fn too_much_held() -> Error {
    Error::Overloaded { reason: "too many bytes of unfinished transactions on this node".into() }
}

/// What the answer to a block may be.
fn due(transaction: &Transaction) -> Due {
    let writes = transaction.calls.iter().any(|call| call.spec.is_write());
    if writes { Due::Write } else { Due::Read }
}

/// True for a block whose answer may be large.
fn returns_something(transaction: &Transaction) -> bool {
    transaction.calls.iter().any(|call| returns_values(call.spec, call.args.as_args()))
}

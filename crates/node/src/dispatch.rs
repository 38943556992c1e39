//! What a session hands in, and the street it takes.

use quorate_api::command::Flags;
use quorate_api::limits::{
    ARGS_MAX, COMMAND_BYTES_MAX, DATABASES, KEY_BYTES_MAX, TRANSACTION_COMMANDS_MAX,
    VALUE_BYTES_MAX, WATCHES_MAX,
};
use quorate_api::{Args, Call, Consistency, Error, ErrorCode, Reply, Spec, Transaction};

use crate::core::Core;
use crate::entry;
use crate::session::{Held, Kind, Thread, Turn, Waiter};

impl Core {
    /// Takes one command in.
    pub(crate) fn submit(&mut self, thread: &Thread, call: &Call<'_>) {
        let kind = if call.spec.is_write() {
            Kind::Write
        } else {
            Kind::Read(self.consistency(thread, call.consistency))
        };
        if let Some(refusal) = self.refusal(call.db, call.spec, call.args) {
            return thread.refuse(refusal);
        }
        let waiter = match thread.enter(kind) {
            Turn::Go(waiter) => waiter,
            Turn::Hold(number) => {
                let mut part = Vec::new();
                encode_call(&mut part, call);
                let load = self.writes.held.put(part.len());
                return thread.hold(Held { number, kind, part, _load: load });
            }
        };
        match kind {
            Kind::Write => {
                let Self { env, writes, .. } = self;
                writes.push(|| env.clock.now(), 1, waiter, |out| encode_call(out, call));
            }
            Kind::Read(consistency) => {
                self.take_read(consistency, waiter, |out| entry::put_command(out, call));
            }
        }
        self.wake();
    }

    /// Takes a MULTI/EXEC block in. A block of reads that watches nothing goes behind the barrier.
    pub(crate) fn submit_transaction(&mut self, thread: &Thread, transaction: &Transaction) {
        let reads = transaction.watches.is_empty()
            && transaction.calls.iter().all(|call| call.spec.is_read());
        let consistency = self.consistency(thread, Consistency::Configured);
        let kind = if reads { Kind::Read(consistency) } else { Kind::Write };
        if let Some(refusal) = self.transaction_refusal(transaction) {
            return thread.refuse(refusal);
        }
        let waiter = match thread.enter(kind) {
            Turn::Go(waiter) => waiter,
            Turn::Hold(number) => {
                let mut part = Vec::new();
                encode_transaction(&mut part, transaction);
                let load = self.writes.held.put(part.len());
                return thread.hold(Held { number, kind, part, _load: load });
            }
        };
        match kind {
            Kind::Write => {
                let Self { env, writes, .. } = self;
                let commands = transaction.calls.len() + 1;
                let encode = |out: &mut Vec<u8>| encode_transaction(out, transaction);
                writes.push(|| env.clock.now(), commands, waiter, encode);
            }
            Kind::Read(consistency) => {
                let encode = |out: &mut Vec<u8>| entry::put_transaction(out, transaction);
                self.take_read(consistency, waiter, encode);
            }
        }
        self.wake();
    }

    fn transaction_refusal(&self, transaction: &Transaction) -> Option<quorate_api::Answer> {
        if let Some(failure) = self.failure() {
            return Some(Err(failure));
        }
        let calls = &transaction.calls;
        if calls.len() > TRANSACTION_COMMANDS_MAX || transaction.watches.len() > WATCHES_MAX {
            return Some(Ok(Reply::err("too many commands in one transaction")));
        }
        let bytes: usize = calls.iter().map(|call| call.args.as_args().payload_bytes()).sum();
        if bytes > COMMAND_BYTES_MAX {
            return Some(Ok(Reply::err("transaction exceeds maximum allowed size")));
        }
        calls.iter().filter_map(|call| self.refusal(call.db, call.spec, call.args.as_args())).next()
    }

    fn consistency(&self, thread: &Thread, asked: Consistency) -> Consistency {
        if asked == Consistency::Configured {
            thread.consistency().unwrap_or(self.config.consistency)
        } else {
            asked
        }
    }

    /// Why this node can take nothing in at the moment.
    pub(crate) fn failure(&self) -> Option<Error> {
        if let Some(reason) = &self.stopped {
            return Some(Error::Stopped { reason: reason.clone().into() });
        }
        if self.group.is_none() {
            return Some(self.no_leader());
        }
        if self.writes.is_full()
            || self.reads.is_full(self.storage.cold_bytes() + self.passing.bytes())
        {
            let reason = "too many commands wait on this node; retry later, with fewer at a time";
            return Some(Error::Overloaded { reason: reason.into() });
        }
        None
    }

    /// Why a command is not even tried. What passes here can be applied by every replica.
    fn refusal(&self, db: u8, spec: &'static Spec, args: Args<'_>) -> Option<quorate_api::Answer> {
        if let Some(failure) = self.failure() {
            return Some(Err(failure));
        }
        if !spec.arity_fits(args.len()) || args.len() > ARGS_MAX || db >= DATABASES {
            return Some(Ok(Reply::err("wrong number of arguments, or no such database")));
        }
        if !(spec.is_read() || spec.is_write()) {
            return Some(Ok(Reply::err("not a command on keys")));
        }
        if self.over_memory && spec.flags.has(Flags::DENYOOM) {
            let text = "command not allowed when used memory > 'maxmemory'.";
            return Some(Ok(Reply::error(ErrorCode::Oom, text)));
        }
        if args.iter_from(1).any(|arg| arg.len() > VALUE_BYTES_MAX) {
            return Some(Ok(Reply::err(
                "string exceeds maximum allowed size (proto-max-bulk-len)",
            )));
        }
        if args.payload_bytes() > COMMAND_BYTES_MAX {
            return Some(Ok(Reply::err("command exceeds maximum allowed size")));
        }
        let mut keys = spec.key_positions(args.len());
        if keys.any(|at| args.at(at).len() > KEY_BYTES_MAX) {
            return Some(Ok(Reply::err("key exceeds maximum allowed size (64 KiB)")));
        }
        None
    }

    /// Takes a read in: to be executed at the end of this turn where nobody has to be asked.
    pub(crate) fn take_read(
        &mut self,
        consistency: Consistency,
        waiter: Waiter,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        // What this session was told may be newer than this node's own state: see the passing room.
        let behind = waiter.seen() > self.machine.applied().0;
        let goes_on = self.stopped.is_none() && !behind;
        let leased = consistency == Consistency::Lease && goes_on && self.is_current();
        let may_now = if leased {
            Ok(false)
        } else {
            self.may_read_now(consistency).map(|may| may && !behind)
        };
        let term = self.term();
        let Self { env, reads, .. } = self;
        let now = || env.clock.now();
        match may_now {
            Ok(_) if leased => reads.push_leased(now, term, waiter, encode),
            Ok(true) => reads.immediate.push(now, waiter, encode),
            Ok(false) => reads.push(now, consistency, waiter, encode),
            Err(error) => self.answer(waiter, Err(error)),
        }
    }

    /// A command whose session has caught up.
    pub(crate) fn execute_held(&mut self, waiter: Waiter, part: &[u8]) {
        let Self { stopped, group, .. } = &*self;
        let needs_leader = !matches!(waiter.kind(),
            Kind::Read(stale @ Consistency::Stale { .. }) if self.may_read_now(stale) == Ok(true));
        // Without a leader, what was held has waited already: a pipeline must not wait once per command.
        if needs_leader && (stopped.is_some() || group.is_none() || self.is_leaderless()) {
            let error = self.no_leader();
            return self.answer(waiter, Err(error));
        }
        match waiter.kind() {
            Kind::Write if self.writes.is_full() => {
                let reason = "too many writes wait on this node";
                self.answer(waiter, Err(Error::Overloaded { reason: reason.into() }));
            }
            Kind::Write => {
                let Self { env, writes, .. } = self;
                let commands = entry::commands_in(part);
                let encode = |out: &mut Vec<u8>| out.extend_from_slice(part);
                writes.push(|| env.clock.now(), commands, waiter, encode);
            }
            Kind::Read(consistency) => {
                self.take_read(consistency, waiter, |out| out.extend_from_slice(part));
            }
        }
        self.wake();
    }
}

fn encode_call(out: &mut Vec<u8>, call: &Call<'_>) {
    if let Some(name) = call.idempotency.filter(|_| call.spec.is_write()) {
        let mut part = Vec::new();
        entry::put_command(&mut part, call);
        entry::put_once(out, &name.client, name.sequence, xxhash_rust::xxh3::xxh3_64(&part));
        out.extend_from_slice(&part);
    } else {
        entry::put_command(out, call);
    }
}

fn encode_transaction(out: &mut Vec<u8>, transaction: &Transaction) {
    if let Some(name) = &transaction.idempotency {
        let mut part = Vec::new();
        entry::put_transaction(&mut part, transaction);
        entry::put_once(out, &name.client, name.sequence, xxhash_rust::xxh3::xxh3_64(&part));
        out.extend_from_slice(&part);
    } else {
        entry::put_transaction(out, transaction);
    }
}

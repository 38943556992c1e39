//! What a connection's commands mean: which go to the node, which are answered here, in which order.
//!
//! A data command costs a look into the table and a submission; everything else takes the side
//! street below. Nothing here touches the socket.

use std::rc::Rc;
use std::task::{Context, Poll};

use quorate_api::limits::{OUTPUT_BYTES_MAX, UNREAD_BYTES_FREE};
use quorate_api::{Answer, Args, Call, CommandId as Id, Consistency, ErrorCode, Reply, Spec};
use quorate_api::{command::Flags, command::lookup};

use crate::blocked::Blocked;
use crate::commands::subcommands;
use crate::decode::Trust;
use crate::encode::{self, Protocol};
use crate::error;
use crate::registry::Profile;
use crate::replies::{Awaited, Due, Next, Replies};
use crate::server::{Account, Server};
use crate::transaction::Block;
use crate::unread::{overloaded, returns_values};
use crate::watches::Watches;

/// What CLIENT REPLY has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replying {
    /// Every command is answered.
    On,
    /// None is.
    Off,
    /// The next one is not.
    Skip,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It is on its way: go on with the next one.
    Done,
    /// It needs all earlier answers first: hand it in again when they are there.
    Later,
}

/// One connection's state, apart from its socket and buffers.
pub(crate) struct Session {
    pub(crate) server: Rc<Server>,
    pub(crate) profile: Rc<Profile>,
    pub(crate) node: Box<dyn quorate_api::Session>,
    pub(crate) replies: Replies,
    pub(crate) db: u8,
    pub(crate) authenticated: bool,
    pub(crate) replying: Replying,
    /// True while the command under way is not to be answered.
    pub(crate) muted: bool,
    pub(crate) block: Option<Block>,
    pub(crate) watches: Watches,
    /// For the bytes of `block` and `watches`.
    pub(crate) account: Account,
    /// What CLIENT CONSISTENCY or READONLY asked for; `None`: the node's default.
    pub(crate) consistency: Option<Consistency>,
    /// Why no command may be executed at the moment.
    pub(crate) blocked: Blocked,
    /// No more commands; what is answered is sent, then the connection is closed.
    pub(crate) ending: bool,
}

impl Session {
    pub(crate) fn new(server: Rc<Server>, profile: Rc<Profile>) -> Self {
        Self {
            node: server.api.open(),
            replies: Replies::new(Rc::clone(&server)),
            db: 0,
            authenticated: server.password.is_none(),
            replying: Replying::On,
            muted: false,
            block: None,
            watches: Watches::default(),
            account: Account::new(Rc::clone(&server)),
            consistency: None,
            blocked: Blocked::No,
            ending: false,
            server,
            profile,
        }
    }

    /// How much the decoder may believe the client.
    pub(crate) fn trust(&self) -> Trust {
        if self.authenticated { Trust::Known } else { Trust::Stranger }
    }

    /// True when the next command may be executed.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.blocked, Blocked::No) && !self.ending && !self.replies.is_full()
    }

    /// Executes a command.
    pub(crate) fn execute(&mut self, args: Args<'_>) -> Flow {
        let found = lookup(args.at(0));
        if let Some(spec) = found
            && spec.flags.has(DATA)
            && spec.arity_fits(args.len())
            && spec.subcommands.is_empty()
            && !spec.flags.has(Flags::INTERNAL)
            && self.authenticated
            && self.block.is_none()
            && self.replying == Replying::On
            && !self.server.unread.is_crowded()
        {
            self.profile.command.set(Some(spec));
            self.server.counters.count_call(spec.id);
            self.submit(spec, args);
            self.replies.await_answer(due(spec));
            return Flow::Done;
        }
        let replying = self.replying;
        self.muted = replying != Replying::On;
        if replying == Replying::Skip {
            self.replying = Replying::On;
        }
        let flow = self.execute_checked(found, args);
        if flow == Flow::Later {
            self.replying = replying;
            self.blocked = Blocked::Answers;
        }
        flow
    }

    /// Every check in the order in which Redis makes them.
    fn execute_checked(&mut self, found: Option<&'static Spec>, args: Args<'_>) -> Flow {
        let Some(spec) = found.filter(|spec| !spec.flags.has(Flags::INTERNAL)) else {
            return self.unknown(args);
        };
        if let Err(reply) = subcommands::check(spec, args) {
            return self.refuse(spec, Ok(reply));
        }
        self.profile.command.set(Some(spec));
        self.profile.subcommand.set(subcommands::name(spec, args.at(1)));
        if !self.authenticated && !spec.flags.has(Flags::NO_AUTH) {
            return self.refuse(spec, Ok(error::no_auth()));
        }
        if self.block.is_some() && !spec.flags.has(Flags::NO_QUEUE) {
            return self.queue(spec, args);
        }
        let flow = self.carry_out(spec, args);
        if flow == Flow::Done {
            self.server.counters.count_call(spec.id);
        }
        flow
    }

    /// A command that is neither refused nor queued.
    fn carry_out(&mut self, spec: &'static Spec, args: Args<'_>) -> Flow {
        match spec.id {
            Id::Multi => self.multi(),
            Id::Exec => self.exec(),
            Id::Discard => self.discard(),
            Id::Watch => self.watch(args),
            Id::Quit => self.quit(),
            Id::Reset => return self.reset(),
            Id::Hello => return self.hello(args),
            Id::Wait => return self.wait(args),
            Id::Debug => return self.debug(args),
            _ if spec.flags.has(DATA) => {
                if self.is_crowded_for(spec, args) {
                    return self.refuse(spec, Err(overloaded()));
                }
                self.submit(spec, args);
                if self.muted {
                    self.replies.await_other(Awaited::Dropped);
                } else {
                    self.replies.await_answer(due(spec));
                }
            }
            _ => {
                let reply = self.local(spec, args);
                self.reply(reply);
            }
        }
        Flow::Done
    }

    /// A write whose answer may be large, and could not be withheld, while there is no room.
    pub(crate) fn is_crowded_for(&self, spec: &'static Spec, args: Args<'_>) -> bool {
        spec.is_write() && self.server.unread.is_crowded() && returns_values(spec, args)
    }

    /// Hands a data command to the node.
    #[inline]
    fn submit(&mut self, spec: &'static Spec, args: Args<'_>) {
        let consistency = Consistency::Configured;
        self.node.submit(Call { spec, db: self.db, args, consistency, idempotency: None });
    }

    /// A name that is in no table.
    fn unknown(&mut self, args: Args<'_>) -> Flow {
        let name = args.at(0);
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            // As Redis: a browser that was tricked into talking to us is not answered.
            tracing::warn!(addr = %self.profile.addr, "HTTP on a Redis connection: closed");
            self.ending = true;
            return Flow::Done;
        }
        if let Some(block) = &mut self.block {
            block.aborted = true;
        }
        let text = error::unknown_command(args);
        let word = error::word(ErrorCode::Err);
        self.server.counters.count_error(word);
        if !self.muted {
            self.replies.push_with(|out, _| error::put(out, word, &text));
        }
        Flow::Done
    }

    /// A command that can't be executed spoils the transaction under way; EXEC itself ends it.
    pub(crate) fn refuse(&mut self, spec: &'static Spec, answer: Answer) -> Flow {
        if spec.id == Id::Exec {
            self.end_block();
            let answer = match answer {
                Ok(Reply::Error(error)) => Ok(error::exec_abort_because(&error.message)),
                other => other,
            };
            self.answer(&answer);
            return Flow::Done;
        }
        if let Some(block) = &mut self.block {
            block.aborted = true;
        }
        self.answer(&answer);
        Flow::Done
    }

    /// Answers the command under way.
    pub(crate) fn reply(&mut self, reply: Reply) {
        // Among the commands of the connection itself, those with large replies change nothing.
        let answer = if self.server.has_room_to_answer(encode::bytes(&reply)) {
            Ok(reply)
        } else {
            Err(overloaded())
        };
        self.answer(&answer);
    }

    /// The same, or a failure.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        self.count(answer);
        if !self.muted {
            self.replies.push(answer);
        }
    }

    /// Answers with an error that can't be muted; the connection is closed behind it.
    pub(crate) fn end_with(&mut self, answer: &Answer) {
        self.count(answer);
        self.replies.push(answer);
        self.ending = true;
    }

    /// Takes the node's answers, in order, as long as the client reads; true when there was one.
    pub(crate) fn poll_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Next::Answer = self.replies.next() {
            if self.replies.is_output_full() {
                break;
            }
            let Poll::Ready(answer) = self.node.poll_answer(cx) else { break };
            progress = true;
            match self.replies.take_awaited() {
                Awaited::Sent(due) => self.send(&answer, due),
                Awaited::Dropped => self.count(&answer),
                Awaited::Revisions { db, keys, muted } => {
                    self.muted = muted;
                    let answer = self.watched(db, keys, answer);
                    self.deliver(&answer);
                }
                Awaited::Block { splice, muted }
                    if splice.counts_replicas() && matches!(answer, Ok(Reply::Array(_))) =>
                {
                    let administering = self.count_replicas();
                    self.blocked = Blocked::Block { administering, answer, splice, muted };
                }
                Awaited::Block { splice, muted } => {
                    self.muted = muted;
                    let answer = splice.splice(answer, |spec, args| self.local(spec, args));
                    self.deliver(&answer);
                }
            }
        }
        progress
    }

    /// Sends an answer, unless its command is muted.
    fn deliver(&mut self, answer: &Answer) {
        if self.muted {
            self.count(answer);
        } else {
            self.send(answer, Due::Write);
        }
    }

    fn count(&self, answer: &Answer) {
        let word = match answer {
            Ok(Reply::Error(error)) => error::word(error.code),
            Err(failure) => error::failure(failure).0,
            Ok(_) => return,
        };
        self.server.counters.count_error(word);
    }

    /// Encodes an answer that is first in the queue.
    pub(crate) fn send(&mut self, answer: &Answer, due: Due) {
        let bytes = match answer {
            Ok(Reply::Bulk(bytes)) => bytes.len(),
            Ok(reply @ (Reply::Array(_) | Reply::Map(_) | Reply::Set(_))) => encode::bytes(reply),
            _ => 0,
        };
        if bytes > UNREAD_BYTES_FREE {
            if let Some(refusal) = self.no_room(bytes, due) {
                self.count(&refusal);
                return self.replies.put(&refusal);
            }
            self.replies.reserve(bytes);
        }
        self.count(answer);
        self.replies.put(answer);
    }

    /// What is answered in the place of a large reply for which there is no room.
    fn no_room(&mut self, bytes: usize, due: Due) -> Option<Answer> {
        if self.replies.unsent_bytes() + bytes > OUTPUT_BYTES_MAX {
            let text = format!("the reply would have more than {OUTPUT_BYTES_MAX} bytes");
            return Some(match due {
                Due::Read => Ok(Reply::err(format!("{text}; ask for less at a time"))),
                // No room for the truth: say that it is missing, and close.
                Due::Write => {
                    self.ending = true;
                    Err(quorate_api::Error::unknown(format!("{text}; closing")))
                }
            });
        }
        (due == Due::Read && !self.server.has_room_to_answer(bytes)).then(|| Err(overloaded()))
    }

    /// Changes the protocol's version.
    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.replies.protocol = protocol;
        self.profile.protocol.set(protocol);
    }

    /// Selects a database.
    pub(crate) fn set_db(&mut self, db: u8) {
        self.db = db;
        self.profile.db.set(db);
    }

    /// Chooses what reads may miss.
    pub(crate) fn set_consistency(&mut self, consistency: Option<Consistency>) {
        self.consistency = consistency;
        self.node.set_consistency(consistency);
    }
}

/// What the answer to a data command may be.
#[inline]
fn due(spec: &Spec) -> Due {
    if spec.is_write() { Due::Write } else { Due::Read }
}

/// Commands that the node executes.
const DATA: Flags = Flags::READ.with(Flags::WRITE);

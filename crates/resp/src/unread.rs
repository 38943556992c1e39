//! What clients have not read yet: one allowance for all connections of a server.
//!
//! A connection's small output costs what a connection costs anyway; what goes beyond is weighed here. Where
//! there is no room, a read is refused instead of answered: nothing was changed, so that is the truth. A write
//! has happened when its answer is there, and is told whatever it takes; so those that return what they find
//! are refused before they are handed in. Replies under way are never touched, but for those of a client that
//! takes nothing of them while others are refused for its sake.

use std::cell::Cell;
use std::rc::Rc;

use quorate_api::limits::{
    UNREAD_BYTES_FREE, UNREAD_BYTES_MAX, UNREAD_STALL_MS_MAX, VALUE_BYTES_MAX,
};
use quorate_api::{Args, CommandId, Error, Spec};
use quorate_env::Mono;

use crate::server::Server;

/// Looking for clients that have stalled costs a look at every connection: so often at most.
const LOOK_MS_MIN: u64 = 1_000;

/// What the connections of a server hold for clients to read.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    bytes: Cell<usize>,
    /// When somebody last looked for clients that have stalled.
    looked: Cell<Option<Mono>>,
}

impl Unread {
    /// Bytes that are weighed.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// True when one more value might be too much.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes.get() > UNREAD_BYTES_MAX - VALUE_BYTES_MAX
    }
}

impl Server {
    /// Is there room for a reply of so many bytes? If not, whoever keeps it from others has to go.
    pub(crate) fn has_room_to_answer(&self, bytes: usize) -> bool {
        let fits =
            bytes <= UNREAD_BYTES_FREE || self.unread.bytes.get() + bytes <= UNREAD_BYTES_MAX;
        if !fits {
            self.close_stalled();
        }
        fits
    }

    /// Closes the clients that have taken nothing for long of what waits for them.
    fn close_stalled(&self) {
        let now = self.env.clock.now();
        let millis = |since: Mono| now.since(since).as_millis();
        if self.unread.looked.get().is_some_and(|at| millis(at) < LOOK_MS_MIN.into()) {
            return;
        }
        self.unread.looked.set(Some(now));
        for profile in self.registry.all() {
            let stalled = profile.stalled.get();
            if profile.output_bytes.get() > UNREAD_BYTES_FREE
                && stalled.is_some_and(|since| millis(since) >= UNREAD_STALL_MS_MAX.into())
            {
                let bytes = profile.output_bytes.get();
                tracing::warn!(addr = %profile.addr, bytes,
                    "closed: the client reads nothing of its replies, and others need the room");
                profile.kill();
            }
        }
    }
}

/// Why a command is not answered, or not handed in.
pub(crate) fn overloaded() -> Error {
    let reason = "replies that clients have not read fill the memory which this node has for them";
    Error::Overloaded { reason: reason.into() }
}

/// True for a command that answers with what is stored, whatever its size.
pub(crate) fn returns_values(spec: &Spec, args: Args<'_>) -> bool {
    match spec.id {
        CommandId::Getset | CommandId::Getdel | CommandId::Getex => true,
        // With an option, which may be GET.
        CommandId::Set => args.len() > 3,
        _ => spec.is_read(),
    }
}

/// One connection's part of what is unread.
pub(crate) struct Share {
    server: Rc<Server>,
    bytes: usize,
}

impl Share {
    pub(crate) fn new(server: Rc<Server>) -> Self {
        Self { server, bytes: 0 }
    }

    /// The connection now has buffers of so many bytes.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = if bytes > UNREAD_BYTES_FREE { bytes } else { 0 };
        if bytes != self.bytes {
            let all = &self.server.unread.bytes;
            all.set(all.get() - self.bytes + bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

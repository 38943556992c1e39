//! The connections of a server: what CLIENT LIST shows of each, and how CLIENT KILL reaches it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

use quorate_api::Spec;
use quorate_env::Mono;

use crate::encode::Protocol;

/// What others may know of a connection. Its connection writes it, the commands of others read it.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) id: u64,
    /// The client's address.
    pub(crate) addr: String,
    /// Ours.
    pub(crate) laddr: String,
    pub(crate) opened: Mono,
    /// When it last sent a command.
    pub(crate) active: Cell<Mono>,
    pub(crate) name: RefCell<String>,
    pub(crate) library: RefCell<String>,
    pub(crate) library_version: RefCell<String>,
    pub(crate) db: Cell<u8>,
    /// Commands queued in MULTI; `None` outside of it.
    pub(crate) queued: Cell<Option<usize>>,
    pub(crate) watched: Cell<usize>,
    pub(crate) protocol: Cell<Protocol>,
    pub(crate) command: Cell<Option<&'static Spec>>,
    pub(crate) subcommand: Cell<Option<&'static str>>,
    pub(crate) no_evict: Cell<bool>,
    pub(crate) no_touch: Cell<bool>,
    /// Waits in WAIT or the like.
    pub(crate) blocked: Cell<bool>,
    pub(crate) input_bytes: Cell<usize>,
    pub(crate) input_free_bytes: Cell<usize>,
    pub(crate) output_bytes: Cell<usize>,
    /// Since when its client has taken nothing of what waits for it.
    pub(crate) stalled: Cell<Option<Mono>>,
    killed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Profile {
    fn new(id: u64, addr: String, laddr: String, now: Mono) -> Self {
        Self {
            id,
            addr,
            laddr,
            opened: now,
            active: Cell::new(now),
            name: RefCell::default(),
            library: RefCell::default(),
            library_version: RefCell::default(),
            db: Cell::new(0),
            queued: Cell::new(None),
            watched: Cell::new(0),
            protocol: Cell::default(),
            command: Cell::new(None),
            subcommand: Cell::new(None),
            no_evict: Cell::new(false),
            no_touch: Cell::new(false),
            blocked: Cell::new(false),
            input_bytes: Cell::new(0),
            input_free_bytes: Cell::new(0),
            output_bytes: Cell::new(0),
            stalled: Cell::new(None),
            killed: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// Closes the connection at its next turn, which comes at once.
    pub(crate) fn kill(&self) {
        self.killed.set(true);
        self.wake();
    }

    /// True when CLIENT KILL has hit it.
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.get()
    }

    /// Gives the connection a turn.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Remembers how to give the connection a turn.
    pub(crate) fn keep_waker(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    /// Its line of CLIENT LIST.
    pub(crate) fn line(&self, now: Mono) -> String {
        let mut flags = String::new();
        for (is_set, flag) in [
            (self.queued.get().is_some(), 'x'),
            (self.blocked.get(), 'b'),
            (self.no_evict.get(), 'e'),
            (self.no_touch.get(), 'T'),
        ] {
            if is_set {
                flags.push(flag);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let queued = self.queued.get().map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
        let (input, free, output) =
            (self.input_bytes.get(), self.input_free_bytes.get(), self.output_bytes.get());
        format!(
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db={} sub=0 psub=0 \
             ssub=0 multi={queued} qbuf={input} qbuf-free={free} argv-mem=0 multi-mem=0 \
             rbs=0 rbp=0 obl={output} oll=0 omem=0 tot-mem={} events=r cmd={} user=default redir=-1 \
             resp={} lib-name={} lib-ver={}",
            self.id,
            self.addr,
            self.laddr,
            self.name.borrow(),
            now.since(self.opened).as_secs(),
            now.since(self.active.get()).as_secs(),
            self.db.get(),
            input + free + output,
            self.command(),
            self.protocol.get().number(),
            self.library.borrow(),
            self.library_version.borrow(),
        )
    }

    fn command(&self) -> String {
        let Some(spec) = self.command.get() else { return "NULL".to_owned() };
        let mut name = spec.name.to_ascii_lowercase();
        if let Some(subcommand) = self.subcommand.get().filter(|_| !spec.subcommands.is_empty()) {
            name.push('|');
            name.push_str(&subcommand.to_ascii_lowercase());
        }
        name
    }
}

/// All connections, in the order in which they were opened.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    profiles: RefCell<BTreeMap<u64, Rc<Profile>>>,
    last_id: Cell<u64>,
}

impl Registry {
    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.profiles.borrow().len()
    }

    /// Enters a connection.
    pub(crate) fn enter(&self, addr: String, laddr: String, now: Mono) -> Rc<Profile> {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let profile = Rc::new(Profile::new(id, addr, laddr, now));
        drop(self.profiles.borrow_mut().insert(id, Rc::clone(&profile)));
        profile
    }

    /// Forgets a connection.
    pub(crate) fn leave(&self, id: u64) {
        drop(self.profiles.borrow_mut().remove(&id));
    }

    /// All of them, apart from the registry: visiting one may change it.
    pub(crate) fn all(&self) -> Vec<Rc<Profile>> {
        self.profiles.borrow().values().map(Rc::clone).collect()
    }
}

//! The front-end of one shard's thread: what all its connections share, and the door to serve one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;

use quorate_api::limits::PENDING_BYTES_MAX;
use quorate_api::{Answer, Api, Error, Reply};
use quorate_env::{Env, Stream};
use tokio::io::AsyncWriteExt;

use crate::commands::role::leading;
use crate::connection::Connection;
use crate::encode::{self, Protocol};
use crate::options::{self, Options, Setting};
use crate::registry::Registry;
use crate::stats::{self, Counters, Stats};
use crate::unread::Unread;

/// Buffers kept for the next connection that has something to read or write.
const SPARE_BUFFERS_MAX: usize = 64;
/// A buffer larger than this is given back to the system when it is empty.
pub(crate) const BUFFER_KEPT_BYTES_MAX: usize = 64 * 1024;
/// A fresh buffer's size.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;

/// What the connections of one thread share. Connections hold it as `Rc<Server>`.
pub struct Server {
    pub(crate) api: Rc<dyn Api>,
    pub(crate) env: Env,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) password: Option<String>,
    pub(crate) version: String,
    pub(crate) facts: Vec<(String, String)>,
    /// 40 hexadecimal digits, other ones after each start.
    pub(crate) run_id: String,
    pub(crate) settings: RefCell<Vec<Setting>>,
    pub(crate) connections_max: Cell<usize>,
    draining: Cell<bool>,
    /// Bytes of unfinished commands and transactions, of all connections.
    held_bytes: Cell<usize>,
    pub(crate) unread: Unread,
    spare_buffers: RefCell<Vec<Vec<u8>>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("connections", &self.registry.len()).finish_non_exhaustive()
    }
}

impl Server {
    /// A front-end for `api`.
    pub fn new(api: Rc<dyn Api>, env: Env, options: Options) -> Rc<Self> {
        let mut settings = options::built_in();
        for setting in options.settings {
            settings.retain(|known| known.name != setting.name);
            settings.push(setting);
        }
        settings.sort_by(|a, b| a.name.cmp(&b.name));
        let draw = || env.rng.next_u64();
        let mut run_id = format!("{:016x}{:016x}{:016x}", draw(), draw(), draw());
        run_id.truncate(40);
        Rc::new(Self {
            api,
            run_id,
            registry: Registry::default(),
            counters: Counters::default(),
            password: options.password,
            version: options.version,
            facts: options.facts,
            settings: RefCell::new(settings),
            connections_max: Cell::new(options.connections_max),
            draining: Cell::new(false),
            held_bytes: Cell::new(0),
            unread: Unread::default(),
            spare_buffers: RefCell::default(),
            env,
        })
    }

    /// The front-end's own figures.
    pub fn stats(&self) -> Stats {
        self.counters.stats(self.registry.len(), self.env.clock.now())
    }

    /// Lets every connection answer what it has read, then close; new ones are told so and closed.
    pub fn drain(&self) {
        self.draining.set(true);
        for profile in self.registry.all() {
            profile.wake();
        }
    }

    /// True after [`Server::drain`].
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Why no further connection is served.
    fn refusal(&self) -> Option<Answer> {
        if self.is_draining() {
            // Clients take this for what it is: nothing has happened, another member may do it.
            let status = self.api.status();
            let leader = leading(&status).filter(|leader| leader.node != status.node);
            let hint = leader.map(|leader| leader.addr.clone());
            return Some(Err(Error::NotApplied {
                reason: "this node is shutting down".into(),
                hint,
            }));
        }
        if self.registry.len() >= self.connections_max.get() {
            stats::add(&self.counters.refused, 1);
            return Some(Ok(Reply::err("max number of clients reached")));
        }
        None
    }

    /// An empty buffer.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        let spare = self.spare_buffers.borrow_mut().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Takes a buffer back for the next connection, unless it has grown.
    pub(crate) fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare_buffers.borrow_mut();
        if (BUFFER_BYTES..=BUFFER_KEPT_BYTES_MAX).contains(&buffer.capacity())
            && spare.len() < SPARE_BUFFERS_MAX
        {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// Serves one connection until either side closes it.
pub async fn serve(server: Rc<Server>, mut stream: Box<dyn Stream>) {
    if let Some(refusal) = server.refusal() {
        let mut line = Vec::new();
        encode::put_answer(&mut line, Protocol::Resp2, &refusal);
        // It may be gone already.
        drop(stream.write_all(&line).await);
        return;
    }
    stats::add(&server.counters.accepted, 1);
    let mut connection = Connection::new(server, stream);
    poll_fn(|cx| connection.poll(cx)).await;
}

/// Bytes that a connection holds of unfinished commands, on account of the whole server.
pub(crate) struct Account {
    server: Rc<Server>,
    bytes: usize,
}

impl Account {
    pub(crate) fn new(server: Rc<Server>) -> Self {
        Self { server, bytes: 0 }
    }

    /// Now holds `bytes`; false, and unchanged, when all connections together would hold too much.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let others = self.server.held_bytes.get().saturating_sub(self.bytes);
        if bytes > self.bytes && others + bytes > PENDING_BYTES_MAX {
            return false;
        }
        self.server.held_bytes.set(others + bytes);
        self.bytes = bytes;
        true
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let others = self.server.held_bytes.get().saturating_sub(self.bytes);
        self.server.held_bytes.set(others);
    }
}

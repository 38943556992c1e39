//! Listeners and connections between the nodes of one process, and the means to cut them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;

use super::stream::{LocalStream, pair};
use crate::net::{Connecting, Listener, Net, Stream};

/// The first port that is given to who asks for any.
const FIRST_PORT: u16 = 1024;

/// A network within the process. Clones are the same network.
///
/// As with TCP, nothing within a connection is lost or overtaken; a cut holds bytes back until it
/// heals, and attempts to connect wait.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub(super) wire: Arc<Wire>,
}

#[derive(Debug, Default)]
pub(super) struct Wire {
    state: Mutex<State>,
    /// Whether there is any cut: the common case needs no lock.
    has_cuts: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Who listens, by address.
    backlogs: BTreeMap<String, mpsc::UnboundedSender<LocalStream>>,
    /// Directions in which nothing arrives: (from, to).
    cuts: BTreeSet<(String, String)>,
    /// Who waits for a cut to heal.
    waiting: Vec<Waker>,
    next_port: u16,
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pending while nothing gets from `from` to `to`.
    pub(super) fn poll_open(&self, cx: &mut Context<'_>, from: &str, to: &str) -> Poll<()> {
        if !self.has_cuts.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut state = self.state();
        if !state.is_cut(from, to) {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    fn is_cut(&self, from: &str, to: &str) -> bool {
        self.cuts.iter().any(|(a, b)| a == from && b == to)
    }
}

impl Network {
    /// A network without hosts.
    pub fn new() -> Self {
        Self::default()
    }

    /// The network as the node called `name` sees it. Its addresses are `name:port`.
    pub fn host(&self, name: impl Into<String>) -> Host {
        Host { wire: Arc::clone(&self.wire), name: name.into() }
    }

    /// From now on nothing of `from` arrives at `to`; the other way stays open.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        let mut state = self.wire.state();
        state.cuts.insert((from.to_owned(), to.to_owned()));
        self.wire.has_cuts.store(true, Ordering::Release);
    }

    /// From now on nothing gets from one side to the other.
    pub fn cut(&self, side: &[&str], other: &[&str]) {
        for a in side {
            for b in other {
                self.cut_one_way(a, b);
                self.cut_one_way(b, a);
            }
        }
    }

    /// Everything arrives again, what was held back included.
    pub fn heal(&self) {
        let waiting = {
            let mut state = self.wire.state();
            state.cuts.clear();
            self.wire.has_cuts.store(false, Ordering::Release);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// One node's plug.
#[derive(Clone, Debug)]
pub struct Host {
    wire: Arc<Wire>,
    name: String,
}

#[derive(Debug)]
struct LocalListener {
    wire: Arc<Wire>,
    addr: String,
    backlog: mpsc::UnboundedReceiver<LocalStream>,
}

fn split(addr: &str) -> io::Result<(&str, u16)> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not an address: name:port");
    let (name, port) = addr.rsplit_once(':').ok_or_else(invalid)?;
    let port = port.parse().map_err(|_| invalid())?;
    if name.is_empty() { Err(invalid()) } else { Ok((name, port)) }
}

impl Net for Host {
    fn listen(&self, addr: &str) -> io::Result<Box<dyn Listener>> {
        let (name, port) = split(addr)?;
        if name != self.name {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut state = self.wire.state();
        let mut addr = format!("{name}:{port}");
        while port == 0 && (addr.ends_with(":0") || state.backlogs.contains_key(&addr)) {
            state.next_port = state.next_port.wrapping_add(1).max(FIRST_PORT);
            addr = format!("{name}:{}", state.next_port);
        }
        if state.backlogs.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, backlog) = mpsc::unbounded_channel();
        state.backlogs.insert(addr.clone(), sender);
        Ok(Box::new(LocalListener { wire: Arc::clone(&self.wire), addr, backlog }))
    }

    fn connect(&self, addr: &str) -> Connecting {
        let (host, addr) = (self.clone(), addr.to_owned());
        Box::pin(async move {
            let name = split(&addr)?.0.to_owned();
            // A handshake goes there and back.
            poll_fn(|cx| host.wire.poll_open(cx, &host.name, &name)).await;
            poll_fn(|cx| host.wire.poll_open(cx, &name, &host.name)).await;
            let mut state = host.wire.state();
            state.next_port = state.next_port.wrapping_add(1).max(FIRST_PORT);
            let own = format!("{}:{}", host.name, state.next_port);
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            let backlog = state.backlogs.get(&addr).ok_or_else(refused)?;
            let (here, there) = pair(&host.wire, own, addr);
            backlog.send(there).map_err(|_| refused())?;
            Ok(Box::new(here) as Box<dyn Stream>)
        })
    }
}

impl Listener for LocalListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        self.backlog.poll_recv(cx).map(|stream| match stream {
            Some(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
            None => Err(io::ErrorKind::NotConnected.into()),
        })
    }

    fn local_addr(&self) -> String {
        self.addr.clone()
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        self.wire.state().backlogs.remove(&self.addr);
    }
}

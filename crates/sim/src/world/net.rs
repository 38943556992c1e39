//! The wire: connections between hosts, as TCP would carry them over a network that misbehaves.
//!
//! Within a connection no byte is lost, doubled or overtaken: TCP sees to that, and so lost, delayed,
//! doubled and reordered packets are all *delay* here. What the network does show is latency, short
//! reads and writes, stalls while a link is cut (in one direction or both), resets, refusals and
//! timeouts. A cut link holds what is under way until it heals; then TCP's retransmission brings it, or a
//! firewall that lost its state resets the connection. Acknowledgements travel too: while the way
//! back is cut, a sender's window fills.

mod connection;
mod control;
mod dial;
mod link;
mod listener;
mod stream;
mod tap;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use quorate_env::net::Connecting;
use quorate_env::{Listener, Net};

use self::connection::{Connection, Side};
pub use self::control::WireControl;
use self::dial::{Dial, SimConnecting};
use self::link::Links;
use self::listener::{Backlog, SimListener};
use super::host::{HostId, Kill, Life};
use super::rng::Chance;
use super::shared::{Shared, lock};
use super::time::SimTime;
use super::timeline::Event;

/// A connection's number.
pub(crate) type ConnectionId = u64;
/// The number of an attempt to connect.
pub(crate) type DialId = u64;

/// Something that happens on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WireEvent {
    /// An attempt reaches its target.
    Syn(DialId),
    /// The answer to an attempt is back.
    Dialed(DialId),
    /// Bytes reach `side`.
    Deliver(ConnectionId, Side),
    /// `side` learns that the connection is no more.
    Reset(ConnectionId, Side),
}

struct Plug {
    name: String,
    powered: bool,
    next_port: u16,
}

/// The state of the network.
pub(crate) struct Wire {
    chance: Chance,
    plugs: BTreeMap<HostId, Plug>,
    links: Links,
    backlogs: BTreeMap<(HostId, u16), Backlog>,
    dials: BTreeMap<DialId, Dial>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_id: u64,
    /// Connections that break as soon as their dialer has sent something, from whom to whom, and how late that is.
    late: BTreeMap<(HostId, HostId), Duration>,
    /// How often that has happened.
    late_breaks: u64,
    /// Frames of a connection that broke, to be said again on the next one, from whom to whom.
    repeats: BTreeMap<(HostId, HostId), Vec<u8>>,
    /// How often that has happened.
    repeated: u64,
}

/// What one look at the wire leads to, carried out when its lock is free again.
pub(crate) struct Turn {
    now: SimTime,
    later: Vec<(Duration, WireEvent)>,
    woken: Vec<Waker>,
    dropped: Vec<Waker>,
    told: Vec<(HostId, String)>,
}

impl Turn {
    fn later(&mut self, after: Duration, event: WireEvent) {
        self.later.push((after, event));
    }

    fn wake(&mut self, waker: &mut Option<Waker>) {
        self.woken.extend(waker.take());
    }

    fn tell(&mut self, host: HostId, what: String) {
        self.told.push((host, what));
    }
}

impl Shared {
    /// Works on the wire.
    fn turn<T>(&self, work: impl FnOnce(&mut Wire, &mut Turn) -> T) -> T {
        let mut turn = Turn {
            now: self.now(),
            later: Vec::new(),
            woken: Vec::new(),
            dropped: Vec::new(),
            told: Vec::new(),
        };
        let result = work(&mut lock(&self.wire), &mut turn);
        for (host, what) in turn.told {
            self.detail(Some(host), format_args!("{what}"));
        }
        for (after, event) in turn.later {
            self.schedule(after, Event::Wire(event));
        }
        drop(turn.dropped);
        turn.woken.into_iter().for_each(Waker::wake);
        result
    }

    pub(crate) fn wire_event(&self, event: WireEvent) {
        self.turn(|wire, turn| match event {
            WireEvent::Syn(dial) => wire.syn(turn, dial),
            WireEvent::Dialed(dial) => wire.dialed(turn, dial),
            WireEvent::Deliver(connection, side) => wire.deliver(turn, connection, side),
            WireEvent::Reset(connection, side) => wire.reset(turn, connection, side),
        });
    }

    pub(crate) fn host_up(&self, host: HostId) {
        self.turn(|wire, turn| wire.host_up(turn, host));
    }

    pub(crate) fn host_down(&self, host: HostId, how: Kill) {
        self.turn(|wire, turn| wire.host_down(turn, host, how));
    }
}

impl Wire {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed, "wire"),
            plugs: BTreeMap::new(),
            links: Links::new(seed),
            backlogs: BTreeMap::new(),
            dials: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_id: 0,
            late: BTreeMap::new(),
            late_breaks: 0,
            repeats: BTreeMap::new(),
            repeated: 0,
        }
    }

    pub(crate) fn add(&mut self, host: HostId, name: &str) {
        let plug = Plug { name: name.to_owned(), powered: false, next_port: 40_000 };
        self.plugs.insert(host, plug);
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn is_powered(&self, host: HostId) -> bool {
        self.plugs.get(&host).is_some_and(|plug| plug.powered)
    }

    /// Splits `host:port` and looks the host up, by name or as 10.0.0.N.
    fn resolve(&self, from: HostId, addr: &str) -> io::Result<(HostId, u16)> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not an address");
        let (name, port) = addr.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().map_err(|_| invalid())?;
        if matches!(name, "" | "0.0.0.0" | "127.0.0.1" | "localhost" | "[::]" | "[::1]") {
            return Ok((from, port));
        }
        let by_number = name.strip_prefix("10.0.0.").and_then(|n| n.parse().ok()).map(HostId);
        let by_name = || self.plugs.iter().find(|(_, plug)| plug.name == name).map(|(id, _)| *id);
        let unknown = || io::Error::other("no such host");
        Ok((by_number.or_else(by_name).ok_or_else(unknown)?, port))
    }

    fn address(&self, host: HostId, port: u16) -> String {
        let name = self.plugs.get(&host).map_or("nobody", |plug| &plug.name);
        format!("{name}:{port}")
    }

    fn free_port(&mut self, host: HostId) -> u16 {
        let Some(plug) = self.plugs.get_mut(&host) else { return 0 };
        plug.next_port = plug.next_port.checked_add(1).unwrap_or(40_000);
        plug.next_port
    }

    fn host_up(&mut self, turn: &mut Turn, host: HostId) {
        if let Some(plug) = self.plugs.get_mut(&host) {
            plug.powered = true;
        }
        // A peer that still believes in a connection with the previous process hears otherwise as
        // soon as its next retransmission is answered.
        for (id, connection) in &self.connections {
            for side in Side::BOTH {
                let gone = connection.end(side).host == host && connection.end(side).gone;
                if gone && !connection.end(side.other()).gone {
                    let after = self.chance.duration(Duration::from_millis(1)..RETRANSMIT_MAX);
                    turn.later(after, WireEvent::Reset(*id, side.other()));
                }
            }
        }
    }

    fn host_down(&mut self, turn: &mut Turn, host: HostId, how: Kill) {
        if let Some(plug) = self.plugs.get_mut(&host) {
            plug.powered = how == Kill::Process;
        }
        for (_, backlog) in self.backlogs.extract_if((host, 0)..=(host, u16::MAX), |_, _| true) {
            turn.dropped.extend(backlog.waker);
        }
        for (_, dial) in self.dials.extract_if(.., |_, dial| dial.from == host) {
            turn.dropped.extend(dial.waker);
        }
        let held: Vec<(ConnectionId, Side)> = self
            .connections
            .iter()
            .flat_map(|(id, connection)| Side::BOTH.map(|side| (*id, side, connection.end(side))))
            .filter(|(_, _, end)| end.host == host && !end.gone)
            .map(|(id, side, _)| (id, side))
            .collect();
        for (id, side) in held {
            match how {
                // The kernel closes what the process held open.
                Kill::Process => self.close(turn, id, side),
                Kill::Power => {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.ends(side).0.vanish(turn);
                    }
                }
            }
        }
        self.connections.retain(|_, connection| !connection.is_over());
    }
}

/// The longest that a retransmission keeps a healed connection waiting.
const RETRANSMIT_MAX: Duration = Duration::from_millis(400);

/// A process' view of the network.
pub(crate) struct SimNet {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
}

impl Net for SimNet {
    fn listen(&self, addr: &str) -> io::Result<Box<dyn Listener>> {
        if self.life.is_dead() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let host = self.life.host;
        let (port, addr) = self.shared.turn(|wire, turn| {
            let (target, asked) = wire.resolve(host, addr)?;
            if target != host {
                return Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
            }
            let port = if asked == 0 { wire.free_port(host) } else { asked };
            if wire.backlogs.contains_key(&(host, port)) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            wire.backlogs.insert((host, port), Backlog::default());
            turn.tell(host, format!("listen {port}"));
            Ok((port, wire.address(host, port)))
        })?;
        let (shared, life) = (Arc::clone(&self.shared), Arc::clone(&self.life));
        Ok(Box::new(SimListener { shared, life, port, addr }))
    }

    fn connect(&self, addr: &str) -> Connecting {
        if self.life.is_dead() {
            return Box::pin(std::future::pending());
        }
        let host = self.life.host;
        match self.shared.turn(|wire, turn| wire.dial(turn, host, addr)) {
            Ok(dial) => {
                let (shared, life) = (Arc::clone(&self.shared), Arc::clone(&self.life));
                Box::pin(SimConnecting { shared, life, dial })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

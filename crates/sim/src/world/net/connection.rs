//! A connection: two ends, and what is under way to each.

use std::collections::VecDeque;
use std::io;
use std::task::{Poll, Waker};

use super::tap::Tap;
use super::{ConnectionId, Turn, Wire, WireEvent};
use crate::world::host::HostId;
use crate::world::rng::fold;
use crate::world::time::SimTime;

/// Bytes that a sender may have outstanding.
const WINDOW: usize = 256 * 1024;
/// Bytes that one segment carries.
const SEGMENT: usize = 16 * 1024;
/// One read or write in so many is shorter than it could be.
const SHORT_ONE_IN: u64 = 16;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that connected.
    Dialer,
    /// The end that accepted.
    Acceptor,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Dialer, Self::Acceptor];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

enum Packet {
    Data(Vec<u8>),
    Fin,
}

/// What travels to an end.
#[derive(Default)]
struct Inbox {
    under_way: VecDeque<(SimTime, Packet)>,
    /// How many packets were sent here; and how many of them have arrived, or never will.
    sent: u64,
    arrivals: u64,
    /// When the last packet under way arrives; the next one can't be earlier.
    last_at: SimTime,
    /// Delivery waits for the link to heal. Otherwise there is exactly one event for the first packet.
    stalled: bool,
    arrived: VecDeque<u8>,
    eof: bool,
    /// Bytes that count against the sender's window.
    outstanding: usize,
    /// Bytes read whose acknowledgement waits for the way back to heal.
    withheld: usize,
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) addr: String,
    /// The handle was dropped, or its process died.
    pub(crate) gone: bool,
    error: Option<io::ErrorKind>,
    fin_sent: bool,
    inbox: Inbox,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl End {
    fn new(host: HostId, addr: String) -> Self {
        Self {
            host,
            addr,
            gone: false,
            error: None,
            fin_sent: false,
            inbox: Inbox::default(),
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self, turn: &mut Turn) {
        turn.wake(&mut self.reader);
        turn.wake(&mut self.writer);
    }

    /// Nobody holds this end any more.
    pub(crate) fn vanish(&mut self, turn: &mut Turn) {
        self.gone = true;
        self.inbox.arrived = VecDeque::new();
        turn.dropped.extend(self.reader.take());
        turn.dropped.extend(self.writer.take());
    }

    fn fail(&mut self, turn: &mut Turn) {
        self.error = Some(io::ErrorKind::ConnectionReset);
        self.inbox.arrived.clear();
        self.inbox.under_way.clear();
        self.wake(turn);
    }
}

/// Two ends.
pub(crate) struct Connection {
    dialer: End,
    acceptor: End,
    /// Of what the dialer says.
    tap: Tap,
}

impl Connection {
    pub(crate) fn new(dialer: (HostId, String), acceptor: (HostId, String)) -> Self {
        let (dialer, acceptor) = (End::new(dialer.0, dialer.1), End::new(acceptor.0, acceptor.1));
        Self { dialer, acceptor, tap: Tap::default() }
    }

    pub(crate) fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialer => &self.dialer,
            Side::Acceptor => &self.acceptor,
        }
    }

    /// The end at `side`, and the other one.
    pub(crate) fn ends(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Dialer => (&mut self.dialer, &mut self.acceptor),
            Side::Acceptor => (&mut self.acceptor, &mut self.dialer),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.dialer.gone && self.acceptor.gone
    }
}

impl Wire {
    fn send(&mut self, turn: &mut Turn, id: ConnectionId, from: Side, packet: Packet) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let names = match &packet {
            Packet::Data(bytes) if from == Side::Dialer => connection.tap.hear(bytes).join(" "),
            Packet::Data(_) | Packet::Fin => String::new(),
        };
        let (this, other) = connection.ends(from);
        let latency = self.links.latency(this.host, other.host);
        let inbox = &mut other.inbox;
        inbox.sent += 1;
        if let Packet::Data(bytes) = &packet {
            let (to, sent) = (other.host, inbox.sent);
            let (len, print) = (bytes.len(), fold(0, bytes));
            turn.tell(this.host, format!("send {id}#{sent} {to} {len} {print:016x} {names}"));
        }
        let at = (turn.now + latency).max(inbox.last_at);
        inbox.last_at = at;
        if inbox.under_way.is_empty() && !inbox.stalled {
            turn.later(at - turn.now, WireEvent::Deliver(id, from.other()));
        }
        inbox.under_way.push_back((at, packet));
    }

    pub(crate) fn deliver(&mut self, turn: &mut Turn, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (this, other) = connection.ends(side);
        if this.inbox.stalled {
            return;
        }
        if self.links.is_cut(other.host, this.host) {
            this.inbox.stalled = true;
            return;
        }
        if this.gone || this.error.is_some() {
            this.inbox.under_way.clear();
            // A dead machine says nothing; a living one answers that it knows no such connection.
            if self.plugs.get(&this.host).is_some_and(|plug| plug.powered) {
                let after = self.links.latency(this.host, other.host);
                turn.later(after, WireEvent::Reset(id, side.other()));
            }
            return;
        }
        let inbox = &mut this.inbox;
        inbox.arrivals = inbox.sent - inbox.under_way.len() as u64;
        while let Some((_, packet)) = inbox.under_way.pop_front_if(|(at, _)| *at <= turn.now) {
            inbox.arrivals += 1;
            match packet {
                Packet::Data(bytes) => {
                    let number = inbox.arrivals;
                    turn.tell(this.host, format!("deliver {id}#{number} {}", bytes.len()));
                    inbox.arrived.extend(bytes);
                }
                Packet::Fin => inbox.eof = true,
            }
        }
        if let Some((at, _)) = inbox.under_way.front() {
            turn.later(*at - turn.now, WireEvent::Deliver(id, side));
        }
        turn.wake(&mut this.reader);
    }

    pub(crate) fn reset(&mut self, turn: &mut Turn, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (this, other) = connection.ends(side);
        if this.gone || this.error.is_some() {
            return;
        }
        if self.links.is_cut(other.host, this.host) {
            turn.later(super::RETRANSMIT_MAX, WireEvent::Reset(id, side));
            return;
        }
        turn.tell(this.host, format!("reset {id}"));
        this.fail(turn);
    }

    pub(crate) fn read(
        &mut self,
        turn: &mut Turn,
        (id, side): (ConnectionId, Side),
        waker: &Waker,
        room: usize,
    ) -> Poll<io::Result<Vec<u8>>> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let (this, other) = connection.ends(side);
        if let Some(error) = this.error {
            return Poll::Ready(Err(error.into()));
        }
        let inbox = &mut this.inbox;
        let mut len = room.min(inbox.arrived.len());
        if len == 0 && (inbox.eof || room == 0) {
            return Poll::Ready(Ok(Vec::new()));
        }
        if len == 0 {
            turn.dropped.extend(this.reader.replace(waker.clone()));
            return Poll::Pending;
        }
        if self.chance.one_in(SHORT_ONE_IN) {
            len = 1 + self.chance.index(len);
        }
        let bytes = inbox.arrived.drain(..len).collect();
        if self.links.is_cut(this.host, other.host) {
            inbox.withheld += len;
        } else {
            inbox.outstanding = inbox.outstanding.saturating_sub(len);
            turn.wake(&mut other.writer);
        }
        Poll::Ready(Ok(bytes))
    }

    pub(crate) fn write(
        &mut self,
        turn: &mut Turn,
        (id, side): (ConnectionId, Side),
        waker: &Waker,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let (this, other) = connection.ends(side);
        if let Some(error) = this.error {
            return Poll::Ready(Err(error.into()));
        }
        if this.fin_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(other.inbox.outstanding);
        let mut len = room.min(bytes.len()).min(SEGMENT);
        if len == 0 && !bytes.is_empty() {
            turn.dropped.extend(this.writer.replace(waker.clone()));
            return Poll::Pending;
        }
        if len > 1 && self.chance.one_in(SHORT_ONE_IN) {
            len = 1 + self.chance.index(len);
        }
        let taken = bytes.get(..len).unwrap_or_default();
        if !taken.is_empty() {
            other.inbox.outstanding += len;
            let link = (side == Side::Dialer).then_some((this.host, other.host));
            self.send(turn, id, side, Packet::Data(taken.to_vec()));
            let late = link.and_then(|link| Some((link, self.late.remove(&link)?)));
            if let Some((link, late)) = late {
                self.late_breaks += 1;
                turn.tell(link.0, format!("connections to {} break, their bytes are late", link.1));
                self.break_late(turn, link, late);
            } else if let Some(link) = link {
                self.repeat(turn, id, link);
            }
        }
        Poll::Ready(Ok(len))
    }

    /// Says that no more bytes will come from `side`.
    pub(crate) fn finish(&mut self, turn: &mut Turn, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (this, _) = connection.ends(side);
        if !this.fin_sent && this.error.is_none() {
            this.fin_sent = true;
            self.send(turn, id, side, Packet::Fin);
        }
    }

    /// The handle of `side` is dropped. As a kernel does: unread bytes turn the end into a reset.
    pub(crate) fn close(&mut self, turn: &mut Turn, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (this, other) = connection.ends(side);
        if this.gone {
            return;
        }
        let unread = !this.inbox.arrived.is_empty();
        let broken = this.error.is_some();
        let hosts = (this.host, other.host);
        this.vanish(turn);
        if connection.is_over() {
            self.connections.remove(&id);
        } else if unread {
            let after = self.links.latency(hosts.0, hosts.1);
            turn.later(after, WireEvent::Reset(id, side.other()));
        } else if !broken {
            self.finish(turn, id, side);
        }
    }

    /// What the cut from `from` to `to` held goes on its way, or breaks.
    pub(crate) fn healed(&mut self, turn: &mut Turn, from: HostId, to: HostId) {
        for (id, connection) in &mut self.connections {
            for side in Side::BOTH {
                let (this, other) = connection.ends(side);
                if this.host == to && other.host == from && this.inbox.stalled {
                    this.inbox.stalled = false;
                    if self.chance.one_in(4) {
                        this.fail(turn);
                        turn.later(super::RETRANSMIT_MAX, WireEvent::Reset(*id, side.other()));
                    } else {
                        let least = std::time::Duration::from_millis(1);
                        let after = self.chance.duration(least..super::RETRANSMIT_MAX);
                        this.inbox.last_at = this.inbox.last_at.max(turn.now + after);
                        turn.later(after, WireEvent::Deliver(*id, side));
                    }
                }
                // Acknowledgements travel from the reader, here `this`, to the writer.
                if this.host == from && other.host == to {
                    let acknowledged = std::mem::take(&mut this.inbox.withheld);
                    let left = this.inbox.outstanding.saturating_sub(acknowledged);
                    this.inbox.outstanding = left;
                    turn.wake(&mut other.writer);
                }
            }
        }
    }

    /// Breaks the dialling end of connections; what it sent is still under way, and late.
    pub(crate) fn break_late(
        &mut self,
        turn: &mut Turn,
        (from, to): (HostId, HostId),
        late: std::time::Duration,
    ) {
        for (id, connection) in &mut self.connections {
            let (dialer, acceptor) = (&mut connection.dialer, &mut connection.acceptor);
            if (dialer.host, acceptor.host) != (from, to) || dialer.error.is_some() {
                continue;
            }
            dialer.fail(turn);
            let inbox = &mut acceptor.inbox;
            let after = self.chance.duration(std::time::Duration::ZERO..late);
            for (at, _) in &mut inbox.under_way {
                *at = *at + after;
            }
            inbox.last_at = inbox.last_at.max(turn.now) + after;
            let over = inbox.last_at - turn.now + super::RETRANSMIT_MAX;
            turn.later(over, WireEvent::Reset(*id, Side::Acceptor));
        }
    }

    /// Breaks the connections that `from` dialled to `to`; their last frames are said again on the next one. False when
    /// there are none.
    pub(crate) fn repeat_frames(&mut self, turn: &mut Turn, from: HostId, to: HostId) -> bool {
        let mut frames = Vec::new();
        for connection in self.connections.values_mut() {
            let (dialer, acceptor) = (&mut connection.dialer, &mut connection.acceptor);
            let live = dialer.error.is_none() && !dialer.gone;
            if live
                && (dialer.host, acceptor.host) == (from, to)
                && !connection.tap.recent.is_empty()
            {
                frames.extend(connection.tap.recent.iter().flatten());
                dialer.fail(turn);
                acceptor.fail(turn);
            }
        }
        let some = !frames.is_empty();
        if some {
            self.repeats.insert((from, to), frames);
        }
        some
    }

    /// Says what was said on another connection before, if there is something to repeat, and if it fits here.
    fn repeat(&mut self, turn: &mut Turn, id: ConnectionId, link: (HostId, HostId)) {
        let connection = self.connections.get_mut(&id);
        if !connection.as_ref().is_some_and(|it| it.tap.is_between_frames()) {
            return;
        }
        let (Some(connection), Some(frames)) = (connection, self.repeats.remove(&link)) else {
            return;
        };
        connection.acceptor.inbox.outstanding += frames.len();
        self.repeated += 1;
        turn.tell(link.0, format!("frames of another connection are repeated on {id}"));
        self.send(turn, id, Side::Dialer, Packet::Data(frames));
    }

    /// Resets the last one of those that `from` dialled to `to`.
    pub(crate) fn break_last(&mut self, turn: &mut Turn, from: HostId, to: HostId) {
        let last = self.connections.values_mut().rfind(|connection| {
            let hosts = (connection.dialer.host, connection.acceptor.host);
            hosts == (from, to) && connection.dialer.error.is_none() && !connection.dialer.gone
        });
        if let Some(connection) = last {
            connection.dialer.fail(turn);
            connection.acceptor.fail(turn);
        }
    }

    /// Resets every connection between two hosts; how many there were.
    pub(crate) fn break_between(&mut self, turn: &mut Turn, one: HostId, two: HostId) -> u64 {
        let mut broken = 0;
        for connection in self.connections.values_mut() {
            let hosts = (connection.dialer.host, connection.acceptor.host);
            if hosts == (one, two) || hosts == (two, one) {
                broken += u64::from(connection.dialer.error.is_none() && !connection.dialer.gone);
                connection.dialer.fail(turn);
                connection.acceptor.fail(turn);
            }
        }
        broken
    }
}

//! Links between members: one whose other end has gone without a word is given up and dialled again.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quorate_consensus::peers::{
    Card, ClusterId, Doorkeeper, Event, Hello, Inbox, Kind, Lane, Peers, Secret,
};
use quorate_consensus::{NodeId, Pace};
use quorate_env::tasks::Task;
use quorate_env::{Env, Listener};
use quorate_sim::world::{HostId, Kill, Recording, World};

const PORT: u16 = 7000;

/// Five beats of an election timeout each, one that was just missed, and one for the way.
const NOTICED: Duration = Duration::from_millis(360 * 7);

/// Lets everybody in.
struct Open(u64);

impl Doorkeeper for Open {
    fn card(&self) -> Card {
        Card { cluster: ClusterId(1), node: NodeId(self.0), ..Card::default() }
    }
    fn admit(&self, _: Hello) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn listens_to(&self, _: NodeId) -> bool {
        true
    }
    fn met(&self, _: &Card, _: u64) -> Result<(), String> {
        Ok(())
    }
    fn turned_away(&self, _: &str) {}
    fn enrol(&self, _: Card) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(std::future::ready(Err("nobody is added here".to_owned())))
    }
}

#[derive(Clone, Default)]
struct Seen {
    inbox: Inbox,
    peers: Rc<RefCell<Option<Rc<Peers>>>>,
    events: Rc<RefCell<Vec<Event>>>,
}

impl Seen {
    fn peers(&self) -> Rc<Peers> {
        self.peers.borrow().clone().unwrap()
    }

    fn is_up(&self, to: u64) -> bool {
        [Lane::Control, Lane::Bulk].iter().all(|lane| self.peers().is_up(NodeId(to), *lane))
    }

    fn is_down(&self, to: u64) -> bool {
        ![Lane::Control, Lane::Bulk].iter().any(|lane| self.peers().is_up(NodeId(to), *lane))
    }

    /// Bytes that have arrived in frames of this kind.
    fn bytes(&self, wanted: Kind) -> usize {
        let bytes = |event: &Event| match event {
            Event::Frame { kind, payload, .. } if *kind == wanted => payload.len(),
            _ => 0,
        };
        self.events.borrow().iter().map(bytes).sum()
    }

    fn count(&self, wanted: &Event) -> usize {
        self.events.borrow().iter().filter(|event| *event == wanted).count()
    }
}

/// A node that is nothing but links.
async fn live(env: Env, own: u64, other: u64, seen: Seen) {
    let inbox = seen.inbox.clone();
    let door = Rc::new(Open(own));
    let peers = Peers::new(env.clone(), Secret::default(), door, inbox.clone(), Pace::default());
    peers.keep(&[(NodeId(other), 1, format!("n{other}:{PORT}"))]);
    *seen.peers.borrow_mut() = Some(Rc::clone(&peers));
    let listener = env.net.listen(&format!("n{own}:{PORT}")).unwrap();
    env.tasks.spawn(Box::pin(accept(env.clone(), listener, peers)));
    poll_fn(|cx| {
        while inbox.poll_ready(cx).is_ready() {
            seen.events.borrow_mut().extend(inbox.pop());
        }
        Poll::<()>::Pending
    })
    .await;
}

async fn accept(env: Env, mut listener: Box<dyn Listener>, peers: Rc<Peers>) {
    while let Ok(stream) = poll_fn(|cx| listener.poll_accept(cx)).await {
        let peers = Rc::clone(&peers);
        env.tasks.spawn(Box::pin(async move { peers.serve(stream).await }));
    }
}

struct Pair {
    world: World,
    hosts: [HostId; 2],
    seen: [Seen; 2],
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, Recording::Digest);
        let hosts = [world.add_host("n1"), world.add_host("n2")];
        let mut pair = Self { world, hosts, seen: Default::default() };
        (0..2).for_each(|at| pair.start(at));
        pair.run_for(Duration::from_secs(1));
        assert!(pair.seen[0].is_up(2) && pair.seen[1].is_up(1));
        pair
    }

    fn start(&mut self, at: usize) {
        let (seen, own) = (self.seen[at].clone(), at as u64 + 1);
        self.world
            .start(self.hosts[at], move |env| -> Task { Box::pin(live(env, own, 3 - own, seen)) });
    }

    fn run_for(&mut self, duration: Duration) {
        assert!(self.world.run_for(duration), "{:?}", self.world.take_ending());
    }
}

#[test]
fn links_on_which_nobody_has_anything_to_say_stay_up() {
    let mut pair = Pair::new(1);
    pair.run_for(Duration::from_secs(60));
    for (seen, other) in pair.seen.iter().zip([2, 1]) {
        assert!(seen.is_up(other));
        for lane in [Lane::Control, Lane::Bulk] {
            assert_eq!(seen.count(&Event::Down(NodeId(other), lane)), 0);
        }
    }
}

#[test]
fn a_peer_that_loses_power_without_a_word_takes_its_links_down_and_up_again() {
    let mut pair = Pair::new(2);
    pair.world.kill(pair.hosts[1], Kill::Power);
    pair.run_for(NOTICED);
    let first = pair.seen[0].clone();
    assert!(first.is_down(2));
    assert!(!first.peers().send(NodeId(2), Lane::Bulk, Kind::Node, |out| out.push(1)));
    pair.start(1);
    pair.run_for(Duration::from_secs(5));
    assert!(first.is_up(2));
}

#[test]
fn bytes_for_a_peer_that_has_vanished_do_not_pile_up() {
    let mut pair = Pair::new(3);
    pair.world.kill(pair.hosts[1], Kill::Power);
    let first = pair.seen[0].clone();
    for _ in 0..64 {
        let mib = |out: &mut Vec<u8>| out.resize(out.len() + (1 << 20), 0);
        assert!(first.peers().send(NodeId(2), Lane::Bulk, Kind::Node, mib));
    }
    assert!(first.peers().queued_bytes(NodeId(2), Lane::Bulk) > 0);
    pair.run_for(NOTICED);
    assert!(first.is_down(2));
    assert_eq!(first.peers().queued_bytes(NodeId(2), Lane::Bulk), 0);
}

/// Whichever way nothing gets through, both ends notice: one by silence, the other by being hung up on.
#[test]
fn a_cut_in_one_direction_takes_the_links_down_and_healing_brings_them_back() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut pair = Pair::new(4);
        pair.world.wire().cut(pair.hosts[from], pair.hosts[to]);
        pair.run_for(NOTICED);
        for (seen, other) in pair.seen.iter().zip([2, 1]) {
            assert!(seen.is_down(other), "cut from {from}: the links to {other} are still up");
        }
        pair.world.wire().heal_all();
        pair.run_for(Duration::from_secs(5));
        for (seen, other) in pair.seen.iter().zip([2, 1]) {
            assert!(seen.is_up(other));
        }
    }
}

/// A process that is stopped for a while does not blame the others for it.
#[test]
fn links_survive_a_pause_that_is_shorter_than_the_silence_allowed() {
    let mut pair = Pair::new(5);
    pair.world.pause(pair.hosts[0], Duration::from_secs(1), quorate_sim::world::Pause::Process);
    pair.run_for(Duration::from_secs(3));
    for (seen, other) in pair.seen.iter().zip([2, 1]) {
        assert!(seen.is_up(other));
        assert_eq!(seen.count(&Event::Down(NodeId(other), Lane::Control)), 0);
    }
}

/// A follower whose disk is slow takes a snapshot as fast as it can write it, and everything else as ever.
#[test]
fn pieces_of_a_snapshot_wait_on_the_wire_until_those_before_are_written() {
    let mut pair = Pair::new(6);
    let [first, second] = pair.seen.clone();
    let mib = |out: &mut Vec<u8>| out.resize(out.len() + (1 << 20), 0);
    for _ in 0..24 {
        assert!(first.peers().send(NodeId(2), Lane::Bulk, Kind::Snapshot, mib));
    }
    pair.run_for(Duration::from_secs(20));
    let arrived = second.bytes(Kind::Snapshot);
    assert!((8 << 20..10 << 20).contains(&arrived), "{arrived} bytes in memory");
    assert!(first.is_up(2), "who waits is not silent");
    assert!(first.peers().send(NodeId(2), Lane::Control, Kind::Node, |out| out.push(1)));
    pair.run_for(Duration::from_secs(1));
    assert_eq!(second.bytes(Kind::Node), 1);
    for _ in 0..24 {
        second.inbox.settle(1 << 20);
        pair.run_for(Duration::from_secs(1));
    }
    assert_eq!(second.bytes(Kind::Snapshot), 24 << 20);
}

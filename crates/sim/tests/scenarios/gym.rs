//! A cluster of real nodes whose insides a test may look at.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorate_api::status::{Role, Status};
use quorate_api::{Api, Consistency, Error};
use quorate_env::tasks::Task;
use quorate_env::{Env, Stream};
use quorate_node::{Config, Node};
use quorate_sim::cluster::{Boot, Cluster, NodeSpec, Sizes};
use quorate_sim::member::boot_with;
use quorate_sim::resp::{Frame, Reader, encode_request};
use quorate_sim::world::{Ending, HostId, Recording, SimTime, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// For whatever must come about in the end.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A reply, and how long it took.
pub(crate) type Answer = (Frame, Duration);

type Nodes = Rc<RefCell<BTreeMap<u64, Node>>>;
type Book = Rc<RefCell<Vec<(Frame, SimTime)>>>;

/// Commands whose answers are still to come.
pub(crate) struct Asked {
    book: Book,
    count: usize,
    began: SimTime,
}

/// A world with a cluster in it, and a client.
pub(crate) struct Gym {
    pub(crate) world: World,
    pub(crate) cluster: Cluster,
    nodes: Nodes,
    client: HostId,
}

impl Gym {
    /// `nodes` nodes, all with a vote, serving.
    pub(crate) fn new(seed: u64, nodes: u64) -> Self {
        Self::with(seed, nodes, |_| (), |_, _| (), |_| ())
    }

    /// The same with another window or other settings; `started` is called when a node has started.
    pub(crate) fn with(
        seed: u64,
        count: u64,
        look: impl Fn(&mut NodeSpec) + 'static,
        adjust: impl Fn(&NodeSpec, &mut Config) + 'static,
        started: impl Fn(&NodeSpec) + 'static,
    ) -> Self {
        let mut gym = Self::unstarted(seed, count, look, adjust, started);
        gym.start_all(count);
        gym
    }

    /// As [`Gym::new`], with hosts for `spares` more.
    pub(crate) fn with_spares(seed: u64, count: u64, spares: u64) -> Self {
        let mut gym = Self::of_hosts(seed, [count, spares], |_| (), |_, _| (), |_| ());
        gym.start_all(count);
        gym
    }

    fn start_all(&mut self, count: u64) {
        self.cluster.start_all(&mut self.world);
        self.until("all vote", |gym| {
            let members = gym.leader().map(|leader| gym.status(leader).members);
            members.is_some_and(|all| {
                all.len() as u64 == count && all.iter().all(|member| member.voter && member.alive)
            })
        });
    }

    /// The same, with none of them started.
    pub(crate) fn unstarted(
        seed: u64,
        count: u64,
        look: impl Fn(&mut NodeSpec) + 'static,
        adjust: impl Fn(&NodeSpec, &mut Config) + 'static,
        started: impl Fn(&NodeSpec) + 'static,
    ) -> Self {
        Self::of_hosts(seed, [count, 0], look, adjust, started)
    }

    fn of_hosts(
        seed: u64,
        [count, spares]: [u64; 2],
        look: impl Fn(&mut NodeSpec) + 'static,
        adjust: impl Fn(&NodeSpec, &mut Config) + 'static,
        started: impl Fn(&NodeSpec) + 'static,
    ) -> Self {
        let nodes = Nodes::default();
        let seen = Rc::clone(&nodes);
        let watch = move |spec: &NodeSpec, node: &Node| {
            seen.borrow_mut().insert(spec.number, node.clone());
            started(spec);
        };
        let boot: Rc<Boot> = boot_with(look, adjust, watch);
        let mut world = World::new(seed, Recording::Digest);
        let cluster = Cluster::new(&mut world, count, spares, boot, Sizes::default());
        let client = world.add_host("client");
        Self { world, cluster, nodes, client }
    }

    /// The statuses of the nodes that run.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.nodes.borrow().values().map(Api::status).collect()
    }

    pub(crate) fn host(&self, number: u64) -> HostId {
        self.cluster.hosts()[usize::try_from(number - 1).unwrap()]
    }

    pub(crate) fn status(&self, number: u64) -> Status {
        self.nodes.borrow()[&number].status()
    }

    /// Who leads, where it is one; by the number of the host, not of the member.
    pub(crate) fn leader(&self) -> Option<u64> {
        let nodes = self.nodes.borrow();
        let mut leading = nodes.iter().filter(|(_, node)| node.status().role == Role::Leader);
        let (number, _) = leading.next().filter(|_| leading.next().is_none())?;
        Some(*number)
    }

    pub(crate) fn stop(&mut self, number: u64, how: quorate_sim::world::Kill) {
        let host = self.host(number);
        self.world.kill(host, how);
        self.nodes.borrow_mut().remove(&number);
    }

    pub(crate) fn start(&mut self, number: u64) {
        let host = self.host(number);
        self.cluster.start(&mut self.world, host);
    }

    pub(crate) fn cut_both_ways(&self, one: u64, two: u64) {
        let (one, two) = (self.host(one), self.host(two));
        self.world.wire().cut(one, two);
        self.world.wire().cut(two, one);
    }

    pub(crate) fn heal_both_ways(&self, one: u64, two: u64) {
        let (one, two) = (self.host(one), self.host(two));
        self.world.wire().heal(one, two);
        self.world.wire().heal(two, one);
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.world.now() + duration;
        while !self.world.run_until(until) {
            while let Some((host, ending)) = self.world.take_ending() {
                if let Ending::Panicked(message) = ending {
                    panic!("{} panicked: {message}", self.world.name(host));
                }
            }
        }
    }

    /// Lets time pass until `done`.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let limit = self.world.now() + LONG;
        while !done(self) {
            assert!(self.world.now() < limit, "{what}: not within {LONG:?}");
            self.run_for(Duration::from_millis(10));
        }
    }

    /// Sends `commands` to `addr` on one connection, all at once; the answers.
    #[track_caller]
    pub(crate) fn ask_at(&mut self, addr: &str, commands: &[&[&str]]) -> Vec<Answer> {
        let asked = self.begin_at(self.client, addr, commands);
        self.answers(asked)
    }

    /// The same, by a client of its own; the answers are waited for later.
    pub(crate) fn begin(&mut self, number: u64, commands: &[&[&str]]) -> Asked {
        let addr = self.cluster.addresses()[usize::try_from(number - 1).unwrap()].clone();
        let client = self.world.add_host("another client");
        self.begin_at(client, &addr, commands)
    }

    fn begin_at(&mut self, client: HostId, addr: &str, commands: &[&[&str]]) -> Asked {
        let (count, began) = (commands.len(), self.world.now());
        let mut bytes = Vec::new();
        commands.iter().for_each(|words| encode_request(words, &mut bytes));
        let (book, now, addr) = (Book::default(), self.world.clock(), addr.to_owned());
        let heard = Rc::clone(&book);
        self.world.start(client, move |env| -> Task {
            Box::pin(async move {
                talk(&env, &addr, &bytes, |frame| heard.borrow_mut().push((frame, now.get())))
                    .await;
                std::future::pending::<()>().await;
            })
        });
        Asked { book, count, began }
    }

    #[track_caller]
    pub(crate) fn answers(&mut self, asked: Asked) -> Vec<Answer> {
        let Asked { book, count, began } = asked;
        let limit = began + LONG;
        while book.borrow().len() < count {
            assert!(self.world.now() < limit, "no answer to what was asked at {began:?}");
            self.run_for(Duration::from_millis(1));
        }
        book.take().into_iter().map(|(frame, at)| (frame, at - began)).collect()
    }

    /// Begins a backup at node `number`, and ends it at once; the index that it is of.
    pub(crate) fn back_up(&mut self, number: u64) -> Result<u64, Error> {
        let mut backing = self.nodes.borrow()[&number].back_up(Consistency::Linearizable);
        let limit = self.world.now() + LONG;
        loop {
            let polled = backing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(begun) = polled {
                return begun.map(|backup| backup.index);
            }
            assert!(self.world.now() < limit, "no backup within {LONG:?}");
            self.run_for(Duration::from_millis(1));
        }
    }

    /// A client that writes to node `number` from now on, one value of `key` after the other.
    pub(crate) fn write_on(&mut self, number: u64, key: &str) {
        let addr = self.cluster.addresses()[usize::try_from(number - 1).unwrap()].clone();
        let client = self.world.add_host("a writing client");
        let mut bytes = Vec::new();
        encode_request(&["SET", key, "v"], &mut bytes);
        self.world.start(client, move |env| -> Task {
            Box::pin(async move {
                let mut stream = env.net.connect(&addr).await.unwrap();
                let (mut reader, mut buffer) = (Reader::default(), [0; 4096]);
                while stream.write_all(&bytes).await.is_ok() {
                    while reader.next_frame().unwrap().is_none() {
                        let Ok(len @ 1..) = stream.read(&mut buffer).await else { return };
                        reader.feed(&buffer[..len]);
                    }
                }
            })
        });
    }

    /// Sends a command to `addr`, and waits for nothing.
    pub(crate) fn say_at(&mut self, addr: &str, words: &[&str]) {
        let (mut bytes, addr) = (Vec::new(), addr.to_owned());
        encode_request(words, &mut bytes);
        self.world.start(self.client, move |env| -> Task {
            Box::pin(async move {
                talk(&env, &addr, &bytes, |_| ()).await;
                std::future::pending::<()>().await;
            })
        });
    }

    /// The same at a node's usual address.
    #[track_caller]
    pub(crate) fn ask_all(&mut self, number: u64, commands: &[&[&str]]) -> Vec<Answer> {
        let addr = self.cluster.addresses()[usize::try_from(number - 1).unwrap()].clone();
        self.ask_at(&addr, commands)
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, number: u64, words: &[&str]) -> Answer {
        self.ask_all(number, &[words]).remove(0)
    }
}

async fn talk(env: &Env, addr: &str, bytes: &[u8], mut hear: impl FnMut(Frame)) {
    let Ok(mut stream): std::io::Result<Box<dyn Stream>> = env.net.connect(addr).await else {
        return;
    };
    if stream.write_all(bytes).await.is_err() {
        return;
    }
    let (mut reader, mut buffer) = (Reader::default(), [0; 4096]);
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        reader.feed(&buffer[..len]);
        while let Some(frame) = reader.next_frame().unwrap() {
            hear(frame);
        }
    }
}

/// True for an error whose first word says that nothing was changed and nothing will be.
pub(crate) fn is_not_applied(frame: &Frame) -> bool {
    let words = ["TRYAGAIN", "CLUSTERDOWN"];
    matches!(frame, Frame::Error(text) if words.iter().any(|word| text.starts_with(word)))
}

pub(crate) fn ok() -> Frame {
    Frame::Simple("OK".to_owned())
}

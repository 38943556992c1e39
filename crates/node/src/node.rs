//! The public face of a member: start it, open sessions on it, hand it peers' connections, stop it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use quorate_api::api::Administering;
use quorate_api::backup::Backing;
use quorate_api::{
    AdminReply, AdminRequest, Answer, Api, Call, Consistency, Error, Place, Session, Status,
    Transaction,
};
use quorate_consensus::peers::{DialError, Doorkeeper, Peers, Purpose, all_addrs};
use quorate_consensus::{GroupRole, Index};
use quorate_engine::EngineKind;
use quorate_env::{Env, Stream};
use tokio::sync::oneshot;

use crate::backup;
use crate::config::Config;
use crate::core::{Core, Stop};
use crate::door::{self, Door, NAMES_ARE_FOR_LIFE, REMOVED};
use crate::founding::found_together;
use crate::observer::Observer;
use crate::open::{self, StartError};
use crate::session::Thread;

/// One member of a cluster, on one thread. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    pub(crate) core: Rc<RefCell<Core>>,
    pub(crate) peers: Rc<Peers>,
    entrance: Rc<Cell<bool>>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

/// Between two attempts to join.
const JOIN_PAUSE: Duration = Duration::from_millis(300);
/// Between two searches for members that can't be reached.
const SEEK_PAUSE_MIN: Duration = Duration::from_millis(500);
const SEEK_PAUSE_MAX: Duration = Duration::from_secs(8);
/// A handover at shutdown takes an election at most.
const HAND_OVER_TIME: Duration = Duration::from_secs(5);
/// How often a wait for replicas looks.
const WAIT_PAUSE: Duration = Duration::from_millis(2);

impl Node {
    /// Opens the data directory and starts to live: [`Node::run`] must be polled from now on.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(env: &Env, config: Config) -> Result<Self, StartError> {
        Self::start_observed(env, config, None)
    }

    /// As [`Node::start`], with somebody who listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_observed(
        env: &Env,
        config: Config,
        observer: Option<Rc<dyn Observer>>,
    ) -> Result<Self, StartError> {
        let (secret, pace) = (config.secret.clone(), config.pace);
        let core = Rc::new(RefCell::new(open::open(env, config, observer)?));
        let door: Rc<dyn Doorkeeper> = Rc::new(Door(Rc::downgrade(&core)));
        let inbox = core.borrow().inbox.clone();
        let peers = Peers::new(env.clone(), secret, door, inbox, pace);
        {
            let mut core = core.borrow_mut();
            core.peers = Some(Rc::clone(&peers));
            core.link_members();
        }
        Ok(Self { core, peers, entrance: Rc::new(Cell::new(false)) })
    }

    /// Lives until the node has to stop for good, and says why.
    pub async fn run(&self) -> Stop {
        if !self.entrance.replace(true) {
            let env = self.core.borrow().env.clone();
            let expected = self.core.borrow().expected();
            match usize::try_from(expected) {
                Ok(nodes @ 1..) => env.tasks.spawn(Box::pin(found_together(self.clone(), nodes))),
                Ok(0) | Err(_) => env.tasks.spawn(Box::pin(join(self.clone()))),
            }
            env.tasks.spawn(Box::pin(seek(self.clone())));
        }
        let mut tick = {
            let core = self.core.borrow();
            core.env.clock.sleep(core.config.pace.tick)
        };
        poll_fn(|cx| self.core.borrow_mut().poll_turn(cx, &mut tick)).await
    }

    /// Serves a connection whose first bytes are a peer's.
    pub async fn serve_peer(&self, stream: Box<dyn Stream>) {
        self.peers.serve(stream).await;
    }

    /// Prepares for the end: hands leadership over, then waits for writes that are under way.
    pub async fn drain(&self) {
        let (env, deadline, flushed) = {
            let mut core = self.core.borrow_mut();
            core.draining = true;
            let ending = Error::Stopped { reason: "this node is shutting down".into() };
            core.events.fail_all(&ending);
            let flushed = core.flush_before_the_end();
            let deadline = core.now() + HAND_OVER_TIME;
            if !core.group.as_ref().is_some_and(quorate_consensus::Group::is_alone) {
                core.hand_over();
            }
            core.wake();
            (core.env.clone(), deadline, flushed)
        };
        let mut asked_at = env.clock.now();
        while env.clock.now() < deadline && !self.is_drained(flushed) {
            env.clock.sleep(WAIT_PAUSE).await;
            // A transfer that did not come about in time is given up by raft: another one may.
            let mut core = self.core.borrow_mut();
            if env.clock.now().since(asked_at) > core.config.pace.election_timeout() {
                asked_at = env.clock.now();
                core.hand_over();
                core.wake();
            }
        }
    }

    /// Ends the member: whoever still waits is told.
    pub fn close(&self) {
        self.core.borrow_mut().stop("shut down".to_owned());
    }

    fn is_drained(&self, flushed: Index) -> bool {
        let core = self.core.borrow();
        let alone = core.group.as_ref().is_none_or(quorate_consensus::Group::is_alone);
        let leads = core.group.as_ref().is_some_and(|group| group.role() == GroupRole::Leader);
        let idle = !core.writes.has_any()
            && core.writes.proposed.is_empty()
            && !core.writes.any_sent(|_| true);
        let settled = alone || !leads || core.machine.configuration().voters.len() < 2;
        core.stopped.is_some() || (idle && settled && core.is_flushed(flushed))
    }

    pub(crate) fn core(&self) -> &RefCell<Core> {
        &self.core
    }

    async fn join_member(
        &self,
        id: Option<String>,
        addr: &str,
        place: Place,
    ) -> Result<AdminReply, Error> {
        let replaces = match &place {
            Place::AsItWishes | Place::Learner => None,
            Place::Of(old) => match self.core.borrow().machine.members().find(old) {
                Some(node) => Some(node),
                None => {
                    let text = format!("no member has the name or address {old:?}");
                    return Ok(AdminReply::Refused(text));
                }
            },
        };
        let welcome = match self.peers.ask(addr, Purpose::Probe).await {
            Ok(welcome) => welcome,
            Err(error) => {
                return Ok(AdminReply::Refused(format!(
                    "{addr} can't be reached as a peer: {error}"
                )));
            }
        };
        let mut card = welcome.card;
        if id.as_ref().is_some_and(|id| *id != card.name) {
            let text = format!("the node at {addr} is called {:?}", card.name);
            return Ok(AdminReply::Refused(text));
        }
        if card.cluster.0 != 0 && card.cluster != self.core.borrow().identity.cluster {
            return Ok(AdminReply::Refused(format!(
                "the node at {addr} belongs to another cluster"
            )));
        }
        if card.peer_addr.is_empty() {
            addr.clone_into(&mut card.peer_addr);
        }
        if place == Place::Learner
            && let Some(why) = self.core.borrow().is_no_learner(&card)
        {
            return Ok(AdminReply::Refused(why));
        }
        card.learner |= place == Place::Learner;
        card.replaces = replaces.unwrap_or_default();
        door::enrol(&self.core, card).await
    }

    fn read_log(&self, index: u64) -> Result<AdminReply, Error> {
        let core = self.core.borrow();
        let Some(group) = &core.group else { return Err(core.no_leader()) };
        let entry =
            group.read_log(Index(index)).map_err(|error| Error::not_applied(error.to_string()))?;
        Ok(entry.map_or_else(
            || {
                let (first, last) = (group.first(), group.last().0);
                AdminReply::Refused(format!(
                    "entry {index} is not in the log, which holds {first} to {last}"
                ))
            },
            |entry| crate::describe::entry(&entry),
        ))
    }
}

/// Asks the node at `addr` to add this one. Who was removed, which it could not hear, learns so here.
pub(crate) async fn ask_to_be_added(node: &Node, addr: &str) -> Result<(), DialError> {
    let asked = node.peers.ask(addr, Purpose::Enrol).await;
    match &asked {
        Err(DialError::Refused(reason)) if reason == REMOVED => {
            node.core.borrow_mut().was_removed();
        }
        // Whatever happens: asking again can't help. Most other refusals pass.
        Err(DialError::Refused(reason)) if reason.contains(NAMES_ARE_FOR_LIFE) => {
            node.core.borrow_mut().stop(format!("{addr} does not add it: {reason}"));
        }
        Err(_) | Ok(_) => {}
    }
    asked.map(|_| ())
}

/// Asks until a member has added this node.
async fn join(node: Node) {
    let (env, seeds) = {
        let core = node.core.borrow();
        let mut seeds = core.identity.peers.clone();
        seeds.extend(core.config.all_seeds());
        (core.env.clone(), seeds)
    };
    if seeds.is_empty() && node.core.borrow().group.is_none() {
        let addr = node.core.borrow().card().peer_addr;
        tracing::info!(
            "this node is in no cluster and waits until a member adds it: \
             quorate member add {addr} --addr HOST:PORT (of a member)"
        );
    }
    let mut addrs: VecDeque<String> = VecDeque::new();
    loop {
        {
            let core = node.core.borrow();
            if core.group.is_some() || core.stopped.is_some() {
                return;
            }
        }
        if addrs.is_empty() {
            addrs = all_addrs(&env, &seeds).await.into();
        }
        let Some(addr) = addrs.pop_front() else { return };
        if let Err(error) = ask_to_be_added(&node, &addr).await {
            node.core.borrow_mut().was_not_added(&addr, &error);
        } else {
            // It has added us, and calls; if not, it is asked again.
            addrs.push_front(addr);
        }
        env.clock.sleep(JOIN_PAUSE).await;
    }
}

/// Asks at the addresses given at start for members which are no longer where they were: all may have
/// come back under new addresses at once.
async fn seek(node: Node) {
    let (env, seeds) = {
        let core = node.core.borrow();
        (core.env.clone(), core.config.all_seeds())
    };
    if seeds.is_empty() {
        return;
    }
    let mut pause = SEEK_PAUSE_MIN;
    loop {
        env.clock.sleep(pause).await;
        if node.core.borrow().stopped.is_some() {
            return;
        }
        if !node.core.borrow().misses_members() {
            pause = SEEK_PAUSE_MIN;
            continue;
        }
        for addr in &all_addrs(&env, &seeds).await {
            let Ok(welcome) = node.peers.ask(addr, Purpose::Probe).await else { continue };
            node.core.borrow_mut().found(&welcome.card);
            if node.core.borrow().leader().is_none() {
                // Through that member the leader hears where we are. Without one, we ask again. Or it is here that we
                // hear that we were removed: all whom we knew may have gone, too.
                drop(ask_to_be_added(&node, addr).await);
            }
        }
        pause = (pause * 2).min(SEEK_PAUSE_MAX);
    }
}

impl Api for Node {
    fn open(&self) -> Box<dyn Session> {
        let thread = {
            let core = self.core.borrow();
            match core.identity.engine {
                EngineKind::Disk => Thread::weighing(core.reads.untaken.clone()),
                EngineKind::Memory => Thread::default(),
            }
        };
        Box::new(NodeSession { core: Rc::clone(&self.core), thread })
    }

    fn status(&self) -> Status {
        self.core.borrow().status()
    }

    fn back_up(&self, consistency: Consistency) -> Backing {
        Box::pin(backup::back_up(self.clone(), consistency))
    }

    fn administer(&self, request: AdminRequest) -> Administering {
        let node = self.clone();
        Box::pin(async move {
            match request {
                AdminRequest::Join { id, addr, place } => node.join_member(id, &addr, place).await,
                AdminRequest::ReadLog { index } => node.read_log(index),
                AdminRequest::Wait { index, replicas, timeout_ms } => Ok(AdminReply::Replicas(
                    node.wait_for_replicas(index, replicas, timeout_ms).await,
                )),
                AdminRequest::Events { after } => {
                    let (asker, answer) = oneshot::channel();
                    node.core.borrow_mut().read_events(after, asker);
                    answer.await.unwrap_or_else(|_| Err(Error::unknown("the node stopped")))
                }
                request => {
                    let (asker, answer) = oneshot::channel();
                    node.core.borrow_mut().administer(request, asker);
                    answer.await.unwrap_or_else(|_| Err(Error::unknown("the node stopped")))
                }
            }
        })
    }
}

/// A session on a node.
struct NodeSession {
    core: Rc<RefCell<Core>>,
    thread: Thread,
}

impl Session for NodeSession {
    fn submit(&mut self, call: Call<'_>) {
        self.core.borrow_mut().submit(&self.thread, &call);
    }

    fn transact(&mut self, transaction: Transaction) {
        self.core.borrow_mut().submit_transaction(&self.thread, &transaction);
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        self.thread.poll_answer(cx)
    }

    fn outstanding(&self) -> usize {
        self.thread.outstanding()
    }

    fn set_consistency(&mut self, consistency: Option<Consistency>) {
        self.thread.set_consistency(consistency);
    }

    fn seen_index(&self) -> u64 {
        self.thread.seen()
    }
}

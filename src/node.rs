//! A node within a program: its thread, and who ends it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use quorate_api::Status;
use quorate_api::limits::VOTERS_MAX;
use quorate_api::status::{Role, Wish};
use quorate_env::real::{Shard, shard};
use quorate_node::Entrance;
use tokio::sync::{oneshot, watch};

use crate::builder::Plan;
use crate::end::Ending;
use crate::errand;
use crate::error::{ErrorKind, OpenError};
use crate::guard::Words;
use crate::server::{End, Server};
use crate::store::Store;

/// What a node's thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Live,
    ShutDown,
    Die,
}

/// A running member, on a thread of its own; see [`crate::Builder`].
///
/// Dropping it ends the member at once, as a crash would: nothing that was acknowledged is lost, but the
/// others have to notice. [`Node::shutdown`] says goodbye.
#[derive(Debug)]
pub struct Node {
    store: Store,
    name: String,
    addrs: Vec<String>,
    orders: watch::Sender<Order>,
    shard: Shard<Option<End>>,
}

/// What the thread says when the node is up.
type Up = Result<Vec<String>, OpenError>;

impl Node {
    pub(crate) async fn start(plan: Plan) -> Result<Self, OpenError> {
        let (requests, asked) = errand::channel();
        let random = [plan.env.rng.next_u64(), plan.env.rng.next_u64()];
        let client: Bytes = random.map(u64::to_be_bytes).concat().into();
        let ending = Ending::default();
        let store = Store::new(requests, client, ending.clone(), &plan);
        let Plan { env, config, join_time, doors, guards, .. } = plan;
        let (orders, ordered) = watch::channel(Order::Live);
        let (up, is_up) = oneshot::channel::<Up>();
        let name = config.node.id.clone();
        let joins = config.node.entrance.clone();
        let patience = config.node.patience;
        let main = move || async move {
            let allowed = doors.iter().try_for_each(|door| door.check(guards, &Words::BUILDER));
            let allowed = allowed.map_err(|text| OpenError::Invalid(text.into()));
            let server = match allowed.and_then(|()| Ok(Server::start(&env, config)?)) {
                Ok(server) => server,
                Err(error) => {
                    drop(up.send(Err(error)));
                    return None;
                }
            };
            let serving = errand::serve(env.clone(), server.api(), patience, asked);
            env.tasks.spawn(Box::pin(serving));
            drop(up.send(Ok(server.addrs().to_vec())));
            live(&server, ordered, &ending).await
        };
        let shard = shard(&format!("quorate-{name}"), main).map_err(OpenError::Thread)?;
        // The guard: a caller that gives up waiting ends the node with it.
        let mut node = Self { store, name, addrs: Vec::new(), orders, shard };
        let gone = || {
            OpenError::Thread(std::io::Error::other(
                "the node's thread has panicked while starting",
            ))
        };
        node.addrs = is_up.await.map_err(|_| gone())??;
        node.enter(joins, join_time).await?;
        Ok(node)
    }

    /// Waits until a new node is in.
    async fn enter(&self, entrance: Entrance, limit: Duration) -> Result<(), OpenError> {
        let wanted: fn(&Status) -> bool = match entrance {
            Entrance::Wait => return Ok(()),
            Entrance::Bootstrap => is_in,
            Entrance::Join(_) | Entrance::Expect(_) => is_settled,
        };
        // What somebody has to mend does not come about by waiting.
        let ends = move |status: &Status| wanted(status) || status.is_refused;
        let reason = match self.store.timeout(limit).wait_until(ends).await {
            Ok(status) if wanted(&status) => return Ok(()),
            Ok(status) => {
                let reason = status.waits_for.unwrap_or_default();
                return Err(OpenError::Refused { reason });
            }
            // A name that was used ends the node; so does a disk that fails.
            Err(error) if error.kind() == ErrorKind::Stopped => {
                return Err(OpenError::Refused { reason: error.to_string() });
            }
            Err(error) => match self.store.status().await {
                Ok(status) => match status.waits_for {
                    Some(text) => format!("it is {}: {text}", status.role.as_str()),
                    None => format!("it is {}", status.role.as_str()),
                },
                Err(_) => error.to_string(),
            },
        };
        Err(OpenError::NotJoined { waited: limit, reason })
    }

    /// A handle on the store, for any thread.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The addresses it listens on, in the order in which they were asked for (one on a network comes
    /// first), with the real ports.
    pub fn addrs(&self) -> &[String] {
        &self.addrs
    }

    /// Ends the node in good order: leadership is handed over, what is under way is finished. When this
    /// returns, its directory and its ports are free.
    ///
    /// # Errors
    /// Why the node had ended by itself before.
    pub async fn shutdown(mut self) -> Result<(), crate::Error> {
        self.orders.send_replace(Order::ShutDown);
        match self.shard.ended().await {
            Some(Some(End::Stopped(reason))) => Err(crate::Error::stopped(reason)),
            Some(_) => Ok(()),
            None => Err(crate::Error::stopped("the node's thread has panicked")),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.orders.send_replace(Order::Die);
        self.shard.join();
    }
}

/// Lives until an order or an end of its own comes; `None`: it was told to die.
async fn live(server: &Server, mut orders: watch::Receiver<Order>, ending: &Ending) -> Option<End> {
    let mut later = orders.clone();
    // Without a sender there is nobody left to obey: as if told to die. An order to die is none to shut down: it
    // may come between the two polls below, and the end would bear the wrong name.
    let shut_down = async move {
        drop(later.wait_for(|order| *order == Order::ShutDown).await);
    };
    let mut die = pin!(orders.wait_for(|order| *order == Order::Die));
    let mut running = pin!(server.run(shut_down));
    let end = poll_fn(|cx| {
        if die.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        running.as_mut().poll(cx).map(Some)
    })
    .await;
    ending.because(match &end {
        None => "this node was dropped",
        Some(End::ShutDown) => "this node has been shut down",
        Some(End::Stopped(reason)) => reason,
    });
    end
}

/// A founder is in when it leads; one that came back is in whatever it is.
fn is_in(status: &Status) -> bool {
    match status.role {
        Role::Waiting => false,
        Role::Candidate | Role::Follower => status.members.len() > 1,
        Role::Leader | Role::Learner | Role::Stopped => true,
    }
}

/// A joiner is in when it has a vote, or is one of those who will not get one.
fn is_settled(status: &Status) -> bool {
    match status.role {
        Role::Waiting | Role::Candidate | Role::Stopped => false,
        Role::Follower | Role::Leader => true,
        Role::Learner => {
            let own = status.members.iter().find(|member| member.node == status.node);
            own.is_some_and(|own| own.wish == Wish::StaysLearner)
                || status.members.iter().filter(|member| member.voter).count() >= VOTERS_MAX
        }
    }
}

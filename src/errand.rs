//! Errands: what handles on other threads ask of a node, and how it is repeated until it is done.
//!
//! A write that carries a name may be repeated although its outcome is unknown: the idempotency table
//! answers what was done already. Without a name, only what was certainly not applied is tried again.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quorate_api::{AdminReply, AdminRequest, Answer, Api, OwnedCall, Reply, Status, Transaction};
use quorate_env::{Env, Mono};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// Requests on their way to the node's thread; beyond it callers wait.
const QUEUE_MAX: usize = 1024;
/// Between two attempts, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// How often somebody's condition is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(3);

/// A command or a block.
#[derive(Debug)]
pub(crate) enum Work {
    Call(OwnedCall),
    Transact(Transaction),
}

impl Work {
    fn is_write(&self) -> bool {
        match self {
            Self::Call(call) => call.spec.is_write(),
            Self::Transact(block) => {
                !block.watches.is_empty() || block.calls.iter().any(|call| call.spec.is_write())
            }
        }
    }

    /// True when it may be repeated whatever has become of it.
    fn is_repeatable(&self) -> bool {
        !self.is_write()
            || match self {
                Self::Call(call) => call.idempotency.is_some(),
                Self::Transact(block) => block.idempotency.is_some(),
            }
    }
}

/// Looks at a status.
pub(crate) type Condition = Box<dyn Fn(&Status) -> bool + Send>;

/// A request about members.
pub(crate) struct Change {
    pub(crate) request: AdminRequest,
    /// What must be true at this node before it is done.
    pub(crate) until: Condition,
}

/// A message to the node's thread.
pub(crate) enum Request {
    Execute(Work, Duration, oneshot::Sender<Result<Reply, Error>>),
    Administer(Change, Duration, oneshot::Sender<Result<AdminReply, Error>>),
    /// Answers with the first status that fits, or the last one that did not.
    Await(Condition, Duration, oneshot::Sender<Result<Status, Status>>),
}

/// The handles' end.
pub(crate) type Requests = mpsc::Sender<Request>;

/// Both ends.
pub(crate) fn channel() -> (Requests, mpsc::Receiver<Request>) {
    mpsc::channel(QUEUE_MAX)
}

/// Serves requests on the node's thread.
///
/// `refused_within` is the time for which the node keeps a command that it can send nowhere.
pub(crate) async fn serve(
    env: Env,
    api: Rc<dyn Api>,
    refused_within: Duration,
    mut requests: mpsc::Receiver<Request>,
) {
    while let Some(request) = requests.recv().await {
        let (env, api) = (env.clone(), Rc::clone(&api));
        let tasks = std::sync::Arc::clone(&env.tasks);
        tasks.spawn(match request {
            Request::Execute(work, patience, mut answer) => Box::pin(async move {
                let limits = Limits { patience, refused_within };
                let result = unless_gone(&mut answer, execute(&env, &*api, &work, limits)).await;
                drop(result.map(|result| answer.send(result)));
            }),
            Request::Administer(change, patience, mut answer) => Box::pin(async move {
                let carried_out = carry_out(&env, &*api, change, patience);
                let result = unless_gone(&mut answer, carried_out).await;
                drop(result.map(|result| answer.send(result)));
            }),
            Request::Await(condition, patience, mut answer) => Box::pin(async move {
                let found = unless_gone(&mut answer, look(&env, &*api, &condition, patience)).await;
                if let Some(found) = found {
                    drop(answer.send(found));
                }
            }),
        });
    }
}

/// What becomes of `doing`; `None` when the caller has gone first, who wants no further attempt.
async fn unless_gone<T, A>(
    asker: &mut oneshot::Sender<A>,
    doing: impl Future<Output = T>,
) -> Option<T> {
    let (mut gone, mut doing) = (pin!(asker.closed()), pin!(doing));
    poll_fn(|cx| match doing.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => gone.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Asks for a change of members until it is made or refused, or the time is over; then waits until this node
/// has seen it. Only what was certainly not applied is asked for again.
async fn carry_out(
    env: &Env,
    api: &dyn Api,
    change: Change,
    patience: Duration,
) -> Result<AdminReply, Error> {
    let deadline = env.clock.now() + patience;
    let mut pause = PAUSE_MIN;
    let reply = loop {
        let began = env.clock.now();
        let mut asking = api.administer(change.request.clone());
        let mut timer = env.clock.sleep_until(deadline);
        let answered = poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
        });
        let error = match answered.await {
            Some(Ok(reply)) => break reply,
            Some(Err(error)) => Error::from(error),
            None => return Err(Error::unknown("the time was over before the answer came")),
        };
        let now = env.clock.now();
        // Another attempt that were cut off by the deadline would leave in doubt what is certain now.
        if !error.is_safe_to_retry() || now + pause + now.since(began) >= deadline {
            return Err(error);
        }
        env.clock.sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    };
    if matches!(reply, AdminReply::Refused(_)) {
        return Ok(reply);
    }
    let left = deadline.since(env.clock.now());
    match look(env, api, &change.until, left).await {
        Ok(_) => Ok(reply),
        Err(_) => Err(Error::unknown(
            "the cluster has agreed to the change, and it has not come about within the time",
        )),
    }
}

async fn look(
    env: &Env,
    api: &dyn Api,
    condition: &Condition,
    patience: Duration,
) -> Result<Status, Status> {
    let deadline = env.clock.now() + patience;
    loop {
        let status = api.status();
        if condition(&status) {
            return Ok(status);
        }
        if env.clock.now() >= deadline || status.stopped.is_some() {
            return Err(status);
        }
        env.clock.sleep(LOOK_PAUSE).await;
    }
}

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    patience: Duration,
    refused_within: Duration,
}

impl Limits {
    /// The last moment for another attempt. One that were cut off by the deadline would leave in doubt
    /// what is certain now: that nothing was applied.
    fn last_start(self, deadline: Mono) -> Mono {
        Mono(deadline.0.saturating_sub(self.refused_within.min(self.patience / 2)))
    }
}

/// Tries until there is an answer, nothing more can be done, or the time is over.
async fn execute(env: &Env, api: &dyn Api, work: &Work, limits: Limits) -> Result<Reply, Error> {
    let deadline = env.clock.now() + limits.patience;
    let last_start = limits.last_start(deadline);
    let mut pause = PAUSE_MIN;
    let mut doubt = None;
    loop {
        let error = match attempt(env, api, work, deadline).await {
            Some(Ok(reply)) => return Ok(reply),
            Some(Err(error)) => error,
            None if work.is_write() => {
                return Err(Error::unknown("the time was over before the answer came"));
            }
            None => {
                let reason = "the time was over before the read could be served".into();
                return Err(doubt.unwrap_or(Error::NotApplied { reason, hint: None }));
            }
        };
        let again = match &error {
            quorate_api::Error::NotApplied { .. } | quorate_api::Error::Overloaded { .. } => true,
            quorate_api::Error::Unknown { .. } => work.is_repeatable(),
            quorate_api::Error::Stopped { .. } => false,
        };
        let in_doubt = matches!(error, quorate_api::Error::Unknown { .. }) && work.is_write();
        let error = Error::from(error);
        // What one attempt may have done is not undone by the next one that did nothing.
        if in_doubt {
            doubt = Some(error.clone());
        }
        // Different nodes should not come back in step.
        let jitter = Duration::from_micros(env.rng.next_u64() % 1000);
        if !again || env.clock.now() + pause + jitter >= last_start {
            return Err(doubt.unwrap_or(error));
        }
        env.clock.sleep(pause + jitter).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One attempt; `None` when the time is over first.
async fn attempt(env: &Env, api: &dyn Api, work: &Work, deadline: Mono) -> Option<Answer> {
    let mut session = api.open();
    match work {
        Work::Call(call) => session.submit(call.as_call()),
        Work::Transact(block) => session.transact(block.clone()),
    }
    let mut timer = env.clock.sleep_until(deadline);
    poll_fn(|cx| match session.poll_answer(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}

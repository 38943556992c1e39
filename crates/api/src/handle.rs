//! The door for callers on other threads: an HTTP handler, a program that embeds the store.
//!
//! A [`Handle`] is `Send`, `Sync` and cheap to clone; requests travel as messages to the shard's
//! thread, where [`serve`] executes each in a session of its own.

use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use crate::{
    AdminReply, AdminRequest, Answer, Api, Backup, Consistency, Error, OwnedCall, Session, Status,
    Transaction,
};

/// A message to the shard's thread.
#[derive(Debug)]
pub enum Request {
    /// Execute a command.
    Call(OwnedCall, oneshot::Sender<Answer>),
    /// Execute a block.
    Transact(Transaction, oneshot::Sender<Answer>),
    /// Report the status.
    Status(oneshot::Sender<Status>),
    /// Make a backup.
    BackUp(Consistency, oneshot::Sender<Result<Backup, Error>>),
    /// Administer.
    Administer(AdminRequest, oneshot::Sender<Result<AdminReply, Error>>),
}

/// Requests that wait for the shard's thread; beyond it callers are told [`Error::Overloaded`].
const QUEUE_MAX: usize = 16 * 1024;

/// A member, as seen from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
}

/// The shard's end of a [`Handle`].
pub type Requests = mpsc::Receiver<Request>;

/// A handle and its other end.
pub fn channel() -> (Handle, Requests) {
    let (requests, receiver) = mpsc::channel(QUEUE_MAX);
    (Handle { requests }, receiver)
}

fn refused(error: &mpsc::error::TrySendError<Request>) -> Error {
    match error {
        mpsc::error::TrySendError::Full(_) => {
            Error::Overloaded { reason: "too many requests wait for this node".into() }
        }
        mpsc::error::TrySendError::Closed(_) => {
            Error::Stopped { reason: "this node has been shut down".into() }
        }
    }
}

/// The shard's thread ended while a request was with it.
const LOST: Error = Error::Unknown {
    reason: std::borrow::Cow::Borrowed("the node was shut down before it answered"),
};

impl Handle {
    /// Executes a command.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn call(&self, call: OwnedCall) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.requests.try_send(Request::Call(call, sender)).map_err(|error| refused(&error))?;
        receiver.await.unwrap_or(Err(LOST))
    }

    /// Executes a block.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn transact(&self, transaction: Transaction) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let request = Request::Transact(transaction, sender);
        self.requests.try_send(request).map_err(|error| refused(&error))?;
        receiver.await.unwrap_or(Err(LOST))
    }

    /// The member's status.
    ///
    /// # Errors
    /// [`Error::Stopped`] or [`Error::Overloaded`].
    pub async fn status(&self) -> Result<Status, Error> {
        let (sender, receiver) = oneshot::channel();
        self.requests.try_send(Request::Status(sender)).map_err(|error| refused(&error))?;
        receiver.await.map_err(|_| Error::Stopped { reason: "this node has been shut down".into() })
    }

    /// Makes a backup; see [`Api::back_up`].
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn back_up(&self, consistency: Consistency) -> Result<Backup, Error> {
        let (sender, receiver) = oneshot::channel();
        let request = Request::BackUp(consistency, sender);
        self.requests.try_send(request).map_err(|error| refused(&error))?;
        let gone = Error::Stopped { reason: "this node has been shut down".into() };
        receiver.await.unwrap_or(Err(gone))
    }

    /// Administers.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn administer(&self, request: AdminRequest) -> Result<AdminReply, Error> {
        let (sender, receiver) = oneshot::channel();
        let request = Request::Administer(request, sender);
        self.requests.try_send(request).map_err(|error| refused(&error))?;
        receiver.await.unwrap_or(Err(LOST))
    }
}

/// Serves `requests` on the shard's thread until every handle is gone. `spawn` starts a task there.
pub async fn serve<S>(api: Rc<dyn Api>, mut requests: Requests, spawn: S)
where
    S: Fn(std::pin::Pin<Box<dyn Future<Output = ()>>>),
{
    while let Some(request) = requests.recv().await {
        match request {
            Request::Call(call, sender) => {
                let mut session = api.open();
                session.submit(call.as_call());
                spawn(Box::pin(answer(session, sender)));
            }
            Request::Transact(transaction, sender) => {
                let mut session = api.open();
                session.transact(transaction);
                spawn(Box::pin(answer(session, sender)));
            }
            Request::Status(sender) => drop(sender.send(api.status())),
            Request::BackUp(consistency, sender) => {
                let backing = api.back_up(consistency);
                spawn(Box::pin(async move { drop(sender.send(backing.await)) }));
            }
            Request::Administer(request, sender) => {
                let administering = api.administer(request);
                spawn(Box::pin(async move { drop(sender.send(administering.await)) }));
            }
        }
    }
}

/// The caller may have gone: then the answer is dropped, as with a closed connection.
async fn answer(mut session: Box<dyn Session>, sender: oneshot::Sender<Answer>) {
    let answer = std::future::poll_fn(|cx| session.poll_answer(cx)).await;
    drop(sender.send(answer));
}

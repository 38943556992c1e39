//! The handle: everything a program asks of the store goes through here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quorate_api::command::{self, Flags};
use quorate_api::limits::{DATABASES, IDEMPOTENCY_KEY_BYTES_MAX};
use quorate_api::{Consistency, Idempotency, OwnedArgs, OwnedCall, Reply, Status};
use tokio::sync::oneshot;

use crate::blocking;
use crate::builder::Plan;
use crate::end::Ending;
use crate::errand::{Request, Requests, Work};
use crate::error::Error;

/// How long a call tries unless told otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a call may try: far below the time for which the cluster remembers requests, so that
/// a repeated one is always recognised.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// The way to the node's thread, shared by all its handles.
#[derive(Debug)]
pub(crate) struct Door {
    requests: Requests,
    /// Drawn at start: no other client of the cluster has it.
    client: Bytes,
    sequence: AtomicU64,
    ending: Ending,
    /// Whether nodes find each other by name, on a network within the process.
    by_name: bool,
}

/// How calls of a handle behave.
#[derive(Clone, Debug)]
struct Options {
    consistency: Consistency,
    timeout: Duration,
    db: u8,
    exactly_once: bool,
    key: Option<Bytes>,
}

/// A handle on the store, from any thread and any async runtime; cheap to clone.
///
/// A call returns when it is done: a write when a majority has it on disk (or in memory, where nodes have
/// no directory), a read when its answer is current. What stands in the way only for a while (a new
/// leader is elected, a queue is full) is waited out and tried again until [`Store::timeout`] is over, and
/// takes effect once: every write carries a name that the cluster remembers.
///
/// Handles with other options are clones: `store.timeout(t).get(k)` changes nothing about `store`.
/// A future that is dropped gives up its answer, never the effect of what was sent already.
#[derive(Clone, Debug)]
pub struct Store {
    door: Arc<Door>,
    options: Options,
}

impl Store {
    pub(crate) fn new(requests: Requests, client: Bytes, ending: Ending, plan: &Plan) -> Self {
        let (sequence, by_name) = (AtomicU64::new(0), plan.by_name);
        let door = Door { requests, client, sequence, ending, by_name };
        let options = Options {
            consistency: Consistency::Configured,
            timeout: TIMEOUT,
            db: 0,
            exactly_once: plan.exactly_once,
            key: None,
        };
        Self { door: Arc::new(door), options }
    }

    /// With reads that may miss this much. The default is what the node was built with, and that is
    /// [`Consistency::Linearizable`] unless told otherwise.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// use std::time::Duration;
    /// use quorate::Consistency;
    ///
    /// store.set("k", "v").await?;
    /// // What this node has, or an error when it has heard of no leader for longer.
    /// let recent = Consistency::Stale { max_staleness: Some(Duration::from_secs(2)) };
    /// assert_eq!(store.consistency(recent).get("k").await?.as_deref(), Some(&b"v"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn consistency(&self, consistency: Consistency) -> Self {
        self.with(|options| options.consistency = consistency)
    }

    /// With calls that try for so long (10 seconds unless set, 5 minutes at most).
    #[must_use]
    pub fn timeout(&self, timeout: Duration) -> Self {
        self.with(|options| options.timeout = timeout.min(TIMEOUT_MAX))
    }

    /// On another logical database, 0 to 15.
    #[must_use]
    pub fn database(&self, db: u8) -> Self {
        self.with(|options| options.db = db)
    }

    /// With a name for *one* write, chosen by the caller: whoever sends the same write under the same
    /// name within a quarter of an hour, from any process, gets the first one's answer.
    ///
    /// Calls name their writes by themselves; this is for a program that may crash between a write and its
    /// own note that it was made.
    #[must_use]
    pub fn idempotency_key(&self, key: impl Into<Bytes>) -> Self {
        let key = key.into();
        self.with(|options| options.key = Some(key))
    }

    /// The same store for code without a runtime.
    pub fn blocking(&self) -> blocking::Store {
        blocking::Store::new(self.clone())
    }

    fn with(&self, change: impl FnOnce(&mut Options)) -> Self {
        let mut clone = self.clone();
        change(&mut clone.options);
        clone
    }

    /// Executes a command by its name, as a Redis client would write it. Commands about a connection or
    /// a server (PING, MULTI, CONFIG ...) are [`Error::Invalid`]: there is neither.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// use quorate::Reply;
    /// assert_eq!(store.command(["APPEND", "log", "line"]).await?, Reply::Int(4));
    /// let wrong = store.command(["INCR", "log"]).await.unwrap_err();
    /// assert_eq!(wrong.kind(), quorate::ErrorKind::Rejected);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn command<I>(&self, parts: I) -> Result<Reply, Error>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let args = OwnedArgs::new(parts);
        let name = args.as_args().at(0);
        let found = command::lookup(name).filter(|spec| !spec.flags.has(Flags::INTERNAL));
        let spec = found.ok_or_else(|| {
            Error::invalid(format!("there is no command {:?}", String::from_utf8_lossy(name)))
        })?;
        if !(spec.is_read() || spec.is_write()) {
            let text = format!("{} is about a connection or a server, not about keys", spec.name);
            return Err(Error::invalid(text));
        }
        self.call(args).await
    }

    /// Executes a command that is known to be there.
    pub(crate) async fn call(&self, args: OwnedArgs) -> Result<Reply, Error> {
        let call = self.owned(args)?;
        let idempotency = if call.spec.is_write() { self.name()? } else { None };
        self.execute(Work::Call(OwnedCall { idempotency, ..call })).await
    }

    /// A call in the handle's database.
    pub(crate) fn owned(&self, args: OwnedArgs) -> Result<OwnedCall, Error> {
        let Options { db, consistency, .. } = self.options;
        if db >= DATABASES {
            let text = format!("there is no database {db}: they are 0 to {}", DATABASES - 1);
            return Err(Error::invalid(text));
        }
        let spec = command::lookup(args.as_args().at(0))
            .ok_or_else(|| Error::invalid("there is no such command"))?;
        if !spec.arity_fits(args.as_args().len()) {
            let text = format!("wrong number of arguments for {} {}", spec.name, spec.syntax);
            return Err(Error::invalid(text));
        }
        Ok(OwnedCall { spec, db, args, consistency, idempotency: None })
    }

    /// The database that calls are about.
    pub(crate) fn db(&self) -> u8 {
        self.options.db
    }

    /// What makes the next write recognisable.
    pub(crate) fn name(&self) -> Result<Option<Idempotency>, Error> {
        if let Some(key) = &self.options.key {
            if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
                let text = format!("an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes");
                return Err(Error::invalid(text));
            }
            return Ok(Some(Idempotency { client: key.clone(), sequence: 0 }));
        }
        Ok(self.options.exactly_once.then(|| Idempotency {
            client: self.door.client.clone(),
            sequence: self.door.sequence.fetch_add(1, Ordering::Relaxed),
        }))
    }

    pub(crate) async fn execute(&self, work: Work) -> Result<Reply, Error> {
        let timeout = self.options.timeout;
        let reply = self.ask(|answer| Request::Execute(work, timeout, answer)).await??;
        match reply {
            Reply::Error(error) => Err(Error::Rejected(error)),
            reply => Ok(reply),
        }
    }

    /// How long a call tries.
    pub(crate) fn patience(&self) -> Duration {
        self.options.timeout
    }

    /// Whether nodes find each other by name.
    pub(crate) fn finds_by_name(&self) -> bool {
        self.door.by_name
    }

    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        // The node has gone before it heard of the request: nothing was done.
        let gone = |_| Error::stopped(self.door.ending.reason());
        self.door.requests.send(request(sender)).await.map_err(gone)?;
        let lost = |_| {
            let reason = self.door.ending.reason();
            Error::unknown(format!("the node ended before it answered: {reason}"))
        };
        answer.await.map_err(lost)
    }

    /// This node's view of itself and its group.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// let status = store.status().await?;
    /// assert_eq!((status.id.as_str(), status.role.as_str()), ("n1", "leader"));
    /// assert_eq!(status.members.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn status(&self) -> Result<Status, Error> {
        let answer = self.ask(|answer| Request::Await(Box::new(|_| true), Duration::ZERO, answer));
        answer.await.map(|status| status.unwrap_or_else(|status| status)).map_err(not_changed)
    }

    /// Waits until this node's status fits; not for longer than [`Store::timeout`].
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// // Alone it leads as soon as it is up; in a cluster this waits for an election.
    /// let status = store.wait_until(|status| status.leader != 0).await?;
    /// assert!(status.members.iter().any(|member| member.leader));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotApplied`] when it does not fit in time, or [`Error::Stopped`].
    pub async fn wait_until(
        &self,
        condition: impl Fn(&Status) -> bool + Send + 'static,
    ) -> Result<Status, Error> {
        let timeout = self.options.timeout;
        let answer = self.ask(|answer| Request::Await(Box::new(condition), timeout, answer)).await;
        answer.map_err(not_changed)?.map_err(|status| match status.stopped {
            Some(reason) => Error::stopped(reason),
            None => Error::NotApplied {
                reason: format!("the condition did not come true within {timeout:?}").into(),
                hint: None,
            },
        })
    }
}

/// Who only looks is in no doubt.
fn not_changed(error: Error) -> Error {
    match error {
        Error::Unknown { reason } => Error::Stopped { reason },
        error => error,
    }
}

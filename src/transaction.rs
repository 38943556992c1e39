//! Several commands as one.

use std::time::Duration;

use bytes::Bytes;
use quorate_api::{OwnedArgs, Reply, Watch};

use crate::errand::Work;
use crate::error::Error;
use crate::kv::{Revision, odd, ttl_ms};
use crate::store::Store;

/// Commands that take effect together, when what they require holds, or not at all.
///
/// ```
/// # quorate::blocking::run(async {
/// # let node = quorate::Builder::new("n1").start().await?;
/// # let store = node.store();
/// use quorate::Transaction;
/// store.increment("alice", 100).await?;
/// let alice = store.get_entry("alice").await?.expect("just written");
/// let transfer = Transaction::new()
///     .require("alice", alice.revision)
///     .increment("alice", -30)
///     .increment("bob", 30);
/// assert!(store.transaction(transfer.clone()).await?.is_some());
/// // Now alice is another one than was required.
/// assert!(store.transaction(transfer).await?.is_none());
/// assert_eq!(store.get("bob").await?.as_deref(), Some(&b"30"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    watches: Vec<Requirement>,
    commands: Vec<OwnedArgs>,
    error: Option<Error>,
}

#[derive(Clone, Debug)]
enum Requirement {
    Key { key: Bytes, revision: u64, seen: u64 },
    Watched(Watched),
}

/// Keys as they were when [`Store::watch`] looked.
#[derive(Clone, Debug)]
pub struct Watched {
    db: u8,
    keys: Vec<(Bytes, u64)>,
    seen: u64,
}

/// Later than any state: what counts is how the key is when the block is executed.
const WHENEVER: u64 = u64::MAX;

impl Transaction {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only when the key is as the write with this revision left it.
    #[must_use]
    pub fn require(self, key: impl AsRef<[u8]>, revision: Revision) -> Self {
        self.requiring(key.as_ref(), revision.0, revision.0)
    }

    /// Only when the key is not there.
    #[must_use]
    pub fn require_absent(self, key: impl AsRef<[u8]>) -> Self {
        self.requiring(key.as_ref(), 0, WHENEVER)
    }

    /// Only when none of the keys has changed since they were watched: not even there and back.
    #[must_use]
    pub fn require_unchanged(mut self, watched: &Watched) -> Self {
        self.watches.push(Requirement::Watched(watched.clone()));
        self
    }

    fn requiring(mut self, key: &[u8], revision: u64, seen: u64) -> Self {
        let key = Bytes::copy_from_slice(key);
        self.watches.push(Requirement::Key { key, revision, seen });
        self
    }

    /// Sets a key.
    #[must_use]
    pub fn set(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.push([b"SET", key.as_ref(), value.as_ref()])
    }

    /// Deletes a key.
    #[must_use]
    pub fn delete(self, key: impl AsRef<[u8]>) -> Self {
        self.push([b"DEL", key.as_ref()])
    }

    /// Adds to the number in a key.
    #[must_use]
    pub fn increment(self, key: impl AsRef<[u8]>, by: i64) -> Self {
        self.push([b"INCRBY", key.as_ref(), by.to_string().as_bytes()])
    }

    /// Lets a key go away after `ttl`.
    #[must_use]
    pub fn expire(mut self, key: impl AsRef<[u8]>, ttl: Duration) -> Self {
        match ttl_ms(ttl) {
            Ok(ms) => self.push([b"PEXPIRE", key.as_ref(), ms.to_string().as_bytes()]),
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Any command on keys, as a Redis client would write it.
    #[must_use]
    pub fn command<I>(mut self, parts: I) -> Self
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        self.commands.push(OwnedArgs::new(parts));
        self
    }

    fn push<const N: usize>(mut self, parts: [&[u8]; N]) -> Self {
        self.commands.push(OwnedArgs::new(parts));
        self
    }

    fn watches(&self, db: u8) -> Result<Vec<Watch>, Error> {
        let mut watches = Vec::new();
        for requirement in &self.watches {
            match requirement {
                Requirement::Key { key, revision, seen } => {
                    watches.push(Watch { db, key: key.clone(), revision: *revision, seen: *seen });
                }
                Requirement::Watched(watched) if watched.db != db => {
                    return Err(Error::invalid("the keys were watched in another database"));
                }
                Requirement::Watched(watched) => {
                    let watch = |(key, revision): &(Bytes, u64)| Watch {
                        db,
                        key: key.clone(),
                        revision: *revision,
                        seen: watched.seen,
                    };
                    watches.extend(watched.keys.iter().map(watch));
                }
            }
        }
        Ok(watches)
    }
}

impl Store {
    /// Executes the block. `None` when a requirement did not hold, and nothing was done; otherwise one
    /// reply per command. As in Redis, a command that fails ([`Reply::Error`]) does not undo the others.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn transaction(&self, transaction: Transaction) -> Result<Option<Vec<Reply>>, Error> {
        let watches = transaction.watches(self.db())?;
        if let Some(error) = transaction.error {
            return Err(error);
        }
        let calls = transaction.commands.into_iter().map(|args| self.owned(args));
        let calls: Vec<_> = calls.collect::<Result<_, _>>()?;
        if let Some(call) = calls.iter().find(|call| !(call.spec.is_read() || call.spec.is_write()))
        {
            let text = format!("{} is not about keys: not in a transaction", call.spec.name);
            return Err(Error::invalid(text));
        }
        let block = quorate_api::Transaction { watches, calls, idempotency: self.name()? };
        match self.execute(Work::Transact(block)).await? {
            Reply::Array(replies) => Ok(Some(replies)),
            Reply::NilArray => Ok(None),
            other => Err(odd(&other)),
        }
    }

    /// Looks at keys that a transaction is going to rely on, whether they are there or not.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// use quorate::Transaction;
    /// let watched = store.watch(["stock", "reserved"]).await?;
    /// store.set("reserved", "1").await?;
    /// let sell = Transaction::new().require_unchanged(&watched).increment("stock", -1);
    /// assert!(store.transaction(sell).await?.is_none(), "somebody was quicker");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn watch<I>(&self, keys: I) -> Result<Watched, Error>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let keys: Vec<_> =
            keys.into_iter().map(|key| Bytes::copy_from_slice(key.as_ref())).collect();
        if keys.is_empty() {
            return Err(Error::invalid("there is no key to watch"));
        }
        let name = Bytes::from_static(b"REVISIONS");
        let parts = std::iter::once(&name).chain(&keys);
        let reply = self.call(OwnedArgs::new(parts)).await?;
        let Reply::Array(numbers) = &reply else { return Err(odd(&reply)) };
        let number = |reply: &Reply| match reply {
            Reply::Int(number) => u64::try_from(*number).map_err(|_| odd(reply)),
            other => Err(odd(other)),
        };
        let numbers: Vec<u64> = numbers.iter().map(number).collect::<Result<_, _>>()?;
        match numbers.split_last() {
            Some((seen, revisions)) if revisions.len() == keys.len() => {
                let keys = keys.into_iter().zip(revisions.iter().copied()).collect();
                Ok(Watched { db: self.db(), keys, seen: *seen })
            }
            _ => Err(odd(&reply)),
        }
    }
}

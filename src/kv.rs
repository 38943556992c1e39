//! Typed calls on keys.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quorate_api::limits::COMMAND_BYTES_MAX;
use quorate_api::{OwnedArgs, Reply};

use crate::error::Error;
use crate::scan::Scan;
use crate::store::Store;
use crate::transaction::Transaction;

/// When a key was written, in the order of all writes of the cluster: a later write of any key has a
/// higher one, on every node and after every failure. As a *fencing token* it tells a late holder of a
/// lock from the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A value with what the cluster knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Its last change.
    pub revision: Revision,
    /// When it goes away.
    pub expires_at: Option<SystemTime>,
}

/// What a key must be like for [`Store::compare_and_swap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Not there.
    Absent,
    /// There, whatever its value.
    Present,
    /// As it was written by this write.
    Revision(Revision),
    /// There with this value.
    Value(Bytes),
}

impl From<Revision> for Expected {
    fn from(revision: Revision) -> Self {
        Self::Revision(revision)
    }
}

/// How a conditional write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It was made; the key has this revision now.
    Done(Revision),
    /// The key was not as expected, and stays as it is.
    Differs {
        /// The key's revision; `None` when it is not there.
        current: Option<Revision>,
    },
}

impl Swap {
    /// The new revision, where the write was made.
    pub fn done(self) -> Option<Revision> {
        match self {
            Self::Done(revision) => Some(revision),
            Self::Differs { .. } => None,
        }
    }
}

/// A write of one key with everything it may say.
///
/// ```
/// # quorate::blocking::run(async {
/// # let node = quorate::Builder::new("n1").start().await?;
/// # let store = node.store();
/// use quorate::{Expected, Put};
/// let put = Put::new("job:7", "mine").expect(Expected::Absent).ttl(std::time::Duration::from_secs(30));
/// assert!(store.put(put.clone()).await?.done().is_some());
/// assert!(store.put(put).await?.done().is_none(), "somebody has it");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    key: Bytes,
    value: Bytes,
    expected: Option<Expected>,
    ttl: Option<Duration>,
}

impl Put {
    /// Sets `key`, whatever it is.
    pub fn new(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let copy = Bytes::copy_from_slice;
        Self { key: copy(key.as_ref()), value: copy(value.as_ref()), expected: None, ttl: None }
    }

    /// Only when the key is as expected.
    #[must_use]
    pub fn expect(self, expected: impl Into<Expected>) -> Self {
        Self { expected: Some(expected.into()), ..self }
    }

    /// For so long, to the millisecond; without this a key stays, and loses what time it had.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }
}

/// A TTL in milliseconds; it can't be zero.
pub(crate) fn ttl_ms(ttl: Duration) -> Result<u64, Error> {
    let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 { Err(Error::invalid("a key lives for a millisecond at least")) } else { Ok(ms) }
}

fn condition(expected: Option<&Expected>) -> String {
    match expected {
        None | Some(Expected::Value(_)) => String::new(),
        Some(Expected::Absent) => "*".to_owned(),
        Some(Expected::Present) => "+".to_owned(),
        Some(Expected::Revision(revision)) => revision.to_string(),
    }
}

/// A reply of another shape than its command has. This build and its own cluster disagree.
pub(crate) fn odd(reply: &Reply) -> Error {
    Error::unknown(format!("the reply can't be understood: {reply:?}"))
}

fn number(reply: &Reply) -> Result<i64, Error> {
    match reply {
        Reply::Int(number) => Ok(*number),
        other => Err(odd(other)),
    }
}

fn revision(reply: &Reply) -> Result<Revision, Error> {
    u64::try_from(number(reply)?).map(Revision).map_err(|_| odd(reply))
}

/// Whether it was done, and the key's revision.
fn swap(reply: &Reply) -> Result<Swap, Error> {
    let Reply::Array(parts) = reply else { return Err(odd(reply)) };
    let [done, current] = parts.as_slice() else { return Err(odd(reply)) };
    let current = revision(current)?;
    Ok(match number(done)? {
        0 => Swap::Differs { current: Some(current).filter(|revision| revision.0 != 0) },
        _ => Swap::Done(current),
    })
}

fn entry(reply: Reply) -> Result<Option<Entry>, Error> {
    let parts = match reply {
        Reply::Nil => return Ok(None),
        Reply::Array(parts) => parts,
        other => return Err(odd(&other)),
    };
    match parts.as_slice() {
        [Reply::Bulk(value), at, expires] => {
            let expires_at = match expires {
                Reply::Nil => None,
                ms => {
                    let ms = u64::try_from(number(ms)?).map_err(|_| odd(ms))?;
                    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms))
                }
            };
            Ok(Some(Entry { value: value.clone(), revision: revision(at)?, expires_at }))
        }
        _ => Err(odd(&Reply::Array(parts))),
    }
}

impl Store {
    /// The key's value.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// assert_eq!(store.get("greeting").await?, None);
    /// store.set("greeting", "hello").await?;
    /// assert_eq!(store.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, Error> {
        match self.call(OwnedArgs::new([b"GET", key.as_ref()])).await? {
            Reply::Bulk(value) => Ok(Some(value)),
            Reply::Nil => Ok(None),
            other => Err(odd(&other)),
        }
    }

    /// The key's value, revision and expiry.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// let revision = store.set("greeting", "hello").await?;
    /// let entry = store.get_entry("greeting").await?.expect("just written");
    /// assert_eq!((&entry.value[..], entry.revision), (&b"hello"[..], revision));
    /// assert_eq!(entry.expires_at, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get_entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, Error> {
        entry(self.call(OwnedArgs::new([b"KV.GET", key.as_ref()])).await?)
    }

    /// Sets the key; it has no expiry then.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// let first = store.set("a", "1").await?;
    /// let second = store.set("b", [0, 255]).await?;
    /// assert!(second > first, "one order for all keys");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Revision, Error> {
        match self.put(Put::new(key, value)).await? {
            Swap::Done(revision) => Ok(revision),
            Swap::Differs { .. } => Err(Error::unknown("a write without a condition met one")),
        }
    }

    /// Sets the key when it is as expected, atomically.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// use quorate::{Expected, Swap};
    /// let first = store.set("config", "v1").await?;
    /// let Swap::Done(second) = store.compare_and_swap("config", first, "v2").await? else { panic!() };
    /// // Somebody who still believes in the first version loses.
    /// let late = store.compare_and_swap("config", first, "v3").await?;
    /// assert_eq!(late, Swap::Differs { current: Some(second) });
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: impl Into<Expected>,
        value: impl AsRef<[u8]>,
    ) -> Result<Swap, Error> {
        self.put(Put::new(key, value).expect(expected)).await
    }

    /// Makes the write.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// use quorate::{Expected, Put};
    /// use std::time::Duration;
    /// let lease = Put::new("lock", "me").expect(Expected::Absent).ttl(Duration::from_secs(30));
    /// assert!(store.put(lease.clone()).await?.done().is_some());
    /// assert!(store.put(lease).await?.done().is_none(), "somebody has it");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn put(&self, put: Put) -> Result<Swap, Error> {
        let ttl = put.ttl.map(ttl_ms).transpose()?;
        if let Some(Expected::Value(wanted)) = &put.expected {
            return self.put_over(&put, wanted, ttl).await;
        }
        let (condition, ttl) = (condition(put.expected.as_ref()), ttl.unwrap_or(0).to_string());
        let parts =
            [b"KV.PUT".as_slice(), &put.key, &put.value, condition.as_bytes(), ttl.as_bytes()];
        swap(&self.call(OwnedArgs::new(parts)).await?)
    }

    /// Makes the write where the key has the value `wanted`. It is one block, the same one whatever is there:
    /// to look first and to send what was found would be another request each time, which is not recognised
    /// when it is repeated under its name.
    async fn put_over(&self, put: &Put, wanted: &[u8], ttl: Option<u64>) -> Result<Swap, Error> {
        if put.value.len() + wanted.len() > COMMAND_BYTES_MAX {
            let text = "the new and the expected value are too large together: expect a revision";
            return Err(Error::invalid(text));
        }
        let ttl = ttl.map(|ms| ms.to_string());
        let mut set = vec![b"SET".as_slice(), &put.key, &put.value, b"IFEQ", wanted];
        if let Some(ms) = &ttl {
            set.extend([b"PX", ms.as_bytes()]);
        }
        let block = Transaction::new().command(set).command([b"REVISIONS".as_slice(), &put.key]);
        let replies = self.transaction(block).await?.unwrap_or_default();
        let (set, current) = match replies.as_slice() {
            [Reply::Error(error), _] => return Err(Error::Rejected(error.clone())),
            [set, Reply::Array(revisions)] => match revisions.first() {
                Some(current) => (set, revision(current)?),
                None => return Err(odd(&Reply::Array(replies))),
            },
            _ => return Err(odd(&Reply::Array(replies))),
        };
        match set {
            Reply::Ok => Ok(Swap::Done(current)),
            Reply::Nil => {
                Ok(Swap::Differs { current: Some(current).filter(|revision| revision.0 != 0) })
            }
            other => Err(odd(other)),
        }
    }

    /// Deletes the key; true when it was there.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// store.set("a", "1").await?;
    /// assert!(store.delete("a").await?);
    /// assert!(!store.delete("a").await?, "it is gone already");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(number(&self.call(OwnedArgs::new([b"DEL", key.as_ref()])).await?)? == 1)
    }

    /// Deletes the key when it is still as that write left it; true when it was.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// let mine = store.set("lock", "me").await?;
    /// let theirs = store.set("lock", "them").await?;
    /// assert!(!store.delete_if("lock", mine).await?);
    /// assert!(store.delete_if("lock", theirs).await?);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_if(
        &self,
        key: impl AsRef<[u8]>,
        revision: Revision,
    ) -> Result<bool, Error> {
        let condition = revision.to_string();
        let parts = [b"KV.DELETE".as_slice(), key.as_ref(), condition.as_bytes()];
        Ok(swap(&self.call(OwnedArgs::new(parts)).await?)?.done().is_some())
    }

    /// Adds `by` to the number in the key (0 where there is none); the sum.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// assert_eq!(store.increment("visits", 1).await?, 1);
    /// assert_eq!(store.increment("visits", 10).await?, 11);
    /// assert_eq!(store.increment("visits", -1).await?, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Rejected`] when the value is no number or the sum does not fit, or another [`Error`].
    pub async fn increment(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, Error> {
        let by = by.to_string();
        let parts = [b"INCRBY".as_slice(), key.as_ref(), by.as_bytes()];
        number(&self.call(OwnedArgs::new(parts)).await?)
    }

    /// Lets the key go away after `ttl`; false when it is not there.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// use std::time::Duration;
    /// store.set("session", "alice").await?;
    /// assert!(store.expire("session", Duration::from_secs(60)).await?);
    /// assert!(store.get_entry("session").await?.is_some_and(|entry| entry.expires_at.is_some()));
    /// assert!(!store.expire("nobody", Duration::from_secs(60)).await?);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn expire(&self, key: impl AsRef<[u8]>, ttl: Duration) -> Result<bool, Error> {
        let ms = ttl_ms(ttl)?.to_string();
        let parts = [b"PEXPIRE".as_slice(), key.as_ref(), ms.as_bytes()];
        Ok(number(&self.call(OwnedArgs::new(parts)).await?)? == 1)
    }

    /// Lets the key stay; false when it is not there or was to stay anyway.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// use std::time::Duration;
    /// store.set("session", "alice").await?;
    /// store.expire("session", Duration::from_secs(60)).await?;
    /// assert!(store.persist("session").await?);
    /// assert!(!store.persist("session").await?, "it stays already");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error`].
    pub async fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(number(&self.call(OwnedArgs::new([b"PERSIST", key.as_ref()])).await?)? == 1)
    }

    /// Walks over all keys that begin with `prefix`; an empty one is the beginning of all.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let node = quorate::Builder::new("n1").start().await?;
    /// # let store = node.store();
    /// store.set("user:1", "a").await?;
    /// store.set("user:2", "b").await?;
    /// store.set("group:1", "c").await?;
    /// let mut scan = store.scan("user:");
    /// let mut found = 0;
    /// while let Some(key) = scan.next().await? {
    ///     assert!(key.starts_with(b"user:"));
    ///     found += 1;
    /// }
    /// assert_eq!(found, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn scan(&self, prefix: impl AsRef<[u8]>) -> Scan {
        Scan::new(self.clone(), prefix.as_ref())
    }
}

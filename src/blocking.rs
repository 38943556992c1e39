//! The same for code without a runtime: calls that block their thread until they are done.
//!
//! ```
//! let node = quorate::Builder::new("n1").start_blocking()?;
//! let store = node.store();
//! store.set("greeting", "hello")?;
//! assert_eq!(store.get("greeting")?.as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use quorate_api::{Reply, Status};

use crate::error::Error;
use crate::kv::{Entry, Expected, Put, Revision, Swap};
use crate::transaction::{Transaction, Watched};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future of this crate (or any that needs no runtime) to its end on this thread.
pub fn run<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            // A wake-up that came before this is remembered.
            Poll::Pending => thread::park(),
        }
    }
}

/// As [`crate::Node`].
#[derive(Debug)]
pub struct Node(crate::Node);

impl Node {
    pub(crate) fn new(node: crate::Node) -> Self {
        Self(node)
    }

    /// A handle on the store.
    pub fn store(&self) -> Store {
        self.0.store().blocking()
    }

    /// The same node for async code.
    pub fn as_async(&self) -> &crate::Node {
        &self.0
    }

    /// As [`crate::Node::shutdown`].
    ///
    /// # Errors
    /// Why the node had ended by itself before.
    pub fn shutdown(self) -> Result<(), Error> {
        run(self.0.shutdown())
    }
}

/// As [`crate::Store`].
#[derive(Clone, Debug)]
pub struct Store(crate::Store);

/// As [`crate::Scan`]: an iterator.
#[derive(Clone, Debug)]
pub struct Scan(crate::Scan);

impl Iterator for Scan {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        run(self.0.next()).transpose()
    }
}

/// One blocking method per call of the async handle.
macro_rules! calls {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $output:ty;)*) => {
        impl Store {
            $(
                #[doc = concat!("As [`crate::Store::", stringify!($name), "`].")]
                ///
                /// # Errors
                /// [`Error`].
                pub fn $name(&self, $($argument: $kind),*) -> Result<$output, Error> {
                    run(self.0.$name($($argument),*))
                }
            )*
        }
    };
}

calls! {
    command(parts: impl IntoIterator<Item: AsRef<[u8]>>) -> Reply;
    get(key: impl AsRef<[u8]>) -> Option<Bytes>;
    get_entry(key: impl AsRef<[u8]>) -> Option<Entry>;
    set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Revision;
    compare_and_swap(key: impl AsRef<[u8]>, expected: impl Into<Expected>, value: impl AsRef<[u8]>) -> Swap;
    put(put: Put) -> Swap;
    delete(key: impl AsRef<[u8]>) -> bool;
    delete_if(key: impl AsRef<[u8]>, revision: Revision) -> bool;
    increment(key: impl AsRef<[u8]>, by: i64) -> i64;
    expire(key: impl AsRef<[u8]>, ttl: Duration) -> bool;
    persist(key: impl AsRef<[u8]>) -> bool;
    transaction(transaction: Transaction) -> Option<Vec<Reply>>;
    watch(keys: impl IntoIterator<Item: AsRef<[u8]>>) -> Watched;
    status() -> Status;
    wait_until(condition: impl Fn(&Status) -> bool + Send + 'static) -> Status;
    add_member(name: &str, addr: &str) -> ();
    add_learner(name: &str, addr: &str) -> ();
    replace_member(old: &str, new: &str, addr: &str) -> ();
    promote_member(name: &str) -> ();
    demote_member(name: &str) -> ();
    remove_member(name: impl Into<String>) -> ();
    transfer_leadership(to: Option<&str>) -> ();
}

impl Store {
    pub(crate) fn new(store: crate::Store) -> Self {
        Self(store)
    }

    /// The same store for async code; with other options, too: `store.as_async().timeout(t).blocking()`.
    pub fn as_async(&self) -> &crate::Store {
        &self.0
    }

    /// As [`crate::Store::scan`].
    pub fn scan(&self, prefix: impl AsRef<[u8]>) -> Scan {
        Scan(self.0.scan(prefix))
    }
}

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<crate::Store>();
    is_send_and_sync::<crate::Node>();
    is_send_and_sync::<Store>();
};

//! A shard's thread: one runtime, one thread, everything that it owns dropped there.

use std::future::Future;
use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// A thread on which a future runs to its end, beside the tasks that it spawns.
#[derive(Debug)]
pub struct Shard<T> {
    thread: Option<JoinHandle<()>>,
    output: oneshot::Receiver<T>,
}

/// Runs what `main` makes on a thread of its own, with the runtime which [`super::env`] needs.
///
/// # Errors
/// The system gives no thread.
pub fn shard<F>(
    name: &str,
    main: impl FnOnce() -> F + Send + 'static,
) -> io::Result<Shard<F::Output>>
where
    F: Future<Output: Send + 'static>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, output) = oneshot::channel();
    let work = move || {
        let tasks = LocalSet::new();
        let output = tasks.block_on(&runtime, async { main().await });
        // Order matters: with the tasks go files, locks and connections; only then is it over.
        drop(tasks);
        drop(runtime);
        drop(sender.send(output));
    };
    let thread = Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(Shard { thread: Some(thread), output })
}

impl<T> Shard<T> {
    /// Waits, on any runtime or none, until all is over; `None` when the thread has panicked.
    pub async fn ended(&mut self) -> Option<T> {
        (&mut self.output).await.ok()
    }

    /// Blocks until the thread is gone.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            drop(thread.join());
        }
    }
}

//! When to stop: signals and, where asked for, the end of standard input. And when to read settings again.

use std::future::poll_fn;
use std::io::{self, Read as _};
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::logging;

/// Exit code after a second signal, as shells give it for SIGINT.
const INTERRUPTED_CODE: i32 = 130;

/// Resolves when the process is to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Waits until the process is to stop.
    pub(crate) async fn asked(&mut self) {
        // The sender lives as long as the process.
        drop(self.asked.wait_for(|asked| *asked).await);
    }

    /// Whether it is.
    pub(crate) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }
}

/// What SIGHUP does; without any it ends the process, as by default.
pub(crate) type Reload = Box<dyn Fn() + Send>;

/// The signals that ask for a shutdown, or to read settings again.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Option<(Signal, Reload)>,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        poll_fn(|cx| {
            if let Some((hangup, reload)) = &mut self.reload {
                while hangup.poll_recv(cx).is_ready() {
                    reload();
                }
            }
            if self.terminate.poll_recv(cx).is_ready() {
                return Poll::Ready("SIGTERM");
            }
            self.interrupt.poll_recv(cx).map(|_| "SIGINT")
        })
        .await
    }
}

/// Listens for signals from here on, on a thread of its own: a node that is busy recovering its log
/// still ends at a second signal.
///
/// # Errors
/// The system refuses a thread or a handler.
pub(crate) fn on_signals(with_eof: bool, reload: Option<Reload>) -> io::Result<Stop> {
    let (sender, asked) = watch::channel(false);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _guard = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: match reload {
                Some(reload) => Some((signal(SignalKind::hangup())?, reload)),
                None => None,
            },
        }
    };
    if with_eof {
        let sender = sender.clone();
        spawn("stdin", move || {
            wait_for_eof();
            tracing::info!("standard input has ended");
            sender.send_replace(true);
        })?;
    }
    spawn("signals", move || listen(&runtime, signals, &sender))?;
    Ok(Stop { asked })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // Detached: it lives as long as the process.
    drop(std::thread::Builder::new().name(name.to_owned()).spawn(work)?);
    Ok(())
}

fn listen(runtime: &Runtime, mut signals: Signals, sender: &watch::Sender<bool>) {
    runtime.block_on(async {
        let name = signals.next().await;
        tracing::info!("{name}; a second one ends this process at once");
        sender.send_replace(true);
        let name = signals.next().await;
        tracing::warn!("{name} again; ending at once");
        logging::end(INTERRUPTED_CODE);
    });
}

fn wait_for_eof() {
    let mut buffer = [0; 1024];
    while io::stdin().read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
}

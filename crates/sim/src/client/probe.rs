//! The probe: after the faults, every node must serve again, and everything is read for the last time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::Env;
use quorate_env::tasks::Task;

use super::connection::Connection;
use super::{Clients, Trust};
use crate::history::{Command, Outcome};

/// The probe's number among the sessions.
const SESSION: u32 = 1_000;
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(50);

/// How far the probe has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// It waits for this node to take a write and to serve a read.
    #[default]
    Starting,
    /// This many nodes serve.
    Serving(usize),
    /// Every node serves, and every key has been read.
    Done,
}

/// The probe's main task; it returns never, but says in `progress` how far it is.
pub fn probe(clients: Clients, nodes: Vec<String>, env: Env, progress: Rc<Cell<Progress>>) -> Task {
    Box::pin(async move {
        for (number, addr) in nodes.iter().enumerate() {
            let key: crate::history::Key = format!("probe.{number}").into();
            let mut attempt = 0;
            ask(&clients, &env, addr, &mut || {
                attempt += 1;
                Command::Set(key.clone(), format!("probe.{attempt}").into())
            })
            .await;
            ask(&clients, &env, addr, &mut || Command::Get(key.clone())).await;
            progress.set(Progress::Serving(number + 1));
        }
        let keys = clients.history.borrow().keys();
        for (key, addr) in keys.iter().zip(nodes.iter().cycle()) {
            ask(&clients, &env, addr, &mut || Command::Get(key.clone())).await;
        }
        progress.set(Progress::Done);
        std::future::pending::<()>().await;
    })
}

/// Asks the node at `addr` until it does what `make` says; each attempt goes into the book.
async fn ask(clients: &Clients, env: &Env, addr: &str, make: &mut dyn FnMut() -> Command) {
    loop {
        if let Some(mut connection) = Connection::open(env, addr, SESSION, Trust::Quorum).await {
            let mut open = Some(());
            while open.is_some() {
                let operation = vec![make()];
                let is_read = operation.iter().all(Command::is_read);
                let asked = connection.ask(env, clients, vec![operation]).await;
                open = asked.1;
                for (id, outcome) in asked.0 {
                    if matches!(outcome, Outcome::Done(_)) {
                        if is_read {
                            clients.history.borrow_mut().mark_last(id);
                        }
                        return;
                    }
                }
                env.clock.sleep(RETRY).await;
            }
        }
        env.clock.sleep(RETRY).await;
    }
}

//! The probe: after the faults, every node must serve again, and everything is read for the last time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use quorate_env::Env;
use quorate_env::tasks::Task;

use super::connection::Connection;
use super::{Clients, Trust};
use crate::history::{Command, Key, Outcome};
use crate::world::SimTime;

/// The probe's number among the sessions.
const SESSION: u32 = 1_000;
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(50);

/// Whom the probe has to reach: nodes may come and go meanwhile, until they are settled.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    /// Names and addresses.
    nodes: Rc<RefCell<Vec<(String, String)>>>,
    settled: Rc<Cell<bool>>,
}

impl Roll {
    /// These, and no others any more.
    pub fn settled(addrs: Vec<String>) -> Self {
        let roll = Self::default();
        roll.list(addrs.into_iter().map(|addr| (addr.clone(), addr)).collect());
        roll.settle();
        roll
    }

    /// Who is there, by name and address.
    pub fn list(&self, nodes: Vec<(String, String)>) {
        *self.nodes.borrow_mut() = nodes;
    }

    /// Nobody comes or goes any more.
    pub fn settle(&self) {
        self.settled.set(true);
    }

    fn has(&self, node: &(String, String)) -> bool {
        self.nodes.borrow().contains(node)
    }

    fn first_but(&self, served: &[(String, String)]) -> Option<(String, String)> {
        self.nodes.borrow().iter().find(|node| !served.contains(node)).cloned()
    }

    fn addrs(&self) -> Vec<String> {
        self.nodes.borrow().iter().map(|(_, addr)| addr.clone()).collect()
    }
}

/// How far the probe has come, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Some node has taken a write.
    pub wrote: Option<SimTime>,
    /// So many nodes have taken a write and served a read.
    pub serving: usize,
    /// Every node has.
    pub served: Option<SimTime>,
    /// And every key has been read.
    pub done: bool,
}

/// The probe's main task; it returns never, but says in `progress` how far it is.
pub fn probe(clients: Clients, roll: Roll, env: Env, progress: Rc<Cell<Progress>>) -> Task {
    Box::pin(async move {
        write_first(&clients, &roll, &env).await;
        progress.set(Progress { wrote: Some(clients.now.get()), ..progress.get() });
        let mut served = Vec::new();
        loop {
            let Some(node) = roll.first_but(&served) else {
                if roll.settled.get() {
                    break;
                }
                env.clock.sleep(RETRY).await;
                continue;
            };
            let (key, there) = (probe_key(&served.len().to_string()), || roll.has(&node));
            let mut attempt = 0;
            let write = &mut || {
                attempt += 1;
                Command::Set(key.clone(), format!("probe.{attempt}").into())
            };
            ask(&clients, &env, &node.1, &there, write).await;
            ask(&clients, &env, &node.1, &there, &mut || Command::Get(key.clone())).await;
            served.push(node);
            progress.set(Progress { serving: served.len(), ..progress.get() });
        }
        progress.set(Progress { served: Some(clients.now.get()), ..progress.get() });
        let (keys, nodes) = (clients.history.borrow().keys(), roll.addrs());
        for (key, addr) in keys.iter().zip(nodes.iter().cycle()) {
            ask(&clients, &env, addr, &|| true, &mut || Command::Get(key.clone())).await;
        }
        progress.set(Progress { done: true, ..progress.get() });
        std::future::pending::<()>().await;
    })
}

fn probe_key(what: &str) -> Key {
    format!("probe.{what}").into()
}

/// Asks one node after the other until some node takes a write.
async fn write_first(clients: &Clients, roll: &Roll, env: &Env) {
    for attempt in 0_usize.. {
        let addrs = roll.addrs();
        let addr = addrs.get(attempt % addrs.len().max(1));
        let value = format!("probe.{attempt}").into();
        if let Some(addr) = addr
            && let Some(mut connection) = Connection::open(env, addr, SESSION, Trust::Quorum).await
        {
            let operation = vec![Command::Set(probe_key("first"), value)];
            let asked = connection.ask(env, clients, vec![operation]).await;
            if asked.0.iter().any(|(_, outcome)| matches!(outcome, Outcome::Done(_))) {
                return;
            }
        }
        env.clock.sleep(RETRY).await;
    }
}

/// Asks the node at `addr` until it does what `make` says, as long as it is `there`; each attempt goes into the book.
async fn ask(
    clients: &Clients,
    env: &Env,
    addr: &str,
    there: &dyn Fn() -> bool,
    make: &mut dyn FnMut() -> Command,
) {
    while there() {
        if let Some(mut connection) = Connection::open(env, addr, SESSION, Trust::Quorum).await {
            let mut open = Some(());
            while open.is_some() && there() {
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

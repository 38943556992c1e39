//! The operator: removes nodes and hands leadership over, over the wire, as a person with a shell would.
//!
//! An order to remove a node is repeated until its outcome is certain: so at the end of a run everybody
//! knows who should be a member.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::tasks::Task;
use quorate_env::{Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::within;
use crate::resp::{Frame, Reader, encode_request};
use crate::world::HostId;

/// How long an answer may take.
const REPLY_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may take; nothing was asked before there is one.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(300);
/// Attempts that all found the node to be no member, or not to be spared, before the order is given up.
const ATTEMPTS_MAX: u32 = 8;

/// Answers in a row by which a node is no member.
const ABSENT: u32 = 12;

/// Why a node is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It is not needed any more.
    ForGood,
    /// Another one takes its place.
    Replaced,
}

/// What the operator is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Remove a member.
    Leave {
        /// Where it runs.
        host: HostId,
        /// Its name.
        name: String,
        /// Why.
        leaving: Leaving,
    },
    /// Remove whatever is left of a node that was about to join when its place was given to another.
    Forget(String),
    /// Hand leadership over, to the member of this name or to whoever is fit.
    Transfer(Option<String>),
}

/// What came of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is no member any more.
    Gone(HostId, Leaving),
    /// It is none now, and may become one yet, if it was about to join.
    NoMember(HostId, Leaving),
    /// It still is one.
    Stays(HostId),
}

/// The operator's desk: orders in, verdicts out.
#[derive(Clone, Debug, Default)]
pub struct Office {
    /// Where orders are taken: an address at which nobody is costs an operator seconds each time.
    nodes: Rc<RefCell<Vec<String>>>,
    orders: Rc<RefCell<VecDeque<Request>>>,
    verdicts: Rc<RefCell<VecDeque<Verdict>>>,
}

impl Office {
    /// Lays an order down. To hand over is an order for now, or not at all: one waits at the most.
    pub fn order(&self, request: Request) {
        let is_transfer = |request: &Request| matches!(request, Request::Transfer(_));
        if is_transfer(&request) && self.orders.borrow().iter().any(is_transfer) {
            return;
        }
        self.orders.borrow_mut().push_back(request);
    }

    /// Says where orders are taken from now on.
    pub fn list(&self, nodes: Vec<String>) {
        *self.nodes.borrow_mut() = nodes;
    }

    /// Takes a verdict.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdicts.borrow_mut().pop_front()
    }

    /// True when nothing is left to be done.
    pub fn is_idle(&self) -> bool {
        self.orders.borrow().is_empty() && self.verdicts.borrow().is_empty()
    }
}

/// The operator's main task.
pub fn operator(office: Office, env: Env) -> Task {
    Box::pin(async move {
        loop {
            let next = office.orders.borrow().front().cloned();
            if let Some(request) = next {
                let verdict = carry_out(&request, &env, &office).await;
                office.verdicts.borrow_mut().extend(verdict);
                office.orders.borrow_mut().pop_front();
            }
            env.clock.sleep(RETRY).await;
        }
    })
}

/// What a node answers.
enum Answer {
    Done,
    Refused(String),
    NotApplied,
    Unknown,
}

async fn carry_out(request: &Request, env: &Env, office: &Office) -> Option<Verdict> {
    let (host, name, leaving) = match request {
        Request::Transfer(to) => {
            let words: Vec<&str> = ["TRANSFER"].into_iter().chain(to.as_deref()).collect();
            ask_anyone(env, office, &words).await;
            return None;
        }
        Request::Forget(name) => {
            forget(env, office, name).await;
            return None;
        }
        Request::Leave { host, name, leaving } => (*host, name, *leaving),
    };
    // Once in doubt, a refusal says nothing about what an earlier attempt has done or may yet do.
    let (mut in_doubt, mut refused) = (false, 0);
    loop {
        match ask_anyone(env, office, &["LEAVE", name]).await {
            Answer::Done => return Some(Verdict::Gone(host, leaving)),
            Answer::Refused(text) if in_doubt && text.starts_with("no member") => {
                return Some(Verdict::NoMember(host, leaving));
            }
            Answer::Refused(_) if !in_doubt => {
                refused += 1;
                if refused == ATTEMPTS_MAX {
                    return Some(Verdict::Stays(host));
                }
            }
            Answer::Unknown => in_doubt = true,
            Answer::Refused(_) | Answer::NotApplied => {}
        }
        env.clock.sleep(RETRY).await;
    }
}

/// Until it was no member for a while: by then what it had asked for is done, or never will be.
async fn forget(env: &Env, office: &Office, name: &str) {
    let mut absent = 0;
    while absent < ABSENT {
        absent = match ask_anyone(env, office, &["LEAVE", name]).await {
            Answer::Refused(text) if text.starts_with("no member") => absent + 1,
            Answer::Done => ABSENT,
            Answer::Refused(_) | Answer::Unknown => 0,
            // Nobody was reached.
            Answer::NotApplied => absent,
        };
        env.clock.sleep(RETRY).await;
    }
}

async fn ask_anyone(env: &Env, office: &Office, words: &[&str]) -> Answer {
    let addr = {
        let nodes = office.nodes.borrow();
        let index = env.rng.below(nodes.len().max(1) as u64);
        nodes.get(usize::try_from(index).unwrap_or(0)).cloned()
    };
    let Some(addr) = addr else { return Answer::NotApplied };
    let Some(Ok(stream)) = within(env, CONNECT_LIMIT, env.net.connect(&addr)).await else {
        return Answer::NotApplied;
    };
    let answer = within(env, REPLY_LIMIT, ask(stream, words)).await;
    answer.flatten().unwrap_or(Answer::Unknown)
}

async fn ask(mut stream: Box<dyn Stream>, words: &[&str]) -> Option<Answer> {
    let mut bytes = Vec::new();
    encode_request(words, &mut bytes);
    stream.write_all(&bytes).await.ok()?;
    let mut reader = Reader::default();
    let mut buffer = [0; 1024];
    loop {
        if let Some(frame) = reader.next_frame().ok()? {
            return match frame {
                Frame::Simple(_) => Some(Answer::Done),
                Frame::Error(text) => Some(match text.split_once(' ') {
                    Some(("REFUSED", why)) => Answer::Refused(why.to_owned()),
                    Some(("TRYAGAIN", _)) => Answer::NotApplied,
                    _ => Answer::Unknown,
                }),
                _ => None,
            };
        }
        let len = stream.read(&mut buffer).await.ok().filter(|len| *len > 0)?;
        reader.feed(buffer.get(..len).unwrap_or_default());
    }
}

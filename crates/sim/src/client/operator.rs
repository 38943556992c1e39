//! The operator: removes and replaces nodes, gives and takes votes, and hands leadership over, over the wire, as a
//! person with a shell would.
//!
//! An order is repeated until its outcome is certain: so at the end of a run everybody knows who should be a
//! member, and who should have a vote.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use quorate_env::tasks::Task;
use quorate_env::{Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::within;
use crate::check::votes::{self, Due};
use crate::member::VOTES;
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

/// What becomes of a member's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// It gets one.
    Given,
    /// It loses it.
    Taken,
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
    /// Have a node that waits take a voter's place, in one step; where that can't be, just add it.
    Succeed {
        /// Where the voter runs.
        host: HostId,
        /// The voter's name.
        old: String,
        /// The new node's name.
        name: String,
        /// Where the new node listens.
        addr: String,
    },
    /// Give a member a vote, or take it away.
    Vote {
        /// Its name.
        name: String,
        /// Which of the two.
        vote: Vote,
    },
    /// See that votes are where they should be: nothing else is ordered any more.
    CheckVotes,
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
    /// Another node has its place.
    Succeeded(HostId),
    /// A vote was given or taken.
    Voted(Vote),
    /// Leadership was handed over.
    HandedOver,
    /// It still is one.
    Stays(HostId),
}

/// The operator's desk: orders in, verdicts out.
#[derive(Clone, Debug, Default)]
pub struct Office {
    /// Where orders are taken: an address at which nobody is costs an operator seconds each time.
    nodes: Rc<RefCell<Vec<String>>>,
    /// Who has been told to join, and to stay.
    joining: Rc<RefCell<Vec<String>>>,
    /// Who is to vote, unless an order takes the vote away.
    electorate: Rc<RefCell<Vec<String>>>,
    /// Who was a member, and voted, when that was last looked at.
    seen: Rc<RefCell<BTreeMap<String, bool>>>,
    orders: Rc<RefCell<VecDeque<Request>>>,
    verdicts: Rc<RefCell<VecDeque<Verdict>>>,
    /// Whose votes were given or taken last, by name; `None`: an order is in doubt, and may come about at any time.
    votes: Rc<RefCell<BTreeMap<String, Option<Vote>>>>,
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

    /// Says where orders are taken from now on, and who should be a member, if it is not one yet.
    pub fn list(&self, nodes: Vec<String>, joining: Vec<String>) {
        *self.nodes.borrow_mut() = nodes;
        *self.joining.borrow_mut() = joining;
    }

    /// Says who is to have a vote in the end.
    pub fn list_electorate(&self, names: Vec<String>) {
        *self.electorate.borrow_mut() = names;
    }

    /// Takes a verdict.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdicts.borrow_mut().pop_front()
    }

    /// What is under way.
    pub fn current(&self) -> Option<Request> {
        self.orders.borrow().front().cloned()
    }

    /// What each member must have in the end, as far as that is certain.
    pub fn due(&self) -> BTreeMap<String, Due> {
        let votes = self.votes.borrow();
        let due = |name: &String| match votes.get(name) {
            Some(None) => None,
            Some(Some(Vote::Taken)) => Some((name.clone(), Due::None)),
            Some(Some(Vote::Given)) | None => Some((name.clone(), Due::Vote)),
        };
        self.electorate.borrow().iter().filter_map(due).collect()
    }

    /// Who was a member, and voted, when that was last looked at.
    pub fn seen(&self) -> BTreeMap<String, bool> {
        self.seen.borrow().clone()
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
    /// Who is a member, and whether it has a vote.
    Members(BTreeMap<String, bool>),
    Refused(String),
    NotApplied,
    Unknown,
}

async fn carry_out(request: &Request, env: &Env, office: &Office) -> Option<Verdict> {
    let (host, name, leaving) = match request {
        Request::Transfer(to) => {
            let words: Vec<&str> = ["TRANSFER"].into_iter().chain(to.as_deref()).collect();
            let done = matches!(ask_anyone(env, office, &words).await, Answer::Done);
            return done.then_some(Verdict::HandedOver);
        }
        Request::Forget(name) => {
            forget(env, office, name).await;
            return None;
        }
        Request::Succeed { host, old, name, addr } => {
            return Some(succeed(env, office, *host, [old, name, addr]).await);
        }
        Request::Vote { name, vote } => {
            return set_vote(env, office, name, *vote).await;
        }
        Request::CheckVotes => {
            check_votes(env, office).await;
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
            Answer::Refused(_) | Answer::NotApplied | Answer::Members(_) => {}
        }
        env.clock.sleep(RETRY).await;
    }
}

/// Until the new node has a vote: in the old one's place, or beside it where that could not be.
async fn succeed(env: &Env, office: &Office, host: HostId, names: [&str; 3]) -> Verdict {
    let [old, name, addr] = names;
    // Who is about to join knows the addresses that it was started with, and might find nobody any more.
    loop {
        if let Answer::Members(members) = ask_anyone(env, office, &["STATUS"]).await
            && members.contains_key(old)
            && office.joining.borrow().iter().all(|name| members.contains_key(name))
        {
            break;
        }
        env.clock.sleep(RETRY).await;
    }
    let mut refused = 0;
    loop {
        let words: &[&str] = &["JOIN", name, addr, old];
        // It may be no voter any more, or have lost its log meanwhile: then there is no place to take.
        let words = if refused < ATTEMPTS_MAX { words } else { &["JOIN", name, addr] };
        match ask_anyone(env, office, words).await {
            Answer::Done => break,
            Answer::Refused(_) => refused += 1,
            Answer::NotApplied | Answer::Unknown | Answer::Members(_) => {}
        }
        env.clock.sleep(RETRY).await;
    }
    loop {
        let answer = ask_anyone(env, office, &["STATUS"]).await;
        if let Answer::Members(members) = answer {
            let votes = members.get(name) == Some(&true);
            // Of more voters than there may be none gets a vote beside the old one.
            let settled = votes || refused >= ATTEMPTS_MAX && members.contains_key(name);
            match (settled, members.contains_key(old)) {
                (true, true) => return Verdict::Stays(host),
                (true, false) => return Verdict::Succeeded(host),
                (false, _) => {}
            }
        }
        env.clock.sleep(RETRY).await;
    }
}

/// Until it is certain, or refused: then nothing has changed.
async fn set_vote(env: &Env, office: &Office, name: &str, vote: Vote) -> Option<Verdict> {
    let word = if vote == Vote::Given { "PROMOTE" } else { "DEMOTE" };
    let mut refused = 0;
    while refused < ATTEMPTS_MAX {
        match ask_anyone(env, office, &[word, name]).await {
            Answer::Done => {
                let mut votes = office.votes.borrow_mut();
                let known = votes.entry(name.to_owned()).or_insert(Some(vote));
                *known = known.map(|_| vote);
                return Some(Verdict::Voted(vote));
            }
            // Somebody may still be about to pass it on.
            Answer::Unknown => {
                office.votes.borrow_mut().insert(name.to_owned(), None);
            }
            Answer::Refused(_) => refused += 1,
            Answer::NotApplied | Answer::Members(_) => {}
        }
        env.clock.sleep(RETRY).await;
    }
    None
}

/// Until each member has a vote, if there is room for it, and none has that lost it.
async fn check_votes(env: &Env, office: &Office) {
    while !office.electorate.borrow().is_empty() {
        if let Answer::Members(members) = ask_anyone(env, office, &["STATUS"]).await {
            let missing = votes::missing(&office.due(), &members);
            *office.seen.borrow_mut() = members;
            if missing.is_empty() {
                return;
            }
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
            Answer::NotApplied | Answer::Members(_) => absent,
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
                Frame::Array(rows) => {
                    Some(Answer::Members(rows.into_iter().filter_map(row).collect()))
                }
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

fn row(frame: Frame) -> Option<(String, bool)> {
    let Frame::Array(words) = frame else { return None };
    match <[Frame; 2]>::try_from(words) {
        Ok([Frame::Bulk(name), Frame::Bulk(may)]) => Some((name, may == VOTES)),
        _ => None,
    }
}

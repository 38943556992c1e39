//! What becomes of a request about members that was not applied at first: a node that answers by a script.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use quorate_api::{AdminReply, AdminRequest, Api, Session, Status, api::Administering};
use tokio::sync::oneshot;

use super::LONG;
use crate::Error;
use crate::errand::{self, Change, Request};

type Said = Result<AdminReply, quorate_api::Error>;

/// Says what it was told to, one answer after the other, and counts what it is asked.
#[derive(Default)]
struct Script {
    answers: RefCell<VecDeque<Said>>,
    asked: RefCell<Vec<AdminRequest>>,
}

impl Api for Script {
    fn open(&self) -> Box<dyn Session> {
        panic!("nobody asks for keys here")
    }

    fn status(&self) -> Status {
        Status::default()
    }

    fn administer(&self, request: AdminRequest) -> Administering {
        self.asked.borrow_mut().push(request);
        let answer = self.answers.borrow_mut().pop_front();
        Box::pin(std::future::ready(answer.expect("no question beyond the script")))
    }
}

/// What a caller is told by a node that gives these answers, and how often the node was asked.
fn told(
    answers: impl Into<VecDeque<Said>>,
    patience: Duration,
) -> (Result<AdminReply, Error>, usize) {
    let script = Rc::new(Script { answers: RefCell::new(answers.into()), ..Script::default() });
    let node = Rc::clone(&script);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = tokio::task::LocalSet::new().block_on(&runtime, async move {
        let (requests, asked) = errand::channel();
        let env = quorate_env::real::env();
        let tasks = std::sync::Arc::clone(&env.tasks);
        tasks.spawn(Box::pin(errand::serve(env, node, Duration::ZERO, asked)));
        let change = Change {
            request: AdminRequest::Promote { member: "n2".to_owned() },
            until: Box::new(|_| true),
        };
        let (answer, answered) = oneshot::channel();
        drop(requests.send(Request::Administer(change, patience, answer)).await);
        answered.await.expect("every request is answered")
    });
    let asked = script.asked.borrow();
    let promote = AdminRequest::Promote { member: "n2".to_owned() };
    assert!(asked.iter().all(|request| *request == promote), "{asked:?}");
    (answer, asked.len())
}

fn not_applied() -> Said {
    Err(quorate_api::Error::not_applied("no leader is known"))
}

#[test]
fn what_was_not_applied_is_asked_for_again_until_it_is() {
    let full = Err(quorate_api::Error::Overloaded { reason: "full".into() });
    let (answer, asked) = told([not_applied(), full, not_applied(), Ok(AdminReply::Done)], LONG);
    assert_eq!((answer, asked), (Ok(AdminReply::Done), 4));
}

#[test]
fn what_is_in_doubt_or_refused_is_asked_for_once() {
    let doubt = Err(quorate_api::Error::unknown("the answer was lost"));
    let (answer, asked) = told([not_applied(), doubt], LONG);
    assert_eq!((answer, asked), (Err(Error::unknown("the answer was lost")), 2));
    let refused = || AdminReply::Refused("it has a vote".to_owned());
    assert_eq!(told([Ok(refused())], LONG), (Ok(refused()), 1));
}

#[test]
fn without_time_for_another_attempt_the_caller_is_told_that_nothing_was_applied() {
    let (answer, asked) = told([not_applied()], Duration::from_millis(1));
    assert!(matches!(answer, Err(Error::NotApplied { .. })) && asked == 1, "{answer:?}");
}

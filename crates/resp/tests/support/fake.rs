//! A fake member: a map of strings, answers at once or when it is told to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quorate_api::api::Administering;
use quorate_api::status::{MemberStatus, Role};
use quorate_api::{
    AdminReply, AdminRequest, Answer, Api, Args, Call, CommandId, Consistency, Error, Reply,
    Status, Transaction,
};

/// A string and its revision.
type Stored = (Bytes, u64);

#[derive(Default)]
pub struct Fake {
    store: RefCell<BTreeMap<(u8, Vec<u8>), Stored>>,
    revision: Cell<u64>,
    /// When set, so many answers may still be given.
    allowance: Cell<Option<usize>>,
    wakers: RefCell<Vec<Waker>>,
    /// What sessions were told.
    pub consistencies: RefCell<Vec<Option<Consistency>>>,
    /// Commands submitted.
    pub submitted: Cell<usize>,
    pub is_follower: Cell<bool>,
}

impl Fake {
    /// From now on answers wait for [`Fake::release`].
    pub fn hold(&self) {
        self.allowance.set(Some(0));
    }

    /// Gives `count` more answers; all, and those to come, for `usize::MAX`.
    pub fn release(&self, count: usize) {
        let allowance = self.allowance.get().unwrap_or_default();
        self.allowance.set((count != usize::MAX).then(|| allowance + count));
        self.wakers.borrow_mut().drain(..).for_each(Waker::wake);
    }

    pub fn put(&self, key: &[u8], value: Bytes) {
        self.revision.set(self.revision.get() + 1);
        self.store.borrow_mut().insert((0, key.to_vec()), (value, self.revision.get()));
    }

    fn is_allowed(&self) -> bool {
        match self.allowance.get() {
            None => true,
            Some(0) => false,
            Some(count) => {
                self.allowance.set(Some(count - 1));
                true
            }
        }
    }

    fn value(&self, db: u8, key: &[u8]) -> Option<Stored> {
        self.store.borrow().get(&(db, key.to_vec())).cloned()
    }

    fn write(&self, db: u8, key: &[u8], value: Bytes) {
        self.revision.set(self.revision.get() + 1);
        self.store.borrow_mut().insert((db, key.to_vec()), (value, self.revision.get()));
    }

    fn execute(&self, id: CommandId, db: u8, args: Args<'_>) -> Answer {
        let key = args.at(1);
        match key {
            b"fail:not-applied" => {
                return Err(Error::NotApplied {
                    reason: "leadership moved".into(),
                    hint: Some("10.0.0.2:7000".into()),
                });
            }
            b"fail:no-leader" => return Err(Error::not_applied("no leader is known")),
            b"fail:unknown" => return Err(Error::unknown("the leader fell silent")),
            b"fail:overloaded" => return Err(Error::Overloaded { reason: "too much".into() }),
            b"fail:stopped" => return Err(Error::Stopped { reason: "failed fsync".into() }),
            b"wrong-type" => return Ok(Reply::wrong_type()),
            _ => {}
        }
        let get = |key: &[u8]| Reply::bulk_or_nil(self.value(db, key).map(|(value, _)| value));
        Ok(match id {
            CommandId::Get => get(key),
            CommandId::Mget => Reply::Array(args.iter_from(1).map(get).collect()),
            CommandId::Set => {
                self.write(db, key, Bytes::copy_from_slice(args.at(2)));
                Reply::Ok
            }
            CommandId::Getdel => {
                let old = self.store.borrow_mut().remove(&(db, key.to_vec()));
                Reply::bulk_or_nil(old.map(|(value, _)| value))
            }
            CommandId::Incr => {
                let old = self.value(db, key).map_or(Some(0), |(value, _)| {
                    str::from_utf8(&value).ok().and_then(|text| text.parse::<i64>().ok())
                });
                let Some(old) = old else { return Ok(Reply::not_an_integer()) };
                self.write(db, key, (old + 1).to_string().into());
                Reply::Int(old + 1)
            }
            CommandId::Del => {
                let delete = |key: &[u8]| self.store.borrow_mut().remove(&(db, key.to_vec()));
                let count = args.iter_from(1).filter_map(delete).count();
                self.revision.set(self.revision.get() + 1);
                Reply::Int(i64::try_from(count).unwrap())
            }
            CommandId::Revisions => {
                let revision = |key: &[u8]| self.value(db, key).map_or(0, |(_, revision)| revision);
                let all = args.iter_from(1).map(revision).chain([self.revision.get()]);
                Reply::Array(all.map(|number| Reply::Int(number.cast_signed())).collect())
            }
            CommandId::Object => Reply::bulk(b"embstr"),
            CommandId::Dbsize => {
                let store = self.store.borrow();
                Reply::Int(i64::try_from(store.keys().filter(|key| key.0 == db).count()).unwrap())
            }
            other => panic!("the fake member does not know {other:?}"),
        })
    }

    fn transact(&self, transaction: Transaction) -> Answer {
        for watch in &transaction.watches {
            let revision = self.value(watch.db, &watch.key).map_or(0, |(_, revision)| revision);
            if revision != watch.revision {
                return Ok(Reply::NilArray);
            }
        }
        let mut replies = Vec::new();
        for call in &transaction.calls {
            replies.push(self.execute(call.spec.id, call.db, call.args.as_args())?);
        }
        Ok(Reply::Array(replies))
    }
}

/// One connection to the fake member.
struct FakeSession {
    fake: Rc<Fake>,
    answers: VecDeque<Answer>,
}

impl quorate_api::Session for FakeSession {
    fn submit(&mut self, call: Call<'_>) {
        self.fake.submitted.set(self.fake.submitted.get() + 1);
        self.answers.push_back(self.fake.execute(call.spec.id, call.db, call.args));
    }
    fn transact(&mut self, transaction: Transaction) {
        self.answers.push_back(self.fake.transact(transaction));
    }
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        if !self.answers.is_empty() && self.fake.is_allowed() {
            return Poll::Ready(self.answers.pop_front().unwrap());
        }
        self.fake.wakers.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
    fn outstanding(&self) -> usize {
        self.answers.len()
    }
    fn set_consistency(&mut self, consistency: Option<Consistency>) {
        self.fake.consistencies.borrow_mut().push(consistency);
    }
    fn seen_index(&self) -> u64 {
        self.fake.revision.get()
    }
}

/// The door to the fake member.
pub struct Door(pub Rc<Fake>);

impl Api for Door {
    fn open(&self) -> Box<dyn quorate_api::Session> {
        Box::new(FakeSession { fake: Rc::clone(&self.0), answers: VecDeque::new() })
    }
    fn status(&self) -> Status {
        let is_follower = self.0.is_follower.get();
        let member = |node: u64| MemberStatus {
            node,
            id: format!("node{node}"),
            addr: format!("10.0.0.{node}:7000"),
            voter: true,
            leader: node == if is_follower { 2 } else { 1 },
            matched: 41,
            lag: 1,
            alive: true,
            ..MemberStatus::default()
        };
        Status {
            id: "node1".into(),
            node: 1,
            addr: "10.0.0.1:7000".into(),
            cluster: "c0ffee".into(),
            group: 1,
            role: if is_follower { Role::Follower } else { Role::Leader },
            leader: if is_follower { 2 } else { 1 },
            term: 3,
            commit: 42,
            applied: 42,
            members: vec![member(1), member(2), member(3)],
            engine: "memory",
            engine_memory_bytes: 1536,
            max_memory_bytes: 1 << 30,
            databases: vec![(0, 2, 1)],
            uptime_ms: 90_061_000,
            ..Status::default()
        }
    }
    fn administer(&self, request: AdminRequest) -> Administering {
        let AdminRequest::Wait { index, replicas, timeout_ms } = request else {
            panic!("the fake member knows only WAIT");
        };
        Box::pin(async move {
            if timeout_ms == 0 && replicas > 2 {
                std::future::pending::<()>().await;
            }
            assert!(index < 1000);
            Ok(AdminReply::Replicas(2))
        })
    }
}

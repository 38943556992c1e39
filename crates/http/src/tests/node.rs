//! A node that is a map: executes what the front-end may send, and writes down what it was sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_api::handle::Requests;
use quorate_api::status::{MemberStatus, Role};
use quorate_api::{
    AdminReply, AdminRequest, Backup, CommandId, Consistency, Error, Event, EventPlace,
    Idempotency, OwnedCall, Reply, Request, Status,
};

/// A value, its revision, its time to live in milliseconds.
type Entry = (Vec<u8>, i64, i64);

/// The node.
pub(super) struct Node {
    pub(super) data: BTreeMap<Vec<u8>, Entry>,
    pub(super) revision: i64,
    pub(super) status: Status,
    /// Answers every command and request of an administrator, where set.
    pub(super) failure: Option<Error>,
    /// Answers every command, where set.
    pub(super) reply: Option<Reply>,
    /// Answers every request of an administrator, where set.
    pub(super) refusal: Option<&'static str>,
    /// Drops what it is asked, as a thread that ends.
    pub(super) dies: bool,
    /// Never answers.
    pub(super) hangs: bool,
    /// The commands it was sent, arguments joined by blanks.
    pub(super) calls: Vec<String>,
    pub(super) consistencies: Vec<Consistency>,
    pub(super) idempotencies: Vec<Option<Idempotency>>,
    pub(super) administered: Vec<AdminRequest>,
    /// Fails every request behind the first events.
    pub(super) fails_when_told: bool,
    /// What the next reader of events gets.
    pub(super) events: Vec<Event>,
    /// The pieces of a backup.
    pub(super) backup: Vec<Result<Bytes, Error>>,
    held: Vec<Request>,
}

impl Node {
    pub(super) fn new() -> Self {
        Self {
            data: BTreeMap::new(),
            revision: 0,
            status: status(),
            failure: None,
            reply: None,
            refusal: None,
            dies: false,
            hangs: false,
            calls: Vec::new(),
            consistencies: Vec::new(),
            idempotencies: Vec::new(),
            administered: Vec::new(),
            fails_when_told: false,
            events: Vec::new(),
            backup: Vec::new(),
            held: Vec::new(),
        }
    }

    pub(super) async fn run(&mut self, requests: &mut Requests) {
        while let Some(request) = requests.recv().await {
            if self.hangs {
                self.held.push(request);
            } else if !self.dies {
                self.answer(request);
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Call(call, sender) => drop(sender.send(self.call(&call))),
            Request::Transact(..) => panic!("no dialect has transactions"),
            Request::Status(sender) => drop(sender.send(self.status.clone())),
            Request::BackUp(consistency, sender) => {
                self.consistencies.push(consistency);
                let (pieces, backup) = tokio::sync::mpsc::channel(self.backup.len().max(1));
                for piece in &self.backup {
                    pieces.try_send(piece.clone()).unwrap();
                }
                let backup = Backup { index: 7, pieces: backup };
                drop(sender.send(self.failure.clone().map_or(Ok(backup), Err)));
            }
            Request::Administer(request, sender) => drop(sender.send(self.administer(&request))),
        }
    }

    fn call(&mut self, call: &OwnedCall) -> Result<Reply, Error> {
        let arguments: Vec<&[u8]> = call.args.as_args().iter_from(0).collect();
        self.calls.push(String::from_utf8_lossy(&arguments.join(&b' ')).into_owned());
        self.consistencies.push(call.consistency);
        self.idempotencies.push(call.idempotency.clone());
        assert_eq!(call.db, 0);
        match (&self.failure, &self.reply) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(reply)) => Ok(reply.clone()),
            (None, None) => Ok(self.execute(call.spec.id, &arguments)),
        }
    }

    fn execute(&mut self, id: CommandId, arguments: &[&[u8]]) -> Reply {
        match (id, arguments) {
            (CommandId::Get, [_, key]) => {
                Reply::bulk_or_nil(self.data.get(*key).map(|(value, ..)| value.clone().into()))
            }
            (CommandId::Set, [_, key, value]) => self.put(key, value, 0),
            (CommandId::Mset, [_, pairs @ ..]) => {
                for pair in pairs.chunks(2) {
                    self.put(pair[0], pair[1], 0);
                }
                Reply::Ok
            }
            (CommandId::Del, [_, key]) => Reply::Int(i64::from(self.data.remove(*key).is_some())),
            (CommandId::KvGet, [_, key]) => self.data.get(*key).map_or(Reply::Nil, |entry| {
                let (value, revision, expiry) = entry.clone();
                let expiry = if expiry == 0 { Reply::Nil } else { Reply::Int(expiry) };
                Reply::Array(vec![Reply::Bulk(value.into()), Reply::Int(revision), expiry])
            }),
            (CommandId::KvPut, [_, key, value, condition, ttl]) => {
                if let Err(reply) = self.holds(key, condition) {
                    return reply;
                }
                self.put(key, value, text(ttl).parse().unwrap());
                Reply::Array(vec![Reply::Int(1), Reply::Int(self.revision)])
            }
            (CommandId::KvDelete, [_, key, condition]) => {
                if let Err(reply) = self.holds(key, condition) {
                    return reply;
                }
                match self.data.remove(*key) {
                    None => Reply::Array(vec![Reply::Int(0), Reply::Int(0)]),
                    Some(_) => {
                        self.revision += 1;
                        Reply::Array(vec![Reply::Int(1), Reply::Int(self.revision)])
                    }
                }
            }
            _ => panic!("no dialect sends {id:?}"),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], expiry: i64) -> Reply {
        self.revision += 1;
        self.data.insert(key.to_vec(), (value.to_vec(), self.revision, expiry));
        Reply::Ok
    }

    fn holds(&self, key: &[u8], condition: &[u8]) -> Result<(), Reply> {
        let current = self.data.get(key).map_or(0, |(_, revision, _)| *revision);
        let holds = match text(condition) {
            "" => true,
            "*" => current == 0,
            "+" => current > 0,
            revision => current == revision.parse::<i64>().unwrap(),
        };
        let refusal = || Reply::Array(vec![Reply::Int(0), Reply::Int(current)]);
        if holds { Ok(()) } else { Err(refusal()) }
    }

    fn administer(&mut self, request: &AdminRequest) -> Result<AdminReply, Error> {
        self.administered.push(request.clone());
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if let Some(refusal) = self.refusal {
            return Ok(AdminReply::Refused(refusal.to_owned()));
        }
        Ok(match request {
            AdminRequest::ReadLog { index } => AdminReply::LogEntry {
                index: *index,
                term: 2,
                kind: "command",
                data: "SET k v".to_owned(),
            },
            AdminRequest::Events { after } => {
                let place = after.unwrap_or(EventPlace { run: 0xab, number: 1 });
                let events = std::mem::take(&mut self.events);
                if self.fails_when_told {
                    self.failure = Some(Error::Stopped { reason: "it ends".into() });
                }
                let number = events.last().map_or(place.number, |event| event.number);
                AdminReply::Events { place: EventPlace { number, ..place }, events }
            }
            AdminRequest::ClusterStatus => AdminReply::Status(Box::new(self.status.clone())),
            _ => AdminReply::Done,
        })
    }

    pub(super) fn with(mut self, key: &[u8], value: &[u8]) -> Self {
        self.put(key, value, 0);
        self
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Three members, of which this one leads.
fn status() -> Status {
    let member = |node: u64, voter| MemberStatus {
        node,
        id: format!("node{node}"),
        addr: format!("10.0.0.{node}:7000"),
        voter,
        leader: node == 1,
        matched: 42,
        alive: true,
        ..MemberStatus::default()
    };
    Status {
        id: "node1".to_owned(),
        node: 1,
        addr: "10.0.0.1:7000".to_owned(),
        cluster: "c0ffee".to_owned(),
        role: Role::Leader,
        leader: 1,
        term: 2,
        commit: 42,
        applied: 42,
        digest: u64::MAX,
        format_highest: 2,
        engine: "memory",
        members: vec![member(1, true), member(2, true), member(3, false)],
        databases: vec![(0, 7, 2)],
        fsync_p99_us: 1_500,
        uptime_ms: 61_005,
        ..Status::default()
    }
}

/// A name as the front-end passes it on.
pub(super) fn idempotency(client: &'static str) -> Idempotency {
    Idempotency { client: Bytes::from_static(client.as_bytes()), sequence: 0 }
}

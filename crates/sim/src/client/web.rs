//! Sessions over HTTP: values with their revisions, conditional writes, and named writes, which are sent again,
//! to any node, until their outcome is certain.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::tasks::Task;
use quorate_env::{Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::{CONNECT_LIMIT, REPLY_LIMIT};
use super::workload::register;
use super::{Clients, Trust, within};
use crate::history::{Command, Condition, Key, OperationId, Outcome, Repeat, Reply, Value};
use crate::http::{Reader, Request, Response};

/// Attempts after which a client gives a named write up, and does not know.
const ATTEMPTS_MAX: u32 = 12;

/// An open connection.
struct Connection {
    stream: Box<dyn Stream>,
    reader: Reader,
    number: u64,
    host: String,
}

impl Connection {
    async fn open(env: &Env, addr: &str) -> Option<Self> {
        let stream = within(env, CONNECT_LIMIT, env.net.connect(addr)).await?.ok()?;
        let (reader, number, host) = (Reader::default(), env.rng.next_u64(), addr.to_owned());
        Some(Self { stream, reader, number, host })
    }

    async fn talk(&mut self, request: &Request) -> io::Result<Response> {
        let mut bytes = Vec::new();
        request.encode(&self.host, &mut bytes);
        self.stream.write_all(&bytes).await?;
        let mut buffer = [0; 4096];
        loop {
            let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
            if let Some(response) = self.reader.next_response().map_err(malformed)? {
                return Ok(response);
            }
            let len = self.stream.read(&mut buffer).await?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.reader.feed(buffer.get(..len).unwrap_or_default());
        }
    }

    /// Sends `command`; what is known of it, and whether the connection goes on.
    async fn ask(&mut self, env: &Env, command: &Command, trust: Trust) -> (Outcome, bool) {
        match within(env, REPLY_LIMIT, self.talk(&request(command, trust))).await {
            Some(Ok(response)) => (outcome(command, &response), true),
            Some(Err(error)) => (Outcome::Unknown(error.kind().to_string().into()), false),
            None => (Outcome::Unknown("no reply in time".into()), false),
        }
    }
}

fn request(command: &Command, trust: Trust) -> Request {
    let path = format!("/v1/kv/{}", command.key());
    let quoted = |revision: &u64| format!("\"{revision}\"");
    match command {
        Command::Put { value, condition, name, .. } => {
            let mut headers = Vec::new();
            match condition {
                Condition::None => {}
                Condition::Absent => headers.push(("if-none-match", "*".to_owned())),
                Condition::At(revision) => headers.push(("if-match", quoted(revision))),
            }
            headers.extend(name.as_ref().map(|name| ("idempotency-key", name.to_string())));
            Request { method: "PUT", path, headers, body: value.to_string() }
        }
        Command::Remove(_, revision) => {
            let headers = vec![("if-match", quoted(revision))];
            Request { method: "DELETE", path, headers, ..Request::default() }
        }
        _ => {
            let query = match trust {
                Trust::Quorum => "",
                Trust::Lease => "?consistency=lease",
                Trust::Nobody => "?consistency=stale",
            };
            Request { method: "GET", path: format!("{path}{query}"), ..Request::default() }
        }
    }
}

fn outcome(command: &Command, response: &Response) -> Outcome {
    let reply = match (command, response.status, response.revision) {
        (Command::Read(_), 200, Some(revision)) => {
            Reply::At(response.body.as_str().into(), revision)
        }
        (Command::Read(_), 404, _) if response.body.contains("key-not-found") => Reply::Nil,
        (Command::Put { .. }, 201 | 204, Some(revision)) => Reply::Revision(revision),
        (Command::Remove(..), 204, _) => Reply::Ok,
        (Command::Put { .. } | Command::Remove(..), 412, _) => Reply::Refused,
        _ => match response.field("outcome") {
            Some("not-applied") => return Outcome::NotApplied("HTTP not-applied".into()),
            Some("unknown") => return Outcome::Unknown("HTTP unknown".into()),
            _ => Reply::Unexpected(format!("{} {}", response.status, response.body).into()),
        },
    };
    Outcome::Done(vec![reply])
}

/// One client.
struct Session {
    number: u32,
    trust: Trust,
    clients: Clients,
    env: Env,
    values: u64,
    /// The revision last seen of a key; what conditions name.
    seen: BTreeMap<Key, u64>,
    node: usize,
    connection: Option<Connection>,
}

/// The main task of session `number`.
pub fn session(clients: Clients, number: u32, trust: Trust, env: Env) -> Task {
    let node = usize::try_from(env.rng.below(clients.nodes.len().max(1) as u64)).unwrap_or(0);
    let (seen, connection) = (BTreeMap::new(), None);
    let session = Session { number, trust, clients, env, values: 0, seen, node, connection };
    Box::pin(session.run())
}

impl Session {
    async fn run(mut self) {
        while !self.clients.stopping.get() {
            let command = self.draw();
            if matches!(command, Command::Put { name: Some(_), .. }) {
                self.insist(command).await;
            } else {
                self.ask_once(command).await;
            }
            if self.env.rng.below(40) == 0 {
                self.connection = None;
            }
            self.pause(5..120).await;
        }
        std::future::pending::<()>().await;
    }

    async fn pause(&self, ms: std::ops::Range<u64>) {
        let ms = ms.start + self.env.rng.below(ms.end - ms.start);
        self.env.clock.sleep(Duration::from_millis(ms)).await;
    }

    fn draw(&mut self) -> Command {
        let key = register(&self.env);
        self.values += 1;
        let (value, name): (Value, Rc<str>) = (
            format!("{}s{}.{}", self.clients.padding, self.number, self.values).into(),
            format!("session-{}-{}", self.number, self.values).into(),
        );
        let condition = match (self.env.rng.below(8), self.seen.get(&key)) {
            (0, _) => Condition::Absent,
            (1..=3, Some(revision)) => Condition::At(*revision),
            _ => Condition::None,
        };
        match (self.env.rng.below(12), self.seen.get(&key)) {
            (0..=2, _) => Command::Put { key, value, condition, name: None },
            (3..=5, _) => {
                let name = Some(name).filter(|_| self.clients.names);
                Command::Put { key, value, condition, name }
            }
            (6, Some(revision)) => Command::Remove(key, *revision),
            _ => Command::Read(key),
        }
    }

    /// The connection, to the next node where there is none.
    async fn connected(&mut self) -> Option<&mut Connection> {
        if self.connection.is_none() {
            self.node = (self.node + 1) % self.clients.nodes.len().max(1);
            let addr = self.clients.nodes.get(self.node).cloned()?;
            self.connection = Connection::open(&self.env, &addr).await;
        }
        self.connection.as_mut()
    }

    fn learn(&mut self, key: &Key, outcome: &Outcome) {
        let Outcome::Done(replies) = outcome else { return };
        match replies.first() {
            Some(Reply::At(_, revision) | Reply::Revision(revision)) => {
                self.seen.insert(Rc::clone(key), *revision);
            }
            Some(Reply::Nil | Reply::Ok) => {
                self.seen.remove(key);
            }
            _ => {}
        }
    }

    fn call(&self, connection: u64, command: &Command) -> OperationId {
        self.clients.call(self.trust.asker(self.number, connection), vec![command.clone()])
    }

    /// One attempt.
    async fn attempt(&mut self, command: &Command) -> Option<Outcome> {
        let (env, trust) = (self.env.clone(), self.trust);
        let (outcome, goes_on) = self.connected().await?.ask(&env, command, trust).await;
        let refused = matches!(outcome, Outcome::NotApplied(_));
        if !goes_on || refused && self.env.rng.below(2) == 0 {
            self.connection = None;
        }
        Some(outcome)
    }

    async fn ask_once(&mut self, command: Command) {
        let Some(connection) = self.connected().await.map(|it| it.number) else {
            return self.pause(20..200).await;
        };
        let id = self.call(connection, &command);
        let Some(outcome) = self.attempt(&command).await else { return };
        self.learn(command.key(), &outcome);
        self.clients.finish(id, outcome);
    }

    /// Sends a named write until it is answered: all attempts are one operation. Now and then once more.
    async fn insist(&mut self, command: Command) {
        let id = self.call(0, &command);
        let mut last = Outcome::NotApplied("never sent".into());
        let mut in_doubt = false;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                self.clients.now.count("a named write was sent again");
                self.pause(20..400).await;
            }
            let Some(outcome) = self.attempt(&command).await else { continue };
            in_doubt |= matches!(outcome, Outcome::Unknown(_));
            last = outcome;
            if matches!(last, Outcome::Done(_)) || self.clients.stopping.get() {
                break;
            }
        }
        // What an earlier attempt left in doubt, no later refusal settles.
        if in_doubt && matches!(last, Outcome::NotApplied(_)) {
            last = Outcome::Unknown("an earlier attempt is in doubt".into());
        }
        self.learn(command.key(), &last);
        let is_done = matches!(last, Outcome::Done(_));
        self.clients.finish(id, last);
        if is_done && self.env.rng.below(3) == 0 {
            self.send_once_more(id, &command).await;
        }
    }

    async fn send_once_more(&mut self, of: OperationId, command: &Command) {
        self.pause(1..1500).await;
        if self.env.rng.below(2) == 0 {
            self.connection = None;
        }
        if let Some(Outcome::Done(replies)) = self.attempt(command).await {
            self.clients.now.count("a named write was answered twice");
            let repeats = replies.into_iter().map(|reply| Repeat { of, reply });
            self.clients.history.borrow_mut().repeats.extend(repeats);
        }
    }
}

//! A client's connection: commands out, replies in, and what each reply means for the book.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::{Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Clients, Trust, within};
use crate::history::{Asker, Command, Key, OperationId, Outcome, Reply, Value};
use crate::resp::{Frame, Reader, encode_request};

/// How long a client waits for a connection.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_millis(800);
/// How long a client waits for a reply before it hangs up: longer than a node takes to say that it does not know.
pub(super) const REPLY_LIMIT: Duration = Duration::from_millis(3_500);

/// What is counted of blocks: one that never commits, or never aborts, proves nothing.
const COMMITTED: &str = "a block under WATCH was committed";
const ABORTED: &str = "a block under WATCH was aborted";
const BLOCK: &str = "a block was committed";

/// What a block under WATCH is about.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What it writes if nobody else has.
    pub write: Key,
    /// The new value.
    pub value: Value,
    /// What it reads, and nobody may have changed either.
    pub guard: Option<Key>,
}

/// An open connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    reader: Reader,
    asker: Asker,
    /// Operations under way, oldest first.
    under_way: std::collections::VecDeque<(OperationId, Vec<Command>)>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.stream.peer_addr())
    }
}

impl Connection {
    /// Connects to `addr`, and says how much the reads of `session` may miss.
    pub async fn open(env: &Env, addr: &str, session: u32, trust: Trust) -> Option<Self> {
        let stream = within(env, CONNECT_LIMIT, env.net.connect(addr)).await?.ok()?;
        let asker = trust.asker(session, env.rng.next_u64());
        let (reader, under_way) = (Reader::default(), Default::default());
        let mut connection = Self { stream, reader, asker, under_way };
        let words: &[&str] = match trust {
            Trust::Quorum => return Some(connection),
            Trust::Lease => &["CLIENT", "CONSISTENCY", "LEASE"],
            Trust::Nobody => &["CLIENT", "CONSISTENCY", "STALE"],
        };
        let agreed = async {
            let mut bytes = Vec::new();
            encode_request(words, &mut bytes);
            connection.stream.write_all(&bytes).await?;
            connection.frame().await
        };
        let agreed = within(env, CONNECT_LIMIT, agreed).await?.ok()?;
        (agreed == Frame::Simple("OK".to_owned())).then_some(connection)
    }

    /// Asks for all of `operations` at once, one reply after the other, and notes what comes. Returns their
    /// outcomes; `None` when the connection is of no more use.
    pub async fn ask(
        &mut self,
        env: &Env,
        clients: &Clients,
        operations: Vec<Vec<Command>>,
    ) -> (Vec<(OperationId, Outcome)>, Option<()>) {
        let mut bytes = Vec::new();
        for commands in operations {
            encode_operation(&commands, &mut bytes);
            self.under_way.push_back((clients.call(self.asker, commands.clone()), commands));
        }
        let mut outcomes = Vec::new();
        let talked = within(env, REPLY_LIMIT, self.talk(&bytes, clients, &mut outcomes)).await;
        let failure = match talked {
            Some(Ok(())) => return (outcomes, Some(())),
            Some(Err(error)) => error.kind().to_string(),
            None => "no reply in time".to_owned(),
        };
        for (id, _) in self.under_way.drain(..) {
            let outcome = Outcome::Unknown(failure.as_str().into());
            clients.finish(id, outcome.clone());
            outcomes.push((id, outcome));
        }
        (outcomes, None)
    }

    /// Watches keys, reads them, and sets one of them in a block if nobody has changed any since. Returns what is known
    /// of the write; `None` when the connection is of no more use.
    pub async fn watch_and_set(
        &mut self,
        env: &Env,
        clients: &Clients,
        watched: Watched,
    ) -> Option<Outcome> {
        let Watched { write, value, guard } = watched;
        let keys = || [Some(&write), guard.as_ref()].into_iter().flatten();
        let mut bytes = Vec::new();
        let words: Vec<&str> = ["WATCH"].into_iter().chain(keys().map(|key| &**key)).collect();
        encode_request(&words, &mut bytes);
        self.stream.write_all(&bytes).await.ok()?;
        let answer = within(env, REPLY_LIMIT, self.frame()).await?.ok()?;
        let reads = keys().map(|key| vec![Command::Get(Rc::clone(key))]).collect();
        let (read, open) = self.ask(env, clients, reads).await;
        open?;
        env.clock.sleep(Duration::from_millis(env.rng.below(60))).await;
        let mut seen = read.into_iter().map(|(_, outcome)| match outcome {
            Outcome::Done(replies) => replies.into_iter().next(),
            Outcome::NotApplied(_) | Outcome::Unknown(_) => None,
        });
        let (Frame::Simple(_), Some(Some(Reply::Value(expected)))) = (answer, seen.next()) else {
            return None;
        };
        let guarded = seen.next().flatten();
        let mut bytes = Vec::new();
        encode_request(&["MULTI"], &mut bytes);
        encode_request(&["SET", &write, &value], &mut bytes);
        let mut commands = vec![Command::SetIfEq { key: Rc::clone(&write), expected, value }];
        if let Some(guard) = &guard {
            encode_request(&["GET", guard], &mut bytes);
            commands.push(Command::Get(Rc::clone(guard)));
        }
        encode_request(&["EXEC"], &mut bytes);
        let replies = commands.len() + 2;
        let id = clients.call(self.asker, commands);
        let asked = async {
            self.stream.write_all(&bytes).await?;
            self.frames(replies).await.map(|mut frames| frames.pop())
        };
        let outcome = match within(env, REPLY_LIMIT, asked).await {
            // Also where the value is as it was: it may have been away meanwhile.
            Some(Ok(Some(Frame::Nil))) => {
                clients.now.count(ABORTED);
                Outcome::NotApplied("aborted".into())
            }
            Some(Ok(Some(Frame::Array(frames)))) => {
                clients.now.count(COMMITTED);
                Outcome::Done(unchanged(frames.into_iter().map(reply).collect(), guarded))
            }
            Some(Ok(Some(frame))) => outcome(&[], vec![frame]),
            Some(Ok(None)) => Outcome::Unknown("no reply".into()),
            Some(Err(error)) => Outcome::Unknown(error.kind().to_string().into()),
            None => Outcome::Unknown("no reply in time".into()),
        };
        let goes_on = !matches!(outcome, Outcome::Unknown(_));
        clients.finish(id, outcome.clone());
        goes_on.then_some(outcome)
    }

    async fn talk(
        &mut self,
        bytes: &[u8],
        clients: &Clients,
        outcomes: &mut Vec<(OperationId, Outcome)>,
    ) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        while let Some((id, commands)) = self.under_way.front() {
            let (id, commands) = (*id, commands.clone());
            let outcome = outcome(&commands, self.replies(commands.len()).await?);
            self.under_way.pop_front();
            if commands.len() > 1 && matches!(outcome, Outcome::Done(_)) {
                clients.now.count(BLOCK);
            }
            clients.finish(id, outcome.clone());
            outcomes.push((id, outcome));
        }
        Ok(())
    }

    /// One reply, or for a block: one for MULTI, one for each command, one for EXEC.
    async fn replies(&mut self, commands: usize) -> io::Result<Vec<Frame>> {
        self.frames(if commands == 1 { 1 } else { commands + 2 }).await
    }

    async fn frames(&mut self, count: usize) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.push(self.frame().await?);
        }
        Ok(frames)
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        let mut buffer = [0; 4096];
        loop {
            let malformed = |_| io::Error::from(io::ErrorKind::InvalidData);
            if let Some(frame) = self.reader.next_frame().map_err(malformed)? {
                return Ok(frame);
            }
            let len = self.stream.read(&mut buffer).await?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.reader.feed(buffer.get(..len).unwrap_or_default());
        }
    }
}

/// What a block under WATCH has read of a key that it does not write must be what was read `before`.
fn unchanged(mut replies: Vec<Reply>, before: Option<Reply>) -> Vec<Reply> {
    if let (Some(before), Some(now)) = (before, replies.get_mut(1))
        && before != *now
    {
        *now = Reply::Unexpected(format!("{now} under WATCH, and before: {before}").into());
    }
    replies
}

fn encode_operation(commands: &[Command], into: &mut Vec<u8>) {
    if commands.len() > 1 {
        encode_request(&["MULTI"], into);
    }
    for command in commands {
        match command {
            Command::Get(key) => encode_request(&["GET", key], into),
            Command::Set(key, value) => encode_request(&["SET", key, value], into),
            Command::SetIfEq { key, expected, value } => {
                encode_request(&["SET", key, value, "IFEQ", expected], into);
            }
            Command::Del(key) => encode_request(&["DEL", key], into),
            Command::Incr(key) => encode_request(&["INCR", key], into),
            Command::Append(key, token) => encode_request(&["APPEND", key, token], into),
            Command::SetPx(key, value, ms) => {
                encode_request(&["SET", key, value, "PX", &ms.to_string()], into);
            }
            // HTTP's.
            Command::Read(_) | Command::Put { .. } | Command::Remove(..) => {}
        }
    }
    if commands.len() > 1 {
        encode_request(&["EXEC"], into);
    }
}

/// Errors whose first word says that nothing was changed and nothing will be.
const NOT_APPLIED: &[&str] = &["TRYAGAIN", "CLUSTERDOWN", "OVERLOADED", "EXECABORT"];

fn outcome(commands: &[Command], mut frames: Vec<Frame>) -> Outcome {
    let last = frames.pop();
    let frames = match last {
        Some(Frame::Error(text)) => {
            let word = text.split_whitespace().next().unwrap_or_default();
            let text: Rc<str> = text.as_str().into();
            return match word {
                "UNKNOWN" => Outcome::Unknown(text),
                word if NOT_APPLIED.contains(&word) => Outcome::NotApplied(text),
                _ => Outcome::Done(vec![Reply::Unexpected(text)]),
            };
        }
        Some(Frame::Array(frames)) if commands.len() > 1 => frames,
        Some(frame) => vec![frame],
        None => Vec::new(),
    };
    Outcome::Done(frames.into_iter().map(reply).collect())
}

fn reply(frame: Frame) -> Reply {
    match frame {
        Frame::Simple(text) if text == "OK" => Reply::Ok,
        Frame::Bulk(text) => Reply::Value(text.into()),
        Frame::Int(number) => Reply::Int(number),
        Frame::Nil => Reply::Nil,
        Frame::Simple(text) | Frame::Error(text) => Reply::Unexpected(text.into()),
        Frame::Array(_) => Reply::Unexpected("an array".into()),
    }
}

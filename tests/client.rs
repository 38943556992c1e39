//! A Redis client (redis-rs) that tells the outcomes apart: done, certainly not, unknown.

use std::time::Duration;

use redis::{Client, Cmd, Connection, FromRedisValue, RedisError};

/// A node answers within its patience (3 s) or never.
const LIMIT: Duration = Duration::from_secs(8);

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    Done(T),
    /// Nothing was changed and nothing will be.
    NotApplied(String),
    /// The node says that it may have taken effect, or may yet.
    Unknown(String),
    /// The connection broke before the answer: unknown, too.
    Lost(String),
}

/// A node, and a connection to it as long as one lasts.
pub(crate) struct Link {
    addr: String,
    connection: Option<Connection>,
}

/// A connection.
///
/// # Errors
/// The node can't be reached, or does not answer.
pub(crate) fn connect(addr: &str) -> Result<Connection, RedisError> {
    let connection =
        Client::open(format!("redis://{addr}/"))?.get_connection_with_timeout(LIMIT)?;
    connection.set_read_timeout(Some(LIMIT))?;
    connection.set_write_timeout(Some(LIMIT))?;
    Ok(connection)
}

/// A command of words.
pub(crate) fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}

impl Link {
    pub(crate) fn new(addr: &str) -> Self {
        Self { addr: addr.to_owned(), connection: None }
    }

    fn open(&mut self) -> Result<&mut Connection, RedisError> {
        let connection = match self.connection.take() {
            Some(open) => open,
            None => connect(&self.addr)?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Sends a command and waits for its outcome.
    ///
    /// # Panics
    /// On an error reply that is none of the failures a client must expect.
    pub(crate) fn call<T: FromRedisValue>(&mut self, words: &[&str]) -> Outcome<T> {
        let connection = match self.open() {
            Ok(connection) => connection,
            Err(error) => return Outcome::NotApplied(format!("connect: {error}")),
        };
        let error = match command(words).query(connection) {
            Ok(value) => return Outcome::Done(value),
            Err(error) => error,
        };
        match error.code() {
            Some("TRYAGAIN" | "CLUSTERDOWN" | "OVERLOADED") => {
                Outcome::NotApplied(error.to_string())
            }
            Some("UNKNOWN") => Outcome::Unknown(error.to_string()),
            Some(_) => panic!("{}: {words:?}: {error}", self.addr),
            None => {
                self.connection = None;
                Outcome::Lost(format!("{:?}: {error}", error.kind()))
            }
        }
    }
}

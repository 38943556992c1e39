//! Commands by chance, to Quorate and to a real redis-server: the replies must be the same.
//!
//! One by one and in blocks (MULTI), on either engine. Five seconds long; `QUORATE_DIFFERENTIAL_SECONDS=600` makes a soak of it. What may differ stands in
//! [`same`], each with its reason. Not asked: what chance or the engine decides (RANDOMKEY, SCAN's cursors), and
//! SELECT with a number that is no 32-bit one, which Quorate refuses in the words for any other wrong number.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, ENGINES};
use crate::patience::{say, until};
use crate::seed::{self, Random};
use crate::tool;

const SECONDS: &str = "QUORATE_DIFFERENTIAL_SECONDS";
/// Commands of one round, which begins with empty databases.
const ROUND: usize = 400;

/// A redis-server that keeps nothing and ends with its owner.
struct Redis {
    child: Child,
    addr: String,
}

impl Redis {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let redis = Self { child, addr: format!("127.0.0.1:{port}") };
        until("redis-server to listen", Duration::from_secs(10), || {
            TcpStream::connect(&redis.addr).map(drop).map_err(|error| error.to_string())
        });
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Reply {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Self>>),
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(addr: &str) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    fn ask(&mut self, words: &[Vec<u8>]) -> Reply {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(word);
            request.extend(b"\r\n");
        }
        self.stream.write_all(&request).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "the server has hung up");
        let (kind, rest) = line.trim_end_matches("\r\n").split_at(1);
        let count = || rest.parse::<i64>().unwrap();
        match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Int(count()),
            "$" => Reply::Bulk(usize::try_from(count()).ok().map(|length| {
                let mut bytes = vec![0; length + 2];
                self.reader.read_exact(&mut bytes).unwrap();
                bytes.truncate(length);
                bytes
            })),
            "*" => Reply::Array(
                usize::try_from(count()).ok().map(|n| (0..n).map(|_| self.reply()).collect()),
            ),
            _ => panic!("{line:?}"),
        }
    }
}

fn sorted(reply: &Reply) -> Reply {
    let Reply::Array(Some(items)) = reply else { return reply.clone() };
    let mut items = items.clone();
    items.sort_by_key(|item| format!("{item:?}"));
    Reply::Array(Some(items))
}

/// True when both mean the same.
fn same(words: &[Vec<u8>], ours: &Reply, theirs: &Reply) -> bool {
    let name = String::from_utf8_lossy(&words[0]).into_owned();
    match (name.as_str(), ours, theirs) {
        // In no order.
        ("KEYS", ..) => sorted(ours) == sorted(theirs),
        // The one was asked a moment after the other, and their clocks are not one.
        ("TTL", Reply::Int(ours), Reply::Int(theirs)) => {
            ours.signum() == theirs.signum() && ours.abs_diff(*theirs) <= 1
        }
        ("PTTL", Reply::Int(ours), Reply::Int(theirs)) => {
            ours.signum() == theirs.signum() && ours.abs_diff(*theirs) <= 1_500
        }
        ("EXPIRETIME", Reply::Int(ours), Reply::Int(theirs)) => ours.abs_diff(*theirs) <= 1,
        ("PEXPIRETIME", Reply::Int(ours), Reply::Int(theirs)) => ours.abs_diff(*theirs) <= 1_500,
        // How often Redis shares a value in memory; Quorate shares none.
        ("OBJECT", Reply::Int(1..), Reply::Int(1..)) => true,
        _ => ours == theirs,
    }
}

/// Chance's next command: `k` is a key, `v` a value, `n` a number, `t` a time to live in seconds that none outlives,
/// `m` the same in milliseconds; a slash separates choices, `?` in front makes a word optional.
const COMMANDS: &[&str] = &[
    "SET k v",
    "SET k v ?NX/XX ?GET",
    "SET k v EX t",
    "SET k v PX m",
    "SET k v KEEPTTL",
    "SET k v n",
    "SET k v EX n",
    "SETNX k v",
    "SETEX k t v",
    "PSETEX k m v",
    "SETEX k n v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k",
    "GETEX k EX t",
    "GETEX k PERSIST",
    "GETEX k n",
    "MSET k v k v",
    "MSET k v k",
    "MSETNX k v k v",
    "APPEND k v",
    "SETRANGE k n v",
    "SETRANGE k s v",
    "INCR k",
    "DECR k",
    "INCRBY k n",
    "DECRBY k n",
    "INCRBYFLOAT k n",
    "INCRBYFLOAT k f",
    "GET k",
    "MGET k k k",
    "STRLEN k",
    "GETRANGE k s s",
    "GETRANGE k n n",
    "SUBSTR k s s",
    "DEL k k",
    "UNLINK k",
    "EXISTS k k k",
    "TOUCH k k",
    "TYPE k",
    "EXPIRE k t",
    "EXPIRE k t NX/XX/GT/LT",
    "EXPIRE k n",
    "PEXPIRE k m ?NX/XX/GT/LT",
    "EXPIREAT k n",
    "PEXPIREAT k n",
    "PERSIST k",
    "TTL k",
    "PTTL k",
    "EXPIRETIME k",
    "PEXPIRETIME k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k ?REPLACE",
    "COPY k k DB d",
    "MOVE k d",
    "KEYS k",
    "KEYS *",
    "KEYS k?",
    "KEYS k[0-2]",
    "DBSIZE",
    "OBJECT ENCODING k",
    "OBJECT REFCOUNT k",
    "SELECT d",
    "SELECT 99",
    "SWAPDB d d",
    "FLUSHDB",
    "ECHO v",
    "PING",
    "PING v",
    "GET",
    "SET k",
    "NONSENSE k",
];

fn pick<'a, T: ?Sized>(random: &mut Random, all: &[&'a T]) -> &'a T {
    all[random.below(all.len())]
}

fn word(random: &mut Random, text: &str) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "",
        "a",
        "hello",
        "0",
        "1",
        "-1",
        "41",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "3.0e3",
        " 1",
        "01",
        "nan",
        "inf",
        "a\r\nb",
        "\u{e9}\u{0}",
    ];
    const NUMBERS: &[&str] = &[
        "0",
        "1",
        "-1",
        "7",
        "-3",
        "100",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "1.5",
        "x",
        "",
    ];
    const FLOATS: &[&str] =
        &["0.1", "-0.1", "1e3", "5.0e-2", "3.14159", "1e308", "inf", "x", "1e17"];
    let text = match text {
        "k" => format!("k{}", random.below(5)),
        "v" => pick(random, VALUES).to_owned(),
        "n" => pick(random, NUMBERS).to_owned(),
        "f" => pick(random, FLOATS).to_owned(),
        "s" => (i64::try_from(random.below(14)).unwrap() - 7).to_string(),
        "d" => random.below(3).to_string(),
        "t" => (1_000 + random.below(5_000)).to_string(),
        "m" => (1_000_000 + random.below(5_000_000)).to_string(),
        text => {
            let choices: Vec<&str> = text.split('/').collect();
            pick(random, &choices).to_owned()
        }
    };
    text.into_bytes()
}

fn command(random: &mut Random) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    for text in pick(random, COMMANDS).split(' ') {
        match text.strip_prefix('?') {
            Some(text) if random.below(2) == 0 => words.push(word(random, text)),
            Some(_) => {}
            None => words.push(word(random, text)),
        }
    }
    words
}

fn shown(words: &[Vec<u8>]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect();
    words.join(" ")
}

#[test]
fn commands_by_chance_answer_as_redis_does() {
    if !tool::is_there(&["redis-server", "--version"]) {
        return;
    }
    let seconds = std::env::var(SECONDS).map_or(5, |text| text.parse().unwrap());
    let seed = seed::draw();
    let flags = ENGINES[usize::try_from(seed % 2).unwrap()];
    let (redis, cluster) = (Redis::start(), Cluster::with_flags(1, flags));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut rounds = 0;
    while Instant::now() < end {
        // The engine stays the same.
        let seed = seed.wrapping_add(2 * rounds);
        play(seed, &mut Client::connect(cluster.addr(0)), &mut Client::connect(&redis.addr));
        rounds += 1;
    }
    assert!(rounds > 0);
    say(&format!("{} commands by chance, as redis-server answers", rounds * ROUND as u64));
}

/// How many commands come next, as a block or, where it is one, by itself.
fn drawn(random: &mut Random) -> Vec<Vec<Vec<u8>>> {
    let count = if random.below(12) == 0 { 2 + random.below(4) } else { 1 };
    (0..count).map(|_| command(random)).collect()
}

/// What `commands` are answered: one by itself, or all of a block; first that they are queued, or why not.
fn ask(client: &mut Client, commands: &[Vec<Vec<u8>>]) -> Vec<Reply> {
    if let [one] = commands {
        return vec![client.ask(one)];
    }
    assert_eq!(client.ask(&[b"MULTI".to_vec()]), Reply::Simple("OK".to_owned()));
    let mut replies: Vec<_> = commands.iter().map(|words| client.ask(words)).collect();
    match client.ask(&[b"EXEC".to_vec()]) {
        Reply::Array(Some(answers)) => replies.extend(answers),
        other => replies.push(other),
    }
    replies
}

fn play(seed: u64, ours: &mut Client, theirs: &mut Client) {
    let mut random = Random::new(seed);
    let flush = [b"FLUSHALL".to_vec()];
    assert_eq!(ours.ask(&flush), theirs.ask(&flush));
    let mut said: Vec<String> = Vec::new();
    for _ in 0..ROUND {
        let commands = drawn(&mut random);
        let (one, two) = (ask(ours, &commands), ask(theirs, &commands));
        said.push(commands.iter().map(|words| shown(words)).collect::<Vec<_>>().join("; "));
        // Behind the answers to be queued stand those of the commands, in their order.
        let mean = commands.iter().cycle().zip(one.iter().zip(&two));
        let is_same = one.len() == two.len()
            && mean.fold(true, |fits, (words, (one, two))| fits && same(words, one, two));
        assert!(
            is_same,
            "{}: Quorate says {one:?}, Redis {two:?}\nbefore:\n{}\nagain: {} {SECONDS}=1 cargo test -p \
             quorate-app --test processes commands_by_chance",
            said[said.len() - 1],
            said.iter().rev().take(12).rev().cloned().collect::<Vec<_>>().join("\n"),
            seed::assignment(seed)
        );
    }
}

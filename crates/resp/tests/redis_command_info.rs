//! COMMAND INFO, compared with a real redis-server for every command that both know. What differs stands in
//! [`DIFFERENCES`], each with its reason. Needs `redis-server`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code outside of test functions"
)]

mod support;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quorate_resp::Options;
use support::World;

/// Command, what differs, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "command|getkeys",
        "arity",
        "7.0 asks for an argument too many: GETKEYS of PING is no wrong arity in 7.4",
    ),
    ("command|getkeysandflags", "arity", "as GETKEYS"),
];

const FIELDS: [&str; 9] =
    ["name", "arity", "flags", "first", "last", "step", "categories", "tips", "keys"];

/// A reply as text, sets and maps in a fixed order; the bytes behind it.
fn text(bytes: &[u8]) -> (Node, &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let (line, rest) = (&bytes[1..end], &bytes[end + 2..]);
    let line = String::from_utf8(line.to_vec()).unwrap();
    let count = || line.parse::<usize>().unwrap();
    let many = |count: usize| {
        let (mut items, mut rest) = (Vec::new(), rest);
        for _ in 0..count {
            let (item, behind) = text(rest);
            items.push(item);
            rest = behind;
        }
        (items, rest)
    };
    match bytes[0] {
        b'$' => {
            let value = String::from_utf8(rest[..count()].to_vec()).unwrap();
            (Node::Leaf(value), &rest[count() + 2..])
        }
        b'*' => {
            let (items, rest) = many(count());
            (Node::List(items), rest)
        }
        b'~' => {
            let (mut items, rest) = many(count());
            items.sort();
            (Node::List(items), rest)
        }
        b'%' => {
            let (items, rest) = many(2 * count());
            let mut pairs: Vec<Node> =
                items.chunks(2).map(|pair| Node::List(pair.to_vec())).collect();
            // Notes are for people.
            pairs.retain(|pair| !matches!(pair, Node::List(pair) if pair[0] == Node::Leaf("notes".to_owned())));
            pairs.sort();
            (Node::List(pairs), rest)
        }
        _ => (Node::Leaf(line), rest),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Leaf(String),
    List(Vec<Self>),
}

/// A command's fields, its subcommands' behind it.
fn entries(node: &Node, into: &mut Vec<Vec<Node>>) {
    let Node::List(fields) = node else { return };
    into.push(fields[..9].to_vec());
    let Node::List(subcommands) = &fields[9] else { panic!("no list: {:?}", fields[9]) };
    subcommands.iter().for_each(|row| entries(row, into));
}

/// What it says of all commands.
fn all(reply: &[u8]) -> Vec<Vec<Node>> {
    let (Node::List(commands), rest) = text(reply) else { panic!("no list") };
    assert!(rest.is_empty());
    let mut rows = Vec::new();
    commands.iter().for_each(|command| entries(command, &mut rows));
    rows
}

struct Redis {
    child: Child,
    dir: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "redis.sock", "--dir"])
            .arg(dir.path())
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { child, dir }
    }

    /// The bytes of one reply, behind which comes PONG.
    fn ask(&self, command: &str) -> Vec<u8> {
        let path = self.dir.path().join("redis.sock");
        let mut stream = (0..3_000)
            .find_map(|_| {
                let stream = std::os::unix::net::UnixStream::connect(&path).ok();
                if stream.is_none() {
                    wait();
                }
                stream
            })
            .expect("redis-server listens within 30 s");
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(format!("HELLO 3\r\nPING\r\n{command}\r\nPING\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let mut buffer = [0; 65536];
        while bytes.windows(7).filter(|window| window == b"+PONG\r\n").count() < 2 {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "it hangs up");
            bytes.extend_from_slice(&buffer[..count]);
        }
        let start = bytes.windows(7).position(|window| window == b"+PONG\r\n").unwrap() + 7;
        bytes[start..bytes.len() - 7].to_vec()
    }
}

#[expect(clippy::disallowed_methods, reason = "another process, whose start nobody announces")]
fn wait() {
    std::thread::sleep(Duration::from_millis(10));
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_command_info_says_is_what_redis_says() {
    let redis = Redis::start();
    let theirs = all(&redis.ask("COMMAND"));
    let mut world = World::new(Options::default());
    let link = world.connect();
    drop(world.send(link, b"HELLO 3\r\n"));
    let ours = all(&world.send(link, b"COMMAND\r\n"));
    let (mut compared, mut wrong) = (0, Vec::new());
    let mut used = vec![false; DIFFERENCES.len()];
    for row in &ours {
        let Some(their) = theirs.iter().find(|their| their[0] == row[0]) else { continue };
        compared += 1;
        let Node::Leaf(name) = &row[0] else { panic!("{:?}", row[0]) };
        for ((field, our), their) in FIELDS.iter().zip(row).zip(their).filter(|((_, a), b)| a != b)
        {
            let known = DIFFERENCES.iter().position(|(of, what, _)| of == name && what == field);
            match known {
                Some(at) => used[at] = true,
                None => wrong.push(format!("{name} {field}: {our:?}, Redis: {their:?}")),
            }
        }
    }
    assert!(compared > 80, "only {compared} commands are known to both");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let stale: Vec<_> = DIFFERENCES.iter().zip(used).filter(|(_, used)| !used).collect();
    assert!(stale.is_empty(), "no difference any more: {stale:?}");
}

/// The value of a field of COMMAND DOCS, without what is for people.
fn doc_field(reply: &[u8], field: &str) -> Node {
    let (Node::List(commands), _) = text(reply) else { panic!("no map") };
    let Node::List(named) = &commands[0] else { panic!("no pair") };
    let Node::List(fields) = &named[1] else { panic!("no map") };
    let is_field =
        |pair: &Node| matches!(pair, Node::List(pair) if pair[0] == Node::Leaf(field.to_owned()));
    let found = fields.iter().find(|pair| is_field(pair)).cloned();
    found.map_or(Node::List(Vec::new()), without_history)
}

fn without_history(node: Node) -> Node {
    let Node::List(mut items) = node else { return node };
    let is_history = |item: &Node| matches!(item, Node::List(pair) if pair.first() == Some(&Node::Leaf("since".to_owned())));
    items.retain(|item| !is_history(item));
    Node::List(items.into_iter().map(without_history).collect())
}

#[test]
fn groups_and_arguments_of_command_docs_are_those_of_redis() {
    let redis = Redis::start();
    let mut world = World::new(Options::default());
    let link = world.connect();
    drop(world.send(link, b"HELLO 3\r\n"));
    let mut compare = |name: &str, field: &str| {
        let command = format!("COMMAND DOCS {name}");
        let ours = world.send(link, format!("{command}\r\n").as_bytes());
        let theirs = doc_field(&redis.ask(&command), field);
        assert_eq!(doc_field(&ours, field), theirs, "{name} {field}");
    };
    for name in
        ["dbsize", "flushdb", "flushall", "swapdb", "readonly", "readwrite", "wait", "multi", "get"]
    {
        compare(name, "group");
    }
    for name in
        ["copy", "rename", "renamenx", "incrby", "incrbyfloat", "decrby", "mget", "wait", "swapdb"]
    {
        compare(name, "arguments");
    }
}

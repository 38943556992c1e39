//! Replays `testscripts/*.resp`. `QUORATE_BLESS=1` writes down what was answered instead.
//!
//! `> text` sends an inline command, `>> bytes` sends bytes as they are (both with escapes), `<` is a
//! line that came back, `!` is something that happened. `@ word` acts: see [`Script::act`].

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code outside of test functions"
)]

mod support;

use std::fmt::Write;
use std::path::Path;

use quorate_resp::{Options, Setting};
use support::World;

/// Rust's escapes, as far as scripts need them.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let mut buffer = [0; 4];
        let byte = match letter {
            '\\' => match letters.next() {
                Some('r') => b'\r',
                Some('n') => b'\n',
                Some('t') => b'\t',
                Some('0') => 0,
                Some('x') => {
                    let digits: String = letters.by_ref().take(2).collect();
                    u8::from_str_radix(&digits, 16).unwrap()
                }
                Some(other) => u8::try_from(other).unwrap(),
                None => panic!("a lonely backslash in {text}"),
            },
            other => {
                bytes.extend(other.encode_utf8(&mut buffer).bytes());
                continue;
            }
        };
        bytes.push(byte);
    }
    bytes
}

struct Script {
    world: World,
    /// The connections by the number that the script gives them.
    links: Vec<(u32, usize)>,
    current: usize,
    shown: String,
}

impl Script {
    fn new(options: Options) -> Self {
        let mut world = World::new(options);
        let first = world.connect();
        Self { world, links: vec![(1, first)], current: first, shown: String::new() }
    }

    fn line(&mut self, line: &str) {
        self.shown.push_str(line);
        self.shown.push('\n');
    }

    /// Shows what came back.
    fn show(&mut self, received: &[u8]) {
        if !received.is_empty() {
            let body = received.strip_suffix(b"\r\n").unwrap_or(received);
            for line in body.split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let line =
                    line.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"");
                writeln!(self.shown, "< {line}").unwrap();
            }
        }
        if self.world.is_closed(self.current) {
            self.line("! closed");
        }
    }

    fn act(&mut self, action: &str) {
        let (word, rest) = action.split_once(' ').unwrap_or((action, ""));
        match word {
            // Speaks as another client, who is connected on first mention.
            "client" => {
                let number = rest.parse().unwrap();
                let known = self.links.iter().find(|(other, _)| *other == number);
                self.current = known.map_or_else(|| usize::MAX, |(_, link)| *link);
                if self.current == usize::MAX {
                    self.current = self.world.connect();
                    self.links.push((number, self.current));
                }
                let received = self.world.receive(self.current);
                self.show(&received);
                return;
            }
            // The node holds its answers back, gives some, or all.
            "hold" => self.world.fake.hold(),
            "release" => self.world.release(rest.parse().unwrap_or(usize::MAX)),
            "advance" => self.world.advance_ms(rest.parse().unwrap()),
            "follower" => self.world.fake.is_follower.set(true),
            "eof" => self.world.half_close(self.current),
            "drain" => {
                self.world.server.drain();
                self.world.settle();
            }
            "told" => {
                let told = format!("! {:?}", self.world.fake.consistencies.take());
                self.line(&told);
            }
            other => panic!("unknown action {other}"),
        }
        let received = self.world.receive(self.current);
        self.show(&received);
    }

    fn run(mut self, script: &str) -> String {
        for line in script.lines() {
            if line.starts_with('<') || line.starts_with('!') {
                continue;
            }
            self.line(line);
            if let Some(bytes) = line.strip_prefix(">> ") {
                let received = self.world.send(self.current, &unescape(bytes));
                self.show(&received);
            } else if let Some(text) = line.strip_prefix("> ") {
                let received = self.world.send(self.current, format!("{text}\r\n").as_bytes());
                self.show(&received);
            } else if let Some(action) = line.strip_prefix("@ ") {
                self.act(action);
            } else {
                assert!(line.is_empty() || line.starts_with('#'), "what is {line:?}?");
            }
        }
        self.shown
    }
}

fn options(script: &str) -> Options {
    let memory = |value: &str| match value {
        "100mb" => Ok("104857600".to_owned()),
        "0" => Ok("0".to_owned()),
        _ => Err("argument must be a memory value".to_owned()),
    };
    let mut options = Options {
        version: "9.9.9".to_owned(),
        settings: vec![
            Setting::fixed("port", "7000"),
            Setting::fixed("bind", "10.0.0.1"),
            Setting::fixed("proto-max-bulk-len", "1024"),
            Setting::changeable("maxmemory", "0", memory),
        ],
        facts: vec![("executable".to_owned(), "/usr/bin/quorate".to_owned())],
        ..Options::default()
    };
    if script.contains("# password: secret\n") {
        options.password = Some("secret".to_owned());
    }
    if script.contains("# connections: 2\n") {
        options.connections_max = 2;
    }
    options
}

#[expect(clippy::disallowed_methods, reason = "test scripts are files of the repository")]
fn replay(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts").join(name);
    let script = std::fs::read_to_string(&path).unwrap();
    let shown = Script::new(options(&script)).run(&script);
    if std::env::var_os("QUORATE_BLESS").is_some() {
        std::fs::write(&path, shown).unwrap();
        return;
    }
    let first = script.lines().zip(shown.lines()).position(|(expected, actual)| expected != actual);
    if let Some(at) = first {
        let line = |text: &str| text.lines().nth(at).unwrap_or_default().to_owned();
        panic!("{name}:{}: expected {}, got {}", at + 1, line(&script), line(&shown));
    }
    assert_eq!(script, shown, "{name} ends otherwise");
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(concat!(stringify!($name), ".resp")); })*

        #[test]
        #[expect(clippy::disallowed_methods, reason = "test scripts are files of the repository")]
        fn every_script_is_replayed() {
            let known = [$(concat!(stringify!($name), ".resp")),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts");
            for entry in std::fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name();
                assert!(known.contains(&name.to_str().unwrap()), "{name:?} is not replayed");
            }
        }
    };
}

scripts! {
    auth
    client
    client_kill
    client_reply
    command
    config
    connection
    connections_max
    consistency
    debug
    drain
    failures
    half_close
    hello
    info
    info_follower
    multi
    multi_errors
    multi_local
    order
    protocol_errors
    reset
    unknown
    wait
    watch
}

//! Settings, checked once: the second of two stages. What comes out can be run.
//!
//! Every refusal names the setting as its giver knows it, its value, and what to do.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate::address::Address;
use quorate::guard::{Guards, check_name};
use quorate::{Entrance, Pace, Secret, ServerConfig};
use quorate_api::Consistency;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::layers::{Layers, items, truth};
use crate::listeners::Addresses;
use crate::logging::{Format, Logging};
use crate::{memory, secret, size};

/// What `quorate serve` runs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The node with its listeners.
    pub(crate) server: ServerConfig,
    /// What is logged.
    pub(crate) logging: Logging,
    /// The end of standard input is the end of the node.
    pub(crate) stop_on_eof: bool,
}

const MB: u64 = 1 << 20;
/// An empty node takes less.
const MAX_MEMORY_BYTES: std::ops::RangeInclusive<u64> = MB..=u64::MAX;
const SNAPSHOT_LOG_BYTES: std::ops::RangeInclusive<u64> = 1024..=u64::MAX;
/// The largest entry must fit into a segment, on every member; offsets must fit into 32 bits.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 64 * MB..=1024 * MB;
const _: () = assert!(quorate_api::limits::ENTRY_BYTES_MAX as u64 + 8 * MB <= 64 * MB);
/// A shorter tick would make elections of scheduling delays, a longer one outages of crashes.
const TICK_MS: std::ops::RangeInclusive<u64> = 5..=1000;
const CONNECTIONS: std::ops::RangeInclusive<u64> = 1..=1_000_000;
/// Founders are voters.
const EXPECTED: std::ops::RangeInclusive<u64> = 1..=quorate_api::limits::VOTERS_MAX as u64;

impl Settings {
    /// Checks what `layers` say.
    ///
    /// # Errors
    /// Something can't be.
    pub(crate) fn check(layers: &Layers) -> Result<Self, Failure> {
        let id = layers.require("id", id, "name this node, as in --id n1")?;
        let dir =
            layers.require("data-dir", not_empty, "say where its data go, as in --data-dir n1")?;
        let mut server = ServerConfig::new(id, dir);
        server.password = layers.parse("password-file", secret::password)?;
        let cluster_secret = layers.parse("cluster-secret-file", secret::cluster_secret)?;
        let guards = Guards {
            password: server.password.is_some(),
            cluster_secret: cluster_secret.is_some(),
            insecure: layers.is_on("insecure")?,
        };
        let addresses = Addresses::check(layers, guards)?;
        server.listeners = addresses.listeners;
        server.http_hosts = addresses.http_hosts;
        server.node.client_addr = addresses.client_addr;
        server.node.peer_addr = addresses.peer_addr;
        server.node.secret = Secret::new(&cluster_secret.unwrap_or_default());
        server.node.entrance = entrance(layers)?;
        server.node.seeds = addrs(layers, "peers")?;
        server.node.learner = layers.is_on("learner")?;
        if server.node.seeds.is_empty()
            && let Entrance::Expect(2..) = server.node.entrance
        {
            return Err(Failure::usage(
                "--bootstrap-expect needs --peers: say where the other nodes are looked for",
            ));
        }
        if let Some(consistency) = layers.parse("read-mode", read_mode)? {
            server.node.consistency = consistency;
        }
        let cache_bytes = layers.parse("cache-size", cache_size)?.unwrap_or_default();
        if layers.parse("engine", on_disk)? == Some(true) {
            server.node.keep_on_disk(cache_bytes);
        }
        set(layers, "max-memory", MAX_MEMORY_BYTES, &mut server.node.max_memory_bytes)?;
        set(layers, "snapshot-log-size", SNAPSHOT_LOG_BYTES, &mut server.node.snapshot_log_bytes)?;
        set(layers, "segment-size", SEGMENT_BYTES, &mut server.node.segment_bytes)?;
        if let Some(tick) = layers.parse("tick-ms", |text| number(text, TICK_MS))? {
            server.node.pace = Pace { tick: Duration::from_millis(tick), ..Pace::default() };
        }
        if let Some(most) = layers.parse("max-connections", |text| number(text, CONNECTIONS))? {
            server.connections_max = usize::try_from(most).unwrap_or(usize::MAX);
        }
        let logging = Logging {
            filter: layers.parse("log-level", filter)?.unwrap_or_default(),
            format: layers
                .parse("log-format", |text| choice(text, Format::NAMES))?
                .unwrap_or_default(),
        };
        Ok(Self { server, logging, stop_on_eof: layers.is_on("stop-on-eof")? })
    }
}

/// Addresses of others, from a list.
fn addrs(layers: &Layers, name: &str) -> Result<Vec<String>, Failure> {
    let Some(given) = layers.get(name) else { return Ok(Vec::new()) };
    let addrs =
        items(given.text).map(|item| Address::parse_reachable(item).map(|it| it.to_string()));
    addrs.collect::<Result<_, _>>().map_err(|advice| given.refused(&advice))
}

/// Founding and joining exclude each other, so they win and lose together: a `--join` on the command
/// line overrules a `bootstrap = true` in the file.
fn entrance(layers: &Layers) -> Result<Entrance, Failure> {
    let [bootstrap, expect, join] = layers.get_together(["bootstrap", "bootstrap-expect", "join"]);
    let founds = bootstrap.map(|given| given.parse(truth)).transpose()?.unwrap_or_default();
    if let Some(expect) = expect {
        if founds || join.is_some_and(|join| items(join.text).next().is_some()) {
            return Err(expect.refused(
                "a node founds a cluster alone (--bootstrap) or with others (--bootstrap-expect), or joins one \
             (--join); leave the others out",
            ));
        }
        let nodes = expect.parse(|text| number(text, EXPECTED))?;
        return Ok(match usize::try_from(nodes).unwrap_or(usize::MAX) {
            // Nobody else is to be waited for.
            1 => Entrance::Bootstrap,
            nodes => Entrance::Expect(nodes),
        });
    }
    let Some(join) = join else {
        return Ok(if founds { Entrance::Bootstrap } else { Entrance::Wait });
    };
    let members =
        items(join.text).map(|item| Address::parse_reachable(item).map(|it| it.to_string()));
    let members: Vec<String> =
        members.collect::<Result<_, _>>().map_err(|advice| join.refused(&advice))?;
    match (founds, members.is_empty()) {
        (true, false) => Err(join.refused(
            "a node either founds a cluster (--bootstrap) or joins one (--join); leave one of them out",
        )),
        (true, true) => Ok(Entrance::Bootstrap),
        (false, false) => Ok(Entrance::Join(members)),
        (false, true) => Ok(Entrance::Wait),
    }
}

/// A node's name.
///
/// # Errors
/// It can't be one.
pub(crate) fn id(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// Any text but none.
///
/// # Errors
/// There is none.
pub(crate) fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// Whether the engine of this name keeps data on the disk.
///
/// # Errors
/// There is none.
pub(crate) fn on_disk(text: &str) -> Result<bool, String> {
    choice(text, &[("memory", false), ("disk", true)])
}

fn read_mode(text: &str) -> Result<Consistency, String> {
    choice(text, &[("linearizable", Consistency::Linearizable), ("lease", Consistency::Lease)])
}

/// What is logged. The filter itself would take any word for the name of a room, and then be silent, about
/// why a node does not start as about everything else.
fn filter(text: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    for part in &parts {
        let room = match part.split_once('=') {
            Some((room, level)) if is_level(level) => room,
            _ if is_level(part) => continue,
            _ => return Err(advice_on_levels()),
        };
        if !ROOMS.contains(&room.split("::").next().unwrap_or_default()) {
            return Err(format!("there is no room {room:?}; {}", advice_on_levels()));
        }
    }
    // Where only rooms are named, the others go on as ever.
    let base = if parts.iter().any(|part| is_level(part)) { "" } else { "info," };
    let parsed = EnvFilter::builder().parse(format!("{base}{}", parts.join(",")));
    parsed.map_err(|_| advice_on_levels())
}

/// How much is logged, from little to all.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What `--log-level` can tell apart.
const ROOMS: [&str; 9] = [
    "quorate",
    "quorate_api",
    "quorate_consensus",
    "quorate_engine",
    "quorate_env",
    "quorate_http",
    "quorate_keyspace",
    "quorate_node",
    "quorate_resp",
];

fn advice_on_levels() -> String {
    let rooms = ROOMS.join(", ");
    format!(
        "it must be error, warn, info, debug or trace; or a list such as info,quorate_node=debug, with a level \
         for each of {rooms}"
    )
}

fn set(
    layers: &Layers,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
    target: &mut u64,
) -> Result<(), Failure> {
    let parsed = layers.parse(name, |text| {
        let bytes = size::parse(text)?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        Err(match *range.end() {
            u64::MAX => format!("it must be at least {}", size::show(*range.start())),
            end => format!("it must be from {} to {}", size::show(*range.start()), size::show(end)),
        })
    });
    if let Some(bytes) = parsed? {
        *target = bytes;
    }
    Ok(())
}

/// With less, every read would be a cold one. A cache is allocated as it fills, but for its tables: those of one beyond the
/// memory would end the process.
fn cache_size(text: &str) -> Result<u64, String> {
    // The default must do everywhere.
    let (bytes, most) = (size::parse(text)?, memory::in_all().max(1024 * MB) / MB * MB);
    if bytes < MB {
        return Err(format!("it must be at least {}", size::show(MB)));
    }
    if bytes > most {
        let most = size::show(most);
        return Err(format!("it must be at most {most}: there is not more memory here"));
    }
    Ok(bytes)
}

/// A number within `range`.
///
/// # Errors
/// It is none.
pub(crate) fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let number = text.parse::<u64>().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("it must be a number from {} to {}", range.start(), range.end()))
}

/// One of some words.
///
/// # Errors
/// It is none of them.
pub(crate) fn choice<T: Clone>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
        let words: BTreeMap<_, _> = words.iter().map(|(word, _)| (*word, ())).collect();
        format!("it must be {}", words.into_keys().collect::<Vec<_>>().join(" or "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Offer, SERVE};
    use crate::layers::{Layer, Source};

    fn layer(source: Source, values: &[(&'static str, &str)]) -> Layer {
        let mut layer = Layer::new(source);
        for (name, text) in values {
            layer.put(name, *text);
        }
        layer
    }

    fn check(
        flags: &[(&'static str, &str)],
        file: &[(&'static str, &str)],
    ) -> Result<Settings, Failure> {
        let named = layer(Source::Flag, &[("id", "n1"), ("data-dir", "d")]);
        Settings::check(&Layers::new(
            SERVE,
            vec![
                layer(Source::Flag, flags),
                layer(Source::File("q.toml".to_owned()), file),
                named,
                Layer::of_defaults(SERVE),
            ],
        ))
    }

    fn refusal(name: &'static str, text: &str) -> String {
        match check(&[(name, text)], &[]) {
            Err(failure) => failure.to_string(),
            Ok(_) => panic!("--{name} {text} was accepted"),
        }
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let settings = check(&[], &[]).unwrap();
        let library = ServerConfig::new("n1", "d");
        assert_eq!(settings.server.node.pace, library.node.pace);
        assert_eq!(settings.server.node.consistency, library.node.consistency);
        assert_eq!(settings.server.node.segment_bytes, library.node.segment_bytes);
        assert_eq!(settings.server.node.snapshot_log_bytes, library.node.snapshot_log_bytes);
        assert_eq!(settings.server.connections_max, library.connections_max);
        assert_eq!(settings.server.node.entrance, Entrance::Wait);
    }

    #[test]
    fn a_refusal_names_the_flag_the_value_and_what_to_do() {
        for (name, text, advice) in [
            ("id", "a b", "letters"),
            ("id", "", "letters"),
            ("data-dir", "", "must not be empty"),
            ("listen", "7400", "HOST:PORT"),
            ("join", "a:1,b", "HOST:PORT"),
            ("join", "a:0", "port 0"),
            ("bootstrap", "maybe", "true or false"),
            ("read-mode", "stale", "lease or linearizable"),
            ("max-memory", "lots", "512mb"),
            ("engine", "rocksdb", "disk or memory"),
            ("cache-size", "1kb", "at least 1mb"),
            ("cache-size", "999tb", "not more memory here"),
            ("cache-size", "17000000tb", "too large"),
            ("max-memory", "1kb", "at least 1mb"),
            ("snapshot-log-size", "1", "at least 1kb"),
            ("segment-size", "1mb", "from 64mb to 1gb"),
            ("segment-size", "2gb", "from 64mb to 1gb"),
            ("tick-ms", "1", "from 5 to 1000"),
            ("max-connections", "0", "from 1 to 1000000"),
            ("log-level", "=loud=", "error, warn"),
            ("log-level", "warning", "error, warn"),
            ("log-level", "", "error, warn"),
            ("log-level", "off", "error, warn"),
            ("log-level", "info,,debug", "error, warn"),
            ("log-level", "quorate_node=loud", "error, warn"),
            ("log-level", "quorate_nod=debug", "there is no room \"quorate_nod\""),
            ("log-level", "info,node=debug", "there is no room \"node\""),
            ("log-format", "xml", "json or text"),
            ("password-file", "/no/such/file", "No such file"),
            ("cluster-secret-file", "/no/such/file", "No such file"),
            ("insecure", "2", "true or false"),
            ("bootstrap-expect", "0", "from 1 to 7"),
            ("bootstrap-expect", "8", "from 1 to 7"),
            ("peers", "a:1,b", "HOST:PORT"),
            ("learner", "maybe", "true or false"),
        ] {
            let refusal = refusal(name, text);
            assert!(refusal.starts_with(&format!("--{name} is {text:?}: ")), "{refusal}");
            assert!(refusal.contains(advice), "{refusal}");
        }
    }

    #[test]
    fn a_shell_offers_what_is_taken_and_all_of_it() {
        for flag in SERVE.flags() {
            let words = match flag.offer {
                Offer::OneOf(words) => {
                    let mut sorted = words.to_vec();
                    sorted.sort_unstable();
                    let all = format!("it must be {}", sorted.join(" or "));
                    assert!(refusal(flag.name, "nosuch").ends_with(&all), "{}", flag.name);
                    words
                }
                Offer::Also(words) => words,
                Offer::Nothing | Offer::File | Offer::Directory => continue,
            };
            for word in words {
                assert!(check(&[(flag.name, word)], &[]).is_ok(), "--{} {word}", flag.name);
            }
        }
    }

    #[test]
    fn levels_hold_for_all_rooms_or_for_some() {
        for (text, shown) in [
            ("warn", "warn"),
            ("INFO", "info"),
            ("info, quorate_node=debug", "quorate_node=debug,info"),
            ("quorate_consensus::log=trace", "quorate_consensus::log=trace,info"),
        ] {
            assert_eq!(filter(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        let nothing = Layers::new(SERVE, vec![Layer::of_defaults(SERVE)]);
        let text = Settings::check(&nothing).unwrap_err().to_string();
        assert!(text.starts_with("--id is missing"), "{text}");
    }

    #[test]
    fn values_reach_the_node() {
        let flags = [
            ("read-mode", "lease"),
            ("max-memory", "5mb"),
            ("snapshot-log-size", "7kb"),
            ("segment-size", "128mb"),
            ("tick-ms", "50"),
            ("max-connections", "12"),
        ];
        let server = check(&flags, &[]).unwrap().server;
        assert_eq!(server.node.consistency, Consistency::Lease);
        assert_eq!(server.node.max_memory_bytes, 5 << 20);
        assert_eq!(server.node.snapshot_log_bytes, 7 << 10);
        assert_eq!(server.node.segment_bytes, 128 << 20);
        assert_eq!(server.node.pace.tick, Duration::from_millis(50));
        assert_eq!(server.connections_max, 12);
    }

    #[test]
    fn a_node_founds_or_joins() {
        let entrance = |flags: &[(&'static str, &str)], file: &[(&'static str, &str)]| {
            check(flags, file).map(|settings| settings.server.node.entrance)
        };
        let joins = Ok(Entrance::Join(vec!["a:1".to_owned(), "[::1]:2".to_owned()]));
        assert_eq!(entrance(&[("join", "a:1, [::1]:2")], &[]), joins);
        assert_eq!(entrance(&[("join", "a:1, [::1]:2")], &[("bootstrap", "true")]), joins);
        assert_eq!(entrance(&[("bootstrap", "true")], &[("join", "a:1")]), Ok(Entrance::Bootstrap));
        assert_eq!(entrance(&[("bootstrap", "false")], &[("join", "a:1")]), Ok(Entrance::Wait));
        assert_eq!(entrance(&[("join", "")], &[("bootstrap", "true")]), Ok(Entrance::Wait));
        let three = [("bootstrap-expect", "3"), ("peers", "a:1,a:1,b:2")];
        assert_eq!(entrance(&three, &[]), Ok(Entrance::Expect(3)));
        assert_eq!(entrance(&[("bootstrap-expect", "1")], &[]), Ok(Entrance::Bootstrap));
        let alone = entrance(&[("bootstrap-expect", "3")], &[]).unwrap_err();
        assert!(alone.to_string().contains("needs --peers"));
        let twice = entrance(&[("bootstrap-expect", "3"), ("join", "a:1")], &[]);
        assert!(twice.unwrap_err().to_string().contains("leave the others out"));
        let both = entrance(&[("join", "a:1"), ("bootstrap", "true")], &[]);
        assert!(both.unwrap_err().to_string().contains("leave one of them out"));
    }
}

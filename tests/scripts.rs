//! Scripts of commands with the replies that redis-server 7.0.15 gave: a Quorate cluster answers the
//! same, word for word. `QUORATE_SCRIPTS_AT=host:port` plays them against another server instead, to
//! see whether a script is still what Redis says (its data is flushed!).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::cluster::Cluster;

const SCRIPTS: [(&str, &str); 2] = [
    ("strings", include_str!("scripts/strings.resp")),
    ("keys", include_str!("scripts/keys.resp")),
];

/// The words of a line; double quotes keep spaces together.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    let words = quoted.flat_map(|(at, part)| -> Vec<String> {
        if at % 2 == 1 {
            vec![part.to_owned()]
        } else {
            part.split_whitespace().map(str::to_owned).collect()
        }
    });
    words.collect()
}

fn send(stream: &mut TcpStream, words: &[String]) {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes()).unwrap();
}

/// One reply, a line for each value, indented by depth.
fn receive(reader: &mut BufReader<TcpStream>, indent: &str, out: &mut Vec<String>) {
    let mut line = String::new();
    assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the server has closed the connection");
    let line = line.trim_end();
    let (kind, rest) = line.split_at(1);
    match (kind, rest) {
        ("$" | "*", "-1") => out.push(format!("{indent}_")),
        ("$", length) => {
            let mut bytes = vec![0; length.parse::<usize>().unwrap() + 2];
            reader.read_exact(&mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            out.push(format!("{indent}${}", text.trim_end_matches("\r\n")));
        }
        ("*", count) => {
            out.push(format!("{indent}{line}"));
            for _ in 0..count.parse::<usize>().unwrap() {
                receive(reader, &format!("{indent}  "), out);
            }
        }
        _ => out.push(format!("{indent}{line}")),
    }
}

/// The script with the replies that the server at `addr` gives.
fn play(addr: &str, script: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    send(&mut stream, &words("FLUSHALL"));
    receive(&mut reader, "", &mut Vec::new());
    let mut out = String::new();
    for line in script.lines() {
        if line.starts_with('<') {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        let Some(command) = line.strip_prefix("> ") else { continue };
        send(&mut stream, &words(command));
        let mut replies = Vec::new();
        receive(&mut reader, "", &mut replies);
        for reply in replies {
            out.push_str(&format!("< {reply}\n"));
        }
    }
    out
}

#[test]
fn commands_on_keys_answer_as_redis_does_on_leader_and_follower() {
    if let Ok(addr) = std::env::var("QUORATE_SCRIPTS_AT") {
        for (name, script) in SCRIPTS {
            assert_eq!(play(&addr, script), script, "{name} at {addr}");
        }
        return;
    }
    let cluster = Cluster::of(3);
    for node in [cluster.leader(), cluster.followers()[0]] {
        for (name, script) in SCRIPTS {
            assert_eq!(play(cluster.addr(node), script), script, "{name} on node {node}");
        }
    }
}

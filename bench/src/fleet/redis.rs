//! redis-server, one process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use super::{Node, wait_until};
use crate::child::{Server, free_ports};
use crate::fault::Fault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    None,
    AppendFsyncAlways,
}

pub(super) fn start(dir: &Path, persistence: Persistence) -> Result<Vec<Node>, Fault> {
    let [port] = free_ports()?;
    let mut command: Vec<String> =
        ["redis-server", "--bind", "127.0.0.1", "--save", ""].map(str::to_owned).to_vec();
    command.extend(["--port".to_owned(), port.to_string()]);
    command.extend(["--dir".to_owned(), dir.display().to_string()]);
    match persistence {
        Persistence::None => command.extend(["--appendonly", "no"].map(str::to_owned)),
        // Rewriting the file would cost a fork at a time of its choosing: without it, redis is at its best.
        Persistence::AppendFsyncAlways => command.extend(
            [
                ["--appendonly", "yes"],
                ["--appendfsync", "always"],
                ["--auto-aof-rewrite-percentage", "0"],
            ]
            .concat()
            .into_iter()
            .map(str::to_owned),
        ),
    }
    let mut node = Node { server: Server::start(&command, dir)?, port };
    wait_until(&mut node, "redis-server", answers_ping)?;
    Ok(vec![node])
}

fn answers_ping(port: u16) -> bool {
    let pong = || -> std::io::Result<[u8; 5]> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"PING\r\n")?;
        let mut reply = [0; 5];
        stream.read_exact(&mut reply)?;
        Ok(reply)
    };
    pong().is_ok_and(|reply| reply == *b"+PONG")
}

//! Fills a server with keys through the Redis protocol, before anything is measured.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::fault::{Context, Fault};

/// Bytes of a value, as `redis-benchmark -d` sends them.
pub(crate) const VALUE_BYTES: usize = 256;

const BATCH: u64 = 500;
const OK: &[u8] = b"+OK\r\n";

/// As redis-benchmark spells them.
pub(crate) fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// Sets every key below `keys`, so that no GET misses and no SET grows anything.
pub(crate) fn fill(port: u16, keys: u64) -> Result<(), Fault> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect to fill")?;
    stream.set_nodelay(true).context("set nodelay")?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).context("set a timeout")?;
    let value = "x".repeat(VALUE_BYTES);
    let mut first = 0;
    while first < keys {
        let end = keys.min(first + BATCH);
        let mut text = String::new();
        for number in first..end {
            let key = key(number);
            write!(
                text,
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${VALUE_BYTES}\r\n{value}\r\n",
                key.len()
            )
            .context("write a command")?;
        }
        stream.write_all(text.as_bytes()).context("fill")?;
        let mut replies = vec![0; OK.len() * usize::try_from(end - first).context("a batch")?];
        stream.read_exact(&mut replies).context("fill")?;
        if replies.chunks(OK.len()).any(|reply| reply != OK) {
            let said = String::from_utf8_lossy(&replies);
            return Err(Fault::new(format!("fill: {}", said.lines().next().unwrap_or_default())));
        }
        first = end;
    }
    Ok(())
}

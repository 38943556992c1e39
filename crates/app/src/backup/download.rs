//! A backup on its way from a node: over HTTP, written as it comes, checked as it passes. Memory is
//! bounded on both sides, however large it is.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use quorate_env::Stream;
use quorate_node::backup::{self, Checked};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::progress::{Progress, Unit};

/// A node that sends nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(60);
const HEAD_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 256 * 1024;
/// Reads that may wait to be checked.
const UNCHECKED_MAX: usize = 8;

/// Where a backup comes from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) addr: String,
    pub(super) password: Option<String>,
    pub(super) stale: bool,
}

/// What is checked, as a file would be.
struct Passing {
    pieces: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Passing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            match self.pieces.recv() {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(_) => return Ok(0),
            }
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let taken = rest.len().min(buf.len());
        buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += taken;
        Ok(taken)
    }
}

impl Source {
    /// Fetches a backup into `sink`, and checks that it is whole.
    ///
    /// # Errors
    /// It is not, or did not come; the text says why.
    pub(super) async fn fetch(
        &self,
        sink: &mut dyn Write,
        progress: &mut Progress,
    ) -> Result<Checked, String> {
        let at = |text: String| format!("{}: {text}", self.addr);
        let (mut stream, first) = self.ask().await.map_err(at)?;
        let (checker, pieces) = sync_channel(UNCHECKED_MAX);
        let checking = std::thread::spawn(move || {
            backup::check(&mut Passing { pieces, piece: Vec::new(), at: 0 })
        });
        let passed = pass(&mut stream, first, sink, &checker, progress).await;
        drop(checker);
        let checked = checking.join().map_err(|_| "the check has panicked".to_owned())?;
        passed.map_err(at)?;
        checked.map_err(|error| at(error.to_string()))
    }

    /// The connection, and what came behind the answer's head.
    async fn ask(&self) -> Result<(Box<dyn Stream>, Vec<u8>), String> {
        let text = |error: io::Error| error.to_string();
        let net = quorate::env::real::env().net;
        let slow = |_| "no answer in time".to_owned();
        let dialled = tokio::time::timeout(PATIENCE, net.connect(&self.addr)).await;
        let mut stream = dialled.map_err(slow)?.map_err(text)?;
        let path = if self.stale { "/v1/backup?consistency=stale" } else { "/v1/backup" };
        // HTTP/1.0: the body ends with the connection, and its own end says whether it is whole.
        let mut request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n", self.addr);
        if let Some(password) = &self.password {
            let credentials = base64(format!("quorate:{password}").as_bytes());
            request.push_str(&format!("Authorization: Basic {credentials}\r\n"));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            let more = tokio::time::timeout(PATIENCE, stream.read_buf(&mut bytes)).await;
            let more = more.map_err(slow)?.map_err(text)?;
            if more == 0 || bytes.len() > HEAD_BYTES_MAX {
                return Err("this is no answer over HTTP; give the address at which the node \
                            listens for HTTP clients"
                    .to_owned());
            }
        };
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8_lossy(&bytes);
        match head.split(' ').nth(1) {
            Some("200") => Ok((stream, body)),
            Some("401") => {
                Err("the node has a password: give the file with it as --password-file".to_owned())
            }
            _ => Err(refusal(&mut stream, body).await),
        }
    }
}

/// Why there is no backup, in the node's own words.
async fn refusal(stream: &mut Box<dyn Stream>, mut body: Vec<u8>) -> String {
    let mut limited = stream.take(HEAD_BYTES_MAX as u64);
    let rest = tokio::time::timeout(PATIENCE, limited.read_to_end(&mut body));
    // What has come by then is all there is.
    drop(rest.await);
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = problem.get("detail").or(problem.get("title")).and_then(|text| text.as_str());
    text.unwrap_or("the node makes no backup, and does not say why").to_owned()
}

async fn pass(
    stream: &mut Box<dyn Stream>,
    first: Vec<u8>,
    sink: &mut dyn Write,
    checker: &SyncSender<Vec<u8>>,
    progress: &mut Progress,
) -> Result<(), String> {
    let mut piece = first;
    let mut bytes = 0;
    loop {
        sink.write_all(&piece).map_err(|error| format!("can't write the backup: {error}"))?;
        bytes += piece.len() as u64;
        progress.show("fetched", Unit::Bytes, bytes, None);
        if !piece.is_empty() && checker.send(piece).is_err() {
            // The check has failed, and says why.
            return Ok(());
        }
        piece = Vec::with_capacity(READ_BYTES);
        let more = tokio::time::timeout(PATIENCE, stream.read_buf(&mut piece)).await;
        let more = more.map_err(|_| "the node has stopped sending".to_owned())?;
        match more {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(format!("the connection broke: {error}")),
        }
    }
    sink.flush().map_err(|error| format!("can't write the backup: {error}"))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let at = |n: usize| chunk.get(n).copied().map_or(0, u32::from);
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for letter in 0..4 {
            let six = (bits >> (18 - 6 * letter) & 63) as usize;
            let is_there = letter <= chunk.len();
            out.push(LETTERS.get(six).copied().filter(|_| is_there).map_or('=', char::from));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}

//! The toy's data: a map in memory, a log on disk, one sync per write.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_env::disk::read_file;
use quorate_env::{Disk, DiskFile, OpenMode};

use crate::resp::{Frame, Reader, encode_request};
use crate::world::rng::fold;

/// Length and checksum before each record.
const HEADER: usize = 16;

/// A command's words.
pub(super) type Words = Vec<String>;

/// The map.
#[derive(Debug, Default)]
pub(super) struct Store {
    values: BTreeMap<String, String>,
}

pub(super) fn is_read(words: &Words) -> bool {
    words.first().is_some_and(|word| word == "GET")
}

impl Store {
    pub(super) fn execute(&mut self, words: &Words) -> Frame {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match *words.as_slice() {
            ["GET", key] => self.values.get(key).cloned().map_or(Frame::Nil, Frame::Bulk),
            // It forgets nothing by itself, which nobody can tell from a slow clock.
            ["SET", key, value] | ["SET", key, value, "PX", _] => self.set(key, value.to_owned()),
            ["SET", key, value, "IFEQ", expected] => {
                match self.values.get(key).is_some_and(|found| found == expected) {
                    true => self.set(key, value.to_owned()),
                    false => Frame::Nil,
                }
            }
            ["APPEND", key, token] => {
                let list = self.values.entry(key.to_owned()).or_default();
                list.push_str(token);
                Frame::Int(i64::try_from(list.len()).unwrap_or(i64::MAX))
            }
            ["DEL", key] => Frame::Int(i64::from(self.values.remove(key).is_some())),
            ["INCR", key] => {
                let number = self.values.get(key).and_then(|it| it.parse().ok()).unwrap_or(0) + 1;
                self.set(key, format!("{number}"));
                Frame::Int(number)
            }
            _ => Frame::Error("ERR unknown command".to_owned()),
        }
    }

    fn set(&mut self, key: &str, value: String) -> Frame {
        self.values.insert(key.to_owned(), value);
        Frame::Simple("OK".to_owned())
    }
}

/// The log.
pub(super) struct Log {
    file: Box<dyn DiskFile>,
    len: u64,
}

impl Log {
    /// Opens the log, cuts what is torn, makes the rest durable, and only then believes it.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<(Self, Store)> {
        disk.create_dir_all(dir)?;
        let path: PathBuf = dir.join("log");
        if !disk.exists(&path)? {
            drop(disk.open(&path, OpenMode::CreateNew)?);
        }
        disk.sync_dir(dir)?;
        let bytes = read_file(&**disk, &path)?;
        let mut store = Store::default();
        let mut rest = bytes.as_slice();
        while let Some((payload, tail)) = record(rest) {
            for words in commands(payload) {
                store.execute(&words);
            }
            rest = tail;
        }
        let len = (bytes.len() - rest.len()) as u64;
        let file = disk.open(&path, OpenMode::Write)?;
        file.set_len(len)?;
        file.sync_all()?;
        Ok((Self { file, len }, store))
    }

    pub(super) fn append(&mut self, commands: &[Words]) -> io::Result<()> {
        let mut payload = Vec::new();
        for words in commands {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            encode_request(&words, &mut payload);
        }
        let header = [payload.len() as u64, fold(0, &payload)].map(u64::to_le_bytes).concat();
        self.file.write_at(&[IoSlice::new(&header), IoSlice::new(&payload)], self.len)?;
        self.len += (header.len() + payload.len()) as u64;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The first whole record, and what follows.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let (words, _) = header.as_chunks::<8>();
    let [len, check] = words else { return None };
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    let (payload, rest) = rest.split_at_checked(len)?;
    (len > 0 && fold(0, payload) == u64::from_le_bytes(*check)).then_some((payload, rest))
}

fn commands(payload: &[u8]) -> Vec<Words> {
    let mut reader = Reader::default();
    reader.feed(payload);
    let mut commands = Vec::new();
    while let Ok(Some(frame)) = reader.next_frame() {
        commands.extend(words(frame));
    }
    commands
}

/// A request's words.
pub(super) fn words(frame: Frame) -> Option<Words> {
    let Frame::Array(frames) = frame else { return None };
    let word = |frame| match frame {
        Frame::Bulk(word) => Some(word),
        _ => None,
    };
    frames.into_iter().map(word).collect()
}

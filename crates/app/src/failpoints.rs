//! Failpoints: every disk operation that changes something is a named point at which this process can be
//! told to kill itself, as kill -9 would.
//!
//! Never part of the product: only the cargo feature `failpoints` compiles this, no release build takes that
//! feature, and a node that has it says so when it starts. `tests/failpoints.rs` walks through all points.
//!
//! A point is called `<file> <operation> <moment>`, with a `#` for each number in the file's name below the
//! data directory: `log/#.log write half`. Since all rooms but the engine reach the disk through [`Disk`], no point is
//! written down anywhere but here, and a new disk operation is a new point by itself. The disk engine's tree has files
//! of its own; its steps are named by the engine (`engine flush half`).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use quorate::Env;
use quorate_env::disk::{DirLock, Disk, DiskFile, OpenMode};
use quorate_env::{BLOCK_BYTES, Blocks};
use quorate_node::point;
use rustix::process::{Signal, getpid, kill_process};

#[cfg(not(debug_assertions))]
compile_error!("the feature `failpoints` is for tests: it must not get into a release build");

/// `<point>@<n>`: the process dies when it arrives there for the n-th time.
const ARMED: &str = "FAILPOINT";
/// A file to which every arrival is appended, one point per line.
const ARRIVALS: &str = "FAILPOINT_ARRIVALS";

/// Where a point lies in its operation.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Before,
    /// Of a write: half of the bytes are written.
    Half,
    After,
}

impl Moment {
    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Half => "half",
            Self::After => "after",
        }
    }
}

struct Points {
    data_dir: PathBuf,
    armed: Option<(String, u64)>,
    arrivals: Option<Mutex<File>>,
    counts: Mutex<BTreeMap<String, u64>>,
}

/// `env` with a disk that arrives at points.
///
/// # Errors
/// The variables are no point, or name no file that can be written.
pub(crate) fn armed(env: Env, data_dir: &Path) -> io::Result<Env> {
    let armed = std::env::var(ARMED).ok().map(|text| parse(&text)).transpose()?;
    let open = |path| OpenOptions::new().create(true).append(true).open(path).map(Mutex::new);
    let arrivals = std::env::var_os(ARRIVALS).map(open).transpose()?;
    tracing::warn!(?armed, "this build has failpoints: it is for tests only");
    let (data_dir, counts) = (data_dir.to_owned(), Mutex::default());
    let points = Arc::new(Points { data_dir, armed, arrivals, counts });
    let engine = Arc::clone(&points);
    point::watch(move |step, moment| {
        let moment = match moment {
            point::Moment::Before => Moment::Before,
            point::Moment::Half => Moment::Half,
            point::Moment::After => Moment::After,
        };
        engine.arrive("engine", step, moment);
    });
    Ok(Env { disk: Arc::new(DyingDisk { disk: Arc::clone(&env.disk), points }), ..env })
}

fn parse(text: &str) -> io::Result<(String, u64)> {
    let wrong = || io::Error::other(format!("{ARMED} is no <point>@<n>: {text}"));
    let (point, n) = text.rsplit_once('@').ok_or_else(wrong)?;
    Ok((point.to_owned(), n.parse().map_err(|_| wrong())?))
}

impl Points {
    fn arrive(&self, file: &str, operation: &str, moment: Moment) {
        let point = format!("{file} {operation} {}", moment.name());
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(point.clone()).or_default();
        *count += 1;
        if let Some(arrivals) = &self.arrivals {
            let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(arrivals, "{point}").expect("write down an arrival");
        }
        if self.armed.as_ref().is_some_and(|(armed, n)| *armed == point && n == count) {
            // The lock is kept: no other thread passes a point on the way out.
            kill_process(getpid(), Signal::KILL).expect("kill this process");
            loop {
                std::thread::park();
            }
        }
    }

    /// True when the half of a write has to be written by itself.
    fn wants_half(&self, file: &str, operation: &str) -> bool {
        let point = format!("{file} {operation} {}", Moment::Half.name());
        self.armed.as_ref().is_some_and(|(armed, _)| *armed == point)
    }

    /// What the file at `path` is called in points.
    fn file(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.data_dir).unwrap_or(path);
        let names: Vec<String> =
            below.iter().map(|name| without_numbers(&name.to_string_lossy())).collect();
        if names.is_empty() { ".".to_owned() } else { names.join("/") }
    }

    fn around<T>(
        &self,
        file: &str,
        operation: &str,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.arrive(file, operation, Moment::Before);
        let done = work()?;
        self.arrive(file, operation, Moment::After);
        Ok(done)
    }
}

/// A name with `#` for each of its numbers, decimal or hexadecimal.
fn without_numbers(name: &str) -> String {
    let is_number = |piece: &str| {
        piece.bytes().all(|byte| byte.is_ascii_hexdigit())
            && piece.bytes().any(|byte| byte.is_ascii_digit())
    };
    let pieces = name.split_inclusive(['-', '.']).map(|piece| {
        let text = piece.trim_end_matches(['-', '.']);
        let mark = piece.get(text.len()..).unwrap_or_default();
        format!("{}{mark}", if is_number(text) { "#" } else { text })
    });
    pieces.collect()
}

struct DyingDisk {
    disk: Arc<dyn Disk>,
    points: Arc<Points>,
}

struct DyingFile {
    file: Box<dyn DiskFile>,
    name: String,
    points: Arc<Points>,
}

impl Disk for DyingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let name = self.points.file(path);
        let file = match mode {
            OpenMode::CreateNew => {
                self.points.around(&name, "create", || self.disk.open(path, mode))?
            }
            OpenMode::Read | OpenMode::Write => self.disk.open(path, mode)?,
        };
        Ok(Box::new(DyingFile { file, name, points: Arc::clone(&self.points) }))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.points.around(&self.points.file(dir), "create-dir", || self.disk.create_dir_all(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.points.around(&self.points.file(to), "rename", || self.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.points.around(&self.points.file(path), "remove", || self.disk.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.points.around(&self.points.file(dir), "sync-dir", || self.disk.sync_dir(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.points.around(&self.points.file(path), "lock", || self.disk.lock(path))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

impl DiskFile for DyingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let write = |parts: &[IoSlice<'_>], offset| self.file.write_at(parts, offset);
        self.points.arrive(&self.name, "write", Moment::Before);
        if self.points.wants_half(&self.name, "write") {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            let (first, second) = bytes.split_at(bytes.len() / 2);
            write(&[IoSlice::new(first)], offset)?;
            self.points.arrive(&self.name, "write", Moment::Half);
            write(&[IoSlice::new(second)], offset + first.len() as u64)?;
        } else {
            // Arrived at, but whole: half of it is written only where the process is to die in between.
            self.points.arrive(&self.name, "write", Moment::Half);
            write(parts, offset)?;
        }
        self.points.arrive(&self.name, "write", Moment::After);
        Ok(())
    }

    fn write_blocks(&self, blocks: &Blocks, offset: u64) -> io::Result<()> {
        self.points.arrive(&self.name, "write", Moment::Before);
        if self.points.wants_half(&self.name, "write") {
            self.file.write_blocks(&self.half_of(blocks, offset)?, offset)?;
        }
        // Arrived at, but whole, where the process is not to die in between.
        self.points.arrive(&self.name, "write", Moment::Half);
        self.file.write_blocks(blocks, offset)?;
        self.points.arrive(&self.name, "write", Moment::After);
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.points.around(&self.name, "allocate", || self.file.allocate(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.points.around(&self.name, "set-len", || self.file.set_len(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn forget_copies(&self) {
        self.file.forget_copies();
    }

    fn sync_data(&self) -> io::Result<()> {
        self.points.around(&self.name, "sync", || self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.points.around(&self.name, "sync", || self.file.sync_all())
    }
}

impl DyingFile {
    /// The same blocks as a device leaves them which stops in the midst of them, and of a block: behind their first
    /// half stands what is there now.
    fn half_of(&self, blocks: &Blocks, offset: u64) -> io::Result<Blocks> {
        let whole = blocks.filled();
        let (first, second) = whole.split_at(whole.len() / 2);
        let mut half = Blocks::new(whole.len().div_ceil(BLOCK_BYTES));
        half.push(first);
        let mut there = vec![0; second.len()];
        self.file.read_at(&mut there, offset + first.len() as u64)?;
        half.push(&there);
        Ok(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_do_not_make_other_points() {
        for (name, point) in [
            ("000000000000001f.log", "#.log"),
            ("snapshot-1-00000000000000000012", "snapshot-#-#"),
            ("snapshot-1-make.tmp", "snapshot-#-make.tmp"),
            ("log.damaged-0123456789abcdef", "log.damaged-#"),
            ("identity", "identity"),
        ] {
            assert_eq!(without_numbers(name), point);
        }
    }

    #[test]
    fn what_is_no_point_is_refused() {
        assert!(parse("log/#.log write half").is_err());
        assert!(parse("log/#.log write half@x").is_err());
        assert_eq!(parse("a b c@3").unwrap(), ("a b c".to_owned(), 3));
    }
}

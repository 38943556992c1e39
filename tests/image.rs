//! Disks whose power fails: one ext4 image on a loop device per node, in a mount namespace of their own.
//!
//! The namespace lives as long as its keeper and the processes in it. When they end, with the test or
//! before it, by panic or by signal, the kernel unmounts what is mounted and frees the loop devices.
//!
//! What a power failure takes: all that the file system has not handed to its device, data and journal
//! alike. What it does not take: what the device itself would hold in a volatile cache, for a loop
//! device has none that could be emptied.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::patience::{LONG, say, until};

/// Segments of the log before and behind a roll, one prepared ahead, and snapshots. Images are sparse.
const IMAGE_BYTES: u64 = 512 << 20;
/// Nothing here takes long, but the machine may.
const LIMIT: Duration = Duration::from_secs(30);
/// `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`: neither data nor journal are flushed.
const SHUT_DOWN: &[&str] = &["xfs_io", "-x", "-c", "shutdown"];

/// A journal of all data: what is written stays in memory until it is synced, also what was to pass the page cache.
const JOURNALLED: &str = "loop,data=journal";

/// The disks. Field order matters: the namespace goes before the images.
pub(crate) struct Images {
    keeper: Keeper,
    /// How many of them, the first ones, have a journal of all data.
    journalled: usize,
    dir: TempDir,
}

/// Holds the namespace open; ends when its standard input does, so that it can't outlive the test.
struct Keeper(Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended before.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Keeper {
    fn start() -> Result<Self, String> {
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", "echo ready; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut keeper = Self(child.map_err(|error| format!("unshare: {error}"))?);
        let mut line = String::new();
        let stdout = keeper.0.stdout.take().ok_or("unshare has no output")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        match read {
            Ok(_) if line == "ready\n" => Ok(keeper),
            _ => Err("`unshare --mount` is not permitted".to_owned()),
        }
    }
}

impl Images {
    /// `count` formatted and mounted disks, `journalled` of them with a journal of all data, for what `wrapper` starts; `None`, and a line that says why,
    /// where one or the other can't be had.
    pub(crate) fn mounted(count: usize, journalled: usize, wrapper: &[&str]) -> Option<Self> {
        let probe: Vec<_> = wrapper.iter().chain(&["true"]).map(|&word| word.to_owned()).collect();
        match run(&probe).and_then(|()| Self::try_mounted(count, journalled)) {
            Ok(images) => Some(images),
            Err(reason) => {
                let test = thread::current().name().unwrap_or("a test").to_owned();
                say(&format!("SKIPPED {test}: {reason}"));
                None
            }
        }
    }

    fn try_mounted(count: usize, journalled: usize) -> Result<Self, String> {
        let dir = TempDir::with_prefix("quorate-power-").map_err(|error| error.to_string())?;
        let images = Self { keeper: Keeper::start()?, journalled, dir };
        for disk in 0..count {
            let made = File::create_new(images.image(disk))
                .and_then(|file| file.set_len(IMAGE_BYTES))
                .and_then(|()| fs::create_dir(images.mount_point(disk)));
            made.map_err(|error| error.to_string())?;
            run(&["mkfs.ext4".into(), "-q".into(), path(images.image(disk))])?;
            images.mount(disk)?;
            // Old kernels and other systems' ext4 can't.
            images.run_within(SHUT_DOWN, disk)?;
            images.restore_power(disk);
        }
        Ok(images)
    }

    fn image(&self, disk: usize) -> PathBuf {
        self.dir.path().join(format!("{}.ext4", disk + 1))
    }

    fn mount_point(&self, disk: usize) -> PathBuf {
        self.dir.path().join(format!("disk{}", disk + 1))
    }

    /// Where a node may keep its data; there only for who is [within](Self::within).
    pub(crate) fn data_dir(&self, disk: usize) -> PathBuf {
        self.mount_point(disk).join("data")
    }

    /// What stands before a command that is to see the disks.
    pub(crate) fn within(&self) -> Vec<String> {
        let keeper = self.keeper.0.id().to_string();
        ["nsenter", "--mount", "--target", &keeper].map(str::to_owned).to_vec()
    }

    fn run_within(&self, words: &[&str], disk: usize) -> Result<(), String> {
        let mut command = self.within();
        command.extend(words.iter().map(|&word| word.to_owned()));
        command.push(path(self.mount_point(disk)));
        run(&command)
    }

    fn mount(&self, disk: usize) -> Result<(), String> {
        let image = path(self.image(disk));
        let options = if disk < self.journalled { JOURNALLED } else { "loop" };
        self.run_within(&["mount", "-t", "ext4", "-o", options, &image], disk)
    }

    /// Writes out all that a disk's file system has in memory.
    #[track_caller]
    pub(crate) fn sync(&self, disk: usize) {
        self.run_within(&["sync", "--file-system"], disk).unwrap();
    }

    /// Cuts the power of several disks at the same time: the file systems stop where they are.
    /// Every later write fails.
    #[track_caller]
    pub(crate) fn cut_power(&self, disks: &[usize]) {
        thread::scope(|scope| {
            let cut = |&disk| scope.spawn(move || self.run_within(SHUT_DOWN, disk));
            let cuts: Vec<_> = disks.iter().map(cut).collect();
            cuts.into_iter().for_each(|cut| cut.join().unwrap().unwrap());
        });
    }

    /// Brings a disk back as after a power failure: what was in memory is forgotten, the journal
    /// replayed. Nobody may use it any more.
    #[track_caller]
    pub(crate) fn restore_power(&self, disk: usize) {
        until("the disk is unmounted", LONG, || self.run_within(&["umount"], disk));
        self.mount(disk).unwrap();
    }
}

fn path(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

/// Runs a command to its end.
fn run(command: &[String]) -> Result<(), String> {
    let shown = command.join(" ");
    // A hanging command would hang the test; coreutils are wherever mkfs.ext4 is.
    let mut limited = Command::new("timeout");
    limited.arg(LIMIT.as_secs().to_string()).args(command).stdin(Stdio::null());
    let output = limited.output().map_err(|error| format!("`{shown}`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("says nothing");
    if output.status.success() { Ok(()) } else { Err(format!("`{shown}`: {first}")) }
}

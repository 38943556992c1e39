//! The directory of the disk engine's states, and which of them is whole.
//!
//! ```text
//! engine/
//!   state-<n>/       a tree; n grows and is never used again
//!     leaving/       second names of its files from before it was opened; goes soon
//!   whole-<n>        written and synced when state n is complete: "QUORWHLE" | version u8 |
//!                    crc32c u32 LE of the rest | note
//!   damaged          what was found wrong; kept until the directory is moved away
//! ```
//!
//! A state that is being filled has no mark, and a restart removes it. The newest of the whole ones (by
//! what is applied in it) is the node's; so the switch to another state is the appearance of its mark, and
//! a crash at any point leaves the old one or the new one. Nothing else writes here, and no other room
//! looks inside: that is why these are not the seams of `quorate-env` (the tree uses its own files).

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::damage;
use crate::engine::EngineError;
use crate::point::{self, Moment};

const MAGIC: &[u8; 9] = b"QUORWHLE\x01";
const DAMAGED: &str = "damaged";
const LEAVING: &str = "leaving";

/// One state's place. Dropping the last user of one that is not whole, or has been retired, removes it.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    number: u64,
    kept: AtomicBool,
    note: Mutex<Vec<u8>>,
    /// Of a shadow: the directory made for it, which goes with it.
    within: Option<TempDir>,
}

/// What lies in a directory of states.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Numbers of states, and of those which are whole.
    pub(super) all: Vec<u64>,
    pub(super) whole: Vec<u64>,
}

fn number_of(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "the engine's own directory, see above")]
impl Census {
    /// Looks at `dir`, which is created where missing.
    pub(super) fn take(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Self::look(dir)
    }

    /// Looks at `dir`, where nothing may be missing.
    pub(super) fn look(dir: &Path) -> io::Result<Self> {
        let mut census = Self::default();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            census.all.extend(number_of(&name, "state-"));
            census.whole.extend(number_of(&name, "whole-"));
        }
        census.all.sort_unstable();
        census.whole.sort_unstable();
        Ok(census)
    }

    /// The number of the next state.
    pub(super) fn next(&self) -> u64 {
        self.all.last().max(self.whole.last()).map_or(1, |last| last + 1)
    }
}

#[expect(clippy::disallowed_methods, reason = "the engine's own directory, see above")]
impl Home {
    /// A place for a new state.
    pub(super) fn new(dir: &Path, number: u64) -> Self {
        let (kept, note) = (AtomicBool::new(false), Mutex::default());
        Self { dir: dir.to_owned(), number, kept, note, within: None }
    }

    /// The place of a whole state.
    ///
    /// # Errors
    /// Its mark can't be read, or is wrong.
    pub(super) fn of_whole(dir: &Path, number: u64) -> Result<Self, EngineError> {
        let home = Self::new(dir, number);
        // Order matters: whatever is wrong with the mark, the state is not ours to remove.
        home.kept.store(true, Ordering::Release);
        let bytes = fs::read(home.mark())?;
        let body = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first_chunk::<4>);
        let note = body.filter(|(sum, note)| crc32c::crc32c(note).to_le_bytes() == **sum);
        let note = note.ok_or_else(|| damage("the mark of a whole state"))?.1.to_vec();
        *home.lock_note() = note;
        Ok(home)
    }

    /// The whole state `number` once more, in a directory of its own, for whoever must not change a byte of
    /// the first: opening a tree removes files from it. Its tables, which nobody ever writes to again, are
    /// links; what is written is lost with the shadow.
    ///
    /// # Errors
    /// As [`Home::of_whole`].
    pub(super) fn shadow(dir: &Path, number: u64) -> Result<Self, EngineError> {
        let original = Self::of_whole(dir, number)?;
        let within = tempfile::Builder::new().prefix("quorate-state-").tempdir()?;
        let mut shadow = Self::new(within.path(), number);
        *shadow.lock_note() = original.note();
        for entry in fs::read_dir(fs::canonicalize(original.path())?)? {
            let entry = entry?;
            let to = shadow.path().join(entry.file_name());
            fs::create_dir_all(shadow.path())?;
            if !entry.file_type()?.is_dir() {
                fs::copy(entry.path(), to)?;
                continue;
            }
            fs::create_dir(&to)?;
            for file in fs::read_dir(entry.path())? {
                let file = file?;
                std::os::unix::fs::symlink(file.path(), to.join(file.file_name()))?;
            }
        }
        shadow.within = Some(within);
        Ok(shadow)
    }

    /// A place beside this one.
    pub(super) fn successor(&self) -> io::Result<Self> {
        Ok(Self::new(&self.dir, Census::take(&self.dir)?.next()))
    }

    /// Where the state's files are.
    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(format!("state-{}", self.number))
    }

    /// Gives each file in the directories of the state a second name, until [`Home::let_go`]. Opening a tree removes what a
    /// compaction has read or half written, gigabytes behind a load, and a start would wait for that: now
    /// only names go.
    pub(super) fn keep_until_later(&self) {
        if self.within.is_none() {
            // Where that is not possible, or not for all, opening takes longer.
            drop(self.name_again());
        }
    }

    fn name_again(&self) -> io::Result<()> {
        let leaving = self.path().join(LEAVING);
        for dir in fs::read_dir(self.path())? {
            let dir = dir?;
            if !dir.file_type()?.is_dir() || dir.path() == leaving {
                continue;
            }
            for file in fs::read_dir(dir.path())? {
                let file = file?;
                let kept = leaving.join(dir.file_name());
                fs::create_dir_all(&kept)?;
                match fs::hard_link(file.path(), kept.join(file.file_name())) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Ends [`Home::keep_until_later`], also that of a start before. Waits for the device.
    pub(super) fn let_go(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.path().join(LEAVING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn mark(&self) -> PathBuf {
        self.dir.join(format!("whole-{}", self.number))
    }

    fn lock_note(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.note.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The note of [`Home::seal`].
    pub(super) fn note(&self) -> Vec<u8> {
        self.lock_note().clone()
    }

    /// Marks the state, all of which is durable, as whole.
    pub(super) fn seal(&self, note: &[u8]) -> io::Result<()> {
        point::arrive("seal", Moment::Before);
        // Order matters: the state's directory is durable in its parent before the mark that names it.
        sync_dir(&self.dir)?;
        let temporary = self.dir.join(format!("whole-{}.tmp", self.number));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(MAGIC)?;
        file.write_all(&crc32c::crc32c(note).to_le_bytes())?;
        file.write_all(note)?;
        file.sync_all()?;
        point::arrive("seal", Moment::Half);
        fs::rename(&temporary, self.mark())?;
        sync_dir(&self.dir)?;
        point::arrive("seal", Moment::After);
        *self.lock_note() = note.to_vec();
        self.kept.store(true, Ordering::Release);
        Ok(())
    }

    /// The state is to be removed with its last user.
    pub(super) fn retire(&self) {
        self.kept.store(false, Ordering::Release);
    }

    /// Removes the state's files.
    pub(super) fn remove(&self) -> io::Result<()> {
        point::arrive("removal", Moment::Before);
        // Order matters: a state without its mark is no state; the other way round half of one would be.
        match fs::remove_file(self.mark()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => sync_dir(&self.dir)?,
        }
        point::arrive("removal", Moment::Half);
        match fs::remove_dir_all(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        point::arrive("removal", Moment::After);
        Ok(())
    }

    /// Notes durably that this directory's states must not be used again: a restart finds out what a
    /// read has met.
    pub(super) fn note_damage(&self, what: &str) {
        // Where even that fails, the read that follows the restart meets the damage again.
        let noted = fs::write(self.dir.join(DAMAGED), what).and_then(|()| sync_dir(&self.dir));
        drop(noted);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) {
            // What can't be removed now is removed by the next start.
            drop(self.remove());
        }
    }
}

/// Fails when damage was noted in `dir`.
#[expect(clippy::disallowed_methods, reason = "the engine's own directory, see above")]
pub(super) fn check_damage(dir: &Path) -> Result<(), EngineError> {
    match fs::read_to_string(dir.join(DAMAGED)) {
        Ok(what) => Err(EngineError::Damage(what)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damage("noted as damaged")),
        Err(error) => Err(error.into()),
    }
}

/// Removes all states.
#[expect(clippy::disallowed_methods, reason = "the engine's own directory, see above")]
pub(super) fn clear(dir: &Path) -> io::Result<()> {
    let census = Census::take(dir)?;
    for number in census.all.iter().chain(&census.whole) {
        Home::new(dir, *number).remove()?;
    }
    match fs::remove_file(dir.join(DAMAGED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sync_dir(dir)
}

#[expect(clippy::disallowed_methods, reason = "the engine's own directory, see above")]
fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

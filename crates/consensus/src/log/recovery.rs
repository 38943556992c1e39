//! Recovery: from the files to a log that can be written to again.
//!
//! 1. The manifest names the segments. Sealed ones must be valid to their end; of the others,
//!    [`judge`] tells where they end, and whether that end is clean, torn, in doubt or damage.
//! 2. [`Replay`] turns the records into one index and one state per group.
//! 3. What carries no durable mark may be nowhere but in the page cache (after kill -9, or after a
//!    failed fsync whose pages count as clean): reading it proves nothing. So it is written again, to
//!    a new segment, fsynced, and read back: the only other copy goes next.
//!    On a full disk it is written to the same place instead: the same bytes, so that a crash can't
//!    make a difference.
//! 4. The manifest is replaced: old segments are sealed where the durable part ends, the new one is
//!    named. Until then a crash changes nothing: the same recovery runs again. Only then files that
//!    nothing names are removed.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_env::disk::{self, DirLock};
use quorate_env::{Disk, DiskFile, Env, OpenMode};

use super::encoder::{END_BYTES, Encoder};
use super::error::{Context, LogError};
use super::index::Sink;
use super::judge::{CutReason, Verdict, judge};
use super::keeper::Keeper;
use super::manifest::{MANIFEST, Manifest};
use super::reader::{LogReader, Wanted, read_exact};
use super::record::{HEADER_BYTES, Kind, Position, record_bytes};
use super::replay::Replay;
use super::segment::{self, OpenSegment, SEGMENT_HEADER_BYTES, SegmentName, read_header};
use super::state::STATE_BYTES;
use super::walk::Walk;
use super::{Cut, LogConfig};
use crate::id::GroupId;

/// Segments are as large as a multiple of this.
const ROUND_BYTES: u64 = 4096;

/// The segment that a start begins has room for this part of a usual one: nothing is refused on a disk so slow that the
/// keeper's spare takes seconds.
const FIRST_PART: u64 = 4;

/// A log that is ready.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) replay: Replay,
    pub(super) keeper: Keeper,
    /// The segment to go on with, and where.
    pub(super) active: OpenSegment,
    pub(super) tail: u32,
    pub(super) cuts: Vec<Cut>,
}

/// Takes the lock that keeps other processes out.
pub(super) fn lock(env: &Env, dir: &Path) -> Result<Box<dyn DirLock>, LogError> {
    env.disk.create_dir_all(dir).at("create directory", dir)?;
    let file = dir.join("lock");
    match env.disk.lock(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(LogError::Locked { file })
        }
        other => other.at("lock", &file),
    }
}

/// Recovers the log in `dir`. Blocks.
pub(super) fn open(env: &Env, dir: &Path, config: &LogConfig) -> Result<Opened, LogError> {
    let disk = &*env.disk;
    let names = disk.list(dir).at("list directory", dir)?;
    let ids: Vec<u64> = names.iter().filter_map(|name| segment::id_of(name)).collect();
    let manifest = match Manifest::load(disk, dir)? {
        Some(manifest) => manifest,
        None if ids.is_empty() => Manifest::create(disk, dir)?,
        None => return Err(LogError::Vanished { file: dir.join(MANIFEST) }),
    };
    check_unnamed(disk, dir, &manifest, &ids)?;
    let path = dir.join(MANIFEST);
    let file = disk.open(&path, OpenMode::Write).at("open manifest", &path)?;
    let named = manifest.segments.iter().map(|segment| segment.id);
    let next_id = named.chain(ids).max().unwrap_or(0).saturating_add(1);
    let (sealed, open) =
        manifest.segments.iter().copied().partition(|name: &SegmentName| name.end.is_some());
    let mut recovery = Recovery {
        env,
        dir,
        config,
        sealed,
        open,
        walks: Vec::new(),
        durable: Position::default(),
        cuts: Vec::new(),
        replay: Replay::default(),
        buffer: Vec::new(),
        keeper: Keeper::new(env, dir.to_owned(), manifest, file, next_id),
    };
    recovery.read()?;
    recovery.finish()
}

/// A segment above all named ones must be one that was never used: else the manifest is an old one.
fn check_unnamed(
    disk: &dyn Disk,
    dir: &Path,
    named: &Manifest,
    ids: &[u64],
) -> Result<(), LogError> {
    let highest = named.segments.last().map_or(0, |name| name.id);
    for id in ids.iter().copied().filter(|id| *id > highest) {
        let path = segment::path(dir, id);
        let bytes = disk::read_file(disk, &path).at("read segment", &path)?;
        let Some((own, salt)) = read_header(&path, &bytes)? else { continue };
        let name = SegmentName { id: own, salt, bytes: 0, end: None };
        let used = |mark: Position| mark.segment >= id;
        if Walk::new(&bytes, name.start(), None).marks().any(used) {
            let what = format!("the manifest is older than {}", path.display());
            return Err(LogError::damage(&dir.join(MANIFEST), 0u64, what));
        }
    }
    Ok(())
}

struct Recovery<'a> {
    env: &'a Env,
    dir: &'a Path,
    config: &'a LogConfig,
    sealed: Vec<SegmentName>,
    open: Vec<SegmentName>,
    /// Of the open ones.
    walks: Vec<Walk>,
    /// What is durable for sure.
    durable: Position,
    cuts: Vec<Cut>,
    replay: Replay,
    keeper: Keeper,
    /// For one segment after the other.
    buffer: Vec<u8>,
}

impl Recovery<'_> {
    fn path(&self, id: u64) -> PathBuf {
        segment::path(self.dir, id)
    }

    /// Steps 1 and 2.
    fn read(&mut self) -> Result<(), LogError> {
        for name in self.sealed.clone() {
            let walk = self.walk(&name)?;
            if Some(walk.stop) != name.end {
                let what = "a record that was durable is not valid any more";
                return Err(LogError::damage(&self.path(name.id), walk.stop, what));
            }
            self.durable = Position { segment: name.id, offset: walk.stop };
            self.replay(&name, &walk)?;
        }
        for name in self.open.clone() {
            let walk = self.walk(&name)?;
            self.durable = walk.marks().max().unwrap_or_default().max(self.durable);
            self.walks.push(walk);
        }
        let verdicts = judge(&self.walks, self.durable).map_err(|damage| {
            LogError::damage(&self.path(damage.at.segment), damage.at.offset, damage.what)
        })?;
        let walks = std::mem::take(&mut self.walks);
        for (name, walk) in self.open.clone().iter().zip(&walks) {
            self.replay(name, walk)?;
        }
        for (walk, verdict) in walks.iter().zip(&verdicts) {
            self.note(walk, verdict);
        }
        self.walks = walks;
        self.buffer = Vec::new();
        self.replay.check().map_err(|what| LogError::damage(self.dir, 0u64, what))?;
        self.replay.normalize();
        Ok(())
    }

    fn walk(&mut self, name: &SegmentName) -> Result<Walk, LogError> {
        let path = self.path(name.id);
        match disk::read_file_into(&*self.env.disk, &path, &mut self.buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LogError::Vanished { file: path });
            }
            other => other.at("read segment", &path)?,
        }
        let bytes = self.buffer.as_slice();
        name.check(&path, bytes)?;
        let size = bytes.len() as u64;
        if size < u64::from(name.end.unwrap_or(name.bytes)) || size > u64::from(name.bytes) {
            return Err(LogError::damage(&path, size, "the file has another size"));
        }
        Ok(Walk::new(bytes, name.start(), name.end))
    }

    fn replay(&mut self, name: &SegmentName, walk: &Walk) -> Result<(), LogError> {
        self.replay.segments.insert(*name);
        self.replay
            .walk(walk)
            .map_err(|(offset, what)| LogError::damage(&self.path(name.id), offset, what))
    }

    fn note(&mut self, walk: &Walk, verdict: &Verdict) {
        let reason = match verdict {
            Verdict::Clean => return,
            Verdict::Torn => CutReason::Torn,
            Verdict::InDoubt(lost) => {
                self.replay.doubt(lost);
                CutReason::InDoubt
            }
        };
        let file = self.path(walk.segment);
        tracing::warn!(file = %file.display(), offset = walk.stop, ?reason, "end of the log was cut");
        self.cuts.push(Cut { file, offset: u64::from(walk.stop), reason });
    }

    /// Steps 3 and 4.
    fn finish(mut self) -> Result<Opened, LogError> {
        let from = self.rewrite_from()?;
        let (active, tail, from) = match self.rewrite(from)? {
            Some((active, tail)) => (active, tail, from),
            None => {
                let (active, tail) = self.write_in_place()?;
                let from = Position { segment: active.name.id, offset: 0 };
                (active, tail, from)
            }
        };
        let sealed_now: Vec<_> = self.sealed_by(from).collect();
        let mut names = self.sealed.clone();
        names.extend(&sealed_now);
        names.push(active.name);
        let written = Position { segment: active.name.id, offset: tail };
        self.replay.segments.0.retain(|id, _| names.iter().any(|name| name.id == *id));
        for id in self.replay.segments.dead_prefix(written, u64::MAX) {
            names.retain(|name| name.id != id);
            self.replay.segments.0.remove(&id);
        }
        self.keeper.replace(names)?;
        self.give_back(&sealed_now);
        let Self { replay, keeper, cuts, .. } = self;
        Ok(Opened { replay, keeper, active, tail, cuts })
    }

    /// From where on records are written again: what carries no durable mark; or all of the open
    /// segments if that is little, so that a node which restarts often does not collect small ones.
    fn rewrite_from(&self) -> Result<Position, LogError> {
        let Some(first) = self.open.first() else { return Ok(Position::default()) };
        let start = first.start().at;
        let content = |walk: &Walk| u64::from(walk.stop - SEGMENT_HEADER_BYTES);
        let little = self.config.segment_bytes / 8;
        if self.durable <= start || self.walks.iter().map(content).sum::<u64>() <= little {
            return Ok(start);
        }
        let boundary =
            self.walks.iter().filter(|walk| walk.segment == self.durable.segment).any(|walk| {
                let offset = self.durable.offset;
                walk.stop == offset || walk.records.iter().any(|record| record.offset == offset)
            });
        if !boundary {
            let what = "a durable mark points into the middle of a record";
            return Err(LogError::damage(
                &self.path(self.durable.segment),
                self.durable.offset,
                what,
            ));
        }
        Ok(self.durable)
    }

    /// The open segments with something below `from`, sealed there.
    fn sealed_by(&self, from: Position) -> impl Iterator<Item = SegmentName> {
        self.open.iter().zip(&self.walks).filter_map(move |(name, walk)| {
            let below = Position { segment: name.id, offset: walk.stop }.min(from);
            let keep = below.segment == name.id && below.offset > SEGMENT_HEADER_BYTES;
            keep.then_some(SegmentName { end: Some(below.offset), ..*name })
        })
    }

    /// Writes states and all entries at or behind `from` to a new segment; None when there is no room.
    fn rewrite(&mut self, from: Position) -> Result<Option<(OpenSegment, u32)>, LogError> {
        let mut groups = Vec::new();
        for (id, group) in &self.replay.groups {
            let wanted = group.at_or_behind(from, |id| self.replay.segments.name(id));
            groups.push((*id, wanted));
        }
        let entries = groups.iter().flat_map(|(_, wanted)| wanted);
        let bytes: u64 = entries.map(|wanted| record_bytes(u64::from(wanted.data_bytes))).sum();
        let heads = record_bytes(STATE_BYTES as u64) * groups.len() as u64;
        let need = u64::from(SEGMENT_HEADER_BYTES) + heads + bytes + END_BYTES;
        let Some(segment) = self.room(need + self.config.reserve_bytes)? else { return Ok(None) };
        self.replay.segments.insert(segment.name);
        let mut encoder = Encoder::new(segment.name.start(), self.durable);
        for (id, wanted) in &groups {
            let Some(group) = self.replay.groups.get(id) else { continue };
            let mut state = group.state;
            state.last = wanted.first().map_or(state.last, |first| first.index.prev());
            encoder.state(*id, &state);
        }
        for (id, wanted) in groups {
            self.encode_again(&mut encoder, id, wanted)?;
        }
        encoder.finish();
        let offset = u64::from(segment.name.start().at.offset);
        segment.file.write_at(&encoder.parts(), offset).at("write segment", &segment.path)?;
        segment.file.sync_all().at("sync segment", &segment.path)?;
        self.read_back(&segment, &encoder)?;
        let tail = encoder.place().at.offset;
        Ok(Some((segment, tail)))
    }

    /// Order matters: what was written takes the place of segments that are removed next. A device that has put it
    /// somewhere else has said nothing; where it is missing, the next start would take it for a write that never was.
    fn read_back(&self, segment: &OpenSegment, encoder: &Encoder) -> Result<(), LogError> {
        let parts = encoder.parts();
        let written: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let file = self.env.disk.open(&segment.path, OpenMode::Read);
        let file = file.at("open segment", &segment.path)?;
        let mut read = vec![0; written.len()];
        let offset = u64::from(segment.name.start().at.offset);
        // Or it would be the kernel that remembers, and not the device.
        file.forget_copies();
        read_exact(&*file, &mut read, offset).at("read segment", &segment.path)?;
        if read == written {
            return Ok(());
        }
        // Not damage: all that it was to replace is still there, and the next start tries again.
        Err(LogError::Io {
            action: "read back what was written (the device has not kept it)",
            file: segment.path.clone(),
            source: std::io::ErrorKind::InvalidData.into(),
        })
    }

    fn encode_again(
        &mut self,
        encoder: &mut Encoder,
        id: GroupId,
        wanted: Vec<Wanted>,
    ) -> Result<(), LogError> {
        let (disk, dir) = (Arc::clone(&self.env.disk), self.dir.to_owned());
        let entries = LogReader { disk, dir, group: id, wanted }.read()?;
        let Some(group) = self.replay.groups.get_mut(&id) else { return Ok(()) };
        for entry in &entries {
            let mut sink = Sink { segments: &mut self.replay.segments, batch: 0 };
            group.place(entry.index, entry.term, encoder.place().at, &mut sink);
            encoder.entry(id, entry);
        }
        Ok(())
    }

    /// A new segment with at least `need` bytes: with some room for what comes before the keeper has brought a spare, or
    /// on a full disk without. Never one of the usual size, whose zeros a start would wait for.
    fn room(&mut self, need: u64) -> Result<Option<OpenSegment>, LogError> {
        let size = |bytes: u64| {
            let rounded = bytes.next_multiple_of(ROUND_BYTES);
            u32::try_from(rounded).map_err(|_| LogError::Config("too large".into()))
        };
        let roomy = size(need + self.config.segment_bytes / FIRST_PART)?;
        if let Some(segment) = self.keeper.create(roomy)? {
            return Ok(Some(segment));
        }
        // The unused spare takes more than what is needed.
        let empty = |walk: &&Walk| !walk.has_content() && walk.tail.nonzero_end.is_none();
        let empty: Vec<u64> = self.walks.iter().filter(empty).map(|walk| walk.segment).collect();
        let names = self.keeper.segments().to_vec();
        self.keeper
            .replace(names.into_iter().filter(|name| !empty.contains(&name.id)).collect())?;
        for bytes in [roomy, size(need)?] {
            if let Some(segment) = self.keeper.create(bytes)? {
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }

    /// On a full disk: writes what carries no durable mark again where it is. What has to be added
    /// has its place in the reserve.
    fn write_in_place(&mut self) -> Result<(OpenSegment, u32), LogError> {
        let full = |file: &Path| LogError::Io {
            action: "write log (give the disk some room and start again)",
            file: file.to_owned(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        let used = self.open.iter().zip(&self.walks).rfind(|(_, walk)| !walk.records.is_empty());
        let Some((name, walk)) = used else { return Err(full(self.dir)) };
        let path = self.path(name.id);
        let file = self.env.disk.open(&path, OpenMode::Write).at("open segment", &path)?;
        let added = self.additions(name, walk);
        let tail = added.place().at.offset;
        if tail > name.bytes {
            return Err(full(&path));
        }
        let from = match self.durable.segment == name.id {
            true => self.durable.offset,
            false => SEGMENT_HEADER_BYTES,
        };
        let mut again = vec![0; walk.stop.saturating_sub(from) as usize];
        read_exact(&*file, &mut again, u64::from(from)).at("read segment", &path)?;
        let garbage = walk.tail.nonzero_end.unwrap_or(0);
        if !self.in_doubt() {
            clear(&*file, walk.stop, garbage).at("clear segment", &path)?;
        }
        let zeros = vec![0; garbage.saturating_sub(tail) as usize];
        let mut parts = added.parts();
        parts.insert(0, IoSlice::new(&again));
        parts.push(IoSlice::new(&zeros));
        file.write_at(&parts, u64::from(from)).at("write segment", &path)?;
        file.sync_all().at("sync segment", &path)?;
        Ok((OpenSegment { name: *name, path, file }, tail))
    }

    fn in_doubt(&self) -> bool {
        self.cuts.iter().any(|cut| cut.reason == CutReason::InDoubt)
    }

    /// What must follow the records of `walk` when the log goes on behind them.
    fn additions(&self, name: &SegmentName, walk: &Walk) -> Encoder {
        let mut added = Encoder::new(name.place(walk.stop), self.durable);
        if self.in_doubt() {
            for (id, group) in &self.replay.groups {
                added.state(*id, &group.state);
            }
        }
        let ended = walk.records.last().is_some_and(|last| last.header.kind == Kind::End);
        if added.bytes() > 0 || !ended {
            added.finish();
        }
        added
    }

    /// Sealed segments don't need the space behind their end.
    fn give_back(&self, sealed: &[SegmentName]) {
        for name in sealed {
            let path = self.path(name.id);
            let cut = self
                .env
                .disk
                .open(&path, OpenMode::Write)
                .and_then(|file| file.set_len(u64::from(name.end.unwrap_or(name.bytes))));
            if let Err(error) = cut {
                tracing::warn!(%error, file = %path.display(), "space behind a segment's end is kept");
            }
        }
    }
}

/// Makes a torn record go away. Its header goes last: what a crash in between leaves is a torn record
/// still. (What is in doubt is not cleared: it is the only witness, until the states are durable.)
fn clear(file: &dyn DiskFile, from: u32, to: u32) -> std::io::Result<()> {
    let behind_header = from.saturating_add(HEADER_BYTES);
    for (from, to) in [(behind_header, to), (from, to.min(behind_header))] {
        if from < to {
            let zeros = vec![0; (to - from) as usize];
            file.write_at(&[IoSlice::new(&zeros)], u64::from(from))?;
            file.sync_all()?;
        }
    }
    Ok(())
}

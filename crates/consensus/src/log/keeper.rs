//! Keeper: creates, seals and removes segments, and writes it into the manifest; on a lane of its
//! own, so that no append waits for it.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_env::{Disk, DiskFile, Rng};

use super::error::{Context, LogError};
use super::manifest::{MANIFEST, Manifest, SEGMENTS_MAX};
use super::segment::{self, CreateError, OpenSegment, SegmentName};

/// See the module. It is moved onto the lane with each job, and comes back with the answer.
pub(super) struct Keeper {
    disk: Arc<dyn Disk>,
    rng: Arc<dyn Rng>,
    dir: PathBuf,
    manifest: Manifest,
    file: Box<dyn DiskFile>,
    next_id: u64,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Revision {
    /// Segments that will not grow any more, and where they end.
    pub(super) seal: Vec<(u64, u32)>,
    /// Segments that aren't needed any more.
    pub(super) remove: Vec<u64>,
    /// The size of a new segment.
    pub(super) create: Option<u32>,
}

impl Keeper {
    /// A keeper of `manifest`, which stands in `file`.
    pub(super) fn new(
        env: &quorate_env::Env,
        dir: PathBuf,
        manifest: Manifest,
        file: Box<dyn DiskFile>,
        next_id: u64,
    ) -> Self {
        let (disk, rng) = (Arc::clone(&env.disk), Arc::clone(&env.rng));
        Self { disk, rng, dir, manifest, file, next_id }
    }

    /// The segments as the manifest names them.
    pub(super) fn segments(&self) -> &[SegmentName] {
        &self.manifest.segments
    }

    /// Carries out a revision; the new segment, if there is room for one.
    ///
    /// # Errors
    /// A write or an fsync failed: what the disk holds is unknown until the next start.
    pub(super) fn revise(&mut self, revision: &Revision) -> Result<Option<OpenSegment>, LogError> {
        if !revision.seal.is_empty() || !revision.remove.is_empty() {
            self.seal(&revision.seal);
            self.manifest.segments.retain(|segment| !revision.remove.contains(&segment.id));
            self.store()?;
            // Order matters: named first, removed later, or a crash in between looks like damage.
            self.remove_files(&revision.remove)?;
        }
        let Some(bytes) = revision.create else { return Ok(None) };
        let Some(created) = self.create(bytes)? else { return Ok(None) };
        self.adopt(&created)?;
        Ok(Some(created))
    }

    /// Creates a segment that nothing names yet; None when there is no room.
    pub(super) fn create(&mut self, bytes: u32) -> Result<Option<OpenSegment>, LogError> {
        if self.manifest.segments.len() >= SEGMENTS_MAX {
            return Ok(None);
        }
        let name = SegmentName { id: self.next_id, salt: self.rng.next_u64(), bytes, end: None };
        self.next_id += 1;
        match segment::create(&*self.disk, &self.dir, name) {
            Ok(created) => Ok(Some(created)),
            Err(CreateError::NoRoom(error)) => {
                tracing::warn!(%error, "no room for a log segment");
                Ok(None)
            }
            Err(CreateError::Failed(error)) => Err(error),
        }
    }

    /// Names a segment in the manifest.
    pub(super) fn adopt(&mut self, created: &OpenSegment) -> Result<(), LogError> {
        self.manifest.segments.push(created.name);
        self.store()
    }

    /// Replaces the list of segments, and then removes all files that it doesn't name.
    pub(super) fn replace(&mut self, segments: Vec<SegmentName>) -> Result<(), LogError> {
        self.manifest.segments = segments;
        self.store()?;
        let names = self.disk.list(&self.dir).at("list directory", &self.dir)?;
        let named = |id: &u64| self.manifest.segments.iter().any(|segment| segment.id == *id);
        let ids = names.iter().filter_map(|name| segment::id_of(name));
        let unnamed: Vec<u64> = ids.filter(|id| !named(id)).collect();
        self.remove_files(&unnamed)
    }

    fn seal(&mut self, seals: &[(u64, u32)]) {
        for segment in &mut self.manifest.segments {
            let end = seals.iter().find(|(id, _)| *id == segment.id).map(|(_, end)| *end);
            segment.end = segment.end.or(end);
        }
    }

    fn store(&mut self) -> Result<(), LogError> {
        self.manifest.store(&*self.file, &self.dir.join(MANIFEST))
    }

    fn remove_files(&self, ids: &[u64]) -> Result<(), LogError> {
        for id in ids {
            let path = segment::path(&self.dir, *id);
            if let Err(error) = self.disk.remove(&path) {
                // Nothing names it any more, so the next start removes it.
                tracing::warn!(%error, file = %path.display(), "old log segment not removed");
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        self.disk.sync_dir(&self.dir).at("sync directory", &self.dir)
    }
}

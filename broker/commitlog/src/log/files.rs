//! The open files of a log: opened when they are needed, closed when the shard has too many.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_runtime::{File, OpenMode};

use super::Log;
use crate::index::{OffsetIndex, TimeIndex};
use crate::name::{FileKind, SegmentFile};
use crate::segment::Indexes;
use crate::small_file;

impl Log {
    /// Path of a file of this log.
    pub(crate) fn path_of(&self, file: SegmentFile) -> PathBuf {
        self.folder.join(file.name())
    }

    /// The file of the active segment.
    pub(crate) async fn active_file(self: &Rc<Self>) -> io::Result<Rc<dyn File>> {
        let base = self.state.borrow().active().base;
        self.segment_file(base).await
    }

    /// The `.log` file of a segment.
    pub(crate) async fn segment_file(self: &Rc<Self>, base: Offset) -> io::Result<Rc<dyn File>> {
        {
            let mut state = self.state.borrow_mut();
            let Some(segment) = state.segment_mut(base) else { return Err(io::ErrorKind::NotFound.into()) };
            segment.was_used = true;
            if let Some(file) = &segment.file {
                return Ok(Rc::clone(file));
            }
        }
        let path = self.path_of(SegmentFile::new(base, FileKind::Log));
        let opened = self.env.disk.open(&path, OpenMode::Write).await?;
        let file = {
            let mut state = self.state.borrow_mut();
            let Some(segment) = state.segment_mut(base) else { return Err(io::ErrorKind::NotFound.into()) };
            // Somebody else may have opened it meanwhile; one handle a file.
            if let Some(file) = &segment.file {
                return Ok(Rc::clone(file));
            }
            segment.file = Some(Rc::clone(&opened));
            opened
        };
        self.directory.resources.opened(self, base);
        Ok(file)
    }

    /// Closes the file of a segment unless it was used since the last look; true when nothing is left to close.
    pub(crate) fn try_close_file(&self, base: Offset) -> bool {
        // A log that is being looked at is in use.
        let Ok(mut state) = self.state.try_borrow_mut() else { return false };
        let Some(segment) = state.segment_mut(base) else { return true };
        if std::mem::take(&mut segment.was_used) {
            return false;
        }
        segment.file = None;
        true
    }

    /// Gives up the oldest cached batch.
    pub(crate) fn evict_tail(&self) {
        self.state.borrow_mut().evict_tail();
    }

    /// Gives up the loaded indexes of a sealed segment.
    pub(crate) fn drop_index(&self, base: Offset) {
        let mut state = self.state.borrow_mut();
        let active = state.active().base;
        if base == active {
            return;
        }
        if let Some(segment) = state.segment_mut(base) {
            // Largest timestamps stay: retention asks for them.
            segment.indexes = None;
        }
    }

    /// Has the indexes of a segment in memory, reading or rebuilding them when they are not. False when the segment is
    /// gone.
    pub(crate) async fn load_indexes(self: &Rc<Self>, base: Offset) -> io::Result<bool> {
        let size = {
            let state = self.state.borrow();
            match state.segment(base) {
                None => return Ok(false),
                Some(segment) if segment.indexes.is_some() => return Ok(true),
                Some(segment) => segment.size,
            }
        };
        let indexes = match self.read_indexes(base, size).await? {
            Some(indexes) => indexes,
            None => self.rebuild_indexes(base, size).await?,
        };
        let bytes = indexes.size_bytes();
        {
            let mut state = self.state.borrow_mut();
            let Some(segment) = state.segment_mut(base) else { return Ok(false) };
            segment.largest.get_or_insert(indexes.time.last());
            segment.indexes = Some(indexes);
        }
        self.directory.resources.index_loaded(self, base, bytes);
        Ok(true)
    }

    /// The indexes of a sealed segment as they stand on disk; `None` when they are missing or do not fit it.
    async fn read_indexes(&self, base: Offset, size: u64) -> io::Result<Option<Indexes>> {
        let disk = &*self.env.disk;
        let offsets = small_file::read(disk, &self.path_of(SegmentFile::new(base, FileKind::Index))).await?;
        let times = small_file::read(disk, &self.path_of(SegmentFile::new(base, FileKind::TimeIndex))).await?;
        let (Some(offsets), Some(times)) = (offsets, times) else { return Ok(None) };
        let parsed = (OffsetIndex::parse(base, &offsets, size), TimeIndex::parse(base, &times));
        let (Ok(offset), Ok(time)) = parsed else { return Ok(None) };
        // A sealed segment that holds more than one interval has entries; without them every read would walk it.
        let interval = u64::from(self.state.borrow().config.index_interval_bytes);
        let is_plausible = offset.len() > 0 || size <= interval.saturating_mul(64).max(1 << 20);
        Ok(is_plausible.then_some(Indexes { offset, time }))
    }
}

//! The open files of a log: opened when they are needed, closed when the shard has too many.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_runtime::{File, OpenMode};
use barnabas_wire::record::{BatchHeader, HEADER_BYTES};
use bytes::Bytes;

use super::Log;
use crate::check::Checksums;
use crate::index::{OffsetIndex, TimeIndex};
use crate::name::{FileKind, SegmentFile};
use crate::scan::Scanner;
use crate::segment::{Indexes, Segment};
use crate::small_file;

/// The index files of a segment, as far as they may be believed.
pub(crate) struct IndexFiles {
    pub(crate) offset: Bytes,
    pub(crate) time: Bytes,
    /// Whether nothing was left off.
    pub(crate) is_whole: bool,
}

/// Held while somebody changes names or caches in the folder of a log. A topic of the same name may have its folder in the
/// same place soon after a log is deleted: deletion waits until nobody holds one, and nobody gets one afterwards.
pub(crate) struct Change {
    log: Rc<Log>,
}

impl Drop for Change {
    fn drop(&mut self) {
        self.log.state.borrow_mut().changes -= 1;
        self.log.changed.notify();
    }
}

/// Held while somebody writes caches, so that nobody believes what he has read of them meanwhile.
pub(crate) struct CacheWrite<'a> {
    log: &'a Log,
}

impl Drop for CacheWrite<'_> {
    fn drop(&mut self) {
        self.log.state.borrow_mut().cache_writes += 1;
        self.log.changed.notify();
    }
}

/// Indexes in memory that nobody drops yet, because they are not counted. They are however their loading ends: whoever reads
/// may be gone before it does.
struct Uncounted<'a> {
    log: &'a Rc<Log>,
    base: Offset,
    bytes: u64,
}

impl Drop for Uncounted<'_> {
    fn drop(&mut self) {
        self.log.directory.resources.index_loaded(self.log, self.base, self.bytes);
    }
}

/// A [`Change`] that replaces some of the log's small files: one at a time, since each is written under a second name first,
/// or in several steps.
pub(crate) struct Replacement {
    change: Change,
}

impl Drop for Replacement {
    fn drop(&mut self) {
        self.change.log.state.borrow_mut().is_replacing = false;
    }
}

impl Log {
    /// Waits until nobody else replaces a small file of this log; `NotFound` when the log was deleted or closed.
    pub(crate) async fn begin_replacement(self: &Rc<Self>) -> io::Result<Replacement> {
        loop {
            let seen = self.changed.version();
            // Who waits begins nothing: to end it again would wake the others, and they this one.
            if !self.state.borrow().is_replacing {
                let change = self.begin_change()?;
                self.state.borrow_mut().is_replacing = true;
                return Ok(Replacement { change });
            }
            self.changed.changed_since(seen).await;
        }
    }

    /// Begins to write caches. Whoever does holds a [`Replacement`]: there is one at a time.
    pub(crate) fn begin_cache_write(&self) -> CacheWrite<'_> {
        self.state.borrow_mut().cache_writes += 1;
        CacheWrite { log: self }
    }

    /// What `read` finds in the cache files of a segment when nobody writes them meanwhile: half of what it finds might be
    /// of before. `None` when the log was cut or a segment replaced meanwhile.
    pub(crate) async fn read_at_rest<T>(&self, read: impl AsyncFn() -> io::Result<T>) -> io::Result<Option<T>> {
        let layout = self.state.borrow().layout;
        loop {
            let seen = self.changed.version();
            let writes = self.state.borrow().cache_writes;
            if writes.is_multiple_of(2) {
                let found = read().await?;
                let state = self.state.borrow();
                if state.layout != layout {
                    return Ok(None);
                }
                if state.cache_writes == writes {
                    return Ok(Some(found));
                }
                barnabas_base::reachable!(self.env, CACHES_READ_AGAIN);
            } else {
                self.changed.changed_since(seen).await;
            }
        }
    }

    /// Begins to change the folder; `NotFound` when the log was deleted or closed.
    pub(crate) fn begin_change(self: &Rc<Self>) -> io::Result<Change> {
        let mut state = self.state.borrow_mut();
        if state.is_closed {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.changes += 1;
        Ok(Change { log: Rc::clone(self) })
    }

    /// A segment that is begun now.
    pub(crate) fn empty_segment(&self, base: Offset, jitter_ms: i64) -> Segment {
        Segment::new(base, self.env.wall(), jitter_ms, self.directory.scan.range_bytes)
    }

    /// What a check file of this log says of a segment of `size` bytes; `None` when it is about something else.
    pub(crate) fn parse_checks(&self, bytes: &[u8], base: Offset, size: u64) -> Option<Checksums> {
        Checksums::parse(bytes, base, size, self.directory.scan.range_bytes)
    }

    /// A walk through a file of this log from `position`, where a batch begins, up to `end`.
    pub(crate) fn scanner(&self, file: Rc<dyn File>, position: u64, end: u64) -> Scanner {
        Scanner::new(&self.env, self.directory.scan, file, position, end)
    }

    /// Path of a file of this log.
    pub(crate) fn path_of(&self, file: SegmentFile) -> PathBuf {
        self.folder.join(file.name())
    }

    /// The file of the active segment.
    pub(crate) async fn active_file(self: &Rc<Self>) -> io::Result<Rc<dyn File>> {
        let base = self.state.borrow().active().base;
        self.segment_file(base).await
    }

    /// The `.log` file of a segment. `NotFound` when it is gone, or was not open when the log was deleted: another topic may
    /// have a file in its place.
    pub(crate) async fn segment_file(self: &Rc<Self>, base: Offset) -> io::Result<Rc<dyn File>> {
        {
            let mut state = self.state.borrow_mut();
            let is_closed = state.is_closed;
            let Some(segment) = state.segment_mut(base) else { return Err(io::ErrorKind::NotFound.into()) };
            segment.was_used = true;
            if let Some(file) = &segment.file {
                return Ok(Rc::clone(file));
            }
            if is_closed {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        let path = self.path_of(SegmentFile::new(base, FileKind::Log));
        let opened = self.watch(base, self.env.disk.open(&path, OpenMode::Write).await?);
        let file = {
            let mut state = self.state.borrow_mut();
            let is_closed = state.is_closed;
            let Some(segment) = state.segment_mut(base).filter(|_| !is_closed) else {
                return Err(io::ErrorKind::NotFound.into());
            };
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

    /// The head of a batch of a segment; `None` when none begins at `position`.
    pub(crate) async fn header_at(self: &Rc<Self>, base: Offset, position: u64) -> io::Result<Option<BatchHeader>> {
        let file = self.segment_file(base).await?;
        let head = file.read_at(position, HEADER_BYTES).await?;
        Ok(BatchHeader::parse(&head).ok())
    }

    /// A cache of a segment as it stands on disk; `None` when there is none.
    pub(crate) async fn read_cache(&self, base: Offset, kind: FileKind) -> io::Result<Option<Bytes>> {
        small_file::read(&*self.env.disk, &self.path_of(SegmentFile::new(base, kind))).await
    }

    /// Closes the file of a segment unless it was used since the last look or may not be opened again just now; true when
    /// nothing is left to close.
    pub(crate) fn try_close_file(&self, base: Offset) -> bool {
        // A log that is being looked at is in use.
        let Ok(mut state) = self.state.try_borrow_mut() else { return false };
        let is_written = state.is_writing && state.active().base == base;
        let Some(segment) = state.segment_mut(base) else { return true };
        if std::mem::take(&mut segment.was_used) || segment.is_pinned || is_written {
            return false;
        }
        // A commit or a checkpoint that has it keeps it open until it is synced: it would only be opened once more.
        if segment.file.as_ref().is_some_and(|file| Rc::strong_count(file) > 1) {
            return false;
        }
        barnabas_base::sometimes!(self.env, FILE_CLOSED, segment.file.is_some());
        segment.file = None;
        true
    }

    /// Gives up the bytes of the cached batch at `offset`.
    pub(crate) fn evict_tail(&self, offset: Offset) {
        self.state.borrow_mut().evict_tail(offset);
    }

    /// Whether the batch at `offset` is cached.
    pub(crate) fn holds_tail(&self, offset: Offset) -> bool {
        self.state.borrow().holds_tail(offset)
    }

    /// Gives up the loaded indexes of a sealed segment.
    pub(crate) fn drop_index(&self, base: Offset) {
        let mut state = self.state.borrow_mut();
        let active = state.active().base;
        if base == active {
            return;
        }
        // Those of a segment that takes the place of others are not under its name yet.
        if let Some(segment) = state.segment_mut(base).filter(|segment| !segment.is_pinned) {
            barnabas_base::sometimes!(self.env, INDEXES_DROPPED, segment.indexes.is_some());
            // Largest timestamps stay: retention asks for them.
            segment.indexes = None;
        }
    }

    /// Has the indexes of a segment in memory, reading or rebuilding them when they are not. False when the segment is
    /// gone.
    pub(crate) async fn load_indexes(self: &Rc<Self>, base: Offset) -> io::Result<bool> {
        loop {
            let (size, layout) = {
                let state = self.state.borrow();
                match state.segment(base) {
                    None => return Ok(false),
                    Some(segment) if segment.indexes.is_some() => return Ok(true),
                    Some(segment) => (segment.size, state.layout),
                }
            };
            let (indexes, is_new) = match self.read_indexes(base, size).await? {
                Some(indexes) => (indexes, false),
                None if self.state.borrow().layout != layout => continue,
                None => (self.rebuild_indexes(base, size).await?, true),
            };
            let bytes = indexes.size_bytes();
            {
                let mut state = self.state.borrow_mut();
                let is_same = state.layout == layout;
                match state.segment_mut(base).filter(|segment| is_same && segment.indexes.is_none()) {
                    // Cut, replaced or gone meanwhile, or another segment was, or somebody else was faster.
                    None => continue,
                    Some(segment) => {
                        segment.largest.get_or_insert(indexes.time.last());
                        segment.indexes = Some(indexes);
                    }
                }
            }
            // Not dropped before they are written.
            let _uncounted = Uncounted { log: self, base, bytes };
            if is_new {
                self.write_caches_if_room(base).await?;
            }
            return Ok(true);
        }
    }

    /// The index files of a segment of `size` bytes, as far as its check file confirms them; all that there is where it
    /// has none, as Kafka leaves it. `None` when something is missing, or is not what was written.
    pub(crate) async fn index_files(&self, base: Offset, size: u64) -> io::Result<Option<IndexFiles>> {
        let read = async || {
            let offset = self.read_cache(base, FileKind::Index).await?;
            let time = self.read_cache(base, FileKind::TimeIndex).await?;
            Ok((offset, time, self.read_cache(base, FileKind::Check).await?))
        };
        let Some((Some(offset), Some(time), check)) = self.read_at_rest(read).await? else { return Ok(None) };
        let Some(check) = check else { return Ok(Some(IndexFiles { offset, time, is_whole: true })) };
        let sums = self.parse_checks(&check, base, size).map(|checks| checks.indexes());
        let confirmed = match sums {
            Some(Some(sums)) => sums.confirmed(&offset, &time),
            Some(None) => Some((offset.len(), time.len())),
            None => None,
        };
        barnabas_base::sometimes!(self.env, INDEXES_UNCONFIRMED, confirmed.is_none());
        Ok(confirmed.map(|(offset_bytes, time_bytes)| IndexFiles {
            is_whole: offset_bytes == offset.len() && time_bytes == time.len(),
            offset: offset.slice(..offset_bytes),
            time: time.slice(..time_bytes),
        }))
    }

    /// The indexes of a sealed segment as they stand on disk; `None` when they are missing or do not fit it.
    async fn read_indexes(&self, base: Offset, size: u64) -> io::Result<Option<Indexes>> {
        let Some(found) = self.index_files(base, size).await? else { return Ok(None) };
        if !found.is_whole {
            return Ok(None);
        }
        let parsed = (OffsetIndex::parse(base, &found.offset, size), TimeIndex::parse(base, &found.time));
        let (Ok(offset), Ok(time)) = parsed else { return Ok(None) };
        // A sealed segment that holds more than one interval has entries; without them every read would walk it.
        let interval = u64::from(self.state.borrow().config.index_interval_bytes);
        let is_plausible = offset.len() > 0 || size <= interval.saturating_mul(64).max(1 << 20);
        Ok(is_plausible.then_some(Indexes { offset, time }))
    }
}

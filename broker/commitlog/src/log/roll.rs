//! Leaving a segment for another: the new one exists before the old one is sealed; sealing writes the old one's caches
//! and syncs it in the background.

use std::io;
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_logstate::AbortedTxn;
use barnabas_runtime::{File, OpenMode};
use bytes::{Bytes, BytesMut};

use super::{Capture, Log};
use crate::directory::unless_without;
use crate::name::{FileKind, SegmentFile};
use crate::segment::Segment;
use crate::{FlushPolicy, StorageError, small_file};

impl Log {
    /// Begins the segment at `capture.offset`, with the producer snapshot Kafka keeps for every segment.
    pub(crate) async fn begin_segment(self: &Rc<Self>, capture: Capture) -> io::Result<()> {
        let base = capture.offset;
        let (file, mut segment) = self.create_segment(base).await?;
        segment.allocated_to = self.allocate_headroom(base, &*file).await?;
        let sealed = {
            let mut state = self.state.borrow_mut();
            assert!(state.active().base < base, "segments rise");
            let sealed = state.active().base;
            state.active_mut().seal();
            state.segments.push(segment);
            if state.config.flush_policy == FlushPolicy::Ack {
                let folder = self.folder.clone();
                state.uncommitted.folders.push(folder);
            }
            let staged_created = state.active().created;
            state.staged.created = state.staged.created.max(staged_created);
            state.staged.jitter_ms = state.active().jitter_ms;
            sealed
        };
        drop(file);
        self.directory.resources.opened(self, base);
        let is_first = {
            let mut state = self.state.borrow_mut();
            state.sealing.push_back((sealed, capture));
            state.unindexed.insert(sealed);
            state.sealing.len() == 1
        };
        // One after the other: what lies before a segment is in its file only when all before it are.
        if is_first {
            let log = Rc::clone(self);
            self.env.spawn("seal segments", async move { log.seal_all().await }).detach();
        }
        Ok(())
    }

    /// Creates the `.log` file of a segment. What an interrupted roll left under the name is empty or was never written
    /// past a failed one, and goes.
    pub(crate) async fn create_segment(self: &Rc<Self>, base: Offset) -> io::Result<(Rc<dyn File>, Segment)> {
        let (preallocate, jitter_max_ms) = {
            let config = &self.state.borrow().config;
            // With more of it a segment would be older than it may be when it begins (Kafka's `randomSegmentJitter`).
            let jitter_max_ms = config.segment_jitter_ms.min(config.segment_ms);
            (config.preallocate.then_some(config.segment_bytes), jitter_max_ms)
        };
        let path = self.path_of(SegmentFile::new(base, FileKind::Log));
        let file = self.watch(base, self.env.disk.open(&path, OpenMode::CreateTruncated).await?);
        if let Some(bytes) = preallocate {
            unless_without(file.allocate(0, u64::from(bytes)).await)?;
        }
        let jitter_ms = if jitter_max_ms > 0 {
            i64::try_from(self.env.entropy.next_u64() % jitter_max_ms.unsigned_abs()).unwrap_or(0)
        } else {
            0
        };
        barnabas_base::sometimes!(self.env, SEGMENT_JITTERED, jitter_ms > 0);
        let mut segment = self.empty_segment(base, jitter_ms);
        segment.file = Some(Rc::clone(&file));
        segment.was_used = true;
        Ok((file, segment))
    }

    /// A log that keeps headroom leaves a segment that has some for none that has not: a device may let a file be made
    /// and have no room for what is in it.
    async fn allocate_headroom(&self, base: Offset, file: &dyn File) -> io::Result<u64> {
        let headroom_bytes = self.state.borrow().config.headroom_bytes;
        if headroom_bytes == 0 {
            return Ok(0);
        }
        match file.allocate(0, headroom_bytes).await {
            Ok(()) => Ok(headroom_bytes),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(0),
            Err(error) => {
                barnabas_base::reachable!(self.env, HEADROOM_NOT_FOUND);
                // The log goes on below the name, in the segment before: a start must never find the empty one there and
                // take its base for where that one ends.
                let path = self.path_of(SegmentFile::new(base, FileKind::Log));
                small_file::remove(&*self.env.disk, &path).await?;
                self.sync_folder().await?;
                Err(error)
            }
        }
    }

    /// Completes the segments that are not written to any more.
    async fn seal_all(self: Rc<Self>) {
        loop {
            let Some((base, capture)) = self.state.borrow().sealing.front().cloned() else { return };
            let outcome = self.seal(base, &capture).await;
            self.state.borrow_mut().sealing.pop_front();
            self.changed.notify();
            match outcome {
                Ok(()) => {}
                // Caches can wait for room; a segment that went meanwhile needs none.
                Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::NotFound) => {
                    barnabas_base::sometimes!(
                        self.env,
                        CACHES_WAIT_FOR_ROOM,
                        error.kind() == io::ErrorKind::StorageFull
                    );
                }
                Err(error) => drop(self.directory.fault(&self.folder, &error)),
            }
        }
    }

    async fn seal(self: &Rc<Self>, base: Offset, capture: &Capture) -> io::Result<()> {
        let file = self.segment_file(base).await?;
        self.give_back(base).await?;
        let policy = self.state.borrow().config.flush_policy;
        self.sync_found(base).await?;
        file.sync().await?;
        if policy == FlushPolicy::Os {
            self.sync_names().await?;
        }
        self.sealed_to(base, capture, policy);
        let snapshot = self.path_of(SegmentFile::new(capture.offset, FileKind::Snapshot));
        small_file::write_cache(&*self.env.disk, &snapshot, capture.snapshot.clone()).await?;
        self.remove_if_gone(capture.offset, &[FileKind::Snapshot]).await?;
        self.write_caches(base).await?;
        let indexes = {
            let mut state = self.state.borrow_mut();
            state.unindexed.remove(&base);
            let segment = state.segment(base);
            segment.and_then(|segment| segment.indexes.as_ref().map(|indexes| indexes.size_bytes()))
        };
        if let Some(bytes) = indexes {
            self.directory.resources.index_loaded(self, base, bytes);
        }
        self.write_epochs().await
    }

    /// Gives back what was reserved for a segment that takes no more records, and was not used.
    pub(super) async fn give_back(self: &Rc<Self>, base: Offset) -> io::Result<()> {
        let used = {
            let state = self.state.borrow();
            state.segment(base).filter(|_| state.config.preallocate).map(|segment| segment.size)
        };
        match used {
            Some(size) => self.segment_file(base).await?.truncate(size).await,
            None => Ok(()),
        }
    }

    /// A segment is in its own file, as all before it are; under `os` its name is durable too.
    fn sealed_to(self: &Rc<Self>, base: Offset, capture: &Capture, policy: FlushPolicy) {
        {
            let mut state = self.state.borrow_mut();
            state.files_synced(std::iter::once(base), capture.offset);
            if policy == FlushPolicy::Os {
                state.synced = state.synced.max(capture.offset);
            }
        }
        // Under `ack` the point is said with the commit of what follows.
        if policy == FlushPolicy::Os {
            self.note_point();
        }
    }

    /// Removes what was written for a segment that retention has taken away meanwhile, with all it had then.
    async fn remove_if_gone(&self, base: Offset, kinds: &[FileKind]) -> io::Result<()> {
        if self.state.borrow().segment(base).is_some() {
            return Ok(());
        }
        barnabas_base::reachable!(self.env, CACHES_OF_GONE_SEGMENT);
        for kind in kinds {
            small_file::remove(&*self.env.disk, &self.path_of(SegmentFile::new(base, *kind))).await?;
        }
        Ok(())
    }

    /// Writes what is not on disk of a segment's indexes, durable when this resolves, and its checksums. One at a time:
    /// who settles a segment while it is sealed would write over its end what it was at the settled point.
    pub(crate) async fn write_caches(self: &Rc<Self>, base: Offset) -> io::Result<()> {
        let _replacement = self.begin_replacement().await?;
        let Some(unwritten) = self.unwritten(base) else { return Ok(()) };
        let _write = self.begin_cache_write();
        let disk = &*self.env.disk;
        let mut files = Vec::new();
        for (kind, from, bytes, end) in unwritten.indexes {
            let path = self.path_of(SegmentFile::new(base, kind));
            let file = disk.open(&path, OpenMode::CreateOrOpen).await?;
            if !bytes.is_empty() {
                file.write_at(from, &[bytes]).await?;
            }
            if file.size().await? != end {
                file.truncate(end).await?;
            }
            files.push(file);
        }
        if let Some(aborted) = unwritten.aborted {
            let path = self.path_of(SegmentFile::new(base, FileKind::TxnIndex));
            let file = disk.open(&path, OpenMode::CreateOrOpen).await?;
            file.write_at(aborted.0, &[aborted.1]).await?;
            files.push(file);
        }
        if !files.is_empty() {
            disk.sync_files(&files).await?;
            self.sync_folder().await?;
        }
        if let Some(checks) = unwritten.checks {
            let path = self.path_of(SegmentFile::new(base, FileKind::Check));
            small_file::write_cache(disk, &path, checks).await?;
        }
        if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
            segment.aborted_written = segment.aborted_written.max(unwritten.aborted_count);
            if let Some(indexes) = &mut segment.indexes {
                indexes.offset.set_written(unwritten.offset_count);
                indexes.time.set_written(unwritten.time_count);
            }
        }
        let caches = [FileKind::Index, FileKind::TimeIndex, FileKind::TxnIndex, FileKind::Check];
        self.remove_if_gone(base, &caches).await
    }

    /// The same where the caches are in memory already: without room they are not kept, and made again after a start.
    pub(crate) async fn write_caches_if_room(self: &Rc<Self>, base: Offset) -> io::Result<()> {
        match self.write_caches(base).await {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                barnabas_base::reachable!(self.env, CACHES_WAIT_FOR_ROOM);
                let mut state = self.state.borrow_mut();
                if state.active().base != base {
                    state.unindexed.insert(base);
                }
                Ok(())
            }
            other => other,
        }
    }

    fn unwritten(&self, base: Offset) -> Option<Unwritten> {
        let mut state = self.state.borrow_mut();
        let segment = state.segment_mut(base)?;
        let mut unwritten = Unwritten { aborted_count: segment.aborted.len(), ..Unwritten::default() };
        if let Some(indexes) = &segment.indexes {
            let (from, bytes) = indexes.offset.unwritten();
            unwritten.indexes.push((FileKind::Index, from, bytes, indexes.offset.size_bytes()));
            let (from, bytes) = indexes.time.unwritten();
            unwritten.indexes.push((FileKind::TimeIndex, from, bytes, indexes.time.size_bytes()));
            unwritten.offset_count = indexes.offset.len();
            unwritten.time_count = indexes.time.len();
        }
        if segment.aborted_written < segment.aborted.len() {
            let mut bytes = BytesMut::new();
            for entry in &segment.aborted[segment.aborted_written..] {
                bytes.extend_from_slice(&entry.to_bytes());
            }
            unwritten.aborted = Some(((segment.aborted_written * AbortedTxn::BYTES) as u64, bytes.freeze()));
        }
        if segment.size > 0 && (segment.checks.covers(segment.size) || segment.indexes.is_some()) {
            unwritten.checks = Some(segment.check_file());
        }
        Some(unwritten)
    }

    /// Writes `leader-epoch-checkpoint`: with settled points, sealed segments and cuts, and when the log is closed. What
    /// began since is found again by the walk of a start, which finds it in the batches; an epoch without any that a crash
    /// takes ended where it began, and the epoch that a start begins says the same of the epochs before it.
    pub(crate) async fn write_epochs(self: &Rc<Self>) -> io::Result<()> {
        let _replacement = self.begin_replacement().await?;
        let (text, end) = {
            let mut state = self.state.borrow_mut();
            let text = Bytes::from(state.fold.epochs().to_text());
            let end = state.fold.committed_end();
            if state.epochs_on_disk.as_ref() == Some(&text) {
                state.epochs_written_to = end;
                return Ok(());
            }
            // Until the replacement has succeeded, what stands there is either of the two.
            state.epochs_on_disk = None;
            (text, end)
        };
        let path = self.folder.join(crate::name::LEADER_EPOCH_CHECKPOINT);
        small_file::replace(&*self.env.disk, &path, text.clone()).await?;
        let mut state = self.state.borrow_mut();
        state.epochs_on_disk = Some(text);
        state.epochs_written_to = end;
        Ok(())
    }

    /// Begins another segment if the active one holds anything.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn roll(self: &Rc<Self>) -> Result<(), StorageError> {
        // To its end, whoever waits: a stop takes the caller away, and then waits until nobody has the writer paused.
        let log = Rc::clone(self);
        let rolled = self.env.spawn_detached("roll", async move { log.roll_now().await });
        rolled.await.unwrap_or_else(|_| Err(StorageError::closed()))
    }

    async fn roll_now(self: &Rc<Self>) -> Result<(), StorageError> {
        self.directory.check()?;
        self.pause().await?;
        let capture = {
            let mut state = self.state.borrow_mut();
            let is_quiet = state.fold.pending_len() == 0;
            let capture = (is_quiet && state.active().size > 0).then(|| state.capture());
            if let Some(capture) = &capture {
                // Batches that are staged from here on go into the new segment.
                state.staged = state.staged.rolled(capture.offset, self.env.wall());
            }
            capture
        };
        let outcome = match capture {
            Some(capture) => self.begin_segment(capture).await,
            None => Ok(()),
        };
        if outcome.is_err() {
            self.state.borrow_mut().restage(self.env.wall());
        }
        self.resume();
        outcome.map_err(|error| self.storage_error(&error))
    }

    /// An error as the caller sees it; anything but a full device, or a file that went with its log, takes the directory
    /// offline.
    pub(crate) fn storage_error(&self, error: &io::Error) -> StorageError {
        let went = error.kind() == io::ErrorKind::NotFound && self.state.borrow().is_closed;
        if error.kind() == io::ErrorKind::StorageFull || went {
            return StorageError::new(&self.folder_name, error);
        }
        self.directory.fault(&self.folder, error)
    }
}

#[derive(Default)]
struct Unwritten {
    /// Kind, position, bytes, and how long the file is afterwards.
    indexes: Vec<(FileKind, u64, Bytes, u64)>,
    offset_count: usize,
    time_count: usize,
    aborted: Option<(u64, Bytes)>,
    aborted_count: usize,
    checks: Option<Bytes>,
}

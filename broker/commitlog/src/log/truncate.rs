//! Cutting the end of a log, and having a log to oneself for that: appends wait, nothing is being written.

use std::io;
use std::rc::Rc;

use barnabas_base::{Observation, Offset};
use barnabas_logstate::{EpochCache, LogFold, ProducerState};

use super::Log;
use super::locate::Found;
use crate::committer::Note;
use crate::directory::lost_if_full;
use crate::limits::{TRUNCATE_LEASE_POLL_MS, TRUNCATE_LEASE_WAIT_MS};
use crate::name::{FileKind, SegmentFile};
use crate::{AppendError, StorageError, TruncateError, small_file};

impl Log {
    /// Holds up the writer and waits until no write is under way. Others that want the log for themselves wait too.
    pub(crate) async fn pause(&self) -> Result<(), StorageError> {
        loop {
            let seen = self.changed.version();
            {
                let mut state = self.state.borrow_mut();
                if state.is_closed {
                    return Err(StorageError::closed());
                }
                if !state.is_paused {
                    state.is_paused = true;
                    break;
                }
            }
            self.changed.changed_since(seen).await;
        }
        loop {
            let seen = self.changed.version();
            if !self.state.borrow().is_writing {
                return Ok(());
            }
            self.changed.changed_since(seen).await;
        }
    }

    /// Lets the writer go on.
    pub(crate) fn resume(self: &Rc<Self>) {
        let must_write = {
            let mut state = self.state.borrow_mut();
            state.is_paused = false;
            !state.queue.is_empty() && !std::mem::replace(&mut state.is_writing, true)
        };
        if must_write {
            self.directory.write_soon(self);
        }
        self.changed.notify();
    }

    /// Cuts the log so that it ends at `offset`, a batch boundary. Batches that wait to be written are refused. The cut
    /// is durable when this resolves.
    ///
    /// # Errors
    /// [`TruncateError`].
    pub async fn truncate_to(self: &Rc<Self>, offset: Offset) -> Result<(), TruncateError> {
        self.directory.check()?;
        self.pause().await?;
        self.state.borrow_mut().is_exclusive = true;
        self.refuse_queue();
        self.wait_until_idle().await;
        let outcome = self.cut(offset).await;
        self.state.borrow_mut().is_exclusive = false;
        self.resume();
        outcome
    }

    /// Waits until nobody works on the files in the background. Nobody begins to while the log is exclusive.
    pub(crate) async fn wait_until_idle(&self) {
        loop {
            let seen = self.changed.version();
            let is_idle = {
                let state = self.state.borrow();
                state.sealing.is_empty() && !state.settling.is_running && !state.is_cleaning
            };
            if is_idle || self.directory.is_offline() {
                return;
            }
            self.changed.changed_since(seen).await;
        }
    }

    fn refuse_queue(&self) {
        let refused = {
            let mut state = self.state.borrow_mut();
            let refused = std::mem::take(&mut state.queue);
            let written = state.fold.committed_end();
            state.fold.rollback(written);
            state.restage(self.env.wall());
            refused
        };
        for queued in refused {
            queued.refuse(AppendError::Storage(StorageError::closed()));
        }
    }

    async fn cut(self: &Rc<Self>, offset: Offset) -> Result<(), TruncateError> {
        let end = self.end_offset();
        if offset >= end {
            return Ok(());
        }
        barnabas_base::reachable!(self.env, LOG_CUT);
        self.wait_for_leases(offset).await?;
        let offset = offset.max(self.state.borrow().log_start_due);
        // What stays is in the files before the journal forgets it, and the journal forgets what goes before the files do:
        // cut in between, the log is longer than asked for, never one with a hole that a replay has filled behind.
        self.sync_written().await.map_err(|error| self.storage_error(&error))?;
        let note = Note::Truncated(offset);
        self.directory.committer.note_durably(&self.directory, self, note).await?;
        self.cut_files(offset).await.map_err(|error| self.storage_error(&error))?;
        {
            let mut state = self.state.borrow_mut();
            state.synced = state.synced.min(offset);
            state.all_in_files();
            state.layout_changed();
            // Bytes that were cut must not reach the journal; what is left of them syncs its own file.
            state.uncommitted.end_offset = state.uncommitted.end_offset.min(offset);
            state.uncommitted.pieces.clear();
            state.uncommitted.has_all_pieces = false;
            state.retain_tail(|batch| batch.end_offset <= offset);
            state.settling.armed = None;
            state.settling.settled = state.settling.settled.filter(|(settled, ..)| *settled <= offset);
            state.epochs_written_to = state.epochs_written_to.min(offset);
            state.past_ends.cut(offset);
            let start = state.log_start;
            state.damage.clip(start, offset);
            if state.high_watermark > offset {
                state.high_watermark = offset;
                state.last_stable = state.last_stable.min(offset);
            }
        }
        self.note_point();
        self.write_epochs().await.map_err(|error| self.storage_error(&error))?;
        self.write_damage().await.map_err(|error| self.storage_error(&error))?;
        self.env.observe(&Observation::Truncated { partition: self.partition, offset });
        self.changed.notify();
        Ok(())
    }

    /// Syncs every segment that may lack something.
    async fn sync_written(self: &Rc<Self>) -> io::Result<()> {
        let (bases, end): (Vec<Offset>, Offset) = {
            let state = self.state.borrow();
            (state.not_in_file.keys().copied().collect(), state.fold.committed_end())
        };
        let mut files = vec![self.active_file().await?];
        for base in &bases {
            files.push(self.segment_file(*base).await?);
        }
        self.env.disk.sync_files(&files).await.map_err(lost_if_full)?;
        self.state.borrow_mut().files_synced(bases.into_iter(), end);
        Ok(())
    }

    /// Waits until no response sends from a file that is about to be cut.
    async fn wait_for_leases(&self, offset: Offset) -> Result<(), TruncateError> {
        let deadline = self.env.now().after_ms(TRUNCATE_LEASE_WAIT_MS);
        loop {
            let is_leased = {
                let state = self.state.borrow();
                let first = state.segment_index(offset).unwrap_or(0);
                state.segments[first..]
                    .iter()
                    .any(|segment| segment.file.as_ref().is_some_and(|file| file.handle().is_shared()))
            };
            if !is_leased {
                return Ok(());
            }
            if self.env.now() >= deadline {
                return Err(TruncateError::Leased);
            }
            barnabas_base::reachable!(self.env, CUT_FOUND_READERS);
            self.env.sleep_until(self.env.now().after_ms(TRUNCATE_LEASE_POLL_MS)).await;
        }
    }

    async fn cut_files(self: &Rc<Self>, offset: Offset) -> io::Result<()> {
        let disk = &*self.env.disk;
        let later: Vec<Offset> = self.segment_bases().into_iter().filter(|base| *base > offset).collect();
        // From the back, so that a crash in between leaves a log without holes.
        for base in later.into_iter().rev() {
            self.state.borrow_mut().segments.retain(|segment| segment.base != base);
            for kind in FileKind::ALL {
                small_file::remove(disk, &self.path_of(SegmentFile::new(base, kind))).await?;
            }
        }
        let base = self.state.borrow().active().base;
        let found = if offset > base { self.locate(base, offset).await? } else { Found::None };
        let size = match found {
            Found::Batch(batch) if batch.header.base_offset >= offset => batch.position,
            Found::Batch(batch) => batch.position,
            Found::Damaged(position) => position,
            Found::None if offset <= base => 0,
            Found::None => self.state.borrow().active().size,
        };
        let file = self.segment_file(base).await?;
        file.truncate(size).await?;
        file.sync().await?;
        // A snapshot of what is cut off must not come back once the log has grown past it with other records.
        self.remove_snapshots_above(offset).await?;
        self.sync_folder().await?;
        self.reload_active(base, size, offset).await
    }

    /// Producer state and indexes as they were at `offset`, from the last snapshot and what follows it.
    async fn reload_active(self: &Rc<Self>, base: Offset, size: u64, offset: Offset) -> io::Result<()> {
        let epochs = {
            let mut state = self.state.borrow_mut();
            let now = self.env.wall();
            let segment = state.active_mut();
            segment.size = size;
            segment.largest = None;
            segment.indexes = None;
            segment.checks.reset();
            segment.aborted.retain(|entry| entry.last_offset < offset);
            segment.aborted_written = 0;
            if size == 0 {
                segment.first_timestamp = None;
                segment.created = now;
            }
            EpochCache::clone(state.fold.epochs())
        };
        for kind in [FileKind::Index, FileKind::TimeIndex, FileKind::TxnIndex, FileKind::Check] {
            small_file::remove(&*self.env.disk, &self.path_of(SegmentFile::new(base, kind))).await?;
        }
        let indexes = self.rebuild_unsealed(base, size).await?;
        let fold = self.refold(epochs, offset).await?;
        let mut state = self.state.borrow_mut();
        indexes.install(state.active_mut());
        state.fold = fold;
        state.restage(self.env.wall());
        Ok(())
    }

    async fn refold(self: &Rc<Self>, epochs: EpochCache, offset: Offset) -> io::Result<LogFold> {
        let (from, producers) = self.latest_snapshot(offset).await?;
        let mut fold = match producers {
            Some(producers) => LogFold::resume(from, producers, epochs.clone()),
            None => LogFold::resume(from, ProducerState::new(), epochs.clone()),
        };
        self.replay_into(&mut fold, from, offset).await?;
        Ok(fold)
    }

    /// The newest usable producer snapshot at or below `offset`, or the start of the log.
    pub(crate) async fn latest_snapshot(&self, offset: Offset) -> io::Result<(Offset, Option<ProducerState>)> {
        let disk = &*self.env.disk;
        let entries = disk.list(&self.folder).await?;
        let files = entries.iter().filter_map(|entry| SegmentFile::parse(&entry.name));
        let is_snapshot = |file: &SegmentFile| *file == SegmentFile::new(file.offset, FileKind::Snapshot);
        let mut offsets: Vec<Offset> =
            files.filter(is_snapshot).map(|file| file.offset).filter(|at| *at <= offset).collect();
        offsets.sort_unstable();
        while let Some(at) = offsets.pop() {
            let path = self.path_of(SegmentFile::new(at, FileKind::Snapshot));
            let bytes = small_file::read(disk, &path).await?.unwrap_or_default();
            if let Ok(producers) = ProducerState::from_snapshot(&bytes, at) {
                return Ok((at, Some(producers)));
            }
        }
        let start = self.state.borrow().segments.first().map_or(Offset::ZERO, |segment| segment.base);
        Ok((start, None))
    }

    async fn remove_snapshots_above(&self, offset: Offset) -> io::Result<()> {
        let disk = &*self.env.disk;
        for entry in disk.list(&self.folder).await? {
            let Some(file) = SegmentFile::parse(&entry.name) else { continue };
            if file.kind == FileKind::Snapshot && file.offset > offset {
                small_file::remove(disk, &self.folder.join(&entry.name)).await?;
            }
        }
        Ok(())
    }
}

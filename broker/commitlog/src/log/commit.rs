//! What commits mean to a log: the synced offset, the high watermark that follows it on a sole replica, and those who
//! wait for either.

use std::future::Future;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Observation, Offset};
use barnabas_runtime::File;

use super::state::note_file;
use super::{Log, State};
use crate::committer::{LogCommit, SegmentFiles};
use crate::{FlushPolicy, StorageError};

/// Who moves the high watermark of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HighWatermark {
    /// It follows what is safe here: there is no other replica.
    Own,
    /// Replication, by [`Log::set_high_watermark`].
    Replicated,
}

impl Log {
    /// Tells the committer that there is something to commit.
    pub(crate) fn dirty(self: &Rc<Self>) {
        let was_dirty = std::mem::replace(&mut self.state.borrow_mut().uncommitted.is_dirty, true);
        if !was_dirty {
            self.directory.committer.dirty(&self.directory, Rc::clone(self));
        }
    }

    /// Takes what was written since the last commit.
    pub(crate) fn begin_commit(self: &Rc<Self>) -> Option<LogCommit> {
        let mut state = self.state.borrow_mut();
        // A cut may have taken some of it.
        let end_offset = state.uncommitted.end_offset.min(state.fold.committed_end());
        let uncommitted = &mut state.uncommitted;
        uncommitted.is_dirty = false;
        if uncommitted.size_bytes == 0 && uncommitted.folders.is_empty() {
            return None;
        }
        let pieces = std::mem::take(&mut uncommitted.pieces);
        Some(LogCommit {
            log: Rc::clone(self),
            end_offset,
            size_bytes: std::mem::take(&mut uncommitted.size_bytes),
            pieces: uncommitted.has_all_pieces.then_some(pieces),
            files: std::mem::take(&mut uncommitted.files),
            folders: std::mem::take(&mut uncommitted.folders),
            is_topic_id_unsure: std::mem::take(&mut uncommitted.is_topic_id_unsure),
        })
    }

    /// Has the log commit once more what a commit that did not come to its sync had taken. By its own files: a cut since
    /// then may have taken some of the pieces.
    pub(crate) fn take_back(commit: LogCommit) {
        let LogCommit { log, size_bytes, files, folders, is_topic_id_unsure, .. } = commit;
        let mut state = log.state.borrow_mut();
        if !state.is_closed {
            let uncommitted = &mut state.uncommitted;
            uncommitted.size_bytes += size_bytes;
            uncommitted.pieces = Vec::new();
            uncommitted.has_all_pieces = false;
            for (base, file) in &files {
                note_file(&mut uncommitted.files, *base, file);
            }
            uncommitted.folders.extend(folders);
            uncommitted.is_topic_id_unsure |= is_topic_id_unsure;
        }
        drop(state);
        log.dirty();
    }

    /// Everything below `end_offset` is durable; what is not in `files`, which were synced, is in the journal.
    pub(crate) fn on_commit(&self, end_offset: Offset, files: &[(Offset, Rc<dyn File>)]) {
        let mut state = self.state.borrow_mut();
        // The log may have been cut since the commit began.
        let end_offset = end_offset.min(state.fold.committed_end());
        state.synced = state.synced.max(end_offset);
        state.files_synced(files.iter().map(|(base, _)| *base), end_offset);
        let synced = state.synced;
        drop(state);
        // From here on whoever asks is answered, unless the directory is out of use.
        if !self.directory.is_offline() {
            self.env.observe(&Observation::Synced { partition: self.partition, offset: synced });
        }
    }

    /// The second half of a commit, after its points are said: wakes those who wait.
    pub(crate) fn after_commit(self: &Rc<Self>) {
        let synced = self.state.borrow().synced;
        self.safe_moved(synced);
    }

    /// Files written since the last checkpoint of the journal, and where the log then ends.
    pub(crate) fn take_unchecked(&self) -> (Offset, SegmentFiles) {
        let mut state = self.state.borrow_mut();
        let files = std::mem::take(&mut state.uncommitted.unchecked);
        let end_offset = state.uncommitted.end_offset.min(state.fold.committed_end());
        (end_offset, files)
    }

    /// Files that were taken for a checkpoint are synced.
    pub(crate) fn on_checkpoint(&self, end_offset: Offset, files: &[(Offset, Rc<dyn File>)]) {
        let mut state = self.state.borrow_mut();
        let end_offset = end_offset.min(state.fold.committed_end());
        state.files_synced(files.iter().map(|(base, _)| *base), end_offset);
    }

    /// Everything below `offset` is as safe as `flush.policy` makes it.
    pub(crate) fn safe_moved(self: &Rc<Self>, offset: Offset) {
        let (waiters, source) = {
            let mut state = self.state.borrow_mut();
            (state.safe_waiters.take_up_to(offset), state.high_watermark_source)
        };
        if source == HighWatermark::Own {
            self.set_high_watermark(offset);
        }
        for waiter in waiters {
            waiter.send(Ok(()));
        }
    }

    /// Waits until everything below `offset` is as safe as `flush.policy` makes it: synced under `ack`, written under
    /// `os`.
    pub fn wait_safe(&self, offset: Offset) -> impl Future<Output = Result<(), StorageError>> + use<> {
        let outcome = self.directory.check().map(|()| {
            let mut state = self.state.borrow_mut();
            (state.safe() < offset).then(|| state.safe_waiters.wait(offset))
        });
        wait(outcome)
    }

    /// Waits until everything below `offset` is durable; the same as [`Log::wait_safe`] under `flush.policy=ack`.
    pub fn wait_synced(&self, offset: Offset) -> impl Future<Output = Result<(), StorageError>> + use<> {
        self.wait_safe(offset)
    }

    /// Waits until the high watermark has reached `offset`.
    pub fn wait_high_watermark(&self, offset: Offset) -> impl Future<Output = Result<(), StorageError>> + use<> {
        let outcome = self.directory.check().map(|()| {
            let mut state = self.state.borrow_mut();
            (state.high_watermark < offset).then(|| state.high_watermark_waiters.wait(offset))
        });
        wait(outcome)
    }

    /// Moves the high watermark up to `offset`, at most to the end of what is written. It never goes back by this.
    pub fn set_high_watermark(self: &Rc<Self>, offset: Offset) {
        let waiters = {
            let mut state = self.state.borrow_mut();
            let offset = offset.min(state.fold.committed_end());
            if offset <= state.high_watermark {
                return;
            }
            state.move_high_watermark(offset);
            state.high_watermark_waiters.take_up_to(offset)
        };
        let offset = self.high_watermark();
        self.env.observe(&Observation::HighWatermarkSet { partition: self.partition, offset });
        for waiter in waiters {
            waiter.send(Ok(()));
        }
        self.changed.notify();
        self.directory.advanced(self.partition);
    }

    /// Says who moves the high watermark: [`HighWatermark::Own`] until this is called.
    pub fn set_high_watermark_source(self: &Rc<Self>, source: HighWatermark) {
        let safe = {
            let mut state = self.state.borrow_mut();
            state.high_watermark_source = source;
            state.safe()
        };
        if source == HighWatermark::Own {
            self.set_high_watermark(safe);
        }
    }

    /// This replica leads in `epoch` from the end of the log on, also if nothing is appended in it (H05). The epoch
    /// checkpoint says so with the next settled point: replaced for each of thousands of logs that a start leads again, it
    /// would be most of what the start does.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<(), StorageError> {
        self.directory.check()?;
        let (is_news, start_offset) = {
            let mut state = self.state.borrow_mut();
            let start_offset = state.fold.end_offset();
            (state.fold.begin_epoch(epoch).unwrap_or(false), start_offset)
        };
        if is_news {
            self.env.observe(&Observation::EpochSet { partition: self.partition, epoch, start_offset });
        }
        Ok(())
    }
}

async fn wait(
    outcome: Result<Option<barnabas_runtime::sync::oneshot::Receiver<Result<(), StorageError>>>, StorageError>,
) -> Result<(), StorageError> {
    match outcome? {
        None => Ok(()),
        Some(receiver) => receiver.await.unwrap_or_else(|_| Err(StorageError::closed())),
    }
}

impl State {
    /// How far the log is as safe as `flush.policy` makes it.
    pub(crate) fn safe(&self) -> Offset {
        match self.config.flush_policy {
            FlushPolicy::Ack => self.synced,
            FlushPolicy::Os => self.fold.committed_end(),
        }
    }

    pub(crate) fn move_high_watermark(&mut self, offset: Offset) {
        self.high_watermark = offset;
        let log_start = self.log_start;
        self.last_stable = self.fold.on_high_watermark(offset, log_start);
    }
}

//! What makes room from the front of a log: DeleteRecords, `retention.ms`, `retention.bytes`. Files are renamed first and
//! removed later, so that answers under way are sent to their end.

use std::io;
use std::rc::Rc;

use barnabas_base::{Observation, Offset, TimestampMs};

use super::Log;
use crate::committer::Note;
use crate::name::{FileKind, SegmentFile};
use crate::{DeleteRecordsError, StorageError, small_file};

impl Log {
    /// Moves the log start up to `offset`; durable when this resolves. Gives the log start.
    ///
    /// # Errors
    /// [`DeleteRecordsError`].
    pub async fn delete_records_before(self: &Rc<Self>, offset: Offset) -> Result<Offset, DeleteRecordsError> {
        self.directory.check()?;
        {
            let state = self.state.borrow();
            if !state.config.cleanup.delete {
                return Err(DeleteRecordsError::PolicyViolation);
            }
            if offset > state.high_watermark || offset < Offset::ZERO {
                return Err(DeleteRecordsError::OutOfRange);
            }
        }
        self.move_log_start(offset).await?;
        self.delete_below_start().await?;
        Ok(self.log_start_offset())
    }

    /// Moves the log start up to `offset` as soon as that is durable: deleted records are never served again, and nobody is
    /// told of a start that a power loss takes back.
    pub(crate) async fn move_log_start(self: &Rc<Self>, offset: Offset) -> Result<(), StorageError> {
        let offset = {
            let mut state = self.state.borrow_mut();
            if state.is_exclusive {
                return Err(StorageError::closed());
            }
            // The log may have been cut since the offset was chosen.
            let offset = offset.min(state.fold.committed_end());
            if offset <= state.log_start {
                return Ok(());
            }
            state.log_start_due = state.log_start_due.max(offset);
            offset
        };
        self.directory.committer.note_durably(&self.directory, self, Note::Point).await?;
        if !self.begin_at(offset) {
            return Ok(());
        }
        self.write_damage().await.map_err(|error| self.storage_error(&error))?;
        self.changed.notify();
        Ok(())
    }

    /// The log begins where the journal was told that it does: nobody is left to tell it anything.
    pub(crate) fn begin_where_due(&self) {
        let due = self.state.borrow().log_start_due;
        self.begin_at(due);
    }

    /// The log begins at `offset`, which the journal says; false when it does so already.
    fn begin_at(&self, offset: Offset) -> bool {
        let offset = {
            let mut state = self.state.borrow_mut();
            let offset = offset.min(state.fold.committed_end());
            if offset <= state.log_start {
                return false;
            }
            state.log_start = offset;
            // Epochs of what is gone go at the next write of the checkpoint; it is a cache.
            state.fold.on_log_start(offset);
            if state.high_watermark < offset {
                state.move_high_watermark(offset);
            }
            let end = state.fold.committed_end();
            state.damage.clip(offset, end.max(offset));
            offset
        };
        self.env.observe(&Observation::LogStartSet { partition: self.partition, offset });
        true
    }

    /// Deletes the segments that lie wholly below the log start.
    async fn delete_below_start(self: &Rc<Self>) -> Result<(), StorageError> {
        let doomed = {
            let state = self.state.borrow();
            // The cleaner reads and replaces segments, a cut removes them; what is left goes at the next pass.
            if state.is_cleaning || state.is_exclusive {
                barnabas_base::sometimes!(self.env, DELETION_WAITS_FOR_CLEANER, state.is_cleaning);
                return Ok(());
            }
            let below = state.segments.windows(2).take_while(|pair| pair[1].base <= state.log_start);
            below.map(|pair| pair[0].base).collect::<Vec<_>>()
        };
        barnabas_base::sometimes!(self.env, DELETED_BELOW_START, !doomed.is_empty());
        self.delete_segments(&doomed).await.map_err(|error| self.storage_error(&error))
    }

    /// Deletes what `retention.ms` and `retention.bytes` no longer keep. Gives how many segments went.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn retain(self: &Rc<Self>) -> Result<usize, StorageError> {
        self.directory.check()?;
        let before = self.segment_count();
        self.delete_below_start().await?;
        let now = self.env.wall();
        if !self.state.borrow().config.cleanup.delete {
            return Ok(before.saturating_sub(self.segment_count()));
        }
        let mut keep_from = self.expired_to(now).await.map_err(|error| self.storage_error(&error))?;
        let oversized_to = self.oversized_to();
        barnabas_base::sometimes!(self.env, RETAINED_BY_TIME, keep_from > self.log_start_offset());
        barnabas_base::sometimes!(self.env, RETAINED_BY_SIZE, oversized_to > self.log_start_offset());
        keep_from = keep_from.max(oversized_to);
        if keep_from > self.log_start_offset() {
            if keep_from > self.state.borrow().active().base {
                barnabas_base::reachable!(self.env, ALL_EXPIRED);
                // Everything is too old, the active segment included: the log goes on in an empty one.
                self.roll().await?;
            }
            self.move_log_start(keep_from).await?;
            self.delete_below_start().await?;
        }
        Ok(before.saturating_sub(self.segment_count()))
    }

    /// The offset below which every segment is older than `retention.ms`, at most the high watermark.
    async fn expired_to(self: &Rc<Self>, now: TimestampMs) -> io::Result<Offset> {
        let retention_ms = self.state.borrow().config.retention_ms;
        let mut keep_from = Offset::ZERO;
        if retention_ms < 0 {
            return Ok(keep_from);
        }
        for base in self.segment_bases() {
            let largest = self.largest_of(base).await?;
            let state = self.state.borrow();
            let Some(segment) = state.segment(base) else { break };
            let index = state.segments.partition_point(|segment| segment.base <= base);
            let end = state.segments.get(index).map_or(state.fold.committed_end(), |next| next.base);
            let newest = largest.map_or(TimestampMs::NONE, |largest| largest.timestamp);
            let newest = if newest.0 >= 0 { newest } else { segment.modified };
            let is_empty_end = segment.size == 0 && base == state.active().base;
            let is_expired = !is_empty_end && now.0.saturating_sub(newest.0) > retention_ms;
            if !is_expired || end > state.high_watermark {
                break;
            }
            keep_from = end;
        }
        Ok(keep_from)
    }

    /// The offset below which segments must go so that the log is no larger than `retention.bytes`.
    fn oversized_to(&self) -> Offset {
        let state = self.state.borrow();
        let Ok(retention_bytes) = u64::try_from(state.config.retention_bytes) else { return Offset::ZERO };
        let total: u64 = state.segments.iter().map(|segment| segment.size).sum();
        let mut excess = total.saturating_sub(retention_bytes);
        let mut keep_from = Offset::ZERO;
        let bases = state.segments.iter().map(|segment| segment.base);
        let ends = bases.skip(1).chain(std::iter::once(state.fold.committed_end()));
        for (segment, end) in state.segments.iter().zip(ends) {
            // As in Kafka, a segment goes only when what is left is no smaller than the bound: with a bound of nothing the
            // active one too.
            if segment.size > excess || excess == 0 || end > state.high_watermark {
                break;
            }
            excess -= segment.size;
            keep_from = end;
        }
        keep_from
    }

    /// Takes segments out of use and renames their files; they are removed after `file.delete.delay.ms`.
    pub(crate) async fn delete_segments(self: &Rc<Self>, bases: &[Offset]) -> io::Result<()> {
        if bases.is_empty() {
            return Ok(());
        }
        let delay_ms = {
            let mut state = self.state.borrow_mut();
            let active = state.active().base;
            assert!(!bases.contains(&active), "the active segment is never deleted");
            state.segments.retain(|segment| !bases.contains(&segment.base));
            state.forget_files(bases);
            state.unindexed.retain(|base| !bases.contains(base));
            state.retain_tail(|batch| !bases.contains(&batch.segment));
            state.layout_changed();
            state.config.file_delete_delay_ms
        };
        let mut renamed = Vec::new();
        for base in bases {
            renamed.extend(self.mark_deleted(*base).await?);
        }
        self.remove_later(renamed, delay_ms);
        Ok(())
    }

    /// Renames the files of a segment so that no start takes them for one. Gives the new names.
    pub(crate) async fn mark_deleted(self: &Rc<Self>, base: Offset) -> io::Result<Vec<SegmentFile>> {
        let _change = self.begin_change()?;
        let mut renamed = Vec::new();
        // The log file first: without it the others are strays that a start removes.
        for kind in FileKind::ALL.into_iter().rev() {
            renamed.extend(self.retire(SegmentFile::new(base, kind)).await?);
        }
        Ok(renamed)
    }

    pub(crate) fn remove_later(self: &Rc<Self>, files: Vec<SegmentFile>, delay_ms: i64) {
        let log = Rc::clone(self);
        self.env
            .spawn("remove deleted segments", async move {
                log.env.sleep_until(log.env.now().after_ms(delay_ms)).await;
                // With the log went its folder.
                let Ok(_change) = log.begin_change() else { return };
                for file in files {
                    match small_file::remove(&*log.env.disk, &log.path_of(file)).await {
                        Ok(()) => {}
                        Err(error) => {
                            drop(log.directory.fault(&log.folder, &error));
                            return;
                        }
                    }
                }
            })
            .detach();
    }
}

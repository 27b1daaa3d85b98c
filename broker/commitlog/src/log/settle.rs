//! Settled points: from time to time a log writes what recovery would otherwise have to find out by walking through its
//! bytes (indexes, leader epochs, a producer snapshot), and says so in the journal. Which log and when is decided by the
//! bytes of the whole shard, so that a start after a crash walks through a bounded number of them.

use std::io;
use std::rc::Rc;

use barnabas_base::Offset;

use super::{Capture, Log};
use crate::committer::Note;
use crate::journal::format::Point;
use crate::name::{FileKind, SegmentFile};
use crate::{FlushPolicy, small_file};

impl Log {
    /// What the journal is told of this log.
    pub(crate) fn point(&self) -> Point {
        self.state.borrow().point()
    }

    /// Has the journal say where the log stands.
    pub(crate) fn note_point(self: &Rc<Self>) {
        self.directory.committer.note(&self.directory, self, Note::Point);
    }

    /// Whether it holds bytes past its settled point.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.state.borrow().settling.unsettled_bytes > 0
    }

    /// Counts written bytes; the log of this shard that is longest unsettled is settled when there are too many.
    pub(crate) fn count_unsettled(self: &Rc<Self>, bytes: u64) {
        self.add_unsettled(bytes);
        if let Some(due) = self.directory.resources.due_to_settle() {
            due.want_settled();
        }
    }

    /// Counts what a start had to walk through, and keeps what it captured on the way: the walk of the next one would be
    /// longer with every crash. Settling waits for appends, one log each, and does not delay the start.
    pub(crate) fn found_unsettled(self: &Rc<Self>, walked_bytes: u64, midway: Option<Capture>) {
        {
            let mut state = self.state.borrow_mut();
            let (start, end) = (state.log_start, state.fold.committed_end());
            state.settling.armed = midway.filter(|capture| (start..=end).contains(&capture.offset));
        }
        self.add_unsettled(walked_bytes);
    }

    fn add_unsettled(self: &Rc<Self>, bytes: u64) {
        let is_first = {
            let mut state = self.state.borrow_mut();
            let is_first = state.settling.unsettled_bytes == 0;
            state.settling.unsettled_bytes += bytes;
            is_first && bytes > 0
        };
        self.directory.resources.count_unsettled(self, bytes, is_first);
    }

    fn want_settled(self: &Rc<Self>) {
        let capture = {
            let mut state = self.state.borrow_mut();
            if state.is_exclusive {
                // Cut or closed: there will be another point, or none is needed.
                let bytes = std::mem::take(&mut state.settling.unsettled_bytes);
                self.directory.resources.settled(bytes);
                return;
            }
            if state.fold.pending_len() == 0 {
                Some(state.capture())
            } else {
                state.settling.is_wanted = true;
                None
            }
        };
        if let Some(capture) = capture {
            self.arm(capture);
        }
    }

    /// Keeps a capture for next time and publishes the one before it.
    pub(crate) fn arm(self: &Rc<Self>, capture: Capture) {
        let (previous, bytes) = {
            let mut state = self.state.borrow_mut();
            let bytes = std::mem::take(&mut state.settling.unsettled_bytes);
            let previous = state.settling.armed.replace(capture);
            let is_free = previous.is_some() && !std::mem::replace(&mut state.settling.is_running, true);
            (previous.filter(|_| is_free), bytes)
        };
        self.directory.resources.settled(bytes);
        let Some(previous) = previous else {
            return;
        };
        let log = Rc::clone(self);
        self.env
            .spawn("settle", async move {
                let outcome = log.publish(&previous).await;
                log.state.borrow_mut().settling.is_running = false;
                log.changed.notify();
                match outcome {
                    Ok(()) => {}
                    Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::NotFound) => {}
                    Err(error) => drop(log.directory.fault(&log.folder, &error)),
                }
            })
            .detach();
    }

    async fn publish(self: &Rc<Self>, capture: &Capture) -> io::Result<()> {
        let (policy, layout) = {
            let state = self.state.borrow();
            (state.config.flush_policy, state.layout)
        };
        match policy {
            FlushPolicy::Ack => {
                if self.wait_safe(capture.offset).await.is_err() {
                    return Ok(());
                }
            }
            FlushPolicy::Os => {
                self.wait_until_sealed(capture.segment).await;
                self.sync_found(capture.segment).await?;
                self.segment_file(capture.segment).await?.sync().await?;
                self.sync_names().await?;
            }
        }
        let written = self.write_settled(capture).await;
        let spare = match written {
            Ok(true) => self.settle_at(capture, layout, policy),
            // The next point will do. Without room there may be none for long.
            Ok(false) | Err(_) => self.state.borrow().spare_snapshot(capture.offset),
        };
        if let Some(offset) = spare {
            small_file::remove(&*self.env.disk, &self.path_of(SegmentFile::new(offset, FileKind::Snapshot))).await?;
        }
        written.map(drop)
    }

    /// Writes what a start needs to go on from `capture`; whether all of it could be.
    async fn write_settled(self: &Rc<Self>, capture: &Capture) -> io::Result<bool> {
        let snapshot = SegmentFile::new(capture.offset, FileKind::Snapshot);
        small_file::write_cache(&*self.env.disk, &self.path_of(snapshot), capture.snapshot.clone()).await?;
        // What is settled is trusted whole: the indexes of the segments before this one too.
        self.wait_until_sealed(capture.segment).await;
        if !self.sum_up(capture.segment).await? {
            return Ok(false);
        }
        self.write_caches(capture.segment).await?;
        self.write_epochs().await?;
        Ok(true)
    }

    /// Counts the log as settled at `capture`, unless it has changed since that was taken. Gives the producer snapshot that
    /// is of no use any more: the one of the settled point before, or this one.
    fn settle_at(self: &Rc<Self>, capture: &Capture, layout: u64, policy: FlushPolicy) -> Option<Offset> {
        let (is_valid, spare) = {
            let mut state = self.state.borrow_mut();
            let before = state.settling.settled.map(|(offset, ..)| offset);
            // A snapshot above the high watermark would hide a marker that is not replicated yet (H16).
            let is_valid = state.layout == layout
                && capture.offset <= state.high_watermark
                && state.indexed_to() >= capture.segment;
            if is_valid {
                state.settling.settled = Some((capture.offset, capture.segment, capture.position));
                if policy == FlushPolicy::Os {
                    state.synced = state.synced.max(capture.offset);
                }
            }
            let passed = if is_valid { before } else { Some(capture.offset) };
            (is_valid, passed.and_then(|offset| state.spare_snapshot(offset)))
        };
        barnabas_base::sometimes!(self.env, SETTLED_TOO_LATE, !is_valid);
        barnabas_base::sometimes!(self.env, LOG_SETTLED, is_valid);
        if is_valid {
            self.note_point();
        }
        spare
    }

    /// Makes the whole log durable where commits do not. Nobody appends meanwhile.
    pub(crate) async fn sync_active(self: &Rc<Self>) -> io::Result<()> {
        // A roll that had begun before the pause left another segment to seal.
        self.wait_until_sealed(Offset(i64::MAX)).await;
        self.sync_found(Offset(i64::MAX)).await?;
        self.active_file().await?.sync().await?;
        self.sync_names().await
    }

    /// Makes durable what a start found in the segments up to the one at `base`, once: an earlier life left it in the page
    /// cache, or believes so after a flush that failed, and only what is written again is flushed again.
    pub(crate) async fn sync_found(self: &Rc<Self>, base: Offset) -> io::Result<()> {
        loop {
            let (next, synced) = {
                let state = self.state.borrow();
                let Some(next) = state.unsure.first().copied().filter(|next| *next <= base) else { return Ok(()) };
                (next, state.synced)
            };
            match self.segment_file(next).await {
                Ok(file) => {
                    self.write_again(next, synced, &*file).await?;
                    file.sync().await?;
                }
                // Deleted since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.state.borrow_mut().unsure.remove(&next);
        }
    }

    /// Makes the names of the log's files, and of its folder, durable. Commits do that under `ack`; under `os` there are
    /// none, and bytes that were synced into a file without a durable name may not be called durable.
    pub(crate) async fn sync_names(&self) -> io::Result<()> {
        self.sync_folder().await?;
        self.env.disk.sync_dir(&self.directory.path).await
    }
}

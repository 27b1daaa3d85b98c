//! The end of a log: a clean close that leaves nothing to recover, and deletion in two steps.

use std::io;
use std::rc::Rc;

use super::Log;
use crate::committer::Note;
use crate::name::{FileKind, PARTITION_METADATA, SegmentFile, deleted_folder_name};
use crate::{AppendError, FlushPolicy, StorageError, small_file};

impl Log {
    /// Writes what is queued, makes it durable, and writes every cache, so that the next start has nothing to look for.
    /// The log takes no more appends.
    ///
    /// # Errors
    /// [`StorageError`]: the next start recovers.
    pub async fn close(self: &Rc<Self>) -> Result<(), StorageError> {
        if self.state.borrow().is_closed {
            return Ok(());
        }
        self.drain().await;
        self.wait_safe(self.end_offset()).await?;
        self.write_closing().await.map_err(|error| self.storage_error(&error))?;
        self.state.borrow_mut().is_closed = true;
        self.changed.notify();
        Ok(())
    }

    /// Waits until the queue is written and sealed segments are complete, and keeps the log to itself from there on.
    async fn drain(&self) {
        loop {
            let seen = self.changed.version();
            {
                let mut state = self.state.borrow_mut();
                let is_idle = state.queue.is_empty()
                    && !state.is_writing
                    && !state.is_paused
                    && state.sealing.is_empty()
                    && !state.settling.is_running
                    && !state.is_cleaning;
                // No more appends from here on; those that were accepted are written out.
                state.is_exclusive = true;
                if is_idle || self.directory.is_offline() {
                    state.is_paused = true;
                    return;
                }
            }
            self.changed.changed_since(seen).await;
        }
    }

    async fn write_closing(self: &Rc<Self>) -> io::Result<()> {
        let (base, end, snapshot, policy) = {
            let mut state = self.state.borrow_mut();
            state.active_mut().seal();
            let snapshot = state.fold.producers().to_snapshot();
            (state.active().base, state.fold.committed_end(), snapshot, state.config.flush_policy)
        };
        self.give_back(base).await?;
        let path = self.path_of(SegmentFile::new(end, FileKind::Snapshot));
        small_file::write_cache(&*self.env.disk, &path, snapshot.into()).await?;
        self.sum_up(base).await?;
        self.write_caches(base).await?;
        self.write_epochs().await?;
        self.remove_other_snapshots().await?;
        let is_synced = {
            let state = self.state.borrow();
            state.synced >= end && policy == FlushPolicy::Ack
        };
        if !is_synced {
            self.sync_active().await?;
            let mut state = self.state.borrow_mut();
            state.synced = end;
            state.all_in_files();
        }
        Ok(())
    }

    /// Removes the snapshots of settled points; those of segments stay.
    async fn remove_other_snapshots(&self) -> io::Result<()> {
        let settled = self.state.borrow_mut().settling.settled.take();
        let Some((offset, ..)) = settled else { return Ok(()) };
        let is_needed = {
            let state = self.state.borrow();
            state.spare_snapshot(offset).is_none() || offset == state.fold.committed_end()
        };
        if is_needed {
            return Ok(());
        }
        small_file::remove(&*self.env.disk, &self.path_of(SegmentFile::new(offset, FileKind::Snapshot))).await
    }

    /// Waits until nobody changes anything in the folder.
    async fn wait_until_unchanged(&self) {
        loop {
            let seen = self.changed.version();
            if self.state.borrow().changes == 0 || self.directory.is_offline() {
                return;
            }
            self.changed.changed_since(seen).await;
        }
    }

    /// Removes the folder, and first of all what is in it: as long as anything is, the folder says whose it is, and passes
    /// for no folder of another topic.
    async fn remove_folder(&self) -> io::Result<()> {
        let disk = &*self.env.disk;
        for entry in disk.list(&self.folder).await?.iter().filter(|entry| entry.name != PARTITION_METADATA) {
            small_file::remove(disk, &self.folder.join(&entry.name)).await?;
        }
        disk.remove_dir_all(&self.folder).await
    }

    /// Takes the log out of use: the folder gets a name that says so, and is removed after `file.delete.delay.ms`. What
    /// reads from its files may go on; nothing finds the log any more when this resolves.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn delete(self: &Rc<Self>) -> Result<(), StorageError> {
        self.directory.check()?;
        self.pause().await?;
        self.state.borrow_mut().is_exclusive = true;
        self.wait_until_idle().await;
        self.state.borrow_mut().is_closed = true;
        self.wait_until_unchanged().await;
        let (refused, waiters, delay_ms) = {
            let mut state = self.state.borrow_mut();
            let refused = std::mem::take(&mut state.queue);
            let mut waiters = state.safe_waiters.take_all();
            waiters.extend(state.high_watermark_waiters.take_all());
            state.retain_tail(|_| false);
            state.uncommitted.folders.clear();
            (refused, waiters, state.config.file_delete_delay_ms)
        };
        barnabas_base::sometimes!(self.env, APPENDS_DELETED_WITH_LOG, !refused.is_empty() || !waiters.is_empty());
        for queued in refused {
            queued.refuse(AppendError::Storage(StorageError::closed()));
        }
        for waiter in waiters {
            waiter.send(Err(StorageError::closed()));
        }
        self.changed.notify();
        let name = deleted_folder_name(&self.topic, self.partition.partition, self.env.random_uuid());
        let target = self.directory.path.join(name);
        let renamed = match self.directory.rename_folder(&self.folder, &target).await {
            // No block for the longer name. What a crash leaves of the folder is removed by the next start, or set aside by
            // it if the name was taken again.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.remove_folder().await,
            other => other,
        };
        renamed.map_err(|error| self.directory.fault(&self.folder, &error))?;
        barnabas_base::reachable!(self.env, LOG_DELETED);
        self.directory.forget(self.partition);
        self.directory.committer.note(&self.directory, self, Note::Removed);
        let env = self.env.clone();
        let directory = Rc::clone(&self.directory);
        self.env
            .spawn("remove deleted log", async move {
                env.sleep_until(env.now().after_ms(delay_ms)).await;
                match env.disk.remove_dir_all(&target).await {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => drop(directory.fault(&target, &error)),
                    Ok(()) | Err(_) => {}
                }
            })
            .detach();
        Ok(())
    }
}

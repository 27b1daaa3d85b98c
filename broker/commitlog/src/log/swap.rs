//! Putting cleaned segments in the place of those they were made of, so that a crash at any point leaves either. The
//! states and what a start makes of them (`LogLoader`):
//!
//! ```text
//! .cleaned files            unfinished: removed
//! .swap beside .cleaned     renaming had begun: all removed, the old segments are whole
//! .swap                     complete: old segments in its range are removed, the suffix is dropped
//! .swap without its log     left of one that was given up: removed
//! .deleted                  removed
//! ```

use std::io;

use barnabas_base::Offset;
use barnabas_wire::record::{BatchHeader, HEADER_BYTES};

use super::Log;
use super::open::Listing;
use crate::StorageError;
use crate::directory::is_passing;
use crate::limits::{AGAIN_MS, SWEEP_ENTRIES_MAX};
use crate::name::{FileKind, SegmentFile, Suffix};
use crate::small_file;

impl Log {
    /// Finishes or undoes what cleanings and deletions left; gives the folder's content afterwards.
    pub(crate) async fn finish_swaps(&self, listing: Listing) -> io::Result<Listing> {
        let is_settled = listing.files.keys().all(|file| file.suffix == Suffix::None);
        if is_settled {
            return Ok(listing);
        }
        let disk = &*self.env.disk;
        let with = |suffix: Suffix| listing.files.keys().filter(move |file| file.suffix == suffix).copied();
        let first_cleaned = with(Suffix::Cleaned).map(|file| file.offset).min();
        for file in with(Suffix::Deleted).chain(with(Suffix::Cleaned)) {
            barnabas_base::sometimes!(self.env, DELETED_LEFTOVER_REMOVED, file.suffix == Suffix::Deleted);
            barnabas_base::sometimes!(self.env, CLEANED_LEFTOVER_REMOVED, file.suffix == Suffix::Cleaned);
            small_file::remove(disk, &self.path_of(file)).await?;
        }
        // A swap file at or past a cleaned one belongs to a swap that had not begun to replace anything, and so does one
        // whose log did not come so far: the log takes its place last, and goes last when a swap is given up.
        let has_log = |file: &SegmentFile| {
            let log = SegmentFile::new(file.offset, FileKind::Log).with(Suffix::Swap);
            listing.files.contains_key(&log)
        };
        let is_void =
            |file: &SegmentFile| first_cleaned.is_some_and(|cleaned| file.offset >= cleaned) || !has_log(file);
        let (void, valid): (Vec<_>, Vec<_>) = with(Suffix::Swap).partition(is_void);
        for file in void {
            barnabas_base::reachable!(self.env, VOID_SWAP);
            small_file::remove(disk, &self.path_of(file)).await?;
        }
        let mut range: Option<(Offset, Offset)> = None;
        for file in valid.iter().filter(|file| file.kind == FileKind::Log) {
            let end = self.end_of(*file).await?;
            let (from, to) = range.unwrap_or((file.offset, end));
            range = Some((from.min(file.offset), to.max(end)));
        }
        if let Some((from, to)) = range {
            barnabas_base::reachable!(self.env, FINISHED_SWAP);
            let replaced = with(Suffix::None).filter(|file| file.kind != FileKind::Snapshot);
            for file in replaced.filter(|file| file.offset >= from && file.offset < to) {
                small_file::remove(disk, &self.path_of(file)).await?;
            }
            self.sync_folder().await?;
        }
        let (logs, others): (Vec<_>, Vec<_>) = valid.into_iter().partition(|file| file.kind == FileKind::Log);
        for files in [others, logs] {
            for file in files {
                disk.rename(&self.path_of(file), &self.path_of(file.with(Suffix::None))).await?;
            }
            self.sync_folder().await?;
        }
        Ok(Listing::new(disk.list(&self.folder).await?))
    }

    /// The offset after the last batch of a segment file.
    async fn end_of(&self, file: SegmentFile) -> io::Result<Offset> {
        let opened = self.env.disk.open(&self.path_of(file), barnabas_runtime::OpenMode::Read).await?;
        let size = opened.size().await?;
        let mut position = 0;
        let mut end = file.offset.plus(1);
        for _ in 0..SWEEP_ENTRIES_MAX {
            let head = opened.read_at(position, HEADER_BYTES).await?;
            let Ok(header) = BatchHeader::parse(&head) else { break };
            end = header.end_offset();
            position += u64::from(header.size_bytes);
            if position >= size {
                break;
            }
        }
        Ok(end)
    }

    /// Gives the files of a cleaned segment their `.swap` names, the log file last.
    pub(crate) async fn begin_swap(&self, base: Offset) -> io::Result<()> {
        for kind in FileKind::OF_SEGMENT {
            self.rename(SegmentFile::new(base, kind).with(Suffix::Cleaned), Suffix::Swap).await?;
        }
        Ok(())
    }

    /// Gives the files of a swap that is durable their own names, the log file last and after those of the others are
    /// durable.
    pub(crate) async fn end_swap(&self, base: Offset) -> io::Result<()> {
        for kind in FileKind::OF_SEGMENT {
            if kind == FileKind::Log {
                self.persist(async || self.sync_folder().await).await?;
            }
            let file = SegmentFile::new(base, kind).with(Suffix::Swap);
            self.persist(async || self.rename(file, Suffix::None).await).await?;
        }
        self.persist(async || self.sync_folder().await).await
    }

    /// Makes the names in the folder of the log durable.
    pub(crate) async fn sync_folder(&self) -> io::Result<()> {
        self.env.disk.sync_dir(&self.folder).await
    }

    /// Not every segment has files of all kinds, but for its log.
    async fn rename(&self, file: SegmentFile, to: Suffix) -> io::Result<()> {
        match self.env.disk.rename(&self.path_of(file), &self.path_of(file.with(to))).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.kind != FileKind::Log => Ok(()),
            outcome => outcome,
        }
    }

    /// Takes away what a cleaning had written for the segment at `base` and could not put in place.
    pub(crate) async fn remove_cleaned(&self, base: Offset) -> io::Result<()> {
        for kind in FileKind::OF_SEGMENT {
            for suffix in [Suffix::Swap, Suffix::Cleaned] {
                let file = SegmentFile::new(base, kind).with(suffix);
                small_file::remove(&*self.env.disk, &self.path_of(file)).await?;
            }
        }
        Ok(())
    }

    /// A step of a swap that has begun, again and again while it lacks room or descriptors: half a swap can neither be left
    /// nor taken back. Who wants the log for himself does not wait for that: its directory goes out of use, and the next
    /// start finishes the swap.
    pub(crate) async fn persist<T>(&self, step: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
        loop {
            match step().await {
                Err(error)
                    if is_passing(&error) && !self.state.borrow().is_exclusive && !self.directory.is_offline() =>
                {
                    barnabas_base::reachable!(self.env, SWAP_AWAITED_ROOM);
                    self.env.sleep_until(self.env.now().after_ms(AGAIN_MS)).await;
                }
                Err(error) => {
                    self.directory.fail(StorageError::new(&self.folder_name, &error));
                    return Err(error);
                }
                Ok(done) => return Ok(done),
            }
        }
    }

    /// Gives a file that is no longer needed a name that no start takes for anything, or takes it away where there is no
    /// room for that: a longer name may need another block of the folder. Answers under way have the file open. `None` when
    /// nothing is left to remove.
    pub(crate) async fn retire(&self, file: SegmentFile) -> io::Result<Option<SegmentFile>> {
        let deleted = file.with(Suffix::Deleted);
        match self.env.disk.rename(&self.path_of(file), &self.path_of(deleted)).await {
            Ok(()) => Ok(Some(deleted)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                barnabas_base::reachable!(self.env, DELETED_WITHOUT_ROOM);
                small_file::remove(&*self.env.disk, &self.path_of(file)).await.map(|()| None)
            }
            Err(error) => Err(error),
        }
    }
}

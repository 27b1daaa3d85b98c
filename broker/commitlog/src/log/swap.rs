//! Putting cleaned segments in the place of those they were made of, so that a crash at any point leaves either. The
//! states and what a start makes of them (`LogLoader`):
//!
//! ```text
//! .cleaned files            unfinished: removed
//! .swap beside .cleaned     renaming had begun: all removed, the old segments are whole
//! .swap                     complete: old segments in its range are removed, the suffix is dropped
//! .deleted                  removed
//! ```

use std::io;
use std::rc::Rc;

use barnabas_base::Offset;
use barnabas_wire::record::{BatchHeader, HEADER_BYTES};

use super::Log;
use super::open::Listing;
use crate::limits::SWEEP_ENTRIES_MAX;
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
        // A swap file at or past a cleaned one belongs to a swap that had not begun to replace anything.
        let is_void = |file: &SegmentFile| first_cleaned.is_some_and(|cleaned| file.offset >= cleaned);
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
            disk.sync_dir(&self.folder).await?;
        }
        for file in valid {
            disk.rename(&self.path_of(file), &self.path_of(file.with(Suffix::None))).await?;
        }
        disk.sync_dir(&self.folder).await?;
        Ok(Listing::new(disk.list(&self.folder).await?))
    }

    /// The offset after the last batch of a segment file.
    async fn end_of(&self, file: SegmentFile) -> io::Result<Offset> {
        let opened = self.env.disk.open(&self.path_of(file), barnabas_runtime::OpenMode::Read).await?;
        let size = opened.size().await?;
        let mut position = 0;
        let mut end = file.offset.plus(1);
        for _ in 0..SWEEP_ENTRIES_MAX {
            let head = small_file::read_exact(&*opened, position, HEADER_BYTES).await?;
            let Ok(header) = BatchHeader::parse(&head) else { break };
            end = header.end_offset();
            position += u64::from(header.size_bytes);
            if position >= size {
                break;
            }
        }
        Ok(end)
    }

    /// Renames the files of a segment from one suffix to another, the log file last.
    pub(crate) async fn rename_all(self: &Rc<Self>, base: Offset, from: Suffix, to: Suffix) -> io::Result<()> {
        for kind in FileKind::OF_SEGMENT {
            let file = SegmentFile::new(base, kind);
            match self.env.disk.rename(&self.path_of(file.with(from)), &self.path_of(file.with(to))).await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && kind != FileKind::Log => {}
                Err(error) => return Err(error),
            }
        }
        self.env.disk.sync_dir(&self.folder).await
    }
}

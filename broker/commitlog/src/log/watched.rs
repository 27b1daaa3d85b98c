//! The file of a segment as its log reads it. What the page cache gave up and the device brings again may have rotted in
//! between: each read that goes to the device has the ranges it touches compared with their checksums before they are
//! served. Everything that reads segments drives it, through [`Log::segment_file`].

use std::io;
use std::path::Path;
use std::rc::{Rc, Weak};

use barnabas_base::Offset;
use barnabas_runtime::{File, FileHandle, Local};
use bytes::Bytes;

use super::Log;
use crate::directory::lost_if_full;

/// A segment's file that tells its log what came from the device.
struct WatchedFile {
    log: Weak<Log>,
    base: Offset,
    file: Rc<dyn File>,
}

impl Log {
    /// The file of the segment at `base`, watched.
    pub(crate) fn watch(self: &Rc<Self>, base: Offset, file: Rc<dyn File>) -> Rc<dyn File> {
        Rc::new(WatchedFile { log: Rc::downgrade(self), base, file })
    }
}

impl WatchedFile {
    fn comes_from_device(&self, offset: u64, len: usize) {
        let Some(log) = self.log.upgrade() else { return };
        if let Some(segment) = log.state.borrow_mut().segment_mut(self.base) {
            segment.checks.unseen(offset, offset.saturating_add(len as u64));
        }
    }
}

impl File for WatchedFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn read_at(&self, offset: u64, len: usize) -> Local<'_, io::Result<Bytes>> {
        Box::pin(async move {
            if let Some(read) = self.file.try_read_at(offset, len) {
                return read;
            }
            // Told before it is read: a read that is given up brings its pages in all the same.
            self.comes_from_device(offset, len);
            self.file.read_at(offset, len).await
        })
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<io::Result<Bytes>> {
        self.file.try_read_at(offset, len)
    }

    fn is_cached(&self, offset: u64, len: u64) -> bool {
        self.file.is_cached(offset, len)
    }

    fn write_at<'a>(&'a self, offset: u64, parts: &'a [Bytes]) -> Local<'a, io::Result<()>> {
        self.file.write_at(offset, parts)
    }

    fn sync(&self) -> Local<'_, io::Result<()>> {
        Box::pin(async move { self.file.sync().await.map_err(lost_if_full) })
    }

    fn truncate(&self, len: u64) -> Local<'_, io::Result<()>> {
        self.file.truncate(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> Local<'_, io::Result<()>> {
        self.file.allocate(offset, len)
    }

    fn size(&self) -> Local<'_, io::Result<u64>> {
        self.file.size()
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.file.will_need(offset, len);
    }

    fn wont_need(&self, offset: u64, len: u64) {
        self.file.wont_need(offset, len);
    }

    fn handle(&self) -> FileHandle {
        self.file.handle()
    }
}

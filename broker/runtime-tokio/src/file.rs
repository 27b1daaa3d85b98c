//! An open file: what the page cache answers is done on the shard's thread, what may wait for the device on the pool.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barnabas_runtime::{File, FileHandle, Local};
use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::dirty::DirtyGauge;
use crate::pool::Pool;
use crate::shard::Device;
use crate::sync::{self, Syncs};

/// Parts handed to the kernel with one `pwritev`; the kernel takes at most 1024.
const PARTS_PER_WRITE_MAX: usize = 64;

/// Most bytes that one read asks the device for. Measured on a device with 2 GB/s and 0.2 ms for the 99th percentile of a
/// sync: beside reads of this size that is 0.5 ms, of a mebibyte 2.0 ms, with the kernel's own reading ahead 8.5 ms.
const PIECE_BYTES: usize = 64 * 1024;
/// Distance between the bytes of a range that are looked up in the page cache: that of a piece, as which they came.
const PROBE_BYTES: u64 = PIECE_BYTES as u64;

/// A file with its positional operations.
pub(crate) struct TokioFile {
    path: PathBuf,
    descriptor: Arc<Descriptor>,
    device: Device,
    dirty: DirtyGauge,
}

impl TokioFile {
    pub(crate) fn new(path: PathBuf, opened: OwnedFd, device: Device, dirty: DirtyGauge) -> Self {
        let descriptor = Arc::new(Descriptor::new(opened, device.writes.clone()));
        Self { path, descriptor, device, dirty }
    }

    fn descriptor(&self) -> Arc<Descriptor> {
        Arc::clone(&self.descriptor)
    }

    /// Runs `call` on `pool`.
    async fn call<T: Send + 'static>(
        &self,
        pool: &Pool,
        call: impl FnOnce(&Descriptor) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let descriptor = self.descriptor();
        pool.run(move || call(&descriptor)).await
    }

    async fn write(&self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(Bytes::len).sum();
        if self.dirty.must_leave(bytes as u64, &self.device.writes) {
            let parts = parts.to_vec();
            return self.call(&self.device.writes, move |descriptor| write_parts(descriptor, offset, &parts)).await;
        }
        write_parts(&self.descriptor, offset, parts)
    }

    async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        if let Some(read) = self.try_read_at(offset, len) {
            return read;
        }
        self.call(&self.device.reads, move |descriptor| read_waiting(descriptor, offset, len)).await
    }

    fn advise(&self, offset: u64, len: u64, advice: Advice) {
        let descriptor = self.descriptor();
        // Read-ahead waits for a slot in the device's queue, dropping pages for their locks. A hint has no answer.
        self.device.reads.run_detached(move || {
            let _ = rustix::fs::fadvise(&*descriptor, offset, std::num::NonZeroU64::new(len), advice);
        });
    }
}

impl File for TokioFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, offset: u64, len: usize) -> Local<'_, io::Result<Bytes>> {
        Box::pin(self.read(offset, len))
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<io::Result<Bytes>> {
        read_cached(&self.descriptor, offset, len).transpose()
    }

    fn is_cached(&self, offset: u64, len: u64) -> bool {
        is_cached(&self.descriptor, offset, len)
    }

    fn write_at<'a>(&'a self, offset: u64, parts: &'a [Bytes]) -> Local<'a, io::Result<()>> {
        Box::pin(self.write(offset, parts))
    }

    fn sync(&self) -> Local<'_, io::Result<()>> {
        Box::pin(self.call(&self.device.writes, Descriptor::sync))
    }

    fn truncate(&self, len: u64) -> Local<'_, io::Result<()>> {
        Box::pin(self.call(&self.device.writes, move |descriptor| Ok(rustix::fs::ftruncate(descriptor, len)?)))
    }

    fn allocate(&self, offset: u64, len: u64) -> Local<'_, io::Result<()>> {
        Box::pin(self.call(&self.device.writes, move |descriptor| {
            Ok(rustix::fs::fallocate(descriptor, FallocateFlags::KEEP_SIZE, offset, len)?)
        }))
    }

    fn size(&self) -> Local<'_, io::Result<u64>> {
        // The inode of an open file is in memory.
        let size = || Ok(u64::try_from(rustix::fs::fstat(&*self.descriptor)?.st_size).unwrap_or(0));
        Box::pin(std::future::ready(size()))
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.advise(offset, len, Advice::WillNeed);
    }

    fn wont_need(&self, offset: u64, len: u64) {
        self.advise(offset, len, Advice::DontNeed);
    }

    fn handle(&self) -> FileHandle {
        FileHandle(self.descriptor())
    }
}

impl fmt::Debug for TokioFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokioFile").field(&self.path).finish()
    }
}

/// An open descriptor, shared by the file, by the responses that carry a range of it, and by the jobs in flight. It
/// closes when the last of them has gone.
pub(crate) struct Descriptor {
    /// `None` only while it is dropped.
    opened: Option<OwnedFd>,
    syncs: Syncs,
    pool: Pool,
}

impl Descriptor {
    pub(crate) fn new(opened: OwnedFd, pool: Pool) -> Self {
        Self { opened: Some(opened), syncs: Syncs::default(), pool }
    }

    /// Makes its data durable, with the length that covers it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.syncs.run(|| sync::data(self))
    }

    /// Makes everything on its file system durable. A descriptor that is kept for this hears of every error since it was
    /// opened; a new one would not hear of those that another program has been told of.
    pub(crate) fn sync_filesystem(&self) -> io::Result<()> {
        self.syncs.run(|| sync::filesystem(self))
    }

    /// What a handle of this runtime holds.
    pub(crate) fn of(handle: &FileHandle) -> Arc<Self> {
        let inner = Arc::clone(&handle.0).downcast::<Self>();
        inner.expect("a file is used with the runtime that opened it")
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.opened.as_ref().expect("taken by drop alone").as_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let opened = self.opened.take().expect("dropped once");
        // The last close of an unlinked file frees its blocks, which takes long for a segment of a gibibyte.
        if rustix::fs::fstat(&opened).is_ok_and(|stat| stat.st_nlink == 0) {
            self.pool.run_detached(move || drop(opened));
        }
    }
}

/// Reads what the page cache holds: `None` unless that is the whole range, or all of it up to the end of the file.
fn read_cached(file: &Descriptor, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
    // A short count is a gap in the cache or the end of the file: the next round tells which.
    let cached =
        |rest: &mut [u8], at| rustix::io::preadv2(file, &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT);
    match read_up_to(offset, len, cached) {
        Err(Errno::AGAIN | Errno::OPNOTSUPP) => Ok(None),
        read => Ok(Some(read?)),
    }
}

/// Reads up to `len` bytes, fewer only at the end of the file, waiting for the device: a piece at a time, so that a sync
/// never waits for more than one.
fn read_waiting(file: &Descriptor, offset: u64, len: usize) -> io::Result<Bytes> {
    let piece = |rest: &mut [u8], at| {
        let len = rest.len().min(PIECE_BYTES);
        rustix::io::pread(file, &mut rest[..len], at)
    };
    Ok(read_up_to(offset, len, piece)?)
}

/// What `read` gives of a range, asked until it is complete or the file ends.
fn read_up_to(
    offset: u64,
    len: usize,
    read: impl Fn(&mut [u8], u64) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Bytes> {
    let mut buffer = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match read(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}

/// Whether a range can be had without waiting for the device, as probes of it tell. What lies past the end of the file can.
pub(crate) fn is_cached(file: &Descriptor, offset: u64, len: u64) -> bool {
    let end = offset + len;
    let mut probe = offset;
    while probe < end {
        if !is_byte_cached(file, probe) {
            return false;
        }
        probe += PROBE_BYTES;
    }
    len == 0 || is_byte_cached(file, end - 1)
}

fn is_byte_cached(file: &Descriptor, offset: u64) -> bool {
    let mut byte = [0];
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) {
        Ok(_) => true,
        Err(error) => error != Errno::AGAIN && error != Errno::OPNOTSUPP,
    }
}

/// Writes all `parts` one behind the other.
fn write_parts(file: &Descriptor, mut offset: u64, parts: &[Bytes]) -> io::Result<()> {
    for group in parts.chunks(PARTS_PER_WRITE_MAX) {
        let mut slices = [IoSlice::new(&[]); PARTS_PER_WRITE_MAX];
        for (slice, part) in slices.iter_mut().zip(group) {
            *slice = IoSlice::new(part);
        }
        let mut left = &mut slices[..group.len()];
        // Steps over empty parts: a write of nothing would look like a device that takes no more.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match rustix::io::pwritev(file, left, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

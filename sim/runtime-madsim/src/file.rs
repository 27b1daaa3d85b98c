//! An open file of a simulated node. Writes reach the page cache on the shard's thread, and hold it, as in production.

use std::any::Any;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barnabas_runtime::{File, FileHandle, Local};
use bytes::{Bytes, BytesMut};

use crate::disk::Call;
use crate::env::Place;
use crate::fault::{DiskCallKind, Judged, Twist};
use crate::key::ProcessKey;
use crate::volume::{Inode, Volume};
use crate::world::{Dropped, Outbox, leave};

/// A file with its positional operations.
pub(crate) struct SimFile {
    place: Place,
    lease: Arc<Lease>,
    writable: bool,
}

/// One open, shared by the file, the responses that carry a range of it, and the operations in flight.
#[derive(Debug)]
pub(crate) struct Lease {
    process: ProcessKey,
    inode: Inode,
    path: PathBuf,
    dropped: Outbox<Dropped>,
}

impl Lease {
    /// The open of `inode` under `path`.
    pub(crate) fn new(place: &Place, path: PathBuf, inode: Inode) -> Self {
        Self { process: place.key.process, inode, path, dropped: Arc::clone(&place.world.shared.dropped) }
    }

    /// What a handle of this runtime holds.
    pub(crate) fn of(handle: &FileHandle) -> Arc<Self> {
        let inner: Arc<dyn Any + Send + Sync> = Arc::clone(&handle.0);
        inner.downcast().expect("a file is used with the runtime that opened it")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        leave(&self.dropped, Dropped::Open(self.process, self.inode));
    }
}

impl SimFile {
    pub(crate) fn new(place: Place, lease: Lease, writable: bool) -> Self {
        Self { place, lease: Arc::new(lease), writable }
    }

    fn call(&self, kind: DiskCallKind, offset: u64, len: u64) -> Call<'_> {
        Call { kind, path: &self.lease.path, offset, len }
    }

    async fn write(&self, offset: u64, parts: &[Bytes]) -> io::Result<()> {
        if !self.place.is_alive() {
            return std::future::pending().await;
        }
        if !self.writable {
            return Err(io::Error::from_raw_os_error(EBADF));
        }
        let mut joined = BytesMut::new();
        parts.iter().for_each(|part| joined.extend_from_slice(part));
        let bytes = joined.freeze();
        let Place { world, key } = &self.place;
        let (config, node) = (&world.shared.config, u64::from(key.node().0));
        world.record_bytes("content", node, &bytes);
        let call = self.call(DiskCallKind::Write, offset, bytes.len() as u64);
        let lease = Arc::clone(&self.lease);
        if world.draw_one_in("dirty", config.dirty_write_one_in, node, self.place.next_ordinal()) {
            let apply = move |volume: &mut Volume, (), now_ms, judged: Judged| match judged.error {
                Some(error) => Err(error),
                None => write_twisted(volume, &lease, (offset, bytes), judged.twist, now_ms),
            };
            return self.place.operate_judged(call, config.sync, |_| (), apply).await;
        }
        let Judged { error, extra_ns, twist } = self.place.judge(call);
        let drawn_ns = world.draw_ns("cache write", config.cache_write, node, self.place.next_ordinal());
        let taken_ns = drawn_ns.saturating_mul(world.with_node(key.node(), |state| state.disk_slowdown));
        world.block_shard(*key, taken_ns.saturating_add(extra_ns));
        if let Some(error) = error {
            return Err(error);
        }
        let now_ms = world.wall_of(key.node()).0;
        let outcome = world
            .with_node(key.node(), |state| write_twisted(&mut state.volume, &lease, (offset, bytes), twist, now_ms));
        world.disk_call_ended(key.node(), DiskCallKind::Write, &self.lease.path);
        outcome
    }

    /// Runs an operation of the file that leaves the thread.
    fn operate<'a, T: 'static>(
        &'a self,
        call: Call<'a>,
        apply: impl FnOnce(&mut Volume, Inode, i64) -> io::Result<T> + 'static,
    ) -> Local<'a, io::Result<T>> {
        let lease = Arc::clone(&self.lease);
        let span = self.place.world.shared.config.metadata;
        Box::pin(async move {
            self.place.operate(call, span, |_| (), move |volume, (), now_ms| apply(volume, lease.inode, now_ms)).await
        })
    }
}

/// Writes `bytes` at `offset`, or does what the twist has instead.
fn write_twisted(
    volume: &mut Volume,
    lease: &Lease,
    (offset, mut bytes): (u64, Bytes),
    twist: Option<Twist>,
    now_ms: i64,
) -> io::Result<()> {
    let inode = lease.inode;
    match twist {
        None => volume.write(inode, offset, bytes, now_ms),
        Some(Twist::Short(count)) => {
            bytes.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            volume.write(inode, offset, bytes, now_ms)?;
            Err(ErrorKind::StorageFull.into())
        }
        Some(Twist::Lost) => lose(volume, inode, (offset, bytes.len() as u64), now_ms),
        Some(Twist::Elsewhere(other)) => {
            lose(volume, inode, (offset, bytes.len() as u64), now_ms)?;
            volume.drop_from_cache(inode, other, bytes.len() as u64);
            volume.write(inode, other, bytes, now_ms)
        }
    }
}

/// Acknowledges a write that never arrives.
fn lose(volume: &mut Volume, inode: Inode, (offset, len): (u64, u64), now_ms: i64) -> io::Result<()> {
    volume.lengthen(inode, offset + len, now_ms)?;
    volume.drop_from_cache(inode, offset, len);
    Ok(())
}

/// The number of "bad file descriptor": written to although opened to read.
const EBADF: i32 = 9;

impl File for SimFile {
    fn path(&self) -> &Path {
        &self.lease.path
    }

    fn read_at(&self, offset: u64, len: usize) -> Local<'_, io::Result<Bytes>> {
        Box::pin(async move {
            if let Some(read) = self.try_read_at(offset, len) {
                return read;
            }
            self.place.read_device(&self.lease, offset, len).await
        })
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<io::Result<Bytes>> {
        if !self.place.is_alive() {
            return None;
        }
        self.place.read_cached(&self.lease, offset, len)
    }

    fn is_cached(&self, offset: u64, len: u64) -> bool {
        !self.place.is_alive() || self.place.is_cached(&self.lease, offset, len)
    }

    fn write_at<'a>(&'a self, offset: u64, parts: &'a [Bytes]) -> Local<'a, io::Result<()>> {
        Box::pin(self.write(offset, parts))
    }

    fn sync(&self) -> Local<'_, io::Result<()>> {
        let lease = Arc::clone(&self.lease);
        Box::pin(async move {
            let span = self.place.world.shared.config.sync;
            let call = self.call(DiskCallKind::Sync, 0, 0);
            let apply = move |volume: &mut Volume, upto, _, judged: Judged| match judged.error {
                Some(error) => {
                    volume.drop_dirty(lease.inode, upto);
                    Err(error)
                }
                None => {
                    volume.sync_file(lease.inode, upto);
                    Ok(())
                }
            };
            self.place.operate_judged(call, span, Volume::last_change, apply).await
        })
    }

    fn truncate(&self, len: u64) -> Local<'_, io::Result<()>> {
        if !self.writable {
            return Box::pin(std::future::ready(Err(ErrorKind::InvalidInput.into())));
        }
        let call = self.call(DiskCallKind::Truncate, len, 0);
        self.operate(call, move |volume, inode, now_ms| volume.truncate(inode, len, now_ms))
    }

    fn allocate(&self, offset: u64, len: u64) -> Local<'_, io::Result<()>> {
        let call = self.call(DiskCallKind::Allocate, offset, len);
        self.operate(call, move |volume, inode, _| volume.allocate(inode, offset + len))
    }

    fn size(&self) -> Local<'_, io::Result<u64>> {
        Box::pin(async move {
            if !self.place.is_alive() {
                return std::future::pending().await;
            }
            self.place.world.with_node(self.place.key.node(), |state| state.volume.size(self.lease.inode))
        })
    }

    fn will_need(&self, _offset: u64, _len: u64) {}

    fn wont_need(&self, _offset: u64, _len: u64) {}

    fn handle(&self) -> FileHandle {
        FileHandle(Arc::clone(&self.lease) as Arc<dyn Any + Send + Sync>)
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimFile").field(&self.lease.path).finish()
    }
}

impl Place {
    /// Whether a range is in the page cache: drawn, but for what was damaged on the device, which is not.
    fn is_cached(&self, lease: &Lease, offset: u64, len: u64) -> bool {
        let cold = self.world.shared.config.cold_read_one_in;
        let node = self.key.node();
        !self.world.draw_one_in("cold", cold, u64::from(node.0), self.next_ordinal())
            && self.world.with_node(node, |state| state.volume.is_cached(lease.inode, offset, len))
    }

    /// Reads what is in the page cache.
    fn read_cached(&self, lease: &Lease, offset: u64, len: usize) -> Option<io::Result<Bytes>> {
        let node = self.key.node();
        if !self.is_cached(lease, offset, len as u64) {
            return None;
        }
        let call = Call { kind: DiskCallKind::Read, path: &lease.path, offset, len: len as u64 };
        let Judged { error, extra_ns, .. } = self.judge(call);
        self.world.block_shard(self.key, extra_ns);
        Some(match error {
            Some(error) => Err(error),
            None => self.world.with_node(node, |state| state.volume.read(lease.inode, offset, len)),
        })
    }

    /// Reads what a response carries.
    pub(crate) async fn read_to_send(&self, lease: &Arc<Lease>, offset: u64, len: usize) -> io::Result<Bytes> {
        let bytes = match self.read_cached(lease, offset, len) {
            Some(read) => read?,
            None => self.read_device(lease, offset, len).await?,
        };
        let now_ns = self.world.now_ns();
        Ok(self.world.with_node(self.key.node(), |state| state.volume.as_sent(lease.inode, now_ns, offset, bytes)))
    }

    /// Reads from the device.
    async fn read_device(&self, lease: &Arc<Lease>, offset: u64, len: usize) -> io::Result<Bytes> {
        let span = self.world.shared.config.device_read;
        let call = Call { kind: DiskCallKind::Read, path: &lease.path, offset, len: len as u64 };
        let held = Arc::clone(lease);
        let apply = move |volume: &mut Volume, (), _| {
            volume.bring_in(held.inode, offset, len as u64);
            volume.read(held.inode, offset, len)
        };
        self.operate(call, span, |_| (), apply).await
    }
}

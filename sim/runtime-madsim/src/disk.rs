//! A node's disk behind the seam. An operation that production gives to a thread begins at the first poll of its future and
//! takes effect later, whether or not anybody still waits.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use barnabas_base::keyed_hash;
use barnabas_runtime::sync::oneshot;
use barnabas_runtime::{DirEntry, Disk, File, Local, LockGuard, OpenMode, Space, join_all};

use crate::config::Span;
use crate::env::Place;
use crate::fault::{DiskCall, DiskCallKind, Judged};
use crate::file::{Lease, SimFile};
use crate::key::ProcessKey;
use crate::node::Operation;
use crate::volume::{Inode, Volume};
use crate::world::World;

/// Longest that a slow disk takes for one operation: Linux gives up a command of a SCSI device after 30 s.
const COMMAND_MAX_NS: u64 = 30_000_000_000;

/// The file system of one node, as one of its shards sees it.
pub(crate) struct SimDisk {
    place: Place,
}

impl SimDisk {
    pub(crate) const fn new(place: Place) -> Self {
        Self { place }
    }

    /// An operation on names, carried out by `apply` when its time has come.
    fn names<'a, T: 'static>(
        &'a self,
        kind: DiskCallKind,
        path: &'a Path,
        apply: impl FnOnce(&mut Volume, &Path, i64) -> io::Result<T> + 'static,
    ) -> Local<'a, io::Result<T>> {
        let span = self.place.world.shared.config.metadata;
        self.timed(kind, span, path, |_| {}, |volume, (), path, now_ms| apply(volume, path, now_ms))
    }

    /// An operation that looks at the volume with `begin` when it is issued and is carried out by `apply` at its end.
    fn timed<'a, S: 'static, T: 'static>(
        &'a self,
        kind: DiskCallKind,
        span: Span,
        path: &'a Path,
        begin: impl FnOnce(&Volume) -> S + 'a,
        apply: impl FnOnce(&mut Volume, S, &Path, i64) -> io::Result<T> + 'static,
    ) -> Local<'a, io::Result<T>> {
        Box::pin(async move {
            let owned = path.to_owned();
            let call = Call { kind, path, offset: 0, len: 0 };
            let begun = |volume: &Volume| begin(volume);
            self.place
                .operate(call, span, begun, move |volume, begun, now_ms| apply(volume, begun, &owned, now_ms))
                .await
        })
    }
}

impl Disk for SimDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> Local<'a, io::Result<Rc<dyn File>>> {
        Box::pin(async move {
            let place = self.place.clone();
            // The lease is made with the open: when nobody waits any more, it is closed again.
            let open = move |volume: &mut Volume, path: &Path, now_ms| {
                let inode = volume.open(path, mode, now_ms)?;
                Ok(Lease::new(&place, path.to_owned(), inode))
            };
            let lease = self.names(DiskCallKind::Open, path, open).await?;
            let writable = mode != OpenMode::Read;
            Ok(Rc::new(SimFile::new(self.place.clone(), lease, writable)) as Rc<dyn File>)
        })
    }

    fn list<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Vec<DirEntry>>> {
        self.names(DiskCallKind::Look, path, |volume, path, _| volume.list(path))
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        self.names(DiskCallKind::CreateDir, path, Volume::create_dir_all)
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        self.names(DiskCallKind::Remove, path, Volume::remove_dir_all)
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Local<'a, io::Result<()>> {
        let to: PathBuf = to.into();
        self.names(DiskCallKind::Rename, from, move |volume, from, now_ms| volume.rename(from, &to, now_ms))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        self.names(DiskCallKind::Remove, path, Volume::remove)
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        let span = self.place.world.shared.config.sync;
        self.timed(DiskCallKind::SyncDir, span, path, Volume::last_change, |volume, upto, path, _| {
            let inode = volume.find(path)?;
            volume.sync_dir(inode, upto);
            Ok(())
        })
    }

    fn sync_filesystem<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        let span = self.place.world.shared.config.sync;
        self.timed(DiskCallKind::SyncFilesystem, span, path, Volume::last_change, |volume, upto, path, _| {
            volume.find(path)?;
            volume.sync_all(upto);
            Ok(())
        })
    }

    fn sync_files<'a>(&'a self, files: &'a [Rc<dyn File>]) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            let outcomes = join_all(files.iter().map(|file| file.sync()).collect()).await;
            outcomes.into_iter().collect()
        })
    }

    fn lock<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Box<dyn LockGuard>>> {
        Box::pin(async move {
            let place = self.place.clone();
            // The guard is made with the lock: when nobody waits any more, it is given back.
            let lock = move |volume: &mut Volume, path: &Path, now_ms| {
                let inode = volume.open(path, OpenMode::CreateOrOpen, now_ms)?;
                volume.lock(inode).inspect_err(|_| volume.close(inode))?;
                Ok(SimLock { place, inode })
            };
            Ok(Box::new(self.names(DiskCallKind::Look, path, lock).await?) as Box<dyn LockGuard>)
        })
    }

    fn space<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Space>> {
        self.names(DiskCallKind::Look, path, |volume, path, _| volume.find(path).map(|_| volume.space()))
    }

    fn metadata<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<DirEntry>> {
        self.names(DiskCallKind::Look, path, |volume, path, _| volume.metadata(path))
    }
}

/// A call before it is counted.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) kind: DiskCallKind,
    pub(crate) path: &'a Path,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Place {
    /// Counts and records a call and asks for its verdict.
    pub(crate) fn judge(&self, call: Call<'_>) -> Judged {
        let Call { kind, path, offset, len } = call;
        let node = self.key.node();
        let (hook, ordinal) = self.world.with_node(node, |state| {
            let ordinal = state.calls.entry(kind).or_insert(0);
            *ordinal += 1;
            (state.hook.take(), *ordinal)
        });
        let name = keyed_hash(offset, path.as_os_str().as_encoded_bytes());
        self.world.record(kind.label(), u64::from(node.0), keyed_hash(len, &name.to_le_bytes()));
        let Some(mut hook) = hook else { return Judged::default() };
        let verdict = hook(&DiskCall { kind, path, offset, len, ordinal });
        self.world.with_node(node, |state| {
            state.hook.get_or_insert(hook);
        });
        verdict.into_parts()
    }

    /// Runs an operation that leaves the thread; a call that fails changes nothing.
    pub(crate) async fn operate<S: 'static, T: 'static>(
        &self,
        call: Call<'_>,
        span: Span,
        begin: impl FnOnce(&Volume) -> S,
        apply: impl FnOnce(&mut Volume, S, i64) -> io::Result<T> + 'static,
    ) -> io::Result<T> {
        let judged = move |volume: &mut Volume, begun, now_ms, judged: Judged| match judged.error {
            Some(error) => Err(error),
            None => apply(volume, begun, now_ms),
        };
        self.operate_judged(call, span, begin, judged).await
    }

    /// Runs an operation that leaves the thread and knows what to do when it is to fail or to do something else.
    pub(crate) async fn operate_judged<S: 'static, T: 'static>(
        &self,
        call: Call<'_>,
        span: Span,
        begin: impl FnOnce(&Volume) -> S,
        apply: impl FnOnce(&mut Volume, S, i64, Judged) -> io::Result<T> + 'static,
    ) -> io::Result<T> {
        if !self.is_alive() {
            return std::future::pending().await;
        }
        let judged = self.judge(call);
        let extra_ns = judged.extra_ns;
        let node = self.key.node();
        let drawn_ns = self.world.draw_ns("disk", span, u64::from(node.0), self.next_ordinal());
        let slowed_ns = drawn_ns.saturating_mul(self.world.with_node(node, |state| state.disk_slowdown));
        let delay_ns = slowed_ns.min(drawn_ns.max(COMMAND_MAX_NS));
        let told = self.world.is_told_of_disks().then(|| (call.kind, call.path.to_owned()));
        let begun = self.world.with_node(node, |state| begin(&state.volume));
        let (sender, receiver) = oneshot::channel();
        let operation = move |world: &World| {
            let now_ms = world.wall_of(node).0;
            let outcome = world.with_node(node, |state| apply(&mut state.volume, begun, now_ms, judged));
            world.record(call_end(&outcome), u64::from(node.0), 0);
            if let Some((kind, path)) = told {
                world.disk_call_ended(node, kind, &path);
            }
            sender.send(outcome);
        };
        self.world.begin_operation(self.key.process, delay_ns.saturating_add(extra_ns), Box::new(operation));
        match receiver.await {
            Ok(outcome) => outcome,
            // The process died; so does who waits.
            Err(oneshot::Dropped) => std::future::pending().await,
        }
    }
}

const fn call_end<T>(outcome: &io::Result<T>) -> &'static str {
    if outcome.is_ok() { "disk done" } else { "disk failed" }
}

impl World {
    fn begin_operation(&self, process: ProcessKey, delay_ns: u64, operation: Operation) {
        let node = process.node;
        let ordinal = self.with_node(node, |state| {
            let ordinal = state.next_operation;
            state.next_operation += 1;
            state.operations.insert(ordinal, operation);
            ordinal
        });
        self.schedule(delay_ns, "disk", u64::from(node.0), move |world| {
            // Gone when a crash decided about it.
            let operation = world.with_node(node, |state| state.operations.remove(&ordinal));
            if let Some(operation) = operation {
                operation(world);
            }
        });
    }

    /// Gives back an open of a process that still runs.
    pub(crate) fn close_open(&self, process: ProcessKey, inode: Inode) {
        if self.is_alive(process) {
            self.with_node(process.node, |state| state.volume.close(inode));
        }
    }
}

struct SimLock {
    place: Place,
    inode: Inode,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if self.place.is_alive() {
            self.place.world.with_node(self.place.key.node(), |state| {
                state.volume.unlock(self.inode);
                state.volume.close(self.inode);
            });
        }
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLock").field("inode", &self.inode).finish_non_exhaustive()
    }
}

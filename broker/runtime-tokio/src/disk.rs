//! Names on disk. Every operation here may wait for the device and runs on a pool.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use barnabas_runtime::{DirEntry, Disk, File, FileKind, Local, LockGuard, OpenMode, Space, file_name};
use rustix::fs::Advice;

use crate::dirty::DirtyGauge;
use crate::file::{Descriptor, TokioFile};
use crate::lock::FileLock;
use crate::pool::Pool;
use crate::shard::Device;
use crate::sync;

/// The file systems of the machine.
pub(crate) struct TokioDisk {
    device: Device,
    dirty: DirtyGauge,
    /// What whole file systems are synced through, by the path that was asked for.
    filesystems: RefCell<BTreeMap<PathBuf, Arc<Descriptor>>>,
    filesystem_reports: bool,
}

impl TokioDisk {
    pub(crate) fn new(device: Device, dirty: DirtyGauge) -> Self {
        let filesystem_reports = sync::filesystem_reports();
        Self { device, dirty, filesystems: RefCell::default(), filesystem_reports }
    }

    /// The descriptor that the file system of `path` is synced through.
    async fn filesystem(&self, path: &Path) -> io::Result<Arc<Descriptor>> {
        if let Some(known) = self.filesystems.borrow().get(path) {
            return Ok(Arc::clone(known));
        }
        let opened = self.call(path, |path| fs::File::open(path)).await?;
        let descriptor = Arc::new(Descriptor::new(opened.into(), self.device.writes.clone()));
        Ok(Arc::clone(self.filesystems.borrow_mut().entry(path.to_owned()).or_insert(descriptor)))
    }

    /// Runs `call` with an owned copy of `path` on a pool.
    fn call<'a, T: Send + 'static>(
        &'a self,
        path: &'a Path,
        call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Local<'a, io::Result<T>> {
        Box::pin(async move {
            let path = path.to_owned();
            self.device.writes.run(move || call(&path)).await
        })
    }
}

impl Disk for TokioDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> Local<'a, io::Result<Rc<dyn File>>> {
        Box::pin(async move {
            let descriptor = self.call(path, move |path| open(path, mode)).await?;
            let file = TokioFile::new(path.to_owned(), descriptor, self.device.clone(), self.dirty.clone());
            Ok(Rc::new(file) as Rc<dyn File>)
        })
    }

    fn list<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Vec<DirEntry>>> {
        self.call(path, list)
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        self.call(path, |path| fs::create_dir_all(path))
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        self.call(path, |path| fs::remove_dir_all(path))
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Local<'a, io::Result<()>> {
        let to = to.to_owned();
        self.call(from, move |from| fs::rename(from, to))
    }

    fn remove<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        self.call(path, |path| fs::remove_file(path))
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        self.call(path, |path| sync::directory(fs::File::open(path)?))
    }

    fn sync_filesystem<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            if !self.filesystem_reports {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this kernel does not say what it could not write",
                ));
            }
            let descriptor = self.filesystem(path).await?;
            self.device.writes.run(move || descriptor.sync_filesystem()).await
        })
    }

    fn sync_files<'a>(&'a self, files: &'a [Rc<dyn File>]) -> Local<'a, io::Result<()>> {
        Box::pin(async move { sync_files(&self.device.writes, files).await })
    }

    fn lock<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Box<dyn LockGuard>>> {
        Box::pin(async move {
            let lock = self.call(path, FileLock::take).await?;
            Ok(Box::new(lock) as Box<dyn LockGuard>)
        })
    }

    fn space<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Space>> {
        self.call(path, |path| {
            let stat = rustix::fs::statvfs(path)?;
            Ok(Space { total_bytes: stat.f_blocks * stat.f_frsize, usable_bytes: stat.f_bavail * stat.f_frsize })
        })
    }

    fn metadata<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<DirEntry>> {
        self.call(path, |path| {
            let metadata = fs::metadata(path)?;
            Ok(entry(file_name(path).unwrap_or_default(), &metadata))
        })
    }
}

fn open(path: &Path, mode: OpenMode) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true);
    match mode {
        OpenMode::Read => &mut options,
        OpenMode::Write => options.write(true),
        OpenMode::CreateOrOpen => options.write(true).create(true),
        OpenMode::CreateNew => options.write(true).create_new(true),
        OpenMode::CreateTruncated => options.write(true).create(true).truncate(true),
    };
    let file = options.open(path)?;
    // The kernel reads as far ahead as the device's settings have it, megabytes on many, and a sync waits behind all of
    // it. What is to be sent is read before it is sent; nobody else reads on. A file system that takes no hint loses
    // nothing but time.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::Random);
    Ok(file.into())
}

fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for found in fs::read_dir(path)? {
        let found = found?;
        // Names that are not text are none of ours.
        let Ok(name) = found.file_name().into_string() else { continue };
        match found.metadata() {
            Ok(metadata) => entries.push(entry(name, &metadata)),
            // Removed between the listing and the look at it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    entries.sort();
    Ok(entries)
}

fn entry(name: String, metadata: &fs::Metadata) -> DirEntry {
    let kind = match metadata.file_type() {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Directory,
        _ => FileKind::Other,
    };
    let size_bytes = if kind == FileKind::File { metadata.len() } else { 0 };
    let modified_ms = metadata.mtime().saturating_mul(1_000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    DirEntry { name, kind, size_bytes, modified_ms }
}

/// Syncs `files` on as many threads as the pool has; each takes the next file that is left. Reports the first error in
/// the order of `files`, after all syncs have ended.
async fn sync_files(pool: &Pool, files: &[Rc<dyn File>]) -> io::Result<()> {
    if let [file] = files {
        return file.sync().await;
    }
    let work = Arc::new(SyncWork {
        descriptors: files.iter().map(|file| Descriptor::of(&file.handle())).collect(),
        next: AtomicUsize::new(0),
        failed: Mutex::new(None),
    });
    let threads = pool.threads_max().min(files.len());
    let mut running = Vec::with_capacity(threads);
    for _ in 0..threads {
        let work = Arc::clone(&work);
        running.push(Box::pin(pool.run(move || work.run())) as Local<'_, ()>);
    }
    barnabas_runtime::join_all(running).await;
    let failed = work.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

struct SyncWork {
    descriptors: Vec<Arc<Descriptor>>,
    next: AtomicUsize,
    failed: Mutex<Option<(usize, io::Error)>>,
}

impl SyncWork {
    fn run(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(descriptor) = self.descriptors.get(index) else { return };
            if let Err(error) = descriptor.sync() {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                    *failed = Some((index, error));
                }
            }
        }
    }
}

impl std::fmt::Debug for TokioDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokioDisk").finish_non_exhaustive()
    }
}

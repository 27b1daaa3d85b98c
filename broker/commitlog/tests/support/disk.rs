//! A disk that tells each step that changes it to a test before it is done, and does not do those that the test refuses.
//! Syncs only tell, unless the test asks for real ones: what these tests undo is a process, not the power.
#![allow(unreachable_pub, reason = "each test file is a crate of its own")]

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use barnabas_runtime::{DirEntry, Disk, Env, File, FileHandle, Local, LockGuard, OpenMode, Space};
use bytes::Bytes;

/// What is about to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file is made or emptied.
    Create(PathBuf),
    /// Bytes are written: the file, where, how many.
    Write(PathBuf, u64, usize),
    /// A file is synced.
    Sync(PathBuf),
    /// A file is cut or extended.
    Truncate(PathBuf),
    /// A name changes.
    Rename(PathBuf, PathBuf),
    /// A name goes.
    Remove(PathBuf),
    /// A directory is made.
    CreateDir(PathBuf),
    /// A directory is synced.
    SyncDir(PathBuf),
    /// Everything is synced.
    SyncFilesystem,
}

impl Step {
    /// Name of the file or directory that is changed.
    pub fn name(&self) -> &str {
        let path = match self {
            Self::Create(path)
            | Self::Write(path, ..)
            | Self::Sync(path)
            | Self::Truncate(path)
            | Self::Rename(_, path)
            | Self::Remove(path)
            | Self::CreateDir(path)
            | Self::SyncDir(path) => path,
            Self::SyncFilesystem => return "",
        };
        path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Hears of a step; an error takes its place.
pub type Watch = Rc<dyn Fn(&Step) -> io::Result<()>>;

/// How a watched disk differs from one that only tells.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Syncs take the time they take, and are told when they end.
    syncs: bool,
    /// Every read goes to the device.
    reads_from_device: bool,
}

/// `env` with a disk that tells `watch`.
pub fn watched(env: &Env, watch: Watch) -> Env {
    watched_as(env, watch, Manner::default())
}

/// The same with syncs that take the time they take, and are told when they end.
pub fn watched_with_syncs(env: &Env, watch: Watch) -> Env {
    watched_as(env, watch, Manner { syncs: true, ..Manner::default() })
}

/// `env` with a disk of which the page cache holds nothing.
pub fn uncached(env: &Env) -> Env {
    watched_as(env, Rc::new(|_| Ok(())), Manner { syncs: true, reads_from_device: true })
}

fn watched_as(env: &Env, watch: Watch, manner: Manner) -> Env {
    let disk: Rc<dyn Disk> = Rc::new(WatchedDisk { env: env.clone(), inner: Rc::clone(&env.disk), watch, manner });
    Env { disk, ..env.clone() }
}

struct WatchedDisk {
    env: Env,
    inner: Rc<dyn Disk>,
    watch: Watch,
    manner: Manner,
}

impl Disk for WatchedDisk {
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> Local<'a, io::Result<Rc<dyn File>>> {
        Box::pin(async move {
            if !matches!(mode, OpenMode::Read | OpenMode::Write) {
                (self.watch)(&Step::Create(path.to_owned()))?;
            }
            let inner = self.inner.open(path, mode).await?;
            let file: Rc<dyn File> = Rc::new(WatchedFile {
                env: self.env.clone(),
                inner,
                watch: Rc::clone(&self.watch),
                manner: self.manner,
            });
            Ok(file)
        })
    }

    fn list<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Vec<DirEntry>>> {
        self.inner.list(path)
    }

    fn create_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            (self.watch)(&Step::CreateDir(path.to_owned()))?;
            self.inner.create_dir_all(path).await
        })
    }

    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            (self.watch)(&Step::Remove(path.to_owned()))?;
            self.inner.remove_dir_all(path).await
        })
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            (self.watch)(&Step::Rename(from.to_owned(), to.to_owned()))?;
            self.inner.rename(from, to).await
        })
    }

    fn remove<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            (self.watch)(&Step::Remove(path.to_owned()))?;
            self.inner.remove(path).await
        })
    }

    fn sync_dir<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>> {
        Box::pin(async move { (self.watch)(&Step::SyncDir(path.to_owned())) })
    }

    fn sync_filesystem<'a>(&'a self, _: &'a Path) -> Local<'a, io::Result<()>> {
        Box::pin(async move { (self.watch)(&Step::SyncFilesystem) })
    }

    fn sync_files<'a>(&'a self, files: &'a [Rc<dyn File>]) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            for file in files {
                file.sync().await?;
            }
            Ok(())
        })
    }

    fn lock<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Box<dyn LockGuard>>> {
        self.inner.lock(path)
    }

    fn space<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Space>> {
        self.inner.space(path)
    }

    fn metadata<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<DirEntry>> {
        self.inner.metadata(path)
    }
}

struct WatchedFile {
    env: Env,
    inner: Rc<dyn File>,
    watch: Watch,
    manner: Manner,
}

impl File for WatchedFile {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn read_at(&self, offset: u64, len: usize) -> Local<'_, io::Result<Bytes>> {
        Box::pin(async move {
            if self.manner.reads_from_device {
                // A device answers nothing on the spot, however fast the thread that asks it.
                self.env.tasks.yield_now().await;
            }
            self.inner.read_at(offset, len).await
        })
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<io::Result<Bytes>> {
        if self.manner.reads_from_device { None } else { self.inner.try_read_at(offset, len) }
    }

    fn is_cached(&self, offset: u64, len: u64) -> bool {
        !self.manner.reads_from_device && self.inner.is_cached(offset, len)
    }

    /// A write that is refused is torn: half of its first piece arrives.
    fn write_at<'a>(&'a self, offset: u64, parts: &'a [Bytes]) -> Local<'a, io::Result<()>> {
        Box::pin(async move {
            let len = parts.iter().map(Bytes::len).sum();
            let watched = (self.watch)(&Step::Write(self.path().to_owned(), offset, len));
            if watched.is_err()
                && let Some(first) = parts.first()
            {
                self.inner.write_at(offset, &[first.slice(..first.len() / 2)]).await?;
            }
            watched?;
            self.inner.write_at(offset, parts).await
        })
    }

    fn sync(&self) -> Local<'_, io::Result<()>> {
        Box::pin(async move {
            if self.manner.syncs {
                self.inner.sync().await?;
            }
            (self.watch)(&Step::Sync(self.path().to_owned()))
        })
    }

    fn truncate(&self, len: u64) -> Local<'_, io::Result<()>> {
        Box::pin(async move {
            (self.watch)(&Step::Truncate(self.path().to_owned()))?;
            self.inner.truncate(len).await
        })
    }

    fn allocate(&self, offset: u64, len: u64) -> Local<'_, io::Result<()>> {
        self.inner.allocate(offset, len)
    }

    fn size(&self) -> Local<'_, io::Result<u64>> {
        self.inner.size()
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.inner.will_need(offset, len);
    }

    fn wont_need(&self, offset: u64, len: u64) {
        self.inner.wont_need(offset, len);
    }

    fn handle(&self) -> FileHandle {
        self.inner.handle()
    }
}

//! Files and directories with POSIX's real contract (see the crate's page). Implemented by the two runtimes.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::Local;

/// How a file is opened. All modes read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Read only; the file must exist.
    Read,
    /// Read and write; the file must exist.
    Write,
    /// Read and write; created when absent, contents kept otherwise.
    CreateOrOpen,
    /// Read and write; must not exist.
    CreateNew,
    /// Read and write; created, or cut to nothing.
    CreateTruncated,
}

/// What a directory entry names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Something the broker does not touch.
    Other,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Name within its directory.
    pub name: String,
    /// What it names.
    pub kind: FileKind,
    /// Size in bytes; 0 for directories.
    pub size_bytes: u64,
    /// Modification time in milliseconds since the epoch.
    pub modified_ms: i64,
}

/// Room on the file system of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system in bytes.
    pub total_bytes: u64,
    /// Bytes that may still be written.
    pub usable_bytes: u64,
}

/// Names on disk. Paths are absolute or relative to the node's working directory.
pub trait Disk {
    /// Opens or creates a file.
    fn open<'a>(&'a self, path: &'a Path, mode: OpenMode) -> Local<'a, io::Result<Rc<dyn File>>>;
    /// The entries of a directory, sorted by name.
    fn list<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Vec<DirEntry>>>;
    /// Creates a directory and its missing parents. Existing ones are fine. Not durable before the parents are synced.
    fn create_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>>;
    /// Removes a directory with everything in it.
    fn remove_dir_all<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>>;
    /// Renames a file or a directory, replacing a file that has the new name.
    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Local<'a, io::Result<()>>;
    /// Removes a file. Open handles stay readable.
    fn remove<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>>;
    /// Makes the entries of a directory durable.
    fn sync_dir<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>>;
    /// Makes everything on the file system of `path` durable: one call for very many dirty files. `Unsupported` where the
    /// system does not say what it could not write.
    fn sync_filesystem<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<()>>;
    /// Makes the data of all `files` durable; they are synced in parallel where the device allows it. On an error some
    /// may be durable and some not.
    fn sync_files<'a>(&'a self, files: &'a [Rc<dyn File>]) -> Local<'a, io::Result<()>>;
    /// Takes an exclusive lock on a file, creating it; `WouldBlock` when another process or holder has it. The lock
    /// ends with the guard or the process.
    fn lock<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Box<dyn LockGuard>>>;
    /// Room on the file system of `path`.
    fn space<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<Space>>;
    /// Entry of one path; `NotFound` when it does not exist.
    fn metadata<'a>(&'a self, path: &'a Path) -> Local<'a, io::Result<DirEntry>>;
}

/// Holds a lock on a file until it is dropped.
pub trait LockGuard: fmt::Debug {}

/// An open file. Reads and writes are positional.
pub trait File {
    /// The path it was opened under; a rename does not change it.
    fn path(&self) -> &Path;
    /// Reads up to `len` bytes at `offset`; fewer only at the end of the file. May leave the thread.
    fn read_at(&self, offset: u64, len: usize) -> Local<'_, io::Result<Bytes>>;
    /// Reads without waiting for the device: `None` when the range is not wholly in the page cache. A short result
    /// means the end of the file.
    fn try_read_at(&self, offset: u64, len: usize) -> Option<io::Result<Bytes>>;
    /// Whether a range can be read without waiting for the device, as far as a few probes of it tell.
    fn is_cached(&self, offset: u64, len: u64) -> bool;
    /// Writes all `parts` one behind the other at `offset`. On an error a prefix may have been written.
    fn write_at<'a>(&'a self, offset: u64, parts: &'a [Bytes]) -> Local<'a, io::Result<()>>;
    /// Makes durable what was written before this call was issued, and the length that covers it. Where one has failed, a
    /// later one says nothing of what that was to write.
    fn sync(&self) -> Local<'_, io::Result<()>>;
    /// Cuts or extends (with zeroes) the file.
    fn truncate(&self, len: u64) -> Local<'_, io::Result<()>>;
    /// Reserves room without changing the length visible to readers; `StorageFull` when there is none.
    fn allocate(&self, offset: u64, len: u64) -> Local<'_, io::Result<()>>;
    /// Length in bytes.
    fn size(&self) -> Local<'_, io::Result<u64>>;
    /// Asks for a range to be read ahead; a hint.
    fn will_need(&self, offset: u64, len: u64);
    /// Tells that a range will not be read soon; a hint.
    fn wont_need(&self, offset: u64, len: u64);
    /// A handle that may travel to another shard and be put in a response. While it lives, the file's bytes stay
    /// readable even when its name is removed: whoever truncates a file looks at [`FileHandle::is_shared`] first.
    fn handle(&self) -> FileHandle;
}

/// An open file as a value: what a response carries of it. Only the runtime that made it looks inside.
#[derive(Clone)]
pub struct FileHandle(pub Arc<dyn Any + Send + Sync>);

impl FileHandle {
    /// Whether somebody beside the holder of this handle and the open file itself still uses the file.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        const OWN: usize = 2;
        Arc::strong_count(&self.0) > OWN
    }
}

impl fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileHandle")
    }
}

impl fmt::Debug for dyn File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.path()).finish()
    }
}

/// The last component of `path` as text, if it has one.
#[must_use]
pub fn file_name(path: &Path) -> Option<String> {
    let path: PathBuf = path.into();
    path.file_name().and_then(|name| name.to_str()).map(str::to_owned)
}

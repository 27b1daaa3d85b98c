//! The lock on a log directory: excludes every other process, Apache Kafka's included, and every other holder in this
//! one.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use barnabas_runtime::LockGuard;
use rustix::fs::{FlockOperation, fcntl_lock};

/// Files this process holds a lock on, by device and inode. Kafka locks with `fcntl` (Java's `FileChannel.tryLock`), so
/// that we must too; but such a lock belongs to the process, is granted to it a second time, and is lost with the first
/// descriptor of the file that closes, whichever that is. So no second descriptor may ever be opened, anywhere in the
/// process: the one state in this crate that is wider than a node.
static HELD: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    identity: (u64, u64),
    descriptor: Option<OwnedFd>,
}

impl LockGuard for FileLock {}

impl FileLock {
    /// Takes the lock, creating the file; `WouldBlock` when somebody has it.
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(metadata) = std::fs::metadata(path)
            && held.contains(&(metadata.dev(), metadata.ino()))
        {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let metadata = file.metadata()?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            // POSIX lets a system answer either for a lock that is taken.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Err(error) => return Err(error.into()),
        }
        let identity = (metadata.dev(), metadata.ino());
        assert!(held.insert(identity), "a lock that is not held is free to be taken");
        Ok(Self { identity, descriptor: Some(file.into()) })
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        // Closed before the entry goes, or a holder in between would lose its lock to this close.
        drop(self.descriptor.take());
        held.remove(&self.identity);
    }
}

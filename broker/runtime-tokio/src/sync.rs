//! The system calls that make things durable, all in one place, so that the feature `planted-no-sync` can take every one
//! of them away.

use std::io;
use std::os::fd::AsFd;

/// Makes the data of a file durable, with the length that covers it.
pub(crate) fn data(file: impl AsFd) -> io::Result<()> {
    if cfg!(feature = "planted-no-sync") {
        return Ok(());
    }
    Ok(rustix::fs::fdatasync(file)?)
}

/// Makes the entries of a directory durable.
pub(crate) fn directory(directory: impl AsFd) -> io::Result<()> {
    if cfg!(feature = "planted-no-sync") {
        return Ok(());
    }
    Ok(rustix::fs::fsync(directory)?)
}

/// Makes everything on the file system of `file` durable.
pub(crate) fn filesystem(file: impl AsFd) -> io::Result<()> {
    if cfg!(feature = "planted-no-sync") {
        return Ok(());
    }
    Ok(rustix::fs::syncfs(file)?)
}

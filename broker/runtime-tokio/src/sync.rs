//! The system calls that make things durable, all in one place, so that the feature `planted-no-sync` can take every one
//! of them away.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

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

/// From this version on `syncfs` says when it could not write something; before it nobody may be told that all is durable.
const SYNCFS_REPORTS_FROM: (u32, u32) = (5, 8);

/// Whether [`filesystem`] can be believed on this machine.
pub(crate) fn filesystem_reports() -> bool {
    version(&rustix::system::uname().release().to_string_lossy()) >= Some(SYNCFS_REPORTS_FROM)
}

/// The version in a kernel's release, such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|other: char| !other.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The syncs of one open file, one after the other. The kernel tells each open file once that something could not be
/// written, and takes it for written from then on: of two syncs at a time one would hear nothing of it, and after one that
/// failed none can be believed.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    failed: Mutex<Option<Box<str>>>,
}

impl Syncs {
    /// Makes one more. Waits for the one before.
    pub(crate) fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = &*failed {
            return Err(io::Error::other(format!("an earlier sync of this file failed: {earlier}")));
        }
        sync().inspect_err(|error| *failed = Some(error.to_string().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sync_is_believed_after_one_that_failed() {
        let syncs = Syncs::default();
        syncs.run(|| Ok(())).expect("works");
        let failed = syncs.run(|| Err(io::Error::other("gone"))).expect_err("as the kernel says");
        assert_eq!(failed.to_string(), "gone");
        let again = syncs.run(|| Ok(())).expect_err("the kernel has said it once");
        assert_eq!(again.to_string(), "an earlier sync of this file failed: gone");
    }

    #[test]
    fn kernels_are_told_apart() {
        for (release, expected) in [
            ("6.1.0-18-amd64", Some((6, 1))),
            ("4.18.0-553.el8_10.x86_64", Some((4, 18))),
            ("5.8.0", Some((5, 8))),
            ("6.12", Some((6, 12))),
            ("custom", None),
            ("", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
        assert!(version("4.18.0") < Some(SYNCFS_REPORTS_FROM) && version("5.10.0") >= Some(SYNCFS_REPORTS_FROM));
        assert!(version("custom") < Some(SYNCFS_REPORTS_FROM), "what is not known is not believed");
    }
}

//! Disk faults as verdicts on single calls. Which call gets which verdict is the business of whoever plans the run.

use std::io;
use std::path::Path;
use std::time::Duration;

/// What a call to the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskCallKind {
    /// Opening or creating a file.
    Open,
    /// Reading, also by sending a range.
    Read,
    /// Writing.
    Write,
    /// Flushing a file.
    Sync,
    /// Flushing a directory.
    SyncDir,
    /// Flushing the file system.
    SyncFilesystem,
    /// Cutting or extending.
    Truncate,
    /// Reserving room.
    Allocate,
    /// Renaming.
    Rename,
    /// Removing a file or a directory.
    Remove,
    /// Creating directories.
    CreateDir,
    /// Listing, looking up, locking, asking for space.
    Look,
}

impl DiskCallKind {
    /// Its name in the trace.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::SyncDir => "sync_dir",
            Self::SyncFilesystem => "sync_filesystem",
            Self::Truncate => "truncate",
            Self::Allocate => "allocate",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::CreateDir => "create_dir",
            Self::Look => "look",
        }
    }
}

/// One call to the disk of a node.
#[derive(Clone, Copy, Debug)]
pub struct DiskCall<'a> {
    /// What it is.
    pub kind: DiskCallKind,
    /// The file or directory: the path it was opened under.
    pub path: &'a Path,
    /// First byte concerned.
    pub offset: u64,
    /// Bytes concerned.
    pub len: u64,
    /// How many calls of this kind the node has made, this one included.
    pub ordinal: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskVerdict {
    /// It is carried out.
    Pass,
    /// It is carried out, this much later than usual. A call that production makes on its shard's thread holds the shard.
    Delay(Duration),
    /// It fails with this error number and changes nothing. A flush that fails loses the pages it was to write.
    Fail(i32),
}

impl DiskVerdict {
    /// The device failed (EIO).
    pub const INPUT_OUTPUT_ERROR: Self = Self::Fail(5);
    /// There is no room (ENOSPC).
    pub const NO_SPACE: Self = Self::Fail(28);

    /// The error, and the time on top.
    pub(crate) fn into_parts(self) -> (Option<io::Error>, u64) {
        match self {
            Self::Pass => (None, 0),
            Self::Delay(delay) => (None, u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)),
            Self::Fail(number) => (Some(io::Error::from_raw_os_error(number)), 0),
        }
    }
}

/// Decides about every call of a node.
pub(crate) type DiskHook = Box<dyn FnMut(&DiskCall<'_>) -> DiskVerdict>;

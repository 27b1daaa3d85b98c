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
    /// A write: so many of its bytes arrive, then there is no more room.
    Short(u64),
    /// A write: acknowledged, and never there. Where it would have lengthened the file, there are zeroes.
    Lost,
    /// A write: acknowledged, and at this offset of its file instead.
    Misdirected(u64),
}

/// What becomes of a call, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Why it fails.
    pub(crate) error: Option<io::Error>,
    /// The time it takes on top.
    pub(crate) extra_ns: u64,
    /// What a write does instead.
    pub(crate) twist: Option<Twist>,
}

/// A write that does something else than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    Short(u64),
    Lost,
    Elsewhere(u64),
}

/// What a power loss leaves of what was not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PowerFate {
    /// Drawn for every change apart.
    #[default]
    Drawn,
    /// Nothing.
    Nothing,
    /// A prefix of every write, and a prefix of the changes of names.
    Prefix,
    /// Some sectors of every write, and some of the changes of names.
    Sectors,
    /// Lengths without contents: zeroes; all names.
    Zeroes,
    /// Contents, but none of the changes of names.
    NoNames,
}

impl DiskVerdict {
    /// The device failed (EIO).
    pub const INPUT_OUTPUT_ERROR: Self = Self::Fail(5);
    /// There is no room (ENOSPC).
    pub const NO_SPACE: Self = Self::Fail(28);
    /// `EMFILE`.
    pub const NO_DESCRIPTORS: Self = Self::Fail(24);

    /// Its parts.
    pub(crate) fn into_parts(self) -> Judged {
        let twist = |twist| Judged { twist: Some(twist), ..Judged::default() };
        match self {
            Self::Pass => Judged::default(),
            Self::Delay(delay) => {
                let extra_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
                Judged { extra_ns, ..Judged::default() }
            }
            Self::Fail(number) => Judged { error: Some(io::Error::from_raw_os_error(number)), ..Judged::default() },
            Self::Short(bytes) => twist(Twist::Short(bytes)),
            Self::Lost => twist(Twist::Lost),
            Self::Misdirected(offset) => twist(Twist::Elsewhere(offset)),
        }
    }
}

/// Decides about every call of a node.
pub(crate) type DiskHook = Box<dyn FnMut(&DiskCall<'_>) -> DiskVerdict>;

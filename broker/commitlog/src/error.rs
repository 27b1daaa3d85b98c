//! What can go wrong in a log, as the node has to answer it. Refusals carry Kafka's error code; faults of the disk are
//! told apart from them. Plain data.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use barnabas_base::{BrokerId, ClusterId, Offset, TopicId};
use barnabas_logstate::{Refusal, RefusedRecord};
use barnabas_wire::ErrorCode;

use crate::checkpoint::CheckpointError;
use crate::directory::is_passing;

/// A log directory does not take part any more, or a call on it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// What the operating system said.
    pub kind: io::ErrorKind,
    /// Whether it says nothing of the device: there is no room or no descriptor, and later there may be.
    pub passes: bool,
    /// In words, with the file where one is known.
    pub message: Rc<str>,
}

impl StorageError {
    pub(crate) fn new(context: &str, error: &io::Error) -> Self {
        Self { kind: error.kind(), passes: is_passing(error), message: format!("{context}: {error}").into() }
    }

    /// A failure that another shard of this node met on the same directory.
    #[must_use]
    pub fn reported(kind: io::ErrorKind, message: &str) -> Self {
        Self { kind, passes: false, message: message.into() }
    }

    pub(crate) fn closed() -> Self {
        Self { kind: io::ErrorKind::NotConnected, passes: false, message: "the log is closed".into() }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StorageError {}

/// Why a batch was not appended.
#[derive(Clone, Debug)]
pub enum AppendError {
    /// The batch is not acceptable; Kafka's code says why.
    Refused(Rc<Refusal>),
    /// A follower was given batches that do not continue its log.
    NotContinuous {
        /// Where the log ends.
        end_offset: Offset,
        /// Where the batches begin.
        base_offset: Offset,
    },
    /// The device is full. The log is as it was and takes batches again when there is room.
    Full,
    /// More appends wait than the log may hold.
    Overloaded,
    /// The directory is offline.
    Storage(StorageError),
}

impl AppendError {
    /// Kafka's error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::NotContinuous { .. } => ErrorCode::CorruptMessage,
            Self::Full | Self::Storage(_) => ErrorCode::KafkaStorageError,
            Self::Overloaded => ErrorCode::RequestTimedOut,
        }
    }

    /// What a client may be told.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => Some(refusal.message.clone()),
            Self::Full => Some("The log directory is full.".to_owned()),
            Self::NotContinuous { .. } | Self::Overloaded | Self::Storage(_) => None,
        }
    }

    /// The records that were at fault.
    #[must_use]
    pub fn record_errors(&self) -> &[RefusedRecord] {
        match self {
            Self::Refused(refusal) => &refusal.record_errors,
            Self::NotContinuous { .. } | Self::Full | Self::Overloaded | Self::Storage(_) => &[],
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NotContinuous { end_offset, base_offset } => {
                write!(f, "batches begin at {base_offset}, the log ends at {end_offset}")
            }
            Self::Full => f.write_str("the device is full"),
            Self::Overloaded => f.write_str("too many appends wait"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The offset lies below the log start or above the log end.
    OutOfRange,
    /// The offset lies in a range that does not read back as it was written, and there is no other copy.
    Damaged,
    /// The directory is offline.
    Storage,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "offset out of range",
            Self::Damaged => "damaged range",
            Self::Storage => "log directory offline",
        })
    }
}

impl std::error::Error for ReadError {}

impl From<StorageError> for ReadError {
    fn from(_: StorageError) -> Self {
        Self::Storage
    }
}

/// Why records were not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteRecordsError {
    /// The offset lies above the high watermark.
    OutOfRange,
    /// The topic is compacted only; its records go by key.
    PolicyViolation,
    /// The directory is offline.
    Storage,
}

impl From<StorageError> for DeleteRecordsError {
    fn from(_: StorageError) -> Self {
        Self::Storage
    }
}

/// Why a log was not cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TruncateError {
    /// Responses still send from the file; the caller closes their connections and tries again.
    Leased,
    /// The directory is offline.
    Storage(StorageError),
}

impl From<StorageError> for TruncateError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// Why a log directory cannot be used.
#[derive(Debug)]
pub enum OpenDirectoryError {
    /// Another process has it.
    Locked,
    /// It holds partitions but no `meta.properties`.
    NotFormatted,
    /// `meta.properties` cannot be read.
    BadMetaProperties {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: CheckpointError,
    },
    /// It belongs to another cluster.
    WrongCluster {
        /// `meta.properties`, which says so.
        file: PathBuf,
        /// The cluster it belongs to.
        found: ClusterId,
    },
    /// It belongs to another node.
    WrongNode {
        /// `meta.properties`, which says so.
        file: PathBuf,
        /// The node it belongs to.
        found: BrokerId,
    },
    /// A later release left a journal here.
    JournalVersion {
        /// The journal file.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The disk failed.
    Io(StorageError),
}

impl fmt::Display for OpenDirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("another process uses this log directory"),
            Self::NotFormatted => f.write_str("the directory holds partitions but no meta.properties"),
            Self::BadMetaProperties { file, error } => write!(f, "{} cannot be read: {error}", file.display()),
            Self::WrongCluster { file, found } => {
                write!(f, "the directory belongs to cluster {found}, as {} has it", file.display())
            }
            Self::WrongNode { file, found } => {
                write!(f, "the directory belongs to node {found}, as {} has it", file.display())
            }
            Self::JournalVersion { file, version } => {
                write!(f, "{} has version {version}, which a later release wrote", file.display())
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenDirectoryError {}

/// Why a log could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenLogError {
    /// The folder belongs to another topic of that name, as this file of it says.
    WrongTopic {
        /// `partition.metadata`.
        file: PathBuf,
        /// The topic that it names.
        found: TopicId,
    },
    /// The log is open already.
    AlreadyOpen,
    /// The directory is offline.
    Storage(StorageError),
}

impl fmt::Display for OpenLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongTopic { file, found } => {
                write!(f, "the folder belongs to another topic of that name, {found}, as {} has it", file.display())
            }
            Self::AlreadyOpen => f.write_str("the log is open already"),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenLogError {}

impl From<StorageError> for OpenLogError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

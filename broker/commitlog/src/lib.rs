//! One partition on disk: segments, indexes, journal, recovery, truncation, retention, compaction.
//!
//! Byte-compatible with Apache Kafka 4.x on disk. Owns the one [`LogFold`](barnabas_logstate::LogFold) of each log. Not
//! replication: who may append and how far consumers may read is told to it. A broker's shard drives it through the seam
//! of `barnabas-runtime`; it knows no clock and no disk of its own. `README.md` beside this crate says where the formats of
//! our own files are written down, and has the measurements behind the commit.

mod check;
pub mod checkpoint;
pub mod clean;
mod committer;
mod config;
mod confirm;
mod damage;
mod directory;
pub mod dump;
mod error;
mod index;
mod journal;
pub mod limits;
mod log;
pub mod name;
mod scan;
mod segment;
mod small_file;
mod sweep;

pub use config::{CleanupPolicy, FlushPolicy, LogConfig};
pub use damage::DamagedRange;
pub use directory::{
    Advanced, CommitLimits, DirectoryOptions, DirectoryOwner, DirectoryReport, DirectorySeed, FolderOwner,
    LogDirectory, ScanLimits, ShardOptions,
};
pub use error::{
    AppendError, DeleteRecordsError, OpenDirectoryError, OpenLogError, ReadError, StorageError, TruncateError,
};
pub use journal::replay::ReplayReport;
pub use log::{
    AbortedTransaction, ActiveProducer, AppendOptions, AppendOrigin, AppendTicket, Appended, CleanOutcome,
    HighWatermark, LoadReport, Log, ReadBound, ReadBytes, ReadResult, ReadStop, TimestampAndOffset,
};

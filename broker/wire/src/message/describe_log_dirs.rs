//! DescribeLogDirs: size and place of partitions on a broker's disks (KIP-113).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DescribeLogDirs request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeLogDirs, response = DescribeLogDirsResponse, versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsRequest {
    /// The topics to describe; null for all.
    #[field(nullable = "0+", default = Some(Vec::new()))]
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribableLogDirTopic {
    /// The topic's name.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The answer to a DescribeLogDirs request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    #[field(versions = "3+", ignorable)]
    pub error_code: i16,
    /// The results.
    pub results: Vec<DescribeLogDirsResult>,
}

/// A log directory.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeLogDirsResult {
    /// Zero, or what is wrong with the directory.
    pub error_code: i16,
    /// The absolute path of the log directory.
    pub log_dir: String,
    /// The topics.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// The size of the volume, in bytes; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    /// What is left of the volume, in bytes; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
    /// Whether the directory takes no new partitions (KIP-1066).
    #[field(versions = "5+", ignorable)]
    pub is_cordoned: bool,
}

/// The partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeLogDirsTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// A partition in a log directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct DescribeLogDirsPartition {
    /// The partition.
    pub partition_index: i32,
    /// The size of all segments, in bytes.
    pub partition_size: i64,
    /// How far a future copy is behind the current one, or the current one behind the high watermark, in offsets.
    pub offset_lag: i64,
    /// Whether this is a copy that moves between directories and will replace the current one.
    pub is_future_key: bool,
}

//! DeleteRecords: moves the start of partitions forward (KIP-107).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DeleteRecords request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DeleteRecords, response = DeleteRecordsResponse, versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsRequest {
    /// The topics.
    pub topics: Vec<DeleteRecordsTopic>,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
}

/// The partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeleteRecordsTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// A partition and its new first offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct DeleteRecordsPartition {
    /// The partition.
    pub partition_index: i32,
    /// Records below this are deleted; -1 for all up to the high watermark.
    pub offset: i64,
}

/// The answer to a DeleteRecords request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// The results for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeleteRecordsTopicResult {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// The result for one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct DeleteRecordsPartitionResult {
    /// The partition.
    pub partition_index: i32,
    /// The first offset that all replicas still have; -1 on an error.
    pub low_watermark: i64,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

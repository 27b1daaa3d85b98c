//! ListOffsets: the offset of a timestamp or of an end of the log.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A ListOffsets request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = ListOffsets, response = ListOffsetsResponse, versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest {
    /// The broker that follows; -1 for a consumer.
    pub replica_id: i32,
    /// 0 read_uncommitted, 1 read_committed.
    #[field(versions = "2+")]
    pub isolation_level: i8,
    /// The topics.
    pub topics: Vec<ListOffsetsTopic>,
    /// How long to wait for offsets in remote storage, in milliseconds (KIP-1075).
    #[field(versions = "10+", ignorable)]
    pub timeout_ms: i32,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct ListOffsetsTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// A partition and the timestamp looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct ListOffsetsPartition {
    /// The partition.
    pub partition_index: i32,
    /// The leader epoch that the sender knows; -1 for no check (KIP-320).
    #[field(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The time in milliseconds since 1970, or -1 latest, -2 earliest, -3 highest timestamp, -4 earliest local,
    /// -5 latest in remote storage, -6 earliest not uploaded.
    pub timestamp: i64,
}

/// The answer to a ListOffsets request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// The results for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct ListOffsetsTopicResponse {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// The result for one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct ListOffsetsPartitionResponse {
    /// The partition.
    pub partition_index: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The timestamp of the record found; -1 for none.
    #[field(default = -1)]
    pub timestamp: i64,
    /// The offset found; -1 for none.
    #[field(default = -1)]
    pub offset: i64,
    /// The leader epoch; -1 if unknown.
    #[field(versions = "4+", default = -1)]
    pub leader_epoch: i32,
}

//! OffsetDelete: forgets commits of topics that a group no longer reads (KIP-496).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// An OffsetDelete request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = OffsetDelete, response = OffsetDeleteResponse, versions = "0")]
pub struct OffsetDeleteRequest {
    /// The group.
    pub group_id: String,
    /// The topics.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetDeleteRequestTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// A partition whose commit goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct OffsetDeleteRequestPartition {
    /// The partition.
    pub partition_index: i32,
}

/// The answer to an OffsetDelete request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0")]
pub struct OffsetDeleteResponse {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// The results for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetDeleteResponseTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// The result for one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct OffsetDeleteResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

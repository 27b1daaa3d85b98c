//! OffsetForLeaderEpoch: where a leader epoch ends, to find where logs diverge (KIP-101, KIP-320).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// An OffsetForLeaderEpoch request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = OffsetForLeaderEpoch, response = OffsetForLeaderEpochResponse, versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    /// The broker that follows; -1 for a consumer, -2 if untold.
    #[field(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    /// The topics.
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetForLeaderTopic {
    /// The topic's name.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// A partition and the epoch asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct OffsetForLeaderPartition {
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the sender knows; -1 for no check (KIP-320).
    #[field(default = -1)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    pub leader_epoch: i32,
}

/// The answer to an OffsetForLeaderEpoch request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// The results for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetForLeaderTopicResult {
    /// The topic's name.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<EpochEndOffset>,
}

/// Where the epoch ends in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct EpochEndOffset {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The partition.
    pub partition: i32,
    /// The epoch that the end belongs to: the largest at or below the one asked for; -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The end offset of the epoch, exclusive; -1 if unknown.
    #[field(default = -1)]
    pub end_offset: i64,
}

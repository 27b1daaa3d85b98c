//! DescribeProducers: producers with state on a partition (KIP-664).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DescribeProducers request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeProducers, response = DescribeProducersResponse, versions = "0", flexible = "0+")]
pub struct DescribeProducersRequest {
    /// The topics.
    pub topics: Vec<TopicRequest>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct TopicRequest {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// The answer to a DescribeProducers request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeProducersResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<TopicResponse>,
}

/// The partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct TopicResponse {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
}

/// The producers of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct PartitionResponse {
    /// The partition.
    pub partition_index: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+")]
    pub error_message: Option<String>,
    /// Producers with state on this partition.
    pub active_producers: Vec<ProducerState>,
}

/// A producer with state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct ProducerState {
    /// The producer; -1 for none.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i32,
    /// The last sequence number written; -1 for none.
    #[field(default = -1)]
    pub last_sequence: i32,
    /// The timestamp of the last write, in milliseconds since 1970; -1 for none.
    #[field(default = -1)]
    pub last_timestamp: i64,
    /// The epoch of the transaction coordinator that wrote the last marker; -1 for none.
    pub coordinator_epoch: i32,
    /// The first offset of the open transaction; -1 for none.
    #[field(default = -1)]
    pub current_txn_start_offset: i64,
}

//! ElectLeaders: asks the controller for an election (KIP-460).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// An ElectLeaders request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = ElectLeaders, response = ElectLeadersResponse, versions = "0-2", flexible = "2+")]
pub struct ElectLeadersRequest {
    /// 0 elects the preferred replica, 1 any replica even out of sync.
    #[field(versions = "1+")]
    pub election_type: i8,
    /// The partitions to elect for; null for all.
    #[field(nullable = "0+", default = Some(Vec::new()))]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    /// How long the broker may take, in milliseconds.
    #[field(default = 60_000)]
    pub timeout_ms: i32,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct TopicPartitions {
    /// The topic's name.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The answer to an ElectLeaders request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    #[field(versions = "1+")]
    pub error_code: i16,
    /// The result of each topic.
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

/// The results for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct ReplicaElectionResult {
    /// The topic's name.
    pub topic: String,
    /// The result of each partition.
    pub partition_result: Vec<PartitionResult>,
}

/// The result for one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct PartitionResult {
    /// The partition.
    pub partition_id: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
}

//! CreatePartitions: more partitions for topics that exist (KIP-195).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A CreatePartitions request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = CreatePartitions, response = CreatePartitionsResponse, versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest {
    /// The topics.
    pub topics: Vec<CreatePartitionsTopic>,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
    /// Whether only to check and change nothing.
    pub validate_only: bool,
}

/// A topic and the partitions it is to have.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatePartitionsTopic {
    /// The topic's name.
    pub name: String,
    /// How many partitions the topic is to have in all.
    pub count: i32,
    /// Replicas of the new partitions; null for the controller's choice.
    #[field(nullable = "0+", default = Some(Vec::new()))]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// The replicas of one new partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatePartitionsAssignment {
    /// The replicas in order of preference.
    pub broker_ids: Vec<i32>,
}

/// The answer to a CreatePartitions request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results.
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// The result for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatePartitionsTopicResult {
    /// The topic's name.
    pub name: String,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+")]
    pub error_message: Option<String>,
}

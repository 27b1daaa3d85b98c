//! DescribeTopicPartitions: topics and partitions page by page (KIP-966).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::Message;

/// A DescribeTopicPartitions request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeTopicPartitions, response = DescribeTopicPartitionsResponse, versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsRequest {
    /// The topics.
    pub topics: Vec<TopicRequest>,
    /// The most partitions in one answer.
    #[field(default = 2000)]
    pub response_partition_limit: i32,
    /// Where to go on; null for the beginning.
    #[field(nullable = "0+")]
    pub cursor: Option<Cursor>,
}

/// A topic asked for.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct TopicRequest {
    /// The topic's name.
    pub name: String,
}

/// A place in the list of partitions.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct Cursor {
    /// The first topic to tell.
    pub topic_name: String,
    /// The first partition of that topic to tell.
    pub partition_index: i32,
}

/// The answer to a DescribeTopicPartitions request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next request goes on; null when all was told.
    #[field(nullable = "0+")]
    pub next_cursor: Option<Cursor>,
}

/// A topic and its partitions.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The topic's name; null if unknown.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub name: Option<String>,
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
    /// Whether the topic is the cluster's own.
    pub is_internal: bool,
    /// The partitions.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// Bit set of operations that the caller may do on the topic; i32::MIN when not asked for.
    #[field(default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The partition.
    pub partition_index: i32,
    /// The leader; -1 for none.
    pub leader_id: i32,
    /// The leader epoch; -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// All replicas.
    pub replica_nodes: Vec<i32>,
    /// The in-sync replicas.
    pub isr_nodes: Vec<i32>,
    /// Replicas outside the ISR that hold everything committed (KIP-966); null for no change or none.
    #[field(nullable = "0+")]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The last eligible leader replicas before their set became empty (KIP-966); null for no change or none.
    #[field(nullable = "0+")]
    pub last_known_elr: Option<Vec<i32>>,
    /// Replicas whose broker or log directory is down.
    pub offline_replicas: Vec<i32>,
}

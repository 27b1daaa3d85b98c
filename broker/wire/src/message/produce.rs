//! Produce: record batches to partitions.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::{Message, Records};

/// A Produce request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = Produce, response = ProduceResponse, advertised = "0-13", versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    /// The transactional id; null for a producer without one.
    #[field(nullable = "0+")]
    pub transactional_id: Option<String>,
    /// What to wait for before the answer: 0 nothing (and no answer), 1 the leader, -1 all in-sync replicas.
    pub acks: i16,
    /// How long to wait for the acknowledgements, in milliseconds.
    pub timeout_ms: i32,
    /// The topics written to.
    pub topic_data: Vec<TopicProduceData>,
}

/// The partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct TopicProduceData {
    /// The topic's name.
    #[field(versions = "3-12", ignorable)]
    pub name: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions written to.
    pub partition_data: Vec<PartitionProduceData>,
}

/// The records for one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct PartitionProduceData {
    /// The partition.
    pub index: i32,
    /// One record batch of format 2; anything else is refused.
    pub records: Records,
}

/// The answer to a Produce request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    /// The topics written to.
    pub responses: Vec<TopicProduceResponse>,
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The addresses of the leaders named above (KIP-951).
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The results for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct TopicProduceResponse {
    /// The topic's name.
    #[field(versions = "3-12", ignorable)]
    pub name: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    /// The result of each partition.
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// The result for one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct PartitionProduceResponse {
    /// The partition.
    pub index: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The offset of the first record; -1 on an error.
    pub base_offset: i64,
    /// When the broker appended, in milliseconds since 1970; -1 when the topic keeps the producer's time.
    #[field(default = -1)]
    pub log_append_time_ms: i64,
    /// The first offset that the log still has; -1 if unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The records for which the whole batch was refused (KIP-467).
    #[field(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// The refusal in words; null when there is none.
    #[field(versions = "8+", nullable = "0+", ignorable)]
    pub error_message: Option<String>,
    /// The partition's leader when the request reached another broker (KIP-951).
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub current_leader: LeaderIdAndEpoch,
}

/// A refused record.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct BatchIndexAndErrorMessage {
    /// The refused record's place in its batch.
    pub batch_index: i32,
    /// Why this record was refused.
    #[field(nullable = "0+")]
    pub batch_index_error_message: Option<String>,
}

/// A leader and its epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1 for none.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The leader epoch; -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
}

/// The address of a node.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct NodeEndpoint {
    /// The node.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// The rack; null if unknown.
    #[field(nullable = "0+")]
    pub rack: Option<String>,
}

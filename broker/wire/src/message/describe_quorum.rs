//! DescribeQuorum: leader, voters and observers of the metadata quorum (KIP-595).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::Message;

/// A DescribeQuorum request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeQuorum, response = DescribeQuorumResponse, versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    /// The topics.
    pub topics: Vec<RequestTopicData>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct RequestTopicData {
    /// The topic's name.
    pub topic_name: String,
    /// The partitions.
    pub partitions: Vec<RequestPartitionData>,
}

/// A partition asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct RequestPartitionData {
    /// The partition.
    pub partition_index: i32,
}

/// The answer to a DescribeQuorum request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(versions = "2+", nullable = "0+", default = Some(String::new()), ignorable)]
    pub error_message: Option<String>,
    /// The topics.
    pub topics: Vec<TopicData>,
    /// The voters' and observers' addresses.
    #[field(versions = "2+")]
    pub nodes: Vec<Node>,
}

/// The partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct TopicData {
    /// The topic's name.
    pub topic_name: String,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// The quorum of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(versions = "2+", nullable = "0+", default = Some(String::new()), ignorable)]
    pub error_message: Option<String>,
    /// The leader; -1 for none.
    pub leader_id: i32,
    /// The leader epoch; -1 if unknown.
    pub leader_epoch: i32,
    /// The offset below which everything is committed; -1 if unknown.
    pub high_watermark: i64,
    /// The voters of the quorum.
    pub current_voters: Vec<ReplicaState>,
    /// Replicas that follow without a vote.
    pub observers: Vec<ReplicaState>,
}

/// How far a replica is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct ReplicaState {
    /// The follower; -1 for a consumer.
    pub replica_id: i32,
    /// The log directory of the replica (KIP-853).
    #[field(versions = "2+")]
    pub replica_directory_id: Uuid,
    /// The offset after the replica's last record; -1 if unknown.
    pub log_end_offset: i64,
    /// When the replica last fetched, in milliseconds since 1970; -1 if unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    /// When the replica last had all of the leader's log, in milliseconds since 1970; -1 if unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}

/// A node and its addresses.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct Node {
    /// The node.
    pub node_id: i32,
    /// The node's listeners.
    pub listeners: Vec<Listener>,
}

/// An address of a node.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct Listener {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
}

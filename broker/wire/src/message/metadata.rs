//! Metadata: brokers, topics, and where each partition is led.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::Message;

/// A Metadata request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = Metadata, response = MetadataResponse, versions = "0-13", flexible = "9+")]
pub struct MetadataRequest {
    /// The topics asked for. Null means all; empty means none, but all in version 0.
    #[field(nullable = "1+", default = Some(Vec::new()))]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Whether topics that do not exist may be created.
    #[field(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to tell what the caller may do with the cluster.
    #[field(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    /// Whether to tell what the caller may do with each topic.
    #[field(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

/// A topic asked for.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct MetadataRequestTopic {
    /// The topic's id; zero if unknown.
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    /// The topic's name; null when its id is given.
    #[field(nullable = "10+", default = Some(String::new()))]
    pub name: Option<String>,
}

/// The answer to a Metadata request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-13", flexible = "9+")]
pub struct MetadataResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The brokers of the cluster.
    pub brokers: Vec<MetadataResponseBroker>,
    /// The cluster, if known.
    #[field(versions = "2+", nullable = "0+", ignorable)]
    pub cluster_id: Option<String>,
    /// The controller, or the broker to send controller requests to; -1 if unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<MetadataResponseTopic>,
    /// Bit set of operations that the caller may do on the cluster; i32::MIN when not asked for.
    #[field(versions = "8-10", default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    /// Zero, or REBOOTSTRAP_REQUIRED for all of it (KIP-1102).
    #[field(versions = "13+", ignorable)]
    pub error_code: i16,
}

/// A broker.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct MetadataResponseBroker {
    /// The node.
    pub node_id: i32,
    /// The host that clients connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// The rack; null if unknown.
    #[field(versions = "1+", nullable = "0+", ignorable)]
    pub rack: Option<String>,
}

/// A topic and its partitions.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct MetadataResponseTopic {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The topic's name; null when the id is unknown.
    #[field(nullable = "12+", default = Some(String::new()))]
    pub name: Option<String>,
    /// The topic's id; zero if unknown.
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    /// Whether the topic is the cluster's own.
    #[field(versions = "1+", ignorable)]
    pub is_internal: bool,
    /// The partitions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// Bit set of operations that the caller may do on the topic; i32::MIN when not asked for.
    #[field(versions = "8+", default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct MetadataResponsePartition {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The partition.
    pub partition_index: i32,
    /// The leader; -1 for none.
    pub leader_id: i32,
    /// The leader epoch; -1 if unknown.
    #[field(versions = "7+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// All replicas.
    pub replica_nodes: Vec<i32>,
    /// The in-sync replicas.
    pub isr_nodes: Vec<i32>,
    /// Replicas whose broker or log directory is down.
    #[field(versions = "5+", ignorable)]
    pub offline_replicas: Vec<i32>,
}

//! DescribeCluster: the nodes of the cluster (KIP-700, KIP-919).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DescribeCluster request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeCluster, response = DescribeClusterResponse, versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    /// Whether to tell what the caller may do with the cluster.
    pub include_cluster_authorized_operations: bool,
    /// What to list: 1 brokers, 2 controllers.
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// Whether to list fenced brokers too.
    #[field(versions = "2+")]
    pub include_fenced_brokers: bool,
}

/// The answer to a DescribeCluster request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+")]
    pub error_message: Option<String>,
    /// 1 brokers, 2 controllers.
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// The cluster, if known.
    pub cluster_id: String,
    /// The controller, or the broker to send controller requests to; -1 if unknown.
    #[field(default = -1)]
    pub controller_id: i32,
    /// The brokers of the cluster.
    pub brokers: Vec<DescribeClusterBroker>,
    /// Bit set of operations that the caller may do on the cluster; i32::MIN when not asked for.
    #[field(default = i32::MIN)]
    pub cluster_authorized_operations: i32,
}

/// A node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeClusterBroker {
    /// The broker.
    pub broker_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// The rack; null if unknown.
    #[field(nullable = "0+")]
    pub rack: Option<String>,
    /// Whether the broker is fenced.
    #[field(versions = "2+")]
    pub is_fenced: bool,
}

//! FindCoordinator: which broker coordinates a group or a transactional id.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A FindCoordinator request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = FindCoordinator, response = FindCoordinatorResponse, versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    /// The group or transactional id to look up.
    #[field(versions = "0-3")]
    pub key: String,
    /// 0 group, 1 transactional id, 2 share group.
    #[field(versions = "1+")]
    pub key_type: i8,
    /// The groups or transactional ids to look up.
    #[field(versions = "4+")]
    pub coordinator_keys: Vec<String>,
}

/// The answer to a FindCoordinator request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    #[field(versions = "0-3")]
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(versions = "1-3", nullable = "0+", default = Some(String::new()), ignorable)]
    pub error_message: Option<String>,
    /// The node.
    #[field(versions = "0-3")]
    pub node_id: i32,
    /// The host to connect to.
    #[field(versions = "0-3")]
    pub host: String,
    /// The port to connect to.
    #[field(versions = "0-3")]
    pub port: i32,
    /// The result for each key.
    #[field(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

/// Where the coordinator of one key is.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct Coordinator {
    /// The group or transactional id.
    pub key: String,
    /// The node.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
}

//! Heartbeat: a member of a classic group is alive.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A Heartbeat request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = Heartbeat, response = HeartbeatResponse, versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// The group's generation; -1 for a simple consumer.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(versions = "3+", nullable = "0+")]
    pub group_instance_id: Option<String>,
}

/// The answer to a Heartbeat request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

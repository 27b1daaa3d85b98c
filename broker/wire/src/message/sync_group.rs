//! SyncGroup: the leader hands in the assignment, every member gets its own.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use bytes::Bytes;

use crate::Message;

/// A SyncGroup request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = SyncGroup, response = SyncGroupResponse, versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest {
    /// The group.
    pub group_id: String,
    /// The group's generation; -1 for a simple consumer.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(versions = "3+", nullable = "0+")]
    pub group_instance_id: Option<String>,
    /// What the group is for: `consumer`, `connect`, ...
    #[field(versions = "5+", nullable = "0+", ignorable)]
    pub protocol_type: Option<String>,
    /// The assignor that the group agreed on.
    #[field(versions = "5+", nullable = "0+", ignorable)]
    pub protocol_name: Option<String>,
    /// The assignment of each member; from the leader only.
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// The assignment of one member.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct SyncGroupRequestAssignment {
    /// The member.
    pub member_id: String,
    /// The member's assignment, opaque to the broker.
    pub assignment: Bytes,
}

/// The answer to a SyncGroup request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// What the group is for: `consumer`, `connect`, ...
    #[field(versions = "5+", nullable = "0+", ignorable)]
    pub protocol_type: Option<String>,
    /// The assignor that the group agreed on.
    #[field(versions = "5+", nullable = "0+", ignorable)]
    pub protocol_name: Option<String>,
    /// The member's assignment, opaque to the broker.
    pub assignment: Bytes,
}

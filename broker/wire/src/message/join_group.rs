//! JoinGroup: a member enters the next generation of a classic group.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use bytes::Bytes;

use crate::Message;

/// A JoinGroup request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = JoinGroup, response = JoinGroupResponse, versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest {
    /// The group.
    pub group_id: String,
    /// How long the member may be silent before it is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for this member, in milliseconds.
    #[field(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// The member; empty for one that has no id yet.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(versions = "5+", nullable = "0+")]
    pub group_instance_id: Option<String>,
    /// What the group is for: `consumer`, `connect`, ...
    pub protocol_type: String,
    /// The assignors that the member knows, best first.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why the member joins, for the broker's log; null if untold.
    #[field(versions = "8+", nullable = "0+", ignorable)]
    pub reason: Option<String>,
}

/// An assignor and what the member tells it.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct JoinGroupRequestProtocol {
    /// The assignor.
    pub name: String,
    /// What the member knows and wants, opaque to the broker.
    pub metadata: Bytes,
}

/// The answer to a JoinGroup request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The group's generation; -1 for a simple consumer.
    #[field(default = -1)]
    pub generation_id: i32,
    /// What the group is for: `consumer`, `connect`, ...
    #[field(versions = "7+", nullable = "0+", ignorable)]
    pub protocol_type: Option<String>,
    /// The assignor that the group agreed on.
    #[field(nullable = "7+", default = Some(String::new()))]
    pub protocol_name: Option<String>,
    /// The member that computes the assignment.
    pub leader: String,
    /// Whether the leader need not compute an assignment (KIP-814).
    #[field(versions = "9+")]
    pub skip_assignment: bool,
    /// The member.
    pub member_id: String,
    /// All members with what they joined with; for the leader only.
    pub members: Vec<JoinGroupResponseMember>,
}

/// A member and what it joined with.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct JoinGroupResponseMember {
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(versions = "5+", nullable = "0+", ignorable)]
    pub group_instance_id: Option<String>,
    /// What the member knows and wants, opaque to the broker.
    pub metadata: Bytes,
}

//! LeaveGroup: members leave a classic group (KIP-345).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A LeaveGroup request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = LeaveGroup, response = LeaveGroupResponse, versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest {
    /// The group.
    pub group_id: String,
    /// The member.
    #[field(versions = "0-2")]
    pub member_id: String,
    /// The members.
    #[field(versions = "3+")]
    pub members: Vec<MemberIdentity>,
}

/// A member that leaves.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct MemberIdentity {
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(nullable = "0+")]
    pub group_instance_id: Option<String>,
    /// Why the member leaves, for the broker's log; null if untold.
    #[field(versions = "5+", nullable = "0+", ignorable)]
    pub reason: Option<String>,
}

/// The answer to a LeaveGroup request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The members.
    #[field(versions = "3+")]
    pub members: Vec<MemberResponse>,
}

/// The result for one member.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct MemberResponse {
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(nullable = "0+", default = Some(String::new()))]
    pub group_instance_id: Option<String>,
    /// Zero, or why this member was refused.
    pub error_code: i16,
}

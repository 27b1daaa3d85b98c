//! DescribeGroups: state and members of classic groups.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use bytes::Bytes;

use crate::Message;

/// A DescribeGroups request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeGroups, response = DescribeGroupsResponse, versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest {
    /// The groups to describe.
    pub groups: Vec<String>,
    /// Whether to tell what the caller may do with each group.
    #[field(versions = "3+")]
    pub include_authorized_operations: bool,
}

/// The answer to a DescribeGroups request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// A group.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribedGroup {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(versions = "6+", nullable = "0+")]
    pub error_message: Option<String>,
    /// The group.
    pub group_id: String,
    /// The group's state as a word, such as `Stable`.
    pub group_state: String,
    /// What the group is for: `consumer`, `connect`, ...
    pub protocol_type: String,
    /// The assignor that the group agreed on.
    pub protocol_data: String,
    /// The members.
    pub members: Vec<DescribedGroupMember>,
    /// Bit set of operations that the caller may do; i32::MIN when not asked for.
    #[field(versions = "3+", default = i32::MIN)]
    pub authorized_operations: i32,
}

/// A member of a group.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribedGroupMember {
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(versions = "4+", nullable = "0+", ignorable)]
    pub group_instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// The address that the client connects from.
    pub client_host: String,
    /// What the member joined with for the chosen protocol, opaque to the broker.
    pub member_metadata: Bytes,
    /// The member's assignment, opaque to the broker.
    pub member_assignment: Bytes,
}

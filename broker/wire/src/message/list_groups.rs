//! ListGroups: the groups that a broker coordinates.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A ListGroups request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = ListGroups, response = ListGroupsResponse, versions = "0-5", flexible = "3+")]
pub struct ListGroupsRequest {
    /// The states to list; empty for all.
    #[field(versions = "4+")]
    pub states_filter: Vec<String>,
    /// The group types to list; empty for all.
    #[field(versions = "5+")]
    pub types_filter: Vec<String>,
}

/// The answer to a ListGroups request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The groups.
    pub groups: Vec<ListedGroup>,
}

/// A group.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct ListedGroup {
    /// The group.
    pub group_id: String,
    /// What the group is for: `consumer`, `connect`, ...
    pub protocol_type: String,
    /// The group's state as a word, such as `Stable`.
    #[field(versions = "4+", ignorable)]
    pub group_state: String,
    /// The group's type as a word, such as `classic`.
    #[field(versions = "5+", ignorable)]
    pub group_type: String,
}

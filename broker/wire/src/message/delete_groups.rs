//! DeleteGroups: empty groups to delete (KIP-229).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DeleteGroups request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DeleteGroups, response = DeleteGroupsResponse, versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsRequest {
    /// The groups to delete.
    pub groups_names: Vec<String>,
}

/// The answer to a DeleteGroups request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results.
    pub results: Vec<DeletableGroupResult>,
}

/// The result for one group.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeletableGroupResult {
    /// The group.
    pub group_id: String,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

//! OffsetCommit: how far a group has consumed.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::Message;

/// An OffsetCommit request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = OffsetCommit, response = OffsetCommitResponse, versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequest {
    /// The group.
    pub group_id: String,
    /// The generation of a classic group, the member epoch of a consumer group; -1 for a simple consumer.
    #[field(default = -1)]
    pub generation_id_or_member_epoch: i32,
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one (KIP-345).
    #[field(versions = "7+", nullable = "0+")]
    pub group_instance_id: Option<String>,
    /// How long to keep the commit, in milliseconds; -1 for the broker's default.
    #[field(versions = "2-4", default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// The topics.
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// Commits of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetCommitRequestTopic {
    /// The topic's name.
    #[field(versions = "2-9", ignorable)]
    pub name: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// A commit of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetCommitRequestPartition {
    /// The partition.
    pub partition_index: i32,
    /// The offset of the next record to consume; -1 if nothing was committed.
    pub committed_offset: i64,
    /// The leader epoch of the last consumed record; -1 if unknown.
    #[field(versions = "6+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// Text of the client that is kept with the commit; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub committed_metadata: Option<String>,
}

/// The answer to an OffsetCommit request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// The results for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetCommitResponseTopic {
    /// The topic's name.
    #[field(versions = "2-9", ignorable)]
    pub name: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// The result for one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct OffsetCommitResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

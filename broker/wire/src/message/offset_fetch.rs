//! OffsetFetch: how far groups have consumed (KIP-709).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::Message;

/// An OffsetFetch request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = OffsetFetch, response = OffsetFetchResponse, versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest {
    /// The group.
    #[field(versions = "1-7")]
    pub group_id: String,
    /// The topics to look up; null for all of the group.
    #[field(versions = "1-7", nullable = "2-7", default = Some(Vec::new()))]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether offsets of open transactions are refused with UNSTABLE_OFFSET_COMMIT (KIP-447).
    #[field(versions = "7+")]
    pub require_stable: bool,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchRequestTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// A group and the topics to look up.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchRequestGroup {
    /// The group.
    pub group_id: String,
    /// The member of a consumer group; null for a simple consumer.
    #[field(versions = "9+", nullable = "0+", ignorable)]
    pub member_id: Option<String>,
    /// The member's epoch; -1 where it has none.
    #[field(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    /// The topics to look up; null for all of the group.
    #[field(nullable = "0+", default = Some(Vec::new()))]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchRequestTopics {
    /// The topic's name.
    #[field(versions = "8-9", ignorable)]
    pub name: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// The answer to an OffsetFetch request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "1-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// Zero, or why it was refused.
    #[field(versions = "2-7", ignorable)]
    pub error_code: i16,
    /// The groups.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// The commits of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchResponseTopic {
    /// The topic's name.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// The commit of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// The offset of the next record to consume; -1 if nothing was committed.
    pub committed_offset: i64,
    /// The leader epoch of the last consumed record; -1 if unknown.
    #[field(versions = "5-7", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// Text of the client that was kept with the commit.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub metadata: Option<String>,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

/// The commits of one group.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchResponseGroup {
    /// The group.
    pub group_id: String,
    /// The topics.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

/// The commits of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchResponseTopics {
    /// The topic's name.
    #[field(versions = "8-9", ignorable)]
    pub name: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// The commit of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct OffsetFetchResponsePartitions {
    /// The partition.
    pub partition_index: i32,
    /// The offset of the next record to consume; -1 if nothing was committed.
    pub committed_offset: i64,
    /// The leader epoch of the last consumed record; -1 if unknown.
    #[field(default = -1)]
    pub committed_leader_epoch: i32,
    /// Text of the client that was kept with the commit.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub metadata: Option<String>,
    /// Zero, or why it was refused.
    pub error_code: i16,
}

//! Records of `__consumer_offsets` that groups of the consumer protocol write (KIP-848); keys and values.
//!
//! Structs only; `offsets` knows which key goes with which value.

use barnabas_base::Uuid;
use bytes::Bytes;

use crate::{Message, ToJson};

/// Key of a consumer group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ConsumerGroupMetadataKey {
    /// The group.
    pub group_id: String,
}

/// The epoch of a consumer group.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMetadataValue {
    /// The group epoch; rises when members or subscriptions change.
    pub epoch: i32,
    /// A hash over the topics that the group subscribes to; tells when they changed.
    #[field(tag = 0, tagged = "0+")]
    pub metadata_hash: i64,
}

/// Key of the topics that a group subscribed to; read but no longer written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ConsumerGroupPartitionMetadataKey {
    /// The group.
    pub group_id: String,
}

/// The topics that a group subscribed to; read but no longer written.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupPartitionMetadataValue {
    /// The topics.
    pub topics: Vec<TopicMetadata>,
}

/// A topic as the group last saw it.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct TopicMetadata {
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
    /// The topic's name.
    pub topic_name: String,
    /// How many partitions the topic has.
    pub num_partitions: i32,
    /// The racks of the partitions.
    pub partition_metadata: Vec<PartitionMetadata>,
}

/// The racks of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct PartitionMetadata {
    /// The partition.
    pub partition: i32,
    /// The racks of the partition's replicas.
    pub racks: Vec<String>,
}

/// Key of a member.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ConsumerGroupMemberMetadataKey {
    /// The group.
    pub group_id: String,
    /// The member.
    pub member_id: String,
}

/// A member: its subscription and its client.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMemberMetadataValue {
    /// The name that a static member keeps over restarts; null for a dynamic one.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub instance_id: Option<String>,
    /// The rack that the client is in.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub rack_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// The address that the client connects from.
    pub client_host: String,
    /// The topics subscribed to by name.
    pub subscribed_topic_names: Vec<String>,
    /// The pattern subscribed to; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub subscribed_topic_regex: Option<String>,
    /// How long a rebalance waits for this member, in milliseconds.
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The assignor that the member prefers; null for the broker's choice.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub server_assignor: Option<String>,
    /// What a member of the classic protocol joined with; null for a member of the new one.
    #[field(nullable = "0+", tag = 0, tagged = "0+", default = Some(ClassicMemberMetadata::default()))]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// What a member of the classic protocol joined with.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct ClassicMemberMetadata {
    /// How long the member may be silent before it is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// The assignors that the member knows, best first.
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// An assignor and what the member tells it.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct ClassicProtocol {
    /// The assignor.
    pub name: String,
    /// What the member knows and wants, opaque to the broker.
    pub metadata: Bytes,
}

/// Key of a group's target assignment as a whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ConsumerGroupTargetAssignmentMetadataKey {
    /// The group.
    pub group_id: String,
}

/// The epoch of a group's target assignment.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    /// The group epoch for which the assignment was computed.
    pub assignment_epoch: i32,
    /// When the assignment was computed, in milliseconds since 1970; 0 if unknown.
    #[field(tag = 0, tagged = "0+")]
    pub assignment_timestamp: i64,
}

/// Key of a member's target assignment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ConsumerGroupTargetAssignmentMemberKey {
    /// The group.
    pub group_id: String,
    /// The member.
    pub member_id: String,
}

/// What a member is to have.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// The partitions of each topic.
    pub topic_partitions: Vec<TopicPartition>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct TopicPartition {
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Key of a member's current assignment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ConsumerGroupCurrentMemberAssignmentKey {
    /// The group.
    pub group_id: String,
    /// The member.
    pub member_id: String,
}

/// What a member has.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// The member's epoch; -1 where it has none.
    pub member_epoch: i32,
    /// The epoch that the member had before, which is accepted once more after a lost answer.
    pub previous_member_epoch: i32,
    /// The member's state: 0 stable, 1 to revoke partitions, 2 waiting for partitions of others.
    pub state: i8,
    /// The partitions that are the member's.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// Partitions that the member must give back before it may advance.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct TopicPartitions {
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
    /// For each partition the epoch that assigned it, which fences late commits.
    #[field(nullable = "0+", tag = 0, tagged = "0+", default = Some(Vec::new()))]
    pub assignment_epochs: Option<Vec<i32>>,
}

/// Key of a resolved pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ConsumerGroupRegularExpressionKey {
    /// The group.
    pub group_id: String,
    /// The pattern as the member sent it.
    pub regular_expression: String,
}

/// The topics that a pattern matched.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupRegularExpressionValue {
    /// The topics that match.
    pub topics: Vec<String>,
    /// The version of the topics image against which the pattern was resolved.
    pub version: i64,
    /// When the pattern was resolved, in milliseconds since 1970.
    pub timestamp: i64,
}

//! What members of type `consumer` put into JoinGroup and SyncGroup, each behind an `i16` version.
//!
//! Opaque to a coordinator but for the subscribed topics; our client writes and reads them.

use bytes::Bytes;

use crate::{Message, ToJson};

/// What a consumer subscribes to and holds.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-3")]
pub struct ConsumerProtocolSubscription {
    /// The topics subscribed to.
    pub topics: Vec<String>,
    /// Bytes of the assignor; null for none.
    #[field(nullable = "0+")]
    pub user_data: Option<Bytes>,
    /// The partitions that the member holds (KIP-429).
    #[field(versions = "1+", ignorable)]
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which the owned partitions were assigned; -1 if unknown.
    #[field(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    /// The rack that the member is in; null if unknown.
    #[field(versions = "3+", nullable = "0+", ignorable)]
    pub rack_id: Option<String>,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// What a consumer is assigned.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-3")]
pub struct ConsumerProtocolAssignment {
    /// The partitions that are the member's.
    pub assigned_partitions: Vec<TopicPartition>,
    /// Bytes of the assignor; null for none.
    #[field(nullable = "0+")]
    pub user_data: Option<Bytes>,
}

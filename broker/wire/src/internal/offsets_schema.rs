//! Records of `__consumer_offsets` that commits and classic groups write; keys and values.
//!
//! Structs only; `offsets` knows which key goes with which value.

use barnabas_base::Uuid;
use bytes::Bytes;

use crate::{Message, ToJson};

/// Key of a commit: group, topic, partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct OffsetCommitKey {
    /// The group.
    pub group: String,
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// A commit.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-4", flexible = "4+")]
pub struct OffsetCommitValue {
    /// The offset of the next record to consume.
    pub offset: i64,
    /// The leader epoch of the last consumed record; -1 if unknown.
    #[field(versions = "3+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// Text of the client that is kept with the commit.
    pub metadata: String,
    /// When the commit was made, in milliseconds since 1970.
    pub commit_timestamp: i64,
    /// When this commit expires, in milliseconds since 1970; -1 for the broker's retention.
    #[field(versions = "1", default = -1, ignorable)]
    pub expire_timestamp: i64,
    /// The topic's id; zero if unknown.
    #[field(versions = "4+", tag = 0, tagged = "4+", ignorable)]
    pub topic_id: Uuid,
}

/// Key of a commit as brokers before 0.9 wrote it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct LegacyOffsetCommitKey {
    /// The group.
    pub group: String,
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// A commit as brokers before 0.9 wrote it.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct LegacyOffsetCommitValue {
    /// The offset of the next record to consume.
    pub offset: i64,
    /// Text of the client that is kept with the commit.
    pub metadata: String,
    /// When the commit was made, in milliseconds since 1970.
    pub commit_timestamp: i64,
}

/// Key of a classic group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct GroupMetadataKey {
    /// The group.
    pub group: String,
}

/// A classic group: generation, protocol, members.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-4", flexible = "4+")]
pub struct GroupMetadataValue {
    /// What the group is for: `consumer`, `connect`, ...
    pub protocol_type: String,
    /// The generation.
    pub generation: i32,
    /// The assignor that the group agreed on; null while it is empty.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub protocol: Option<String>,
    /// The member that leads; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub leader: Option<String>,
    /// When the group entered its state, in milliseconds since 1970; -1 if unknown.
    #[field(versions = "2+", default = -1, ignorable)]
    pub current_state_timestamp: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a classic group.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct MemberMetadata {
    /// The member.
    pub member_id: String,
    /// The name that a static member keeps over restarts; null for a dynamic one.
    #[field(versions = "3+", nullable = "0+", ignorable)]
    pub group_instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// The address that the client connects from.
    pub client_host: String,
    /// How long a rebalance waits for this member, in milliseconds.
    #[field(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout: i32,
    /// How long the member may be silent before it is removed, in milliseconds.
    pub session_timeout: i32,
    /// What the member joined with for the chosen assignor, opaque to the broker.
    pub subscription: Bytes,
    /// The member's assignment, opaque to the broker.
    pub assignment: Bytes,
}

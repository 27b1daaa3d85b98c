//! CreateTopics: new topics with their partitions and configuration.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::Message;

/// A CreateTopics request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = CreateTopics, response = CreateTopicsResponse, versions = "2-7", flexible = "5+")]
pub struct CreateTopicsRequest {
    /// The topics.
    pub topics: Vec<CreatableTopic>,
    /// How long the broker may take, in milliseconds.
    #[field(default = 60_000)]
    pub timeout_ms: i32,
    /// Whether only to check and change nothing.
    pub validate_only: bool,
}

/// A topic to create.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatableTopic {
    /// The topic's name.
    pub name: String,
    /// How many partitions; -1 for the broker's default or when assignments are given.
    pub num_partitions: i32,
    /// How many replicas; -1 for the broker's default or when assignments are given.
    pub replication_factor: i16,
    /// Replicas chosen by the caller; the controller chooses when empty.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// Configuration keys and values.
    pub configs: Vec<CreatableTopicConfig>,
}

/// The replicas of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatableReplicaAssignment {
    /// The partition.
    pub partition_index: i32,
    /// The replicas in order of preference.
    pub broker_ids: Vec<i32>,
}

/// One key and its value.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatableTopicConfig {
    /// The key.
    pub name: String,
    /// The value; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub value: Option<String>,
}

/// The answer to a CreateTopics request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<CreatableTopicResult>,
}

/// The result for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatableTopicResult {
    /// The topic's name.
    pub name: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "7+", ignorable)]
    pub topic_id: Uuid,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
    /// Why the configuration is not told, if it is not.
    #[field(versions = "5+", tag = 0, tagged = "5+", ignorable)]
    pub topic_config_error_code: i16,
    /// How many partitions the topic has; -1 if not told.
    #[field(versions = "5+", default = -1, ignorable)]
    pub num_partitions: i32,
    /// How many replicas a partition has; -1 if not told.
    #[field(versions = "5+", default = -1, ignorable)]
    pub replication_factor: i16,
    /// The topic's configuration; null if not told.
    #[field(versions = "5+", nullable = "0+", default = Some(Vec::new()), ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// One key of a created topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct CreatableTopicConfigs {
    /// The key.
    pub name: String,
    /// The value; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub value: Option<String>,
    /// Whether the value cannot be altered.
    pub read_only: bool,
    /// Which layer the value comes from: 1 topic, 2 this broker, 3 all brokers, 4 static file, 5 default,
    /// 6 logger, 7 client metrics, 8 group.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is secret; it is null then.
    pub is_sensitive: bool,
}

//! DeleteTopics: topics to delete by name or id.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::Message;

/// A DeleteTopics request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DeleteTopics, response = DeleteTopicsResponse, versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest {
    /// The topics.
    #[field(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    /// The topics' names.
    #[field(versions = "1-5", ignorable)]
    pub topic_names: Vec<String>,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
}

/// A topic to delete.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeleteTopicState {
    /// The topic's name; null when its id is given.
    #[field(nullable = "0+")]
    pub name: Option<String>,
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
}

/// The answer to a DeleteTopics request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results.
    pub responses: Vec<DeletableTopicResult>,
}

/// The result for one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeletableTopicResult {
    /// The topic's name; null when it was given by an unknown id.
    #[field(nullable = "6+", default = Some(String::new()))]
    pub name: Option<String>,
    /// The topic's id; zero if unknown.
    #[field(versions = "6+", ignorable)]
    pub topic_id: Uuid,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(versions = "5+", nullable = "0+", ignorable)]
    pub error_message: Option<String>,
}

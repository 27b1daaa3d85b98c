//! Why a part of a request is refused: Kafka's error code and, for people, a message. Plain data; decisions make it.

use std::fmt;

use barnabas_wire::ErrorCode;

use super::{CONFIG_BYTES_MAX, CONFIG_ENTRIES_MAX};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error code.
    pub code: ErrorCode,
    /// A message; none where the code says it all.
    pub message: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()) }
    }

    pub(crate) const fn bare(code: ErrorCode) -> Self {
        Self { code, message: None }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    pub(crate) fn invalid_config(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidConfig, message)
    }

    /// More records than one decision may have.
    pub(crate) fn too_large() -> Self {
        Self::new(ErrorCode::PolicyViolation, "Unable to perform excessively large batch operation.")
    }

    /// More settings than the cluster keeps.
    pub(crate) fn too_much_config() -> Self {
        let message = format!("The cluster keeps at most {CONFIG_BYTES_MAX} bytes of dynamic configuration.");
        Self::new(ErrorCode::PolicyViolation, message)
    }

    /// More settings than one resource has.
    pub(crate) fn too_many_settings() -> Self {
        let message = format!("A resource has at most {CONFIG_ENTRIES_MAX} dynamic settings.");
        Self::new(ErrorCode::PolicyViolation, message)
    }

    /// The broker has no room for the logs of so many partitions more.
    pub(crate) fn no_room() -> Self {
        Self::new(ErrorCode::KafkaStorageError, "The log directories have no room for another log.")
    }

    pub(crate) fn unknown_topic() -> Self {
        Self::new(ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.")
    }

    pub(crate) fn unknown_topic_id() -> Self {
        Self::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID.")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code.name()),
            None => f.write_str(self.code.name()),
        }
    }
}

impl std::error::Error for Refusal {}

/// Code and message of an outcome, as responses carry them.
pub(crate) fn code_and_message(outcome: &Result<(), Refusal>) -> (i16, Option<String>) {
    match outcome {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(refusal) => (refusal.code.code(), refusal.message.clone()),
    }
}

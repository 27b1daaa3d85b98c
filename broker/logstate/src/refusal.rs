//! A refusal of an append: the Kafka error code, the words that go with it and the records at fault. Plain data.

use std::fmt;

use barnabas_wire::ErrorCode;

/// Why a batch is not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the producer is told.
    pub code: ErrorCode,
    /// `error_message` of the answer (Produce v8+).
    pub message: String,
    /// `record_errors` of the answer (Produce v8+): the producer fails these records with their own message and the
    /// rest of the batch with a general one.
    pub record_errors: Vec<RefusedRecord>,
}

/// One record at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Position in the batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub message: String,
}

impl Refusal {
    /// A refusal of the batch as a whole.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        assert!(!code.is_none(), "a refusal has a reason");
        Self { code, message: message.into(), record_errors: Vec::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Refusal {}

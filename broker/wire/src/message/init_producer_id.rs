//! InitProducerId: an id and an epoch for an idempotent or transactional producer (KIP-98, KIP-360).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// An InitProducerId request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = InitProducerId, response = InitProducerIdResponse, versions = "0-5", flexible = "2+")]
pub struct InitProducerIdRequest {
    /// The transactional id; null for a producer without one.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub transactional_id: Option<String>,
    /// How long a transaction may last before it is aborted, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// The producer id that the producer has; -1 for none (KIP-360).
    #[field(versions = "3+", default = -1)]
    pub producer_id: i64,
    /// The epoch that the producer has; -1 for none.
    #[field(versions = "3+", default = -1)]
    pub producer_epoch: i16,
}

/// The answer to an InitProducerId request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The producer; -1 for none.
    #[field(default = -1)]
    pub producer_id: i64,
    /// The producer's epoch; -1 for none.
    pub producer_epoch: i16,
}

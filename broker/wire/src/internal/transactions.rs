//! Records of `__transaction_state`; structs only, the transaction coordinator folds them.

use crate::{Message, ToJson};

/// Key of a transactional id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct TransactionLogKey {
    /// The transactional id.
    pub transactional_id: String,
}

/// The state of a transactional id.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-1", flexible = "1+")]
pub struct TransactionLogValue {
    /// The producer; -1 for none.
    pub producer_id: i64,
    /// The producer id of the last committed transaction; -1 for none.
    #[field(versions = "1+", tag = 0, tagged = "1+", default = -1)]
    pub previous_producer_id: i64,
    /// The latest producer id that the producer was told; -1 for none.
    #[field(versions = "1+", tag = 1, tagged = "1+", default = -1)]
    pub next_producer_id: i64,
    /// The producer's epoch; -1 for none.
    pub producer_epoch: i16,
    /// The epoch that goes with the next producer id; -1 for none.
    #[field(versions = "1+", tag = 3, tagged = "1+", default = -1)]
    pub next_producer_epoch: i16,
    /// How long a transaction may last before it is aborted, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// 0 empty, 1 ongoing, 2 prepare commit, 3 prepare abort, 4 complete commit, 5 complete abort, 6 dead,
    /// 7 prepare epoch fence.
    pub transaction_status: i8,
    /// The partitions of the open transaction; null when there is none.
    #[field(nullable = "0+", default = Some(Vec::new()))]
    pub transaction_partitions: Option<Vec<PartitionsSchema>>,
    /// When the state last changed, in milliseconds since 1970.
    pub transaction_last_update_timestamp_ms: i64,
    /// When the transaction began, in milliseconds since 1970; -1 for none.
    pub transaction_start_timestamp_ms: i64,
    /// The transaction version that the client works by (KIP-890).
    #[field(versions = "1+", tag = 2, tagged = "1+")]
    pub client_transaction_version: i16,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct PartitionsSchema {
    /// The topic's name.
    pub topic: String,
    /// The partitions.
    pub partition_ids: Vec<i32>,
}

//! Records that brokers write for themselves: committed offsets and groups, transactions, cluster metadata,
//! control batches, small files.
//!
//! Byte for byte Kafka's, so that its tools read them and a folder can change its owner. The cores fold them.

pub mod access_schema;
pub mod consumer_group_schema;
pub mod consumer_protocol;
pub mod control;
mod metadata;
pub mod metadata_schema;
pub mod node_schema;
mod offsets;
pub mod offsets_schema;
pub mod storage;
pub mod transactions;

pub use metadata::MetadataRecord;
pub use offsets::{OffsetsKey, OffsetsValue};

//! Record batches, message format v2 (KIP-98): parse, check, read, stamp, build, compress. Not a log and not a validator.
//!
//! Pure functions over bytes; the log, the leader's validation, compaction and our own client drive them. A batch is
//! a 61-byte [`BatchHeader`] and a body of records that may be compressed as one block:
//!
//! ```text
//!  0 base offset i64        21 attributes i16            43 producer id i64
//!  8 length i32 (total-12)  23 last offset delta i32     51 producer epoch i16
//! 12 leader epoch i32       27 base timestamp i64        53 base sequence i32
//! 16 magic i8 = 2           35 max timestamp i64         57 record count i32
//! 17 CRC-32C of 21.. u32                                 61 records
//! ```
//!
//! The CRC starts at the attributes, so a leader stamps base offset and leader epoch without touching it, and rot in
//! the first 21 bytes goes unseen: whoever keeps batches must check their chain as well.

mod batch;
mod builder;
mod codec;
mod control;
mod crc;
mod cursor;
mod error;
mod header;
#[cfg(test)]
mod kafka_vectors_test;
mod reader;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Batches, Tail, batches};
pub use builder::{BatchBuilder, BatchOptions, ProducerFields, empty_batch};
pub use codec::{Compression, Compressor, Decompressor};
pub use control::{ControlType, EndTxnMarker, MarkerBatch, control_type};
pub use crc::{crc32c, crc32c_append, crc32c_combine};
pub use error::{BuildError, RecordError};
pub use header::{Attributes, BatchHeader, CRC_START, HEADER_BYTES, TimestampType, restamp, stamp};
pub use reader::{Header, Headers, Payload, Record, Records};

//! What a log's batches add up to: validation of what a leader is asked to append, producer state, leader epochs,
//! transactions and the last stable offset. Not the log: no files, no clock, no offsets handed out. `commitlog` owns
//! one [`LogFold`] per log and drives it on append, on replication and on recovery alike, so that the state at an
//! offset is the same wherever the same batches were folded.

mod epoch_cache;
mod log_fold;
mod producer_entry;
mod producer_state;
mod refusal;
mod snapshot;
mod transaction;
mod validate;

pub use epoch_cache::{EpochCache, EpochEntry, EpochFileError};
pub use log_fold::{FoldError, Folded, LogFold, PENDING_BATCHES_MAX};
pub use producer_entry::{BatchMeta, ProducerEntry};
pub use producer_state::{Origin, PRODUCERS_PER_LOG_MAX, ProducerState, Verdict};
pub use refusal::{Refusal, RefusedRecord};
pub use snapshot::SnapshotError;
pub use transaction::{AbortedTxn, AbortedTxnError, CompletedTxn, Marker, collect_aborted};
pub use validate::{Codecs, ProduceContext, RECORD_ERRORS_MAX, TopicCompression, TopicRules, Validated, validate};

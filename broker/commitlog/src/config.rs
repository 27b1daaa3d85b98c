//! What a topic's configuration means to its logs: one plain struct per log, Kafka's names and defaults. Not a table of
//! keys and no parser; `barnabas-metadata` has those and fills this in.

use barnabas_wire::record::{Compression, TimestampType};

/// What makes room in a log (`cleanup.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments go by `retention.ms` and `retention.bytes`.
    pub delete: bool,
    /// Superseded keys go.
    pub compact: bool,
}

/// When a write counts as safe (`flush.policy`, a key of ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// After the device has it: survives power loss.
    Ack,
    /// In the page cache, as Apache Kafka is shipped: survives the process, not the machine.
    Os,
}

/// Configuration of one log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is left before it would grow past this.
    pub segment_bytes: u32,
    /// `segment.ms`: age at which a segment is left.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: at most this much is taken off `segment_ms`, so that logs do not roll together.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: size at which an index is full and the segment is left.
    pub index_bytes_max: u32,
    /// `index.interval.bytes`: bytes between two index entries.
    pub index_interval_bytes: u32,
    /// `retention.ms`; −1 keeps for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; −1 means no bound.
    pub retention_bytes: i64,
    /// `max.message.bytes`: largest batch a client may append.
    pub max_message_bytes: u32,
    /// `cleanup.policy`.
    pub cleanup: CleanupPolicy,
    /// `min.cleanable.dirty.ratio`: share of uncleaned bytes at which cleaning pays.
    pub min_cleanable_ratio: f64,
    /// `delete.retention.ms`: how long tombstones and transaction markers stay readable after their first cleaning.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: age below which a record is not cleaned.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: age at which a segment is cleaned whatever the ratio.
    pub max_compaction_lag_ms: i64,
    /// `file.delete.delay.ms`: between renaming a file for deletion and removing it.
    pub file_delete_delay_ms: i64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub after_max_ms: i64,
    /// `compression.type`; `None` keeps the producer's codec.
    pub compression: Option<Compression>,
    /// Level for [`LogConfig::compression`]; `None` is the codec's default.
    pub compression_level: Option<i32>,
    /// `flush.policy`.
    pub flush_policy: FlushPolicy,
    /// `producer.id.expiration.ms`: how long an idle producer is remembered.
    pub producer_id_expiration_ms: i64,
    /// `preallocate`: reserve `segment_bytes` when a segment is created.
    pub preallocate: bool,
    /// Room that the active segment keeps allocated past its end, so that small batches are accepted on a full device.
    pub headroom_bytes: u64,
}

impl LogConfig {
    /// How old a segment may become before another one begins: what must be compacted in time may not wait in an active
    /// segment, which is never cleaned (KIP-354, Kafka's `maxSegmentMs`).
    #[must_use]
    pub fn roll_ms(&self) -> i64 {
        let is_bound = self.cleanup.compact && self.max_compaction_lag_ms > 0;
        if is_bound { self.segment_ms.min(self.max_compaction_lag_ms) } else { self.segment_ms }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        const HOUR_MS: i64 = 60 * 60 * 1000;
        Self {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            index_bytes_max: 10 * 1024 * 1024,
            index_interval_bytes: 4096,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            max_message_bytes: 1024 * 1024 + 12,
            cleanup: CleanupPolicy { delete: true, compact: false },
            min_cleanable_ratio: 0.5,
            delete_retention_ms: DAY_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: HOUR_MS,
            compression: None,
            compression_level: None,
            flush_policy: FlushPolicy::Ack,
            producer_id_expiration_ms: DAY_MS,
            preallocate: false,
            headroom_bytes: 0,
        }
    }
}

//! What a leader checks before it appends a client's batch, and the few rewrites Kafka makes: another codec, the true
//! max timestamp, the append time. Not the producer's sequence, which depends on the log ([`ProducerState`]); knows
//! neither offsets nor epochs, which are stamped when the write is issued. The Produce path drives it.
//!
//! Codes follow Kafka's `ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords` and `LogValidator`.
//! Where Kafka answers UNKNOWN_SERVER_ERROR (a body that does not decompress, an unknown codec), a final code that
//! says what is wrong takes its place.
//!
//! [`ProducerState`]: crate::ProducerState

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_wire::ErrorCode;
use barnabas_wire::record::{
    Batch, BatchHeader, Compression, Compressor, Decompressor, Payload, Record, RecordError, TimestampType, crc32c,
};
use bytes::Bytes;

use crate::{Refusal, RefusedRecord};

/// Most records at fault that one refusal names; the code alone stands for the others.
pub const RECORD_ERRORS_MAX: usize = 1_000;

/// First Produce version whose clients may send zstd (KIP-110).
const ZSTD_PRODUCE_VERSION: i16 = 7;

/// Config of a topic as far as validation needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicRules {
    /// `max.message.bytes`: bytes of a batch, compressed.
    pub batch_bytes_max: u32,
    /// `segment.bytes`: a batch must fit one segment.
    pub segment_bytes_max: u32,
    /// Bytes a batch may have once decompressed. Kafka has no such limit.
    pub decompressed_bytes_max: usize,
    /// `compression.type` and its level.
    pub compression: TopicCompression,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie in the past.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far it may lie in the future.
    pub timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` has `compact`: records then need keys.
    pub is_compacted: bool,
}

impl Default for TopicRules {
    /// Kafka 4's defaults.
    fn default() -> Self {
        Self {
            batch_bytes_max: 1_048_588,
            segment_bytes_max: 1 << 30,
            decompressed_bytes_max: 64 << 20,
            compression: TopicCompression::Producer,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            is_compacted: false,
        }
    }
}

/// `compression.type` of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicCompression {
    /// `producer`: as the batch comes.
    #[default]
    Producer,
    /// One codec for the whole topic, with its level or the default (KIP-390). `uncompressed` is [`Compression::None`].
    Codec(Compression, Option<i32>),
}

/// What is known of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceContext {
    /// Version of the Produce request.
    pub version: i16,
    /// Wall clock of the leader.
    pub now: TimestampMs,
}

/// The codecs' contexts, one set per shard.
#[derive(Debug, Default)]
pub struct Codecs {
    /// For reading.
    pub decompressor: Decompressor,
    /// For topics with a codec of their own.
    pub compressor: Compressor,
}

/// A batch that may be appended once it has offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    batch: Batch,
    log_append_time: Option<TimestampMs>,
    is_rewritten: bool,
}

impl Validated {
    /// Header of the batch as it is to be appended, at base offset 0.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        self.batch.header()
    }

    /// The batch as it is to be appended, at base offset 0.
    #[must_use]
    pub const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The batch with the offsets and the epoch it gets; nothing inside the checksum changes.
    #[must_use]
    pub fn stamped(self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Batch {
        self.batch.stamped(base_offset, leader_epoch)
    }

    /// `log_append_time_ms` of the answer; none, that is −1, in a CreateTime topic.
    #[must_use]
    pub const fn log_append_time(&self) -> Option<TimestampMs> {
        self.log_append_time
    }

    /// Whether the batch has another codec than the producer gave it.
    #[must_use]
    pub const fn is_rewritten(&self) -> bool {
        self.is_rewritten
    }
}

/// Validates `records`, the record field of one partition of a Produce request.
///
/// # Errors
/// The refusal the producer is to be told.
pub fn validate(
    records: &Bytes,
    context: &ProduceContext,
    rules: &TopicRules,
    codecs: &mut Codecs,
) -> Result<Validated, Refusal> {
    let batch = single_batch(records)?;
    check_request(&batch, context, rules)?;
    check_header(batch.header())?;
    let payload = batch.payload(&mut codecs.decompressor, rules.decompressed_bytes_max).map_err(refuse_records)?;
    let max_timestamp = walk(batch.header(), &payload, context.now, rules)?;
    let (batch, is_rewritten) = to_topic_codec(batch, &payload, rules, codecs)?;
    drop(payload);
    let log_append_time = match rules.timestamp_type {
        TimestampType::CreateTime => None,
        TimestampType::LogAppendTime => Some(context.now),
    };
    let batch = batch.restamped(rules.timestamp_type, log_append_time.unwrap_or(max_timestamp));
    if batch.header().size_bytes > rules.segment_bytes_max {
        return Err(Refusal::new(ErrorCode::RecordListTooLarge, "the batch is larger than a segment"));
    }
    Ok(Validated { batch, log_append_time, is_rewritten })
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRecord, message)
}

fn corrupt(error: RecordError) -> Refusal {
    Refusal::new(ErrorCode::CorruptMessage, error.to_string())
}

/// The one batch that a partition's records must be since message format v2.
fn single_batch(records: &Bytes) -> Result<Batch, Refusal> {
    if records.is_empty() {
        return Err(invalid("no record batch"));
    }
    Batch::parse(records.clone()).map_err(|error| refuse_batch(records, error))
}

fn refuse_batch(records: &[u8], error: RecordError) -> Refusal {
    match error {
        RecordError::Truncated { .. } => invalid("no complete record batch"),
        RecordError::BatchTrailing => invalid("more than one record batch"),
        RecordError::OldMagic(_) => invalid(error.to_string()),
        // These fields are under the checksum. Damage on the way is retriable, a client's mistake is not.
        RecordError::UnknownCodec(_) | RecordError::OffsetRange if is_damaged(records) => {
            Refusal::new(ErrorCode::CorruptMessage, "checksum mismatch")
        }
        RecordError::UnknownCodec(_) => Refusal::new(ErrorCode::UnsupportedCompressionType, error.to_string()),
        RecordError::OffsetRange => invalid(error.to_string()),
        RecordError::BatchLength(_)
        | RecordError::UnknownMagic(_)
        | RecordError::Crc { .. }
        | RecordError::Varint
        | RecordError::RecordLength
        | RecordError::RecordTrailing
        | RecordError::MissingRecords
        | RecordError::NullHeaderKey
        | RecordError::Decompression(_)
        | RecordError::TooLarge { .. }
        | RecordError::ControlRecord => corrupt(error),
    }
}

fn is_damaged(records: &[u8]) -> bool {
    let stored = records.get(17..21);
    let covered = records.get(21..);
    stored.zip(covered).is_none_or(|(stored, covered)| stored != crc32c(covered).to_be_bytes())
}

/// Checks in Kafka's order, since the first failure decides the code.
fn check_request(batch: &Batch, context: &ProduceContext, rules: &TopicRules) -> Result<(), Refusal> {
    let header = batch.header();
    if header.compression() == Compression::Zstd && context.version < ZSTD_PRODUCE_VERSION {
        return Err(Refusal::new(ErrorCode::UnsupportedCompressionType, "zstd needs Produce version 7"));
    }
    if header.base_offset != Offset::ZERO {
        return Err(invalid(format!("base offset is {}, not 0", header.base_offset)));
    }
    check_size(header, rules)?;
    batch.check_crc().map_err(corrupt)
}

fn check_size(header: &BatchHeader, rules: &TopicRules) -> Result<(), Refusal> {
    if header.size_bytes <= rules.batch_bytes_max {
        return Ok(());
    }
    // Producers split the batch on this code.
    Err(Refusal::new(
        ErrorCode::MessageTooLarge,
        format!("batch of {} bytes passes the topic's limit of {}", header.size_bytes, rules.batch_bytes_max),
    ))
}

fn check_header(header: &BatchHeader) -> Result<(), Refusal> {
    if header.record_count == 0 {
        return Err(invalid("no records"));
    }
    if header.last_offset_delta != header.record_count - 1 {
        return Err(invalid(format!(
            "last offset delta {} does not match {} records",
            header.last_offset_delta, header.record_count
        )));
    }
    if header.attributes.is_control() {
        return Err(invalid("clients may not write control records"));
    }
    check_producer(header)
}

/// With a producer id, epoch and sequence must be real. Without one they mean nothing and are not looked at: Sarama
/// sends sequence 0 in batches without idempotence, and Kafka takes them.
fn check_producer(header: &BatchHeader) -> Result<(), Refusal> {
    if header.has_producer() {
        if header.base_sequence.0 < 0 || header.producer_epoch.0 < 0 {
            return Err(invalid(format!(
                "producer {} has epoch {} and sequence {}",
                header.producer_id, header.producer_epoch, header.base_sequence
            )));
        }
        return Ok(());
    }
    if header.producer_id.0 < -1 {
        return Err(invalid(format!("producer id {}", header.producer_id)));
    }
    if header.attributes.is_transactional() {
        return Err(invalid("a transactional batch needs a producer id"));
    }
    Ok(())
}

fn refuse_records(error: RecordError) -> Refusal {
    match error {
        // A split batch is smaller, so that this limit resolves like the one on compressed bytes.
        RecordError::TooLarge { .. } => Refusal::new(ErrorCode::MessageTooLarge, error.to_string()),
        RecordError::Truncated { .. }
        | RecordError::BatchLength(_)
        | RecordError::OldMagic(_)
        | RecordError::UnknownMagic(_)
        | RecordError::Crc { .. }
        | RecordError::UnknownCodec(_)
        | RecordError::OffsetRange
        | RecordError::Varint
        | RecordError::RecordLength
        | RecordError::RecordTrailing
        | RecordError::BatchTrailing
        | RecordError::MissingRecords
        | RecordError::NullHeaderKey
        | RecordError::Decompression(_)
        | RecordError::ControlRecord => invalid(error.to_string()),
    }
}

/// Checks every record and finds the largest timestamp.
fn walk(header: &BatchHeader, payload: &Payload, now: TimestampMs, rules: &TopicRules) -> Result<TimestampMs, Refusal> {
    let checks = RecordChecks::new(header, now, rules);
    let mut faults = Faults::default();
    let mut max_timestamp = TimestampMs::NONE;
    for (index, record) in (0_i32..).zip(payload.records()) {
        let record = record.map_err(refuse_records)?;
        if record.offset.0 != i64::from(index) {
            return Err(invalid(format!("record {index} has offset delta {}", record.offset)));
        }
        if let Some(fault) = checks.fault(&record) {
            faults.add(index, fault, &record);
        }
        max_timestamp = max_timestamp.max(record.timestamp);
    }
    faults.into_refusal().map_or(Ok(max_timestamp), Err)
}

/// The per-record rules, unfolded once per batch.
struct RecordChecks {
    needs_key: bool,
    claims_log_append_time: bool,
    /// Inclusive bounds of CreateTime timestamps.
    bounds: Option<(i64, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordFault {
    NoKey,
    Timestamp,
    TimestampType,
}

impl RecordChecks {
    fn new(header: &BatchHeader, now: TimestampMs, rules: &TopicRules) -> Self {
        let bounds = match rules.timestamp_type {
            TimestampType::LogAppendTime => None,
            TimestampType::CreateTime => Some((
                now.0.saturating_sub(rules.timestamp_before_max_ms),
                now.0.saturating_add(rules.timestamp_after_max_ms),
            )),
        };
        Self {
            needs_key: rules.is_compacted,
            claims_log_append_time: header.attributes.timestamp_type() == TimestampType::LogAppendTime,
            bounds,
        }
    }

    #[inline]
    fn fault(&self, record: &Record<'_>) -> Option<RecordFault> {
        if self.needs_key && record.key.is_none() {
            return Some(RecordFault::NoKey);
        }
        // A CreateTime topic takes a batch that claims the append time, as one whose records all have its max timestamp,
        // if they have one at all: Kafka's `validateTimestamp` looks at the type only where no timestamp is to be checked.
        match self.bounds {
            Some((earliest, latest)) if record.timestamp != TimestampMs::NONE => {
                let is_within = earliest <= record.timestamp.0 && record.timestamp.0 <= latest;
                (!is_within).then_some(RecordFault::Timestamp)
            }
            Some(_) | None => self.claims_log_append_time.then_some(RecordFault::TimestampType),
        }
    }
}

/// The records at fault so far.
#[derive(Default)]
struct Faults {
    records: Vec<RefusedRecord>,
    any_timestamp: bool,
}

impl Faults {
    #[cold]
    fn add(&mut self, index: i32, fault: RecordFault, record: &Record<'_>) {
        let message = match fault {
            RecordFault::NoKey => "a compacted topic needs a key".to_owned(),
            RecordFault::Timestamp => {
                format!("timestamp {} is out of the topic's range", record.timestamp)
            }
            RecordFault::TimestampType => "producers may not set LogAppendTime".to_owned(),
        };
        self.any_timestamp |= fault != RecordFault::NoKey;
        if self.records.len() < RECORD_ERRORS_MAX {
            self.records.push(RefusedRecord { index, message });
        }
    }

    fn into_refusal(self) -> Option<Refusal> {
        if self.records.is_empty() {
            return None;
        }
        let (code, message) = if self.any_timestamp {
            (ErrorCode::InvalidTimestamp, "one or more records have an invalid timestamp")
        } else {
            (ErrorCode::InvalidRecord, "one or more records are invalid")
        };
        let mut refusal = Refusal::new(code, message);
        refusal.record_errors = self.records;
        Some(refusal)
    }
}

/// The batch in the codec the topic asks for, and whether that is another one.
fn to_topic_codec(
    batch: Batch,
    payload: &Payload,
    rules: &TopicRules,
    codecs: &mut Codecs,
) -> Result<(Batch, bool), Refusal> {
    let (target, level) = match rules.compression {
        TopicCompression::Producer => return Ok((batch, false)),
        TopicCompression::Codec(target, level) => (target, level),
    };
    if target == batch.header().compression() {
        return Ok((batch, false));
    }
    let batch = batch
        .recompressed(payload, target, level, &mut codecs.compressor)
        .map_err(|error| Refusal::new(ErrorCode::MessageTooLarge, error.to_string()))?;
    check_size(batch.header(), rules)?;
    Ok((batch, true))
}

#[cfg(test)]
#[path = "validate_test.rs"]
mod tests;

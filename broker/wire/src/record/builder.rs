//! Builds one record batch from records: for our own clients, for the internal logs, for a topic with its own codec
//! and for compaction, where offsets keep their gaps. Decides nothing about when a batch is full; its owner does.

use barnabas_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use bytes::Bytes;

use super::crc::crc32c;
use super::cursor::{put_varlong, varlong_bytes};
use super::header::CRC_START;
use super::{
    Attributes, BatchHeader, BuildError, Compression, Compressor, ControlType, HEADER_BYTES, Header, Record,
    TimestampType,
};

/// Idempotent producer of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the record at the base offset; none in control batches.
    pub base_sequence: Sequence,
}

/// What a batch is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Codec of the body.
    pub compression: Compression,
    /// Level of the codec, or its default.
    pub level: Option<i32>,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Epoch of the leader; unknown in batches that clients send.
    pub leader_epoch: LeaderEpoch,
    /// The idempotent producer, if any.
    pub producer: Option<ProducerFields>,
    /// Whether the records belong to a transaction.
    pub is_transactional: bool,
    /// Whether these are control records.
    pub is_control: bool,
    /// Append time, which then dates every record; none for the producer's own timestamps.
    pub log_append_time: Option<TimestampMs>,
    /// Time from which tombstones and markers may go (KIP-534); written as the base timestamp.
    pub delete_horizon: Option<TimestampMs>,
    /// Last offset of the batch when it is to lie past the last record: compaction keeps it, since the producer's
    /// last sequence follows from it.
    pub last_offset: Option<Offset>,
}

impl Default for BatchOptions {
    /// A batch as a client without idempotence sends it.
    fn default() -> Self {
        Self {
            compression: Compression::None,
            level: None,
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::UNKNOWN,
            producer: None,
            is_transactional: false,
            is_control: false,
            log_append_time: None,
            delete_horizon: None,
            last_offset: None,
        }
    }
}

impl BatchOptions {
    /// Options that rebuild the batch `header` heads with some of its records: same offsets, producer, epoch, flags,
    /// codec and delete horizon. Compaction sets `delete_horizon` itself when the first tombstone is kept.
    #[must_use]
    pub fn retaining(header: &BatchHeader) -> Self {
        let log_append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Self {
            compression: header.compression(),
            level: None,
            base_offset: header.base_offset,
            leader_epoch: header.partition_leader_epoch,
            producer: Some(ProducerFields {
                id: header.producer_id,
                epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
            }),
            is_transactional: header.attributes.is_transactional(),
            is_control: header.attributes.is_control(),
            log_append_time,
            delete_horizon: header.delete_horizon(),
            last_offset: Some(header.last_offset()),
        }
    }
}

/// Collects the records of one batch, uncompressed until [`BatchBuilder::build`].
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    payload: Vec<u8>,
    record_count: i32,
    base_timestamp: Option<TimestampMs>,
    max_timestamp: TimestampMs,
    next_offset: Offset,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        assert!(options.base_offset.0 >= 0, "a batch has a real base offset");
        Self {
            options,
            payload: Vec::new(),
            record_count: 0,
            base_timestamp: options.delete_horizon,
            max_timestamp: TimestampMs::NONE,
            next_offset: options.base_offset,
        }
    }

    /// Records appended so far.
    #[must_use]
    pub const fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Whether no record was appended.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes the batch has so far, before compression.
    #[must_use]
    pub const fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Appends a record at the next offset.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`], [`BuildError::OffsetOrder`] past 2³¹ offsets; the batch is then unchanged.
    pub fn append<'h>(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) -> Result<(), BuildError> {
        self.append_at(self.next_offset, timestamp, key, value, headers)
    }

    /// Appends a control record at the next offset.
    ///
    /// # Errors
    /// As [`BatchBuilder::append`].
    pub fn append_control(
        &mut self,
        timestamp: TimestampMs,
        control_type: ControlType,
        value: &[u8],
    ) -> Result<(), BuildError> {
        assert!(self.options.is_control, "control records live in control batches");
        let no_headers = std::iter::empty();
        self.append(timestamp, Some(&control_type.key()), Some(value), no_headers)
    }

    /// Appends a record as it was read, at its own offset.
    ///
    /// # Errors
    /// As [`BatchBuilder::append_at`].
    pub fn append_record(&mut self, record: &Record<'_>) -> Result<(), BuildError> {
        self.append_at(record.offset, record.timestamp, record.key, record.value, record.headers.iter())
    }

    /// Appends a record at `offset`, which may leave a gap after the last one.
    ///
    /// # Errors
    /// [`BuildError::OffsetOrder`] when `offset` is not past the last one or too far from the base offset,
    /// [`BuildError::TooLarge`]; the batch is then unchanged.
    pub fn append_at<'h>(
        &mut self,
        offset: Offset,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) -> Result<(), BuildError> {
        if offset < self.next_offset || self.options.last_offset.is_some_and(|last| offset > last) {
            return Err(BuildError::OffsetOrder);
        }
        let offset_delta =
            i32::try_from(offset.minus(self.options.base_offset)).map_err(|_| BuildError::OffsetOrder)?;
        let next_offset = offset.0.checked_add(1).ok_or(BuildError::OffsetOrder)?;
        let record_count = self.record_count.checked_add(1).ok_or(BuildError::TooLarge)?;
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp);
        let fields = Fields {
            // Wraps like the reader's sum, so that any two timestamps round-trip.
            timestamp_delta: timestamp.0.wrapping_sub(base_timestamp.0),
            offset_delta,
            key,
            value,
        };
        let body_bytes = fields.body_bytes(headers.clone());
        let within = i32::try_from(body_bytes + self.payload.len() + 2 * HEADER_BYTES);
        if within.is_err() {
            return Err(BuildError::TooLarge);
        }
        fields.write(body_bytes, headers, &mut self.payload);
        self.base_timestamp = Some(base_timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.next_offset = Offset(next_offset);
        self.record_count = record_count;
        Ok(())
    }

    /// The finished batch.
    ///
    /// # Errors
    /// [`BuildError::Compression`] or, when compression made it larger than a batch may be, [`BuildError::TooLarge`].
    pub fn build(self, compressor: &mut Compressor) -> Result<Bytes, BuildError> {
        assert!(self.record_count > 0, "empty batches are built as such");
        let mut bytes = Vec::with_capacity(self.plain_bytes());
        bytes.resize(HEADER_BYTES, 0);
        let options = &self.options;
        compressor.compress(options.compression, options.level, &self.payload, &mut bytes)?;
        let last_offset = options.last_offset.unwrap_or(Offset(self.next_offset.0 - 1));
        let attributes = attributes(options).with_compression(options.compression);
        let base_timestamp = self.base_timestamp.unwrap_or(TimestampMs::NONE);
        let max_timestamp = options.log_append_time.unwrap_or(self.max_timestamp);
        finish(
            bytes,
            options,
            BatchShape { attributes, last_offset, base_timestamp, max_timestamp, record_count: self.record_count },
        )
    }
}

/// The batch `header` heads, without its records: a bare header with count 0. Compaction leaves it behind to keep the
/// last sequence of a producer.
#[must_use]
pub fn empty_batch(header: &BatchHeader) -> Bytes {
    let options = BatchOptions::retaining(header);
    let shape = BatchShape {
        attributes: attributes(&options).with_delete_horizon(false),
        last_offset: header.last_offset(),
        base_timestamp: TimestampMs::NONE,
        max_timestamp: header.max_timestamp,
        record_count: 0,
    };
    finish(vec![0; HEADER_BYTES], &options, shape).expect("a bare header is small and in order")
}

/// The header fields that depend on the records.
struct BatchShape {
    attributes: Attributes,
    last_offset: Offset,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    record_count: i32,
}

/// Writes the header over the first bytes of `bytes`, which hold the body behind it.
fn finish(mut bytes: Vec<u8>, options: &BatchOptions, shape: BatchShape) -> Result<Bytes, BuildError> {
    let size = i32::try_from(bytes.len()).map_err(|_| BuildError::TooLarge)?;
    let last_offset_delta =
        i32::try_from(shape.last_offset.minus(options.base_offset)).map_err(|_| BuildError::OffsetOrder)?;
    let producer = options.producer.unwrap_or(ProducerFields {
        id: ProducerId::NONE,
        epoch: ProducerEpoch::NONE,
        base_sequence: Sequence::NONE,
    });
    let mut header = BatchHeader {
        base_offset: options.base_offset,
        size_bytes: size.unsigned_abs(),
        partition_leader_epoch: options.leader_epoch,
        crc: 0,
        attributes: shape.attributes,
        last_offset_delta,
        base_timestamp: shape.base_timestamp,
        max_timestamp: shape.max_timestamp,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: producer.base_sequence,
        record_count: shape.record_count,
    };
    bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    header.crc = crc32c(&bytes[CRC_START..]);
    bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    Ok(Bytes::from(bytes))
}

fn attributes(options: &BatchOptions) -> Attributes {
    let timestamp_type = match options.log_append_time {
        None => TimestampType::CreateTime,
        Some(_) => TimestampType::LogAppendTime,
    };
    Attributes::default()
        .with_timestamp_type(timestamp_type)
        .with_transactional(options.is_transactional)
        .with_control(options.is_control)
        .with_delete_horizon(options.delete_horizon.is_some())
}

/// One record on its way into the payload.
struct Fields<'a> {
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl Fields<'_> {
    /// Bytes behind the length varint.
    fn body_bytes<'h>(&self, headers: impl Iterator<Item = Header<'h>>) -> usize {
        let attributes = 1;
        let mut count = 0;
        let mut header_bytes = 0;
        for header in headers {
            count += 1;
            header_bytes += nullable_bytes_len(Some(header.key)) + nullable_bytes_len(header.value);
        }
        attributes
            + varlong_bytes(self.timestamp_delta)
            + varlong_bytes(i64::from(self.offset_delta))
            + nullable_bytes_len(self.key)
            + nullable_bytes_len(self.value)
            + varlong_bytes(count)
            + header_bytes
    }

    fn write<'h>(&self, body_bytes: usize, headers: impl Iterator<Item = Header<'h>> + Clone, out: &mut Vec<u8>) {
        put_len(out, body_bytes);
        let start = out.len();
        out.push(0);
        put_varlong(out, self.timestamp_delta);
        put_varlong(out, i64::from(self.offset_delta));
        put_nullable_bytes(out, self.key);
        put_nullable_bytes(out, self.value);
        put_len(out, headers.clone().count());
        for header in headers {
            put_nullable_bytes(out, Some(header.key));
            put_nullable_bytes(out, header.value);
        }
        assert!(out.len() - start == body_bytes, "a record is as long as its length says");
    }
}

fn nullable_bytes_len(field: Option<&[u8]>) -> usize {
    field.map_or(varlong_bytes(-1), |field| {
        let len = i64::try_from(field.len()).expect("a slice is shorter than 2^63 bytes");
        varlong_bytes(len) + field.len()
    })
}

fn put_nullable_bytes(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varlong(out, -1),
        Some(field) => {
            put_len(out, field.len());
            out.extend_from_slice(field);
        }
    }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    put_varlong(out, i64::try_from(len).expect("a slice is shorter than 2^63 bytes"));
}

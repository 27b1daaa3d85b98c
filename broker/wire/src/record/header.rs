//! The 61-byte header of a record batch as a typed value, and the two stamps a leader puts on it in place. Knows
//! nothing of records; [`Batch`](super::Batch) and the log drive it.

use barnabas_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::crc::crc32c;
use super::{Compression, RecordError};

/// Bytes of a batch header; a batch emptied by compaction is no longer than this.
pub const HEADER_BYTES: usize = 61;

/// Bytes before the part that the length field counts: base offset and length.
pub(super) const LOG_OVERHEAD_BYTES: usize = 12;
/// Where the checksummed part of a batch begins.
pub const CRC_START: usize = 21;
/// Bytes up to and with the magic: what tells the formats apart.
const THROUGH_MAGIC_BYTES: usize = 17;
/// Smallest length any format may declare (`LegacyRecord.RECORD_OVERHEAD_V0`).
const LEGACY_LENGTH_MIN: i32 = 14;
/// Smallest length a v2 batch may declare.
const LENGTH_MIN: i32 = 49;
const MAGIC: i8 = 2;

/// Who dated the records of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimestampType {
    /// The producer; each record has its own timestamp.
    #[default]
    CreateTime,
    /// The leader at append; every record has the batch's max timestamp.
    LogAppendTime,
}

/// The attribute bits of a batch. Bits 7-15 mean nothing yet and are kept as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0b0000_0111;
    const LOG_APPEND_TIME: i16 = 0b0000_1000;
    const TRANSACTIONAL: i16 = 0b0001_0000;
    const CONTROL: i16 = 0b0010_0000;
    const DELETE_HORIZON: i16 = 0b0100_0000;

    /// The codec of the body.
    pub fn compression(self) -> Result<Compression, RecordError> {
        let bits = self.0 & Self::CODEC;
        let bits = u8::try_from(bits).expect("three bits fit a byte");
        Compression::from_id(bits).ok_or(RecordError::UnknownCodec(bits))
    }

    /// Who dated the records.
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether the records belong to a transaction.
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the batch holds control records, which consumers skip.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the time from which tombstones and markers of this batch may go (KIP-534).
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Self {
        Self(self.0 & !Self::CODEC | i16::from(compression.id()))
    }

    /// These attributes with another timestamp type.
    #[must_use]
    pub const fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => Self(self.0 & !Self::LOG_APPEND_TIME),
            TimestampType::LogAppendTime => Self(self.0 | Self::LOG_APPEND_TIME),
        }
    }

    /// These attributes with the transactional bit set or cleared.
    #[must_use]
    pub const fn with_transactional(self, on: bool) -> Self {
        self.with_bit(Self::TRANSACTIONAL, on)
    }

    /// These attributes with the control bit set or cleared.
    #[must_use]
    pub const fn with_control(self, on: bool) -> Self {
        self.with_bit(Self::CONTROL, on)
    }

    /// These attributes with the delete horizon bit set or cleared.
    #[must_use]
    pub const fn with_delete_horizon(self, on: bool) -> Self {
        self.with_bit(Self::DELETE_HORIZON, on)
    }

    const fn with_bit(self, bit: i16, on: bool) -> Self {
        if on { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }
}

/// The header of one batch. A parsed header has a size of at least [`HEADER_BYTES`], a known codec, and offsets that
/// neither are negative nor overflow; nothing is said about its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record, or of the first record there was before compaction.
    pub base_offset: Offset,
    /// Bytes of the whole batch, header included.
    pub size_bytes: u32,
    /// Epoch of the leader that appended the batch.
    pub partition_leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// Last offset minus base offset; compaction keeps it.
    pub last_offset_delta: i32,
    /// What timestamp deltas add to; the delete horizon when that bit is set.
    pub base_timestamp: TimestampMs,
    /// Largest timestamp of the records, or the append time.
    pub max_timestamp: TimestampMs,
    /// Idempotent producer, or none.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the record at the base offset.
    pub base_sequence: Sequence,
    /// Records in the body.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; what follows need not be there.
    ///
    /// # Errors
    /// [`RecordError::Truncated`] when `bytes` end inside the header, otherwise what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() < THROUGH_MAGIC_BYTES {
            return Err(truncated(THROUGH_MAGIC_BYTES, bytes));
        }
        let length = i32::from_be_bytes(field(bytes, 8));
        if length < LEGACY_LENGTH_MIN {
            return Err(RecordError::BatchLength(length));
        }
        match i8::from_be_bytes(field(bytes, 16)) {
            MAGIC => {}
            magic @ (0 | 1) => return Err(RecordError::OldMagic(magic)),
            magic => return Err(RecordError::UnknownMagic(magic)),
        }
        if length < LENGTH_MIN {
            return Err(RecordError::BatchLength(length));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(truncated(HEADER_BYTES, bytes));
        }
        let header = Self {
            base_offset: Offset(i64::from_be_bytes(field(bytes, 0))),
            size_bytes: length.unsigned_abs() + LOG_OVERHEAD_BYTES as u32,
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(field(bytes, 12))),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, 21))),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: TimestampMs(i64::from_be_bytes(field(bytes, 27))),
            max_timestamp: TimestampMs(i64::from_be_bytes(field(bytes, 35))),
            producer_id: ProducerId(i64::from_be_bytes(field(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(bytes, 51))),
            base_sequence: Sequence(i32::from_be_bytes(field(bytes, 53))),
            record_count: i32::from_be_bytes(field(bytes, 57)),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), RecordError> {
        self.attributes.compression()?;
        if self.base_offset.0 < 0 || self.last_offset_delta < 0 || self.record_count < 0 {
            return Err(RecordError::OffsetRange);
        }
        // The offset after the last one must exist as well: it becomes a log end offset.
        let span = i64::from(self.last_offset_delta) + 1;
        match self.base_offset.0.checked_add(span) {
            Some(_) => Ok(()),
            None => Err(RecordError::OffsetRange),
        }
    }

    /// The header as it stands on disk and on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let length = self.size_bytes - LOG_OVERHEAD_BYTES as u32;
        bytes[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.0.to_be_bytes());
        bytes[16..17].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.0.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.0.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        bytes
    }

    /// The codec of the body.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.attributes.compression().expect("parsing and building refuse unknown codecs")
    }

    /// Offset of the last record, or of the last there was before compaction.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset after the last one: the log end offset once this batch is the last.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// Whether the batch comes from an idempotent producer.
    #[must_use]
    pub const fn has_producer(&self) -> bool {
        self.producer_id.is_some()
    }

    /// Sequence number of the record at the last offset. It follows from the offset delta, not from the count, so
    /// that compaction does not change it; none without a producer.
    #[must_use]
    pub const fn last_sequence(&self) -> Sequence {
        if self.base_sequence.0 < 0 { Sequence::NONE } else { self.base_sequence.plus(self.last_offset_delta) }
    }

    /// The time from which tombstones and markers of this batch may be removed, once a first cleaning has set it.
    #[must_use]
    pub const fn delete_horizon(&self) -> Option<TimestampMs> {
        if self.attributes.has_delete_horizon() { Some(self.base_timestamp) } else { None }
    }

    /// Checks the CRC over `batch`, the bytes of exactly this batch.
    ///
    /// # Errors
    /// [`RecordError::Crc`] when it differs, [`RecordError::Truncated`] when `batch` is shorter than a header.
    pub fn check_crc(&self, batch: &[u8]) -> Result<(), RecordError> {
        let Some(covered) = batch.get(CRC_START..) else {
            return Err(truncated(HEADER_BYTES, batch));
        };
        let computed = crc32c(covered);
        if computed == self.crc { Ok(()) } else { Err(RecordError::Crc { stored: self.crc, computed }) }
    }
}

/// Writes base offset and leader epoch into `batch`, the bytes of one batch. Both lie outside the CRC.
pub fn stamp(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    assert!(batch.len() >= HEADER_BYTES, "a batch has a whole header");
    batch[0..8].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Writes timestamp type and max timestamp into `batch` and renews the CRC. Base timestamp and deltas stay: readers of
/// a LogAppendTime batch use the max timestamp for every record.
pub fn restamp(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp: TimestampMs) {
    assert!(batch.len() >= HEADER_BYTES, "a batch has a whole header");
    let attributes = Attributes(i16::from_be_bytes(field(batch, 21)));
    let attributes = attributes.with_timestamp_type(timestamp_type);
    batch[21..23].copy_from_slice(&attributes.0.to_be_bytes());
    batch[35..43].copy_from_slice(&max_timestamp.0.to_be_bytes());
    let crc = crc32c(&batch[CRC_START..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// The `N` bytes at `at`; callers have checked the length.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

const fn truncated(needed: usize, bytes: &[u8]) -> RecordError {
    RecordError::Truncated { needed, available: bytes.len() }
}

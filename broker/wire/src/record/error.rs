//! What can be wrong with the bytes of a record batch, and with what one is asked to build. Plain data: whoever reads
//! the batch decides whether that is a refusal (Produce) or a fault (disk).

use std::fmt;

use super::Compression;

/// Why bytes are not a sound record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes end before the batch does.
    Truncated {
        /// Bytes the batch needs at least.
        needed: usize,
        /// Bytes there are.
        available: usize,
    },
    /// The length field is too small for the header it must cover.
    BatchLength(i32),
    /// Message format v0 or v1, which Kafka 4 does not take from clients either (KIP-724).
    OldMagic(i8),
    /// A message format that does not exist.
    UnknownMagic(i8),
    /// The checksum does not cover the bytes that are there.
    Crc {
        /// The checksum the header carries.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// Bits 0-2 of the attributes name no codec.
    UnknownCodec(u8),
    /// Base offset, last offset delta or record count are negative or overflow the offset space.
    OffsetRange,
    /// A varint is longer than its type allows.
    Varint,
    /// A record or a field of it does not fit the bytes that hold it.
    RecordLength,
    /// Bytes are left after the last field of a record.
    RecordTrailing,
    /// Bytes are left after the last record of a batch, or after the batch itself.
    BatchTrailing,
    /// The batch holds fewer records than its header counts.
    MissingRecords,
    /// A header key is null.
    NullHeaderKey,
    /// The compressed block does not decode.
    Decompression(Compression),
    /// The decompressed block passes the caller's limit.
    TooLarge {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// A control record has no valid key or value.
    ControlRecord,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, available } => {
                write!(f, "batch needs {needed} bytes, {available} are there")
            }
            Self::BatchLength(length) => write!(f, "batch length {length} is too small"),
            Self::OldMagic(magic) => write!(f, "message format v{magic} is not supported"),
            Self::UnknownMagic(magic) => write!(f, "unknown message format {magic}"),
            Self::Crc { stored, computed } => {
                write!(f, "stored CRC {stored:#010x}, bytes give {computed:#010x}")
            }
            Self::UnknownCodec(codec) => write!(f, "unknown compression codec {codec}"),
            Self::OffsetRange => f.write_str("offsets or record count out of range"),
            Self::Varint => f.write_str("overlong varint"),
            Self::RecordLength => f.write_str("record field passes the end of its bytes"),
            Self::RecordTrailing => f.write_str("bytes left after the last field of a record"),
            Self::BatchTrailing => f.write_str("bytes left after the last record"),
            Self::MissingRecords => f.write_str("fewer records than the batch counts"),
            Self::NullHeaderKey => f.write_str("null header key"),
            Self::Decompression(codec) => write!(f, "{codec} block does not decode"),
            Self::TooLarge { limit_bytes } => {
                write!(f, "decompressed block passes {limit_bytes} bytes")
            }
            Self::ControlRecord => f.write_str("malformed control record"),
        }
    }
}

impl std::error::Error for RecordError {}

/// Why a batch cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A record or the whole batch would pass 2³¹−1 bytes, or 2³¹−1 records.
    TooLarge,
    /// An offset lies before the previous one, before the base offset or 2³¹ past it.
    OffsetOrder,
    /// The codec refused its own input.
    Compression(Compression),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("batch passes 2^31-1 bytes or records"),
            Self::OffsetOrder => f.write_str("offset out of order"),
            Self::Compression(codec) => write!(f, "{codec} compression failed"),
        }
    }
}

impl std::error::Error for BuildError {}

//! One record batch over shared bytes, and the walk over a sequence of them. Holds exactly the bytes of its batch;
//! keeps no state. Produce, fetch, recovery and replication drive it.

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use bytes::{Bytes, BytesMut};

use super::crc::crc32c;
use super::header::{CRC_START, restamp, stamp};
use super::{
    BatchHeader, BuildError, Compression, Compressor, Decompressor, HEADER_BYTES, Payload, RecordError, TimestampType,
};

/// A batch whose header was parsed and whose bytes are all there. Its CRC and records are checked on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// The one batch that `bytes` are.
    ///
    /// # Errors
    /// What is wrong with the header; [`RecordError::Truncated`] or [`RecordError::BatchTrailing`] when `bytes` are
    /// not exactly one batch.
    pub fn parse(bytes: Bytes) -> Result<Self, RecordError> {
        let header = BatchHeader::parse(&bytes)?;
        let needed = size(&header);
        if bytes.len() < needed {
            return Err(RecordError::Truncated { needed, available: bytes.len() });
        }
        if bytes.len() > needed {
            return Err(RecordError::BatchTrailing);
        }
        Ok(Self { header, bytes })
    }

    /// Splits the first batch off the front of `bytes`.
    ///
    /// # Errors
    /// As [`Batch::parse`], but for what may follow; `bytes` are then untouched.
    pub fn split_first(bytes: &mut Bytes) -> Result<Self, RecordError> {
        let header = BatchHeader::parse(bytes)?;
        let needed = size(&header);
        if bytes.len() < needed {
            return Err(RecordError::Truncated { needed, available: bytes.len() });
        }
        let bytes = bytes.split_to(needed);
        Ok(Self { header, bytes })
    }

    /// The parsed header.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes of the batch.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// All bytes of the batch.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What follows the header: the records, as one compressed block when a codec is set.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Checks the CRC.
    ///
    /// # Errors
    /// [`RecordError::Crc`].
    pub fn check_crc(&self) -> Result<(), RecordError> {
        self.header.check_crc(&self.bytes)
    }

    /// The records, decompressed when need be; without a codec they share this batch's bytes. `limit_bytes` bounds
    /// what decompression may yield.
    ///
    /// # Errors
    /// [`RecordError::Decompression`], [`RecordError::TooLarge`], or [`RecordError::BatchTrailing`] when a batch
    /// without records has a body.
    pub fn payload(&self, decompressor: &mut Decompressor, limit_bytes: usize) -> Result<Payload, RecordError> {
        let body = self.bytes.slice(HEADER_BYTES..);
        if self.header.record_count == 0 {
            // Compaction leaves such headers behind, without a body even when a codec is named.
            return if body.is_empty() { Ok(Payload::new(self.header, body)) } else { Err(RecordError::BatchTrailing) };
        }
        let bytes = decompressor.decompress(self.header.compression(), body, limit_bytes)?;
        Ok(Payload::new(self.header, bytes))
    }

    /// This batch at `base_offset` in `leader_epoch`. Works in place when nobody else holds the bytes, on a copy
    /// otherwise.
    #[must_use]
    pub fn stamped(self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        self.edited(|bytes| stamp(bytes, base_offset, leader_epoch))
    }

    /// The header bytes of this batch at `base_offset` in `leader_epoch`, for a writer that puts header and body on
    /// disk in one vectored write.
    #[must_use]
    pub fn stamped_header(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> [u8; HEADER_BYTES] {
        BatchHeader { base_offset, partition_leader_epoch: leader_epoch, ..self.header }.to_bytes()
    }

    /// This batch with another timestamp type and max timestamp, and the CRC that goes with them.
    #[must_use]
    pub fn restamped(self, timestamp_type: TimestampType, max_timestamp: TimestampMs) -> Self {
        let attributes = self.header.attributes;
        if attributes.timestamp_type() == timestamp_type && self.header.max_timestamp == max_timestamp {
            return self;
        }
        self.edited(|bytes| restamp(bytes, timestamp_type, max_timestamp))
    }

    /// This batch with another codec, from its `payload`. The records stay byte for byte, and so does the rest of the
    /// header but for size and CRC.
    ///
    /// # Errors
    /// [`BuildError::Compression`], [`BuildError::TooLarge`].
    pub fn recompressed(
        &self,
        payload: &Payload,
        compression: Compression,
        level: Option<i32>,
        compressor: &mut Compressor,
    ) -> Result<Self, BuildError> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        bytes.resize(HEADER_BYTES, 0);
        compressor.compress(compression, level, payload.bytes(), &mut bytes)?;
        let size = i32::try_from(bytes.len()).map_err(|_| BuildError::TooLarge)?;
        let mut header = BatchHeader {
            size_bytes: size.unsigned_abs(),
            attributes: self.header.attributes.with_compression(compression),
            ..self.header
        };
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        header.crc = crc32c(&bytes[CRC_START..]);
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        let bytes = Bytes::from(bytes);
        Ok(Self { header, bytes })
    }

    fn edited(self, edit: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = self.bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        edit(&mut bytes);
        let bytes = bytes.freeze();
        let header = BatchHeader::parse(&bytes).expect("stamps keep a sound header sound: offsets are real");
        Self { header, bytes }
    }
}

fn size(header: &BatchHeader) -> usize {
    usize::try_from(header.size_bytes).expect("a batch fits the address space")
}

/// What [`batches`] does with an incomplete batch at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// It is left out: fetch answers may be cut anywhere, a log may end in a torn write.
    MayBeCut,
    /// It is an error.
    MustBeWhole,
}

/// The batches that `bytes` consist of, one after another.
#[must_use]
pub fn batches(bytes: &Bytes, tail: Tail) -> Batches {
    Batches { rest: bytes.clone(), tail, failed: false }
}

/// Iterates over concatenated batches; ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    tail: Tail,
    failed: bool,
}

impl Batches {
    /// What has not been walked: after the last batch, the incomplete one at the end.
    #[must_use]
    pub const fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.is_empty() {
            return None;
        }
        match Batch::split_first(&mut self.rest) {
            Ok(batch) => Some(Ok(batch)),
            Err(RecordError::Truncated { .. }) if self.tail == Tail::MayBeCut => {
                self.failed = true;
                None
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

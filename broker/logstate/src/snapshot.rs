//! Producer state as the bytes of a `.snapshot` file, Kafka's ProducerSnapshot version 1:
//!
//! ```text
//! version i16 = 1 · CRC-32C of what follows u32 · count i32 · entries of 46 bytes:
//! producer id i64 · epoch i16 · last sequence i32 · last offset i64 · offset delta i32 · timestamp i64 ·
//! coordinator epoch i32 · first offset of the open transaction i64, or -1
//! ```
//!
//! The format has room for one batch per producer and none for ended transactions. After a restart only the last
//! batch is known as a duplicate, as in Kafka; and a log must be replayed from a snapshot at or below the high
//! watermark, so that a marker above it is folded again and holds the last stable offset back (H16).

use std::fmt;

use barnabas_base::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use barnabas_wire::record::crc32c;

use crate::{BatchMeta, ProducerEntry, ProducerState};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const COVERED_FROM: usize = 6;
const ENTRIES_FROM: usize = 10;
const ENTRY_BYTES: usize = 46;

impl ProducerState {
    /// The bytes of a snapshot at the current offset.
    #[must_use]
    pub fn to_snapshot(&self) -> Vec<u8> {
        let count = i32::try_from(self.len()).expect("the number of producers is bounded");
        let mut bytes = Vec::with_capacity(ENTRIES_FROM + self.len() * ENTRY_BYTES);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&count.to_be_bytes());
        for (producer_id, entry) in self.iter() {
            put_entry(&mut bytes, producer_id, entry);
        }
        let crc = crc32c(&bytes[COVERED_FROM..]);
        bytes[CRC_AT..COVERED_FROM].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads a snapshot that was taken when the log ended at `end_offset`, the offset in the file's name.
    ///
    /// # Errors
    /// [`SnapshotError`]; an older snapshot or the start of the log then has to do.
    pub fn from_snapshot(bytes: &[u8], end_offset: Offset) -> Result<Self, SnapshotError> {
        let header = bytes.first_chunk::<ENTRIES_FROM>().ok_or(SnapshotError::Length)?;
        let version = i16::from_be_bytes([header[0], header[1]]);
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let stored = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
        if stored != crc32c(&bytes[COVERED_FROM..]) {
            return Err(SnapshotError::Crc);
        }
        let count = i32::from_be_bytes([header[6], header[7], header[8], header[9]]);
        let (entries, rest) = bytes[ENTRIES_FROM..].as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || usize::try_from(count) != Ok(entries.len()) {
            return Err(SnapshotError::Length);
        }
        let mut state = Self::new();
        for entry in entries {
            let (producer_id, entry) = parse_entry(entry, end_offset)?;
            if !state.restore(producer_id, entry) {
                return Err(SnapshotError::Entry);
            }
        }
        Ok(state)
    }
}

fn put_entry(out: &mut Vec<u8>, producer_id: ProducerId, entry: &ProducerEntry) {
    let last = entry.last_batch();
    let last_offset = last.map_or(Offset::UNKNOWN, |batch| batch.last_offset);
    let offset_delta = last.map_or(0, |batch| batch.offset_delta);
    let txn = entry.current_txn_first_offset().unwrap_or(Offset::UNKNOWN);
    out.extend_from_slice(&producer_id.0.to_be_bytes());
    out.extend_from_slice(&entry.epoch().0.to_be_bytes());
    out.extend_from_slice(&entry.last_sequence().0.to_be_bytes());
    out.extend_from_slice(&last_offset.0.to_be_bytes());
    out.extend_from_slice(&offset_delta.to_be_bytes());
    out.extend_from_slice(&entry.last_timestamp().0.to_be_bytes());
    out.extend_from_slice(&entry.coordinator_epoch().to_be_bytes());
    out.extend_from_slice(&txn.0.to_be_bytes());
}

fn parse_entry(bytes: &[u8; ENTRY_BYTES], end_offset: Offset) -> Result<(ProducerId, ProducerEntry), SnapshotError> {
    let producer_id = ProducerId(i64::from_be_bytes(field(bytes, 0)));
    let epoch = ProducerEpoch(i16::from_be_bytes(field(bytes, 8)));
    let last_sequence = Sequence(i32::from_be_bytes(field(bytes, 10)));
    let last_offset = Offset(i64::from_be_bytes(field(bytes, 14)));
    let offset_delta = i32::from_be_bytes(field(bytes, 22));
    let timestamp = TimestampMs(i64::from_be_bytes(field(bytes, 26)));
    let coordinator_epoch = i32::from_be_bytes(field(bytes, 34));
    let txn_first_offset = Offset(i64::from_be_bytes(field(bytes, 38)));
    if last_offset >= end_offset || txn_first_offset >= end_offset {
        return Err(SnapshotError::Entry);
    }
    if producer_id.0 < 0 || offset_delta < 0 || i64::from(offset_delta) > last_offset.0.max(0) {
        return Err(SnapshotError::Entry);
    }
    let last_batch = (last_offset.0 >= 0).then_some(BatchMeta { last_sequence, last_offset, offset_delta, timestamp });
    let txn_first_offset = (txn_first_offset.0 >= 0).then_some(txn_first_offset);
    let entry = ProducerEntry::restored(epoch, coordinator_epoch, timestamp, txn_first_offset, last_batch, end_offset);
    Ok((producer_id, entry))
}

fn field<const N: usize>(bytes: &[u8; ENTRY_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes is an array of N bytes")
}

/// Why bytes are not a producer snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// The length does not fit the number of entries.
    Length,
    /// Another version than 1.
    Version(i16),
    /// The checksum does not match.
    Crc,
    /// An entry with impossible fields or offsets past the snapshot's own, or a producer or transaction that is there twice.
    Entry,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("producer snapshot has the wrong length"),
            Self::Version(version) => write!(f, "producer snapshot version {version}"),
            Self::Crc => f.write_str("producer snapshot checksum mismatch"),
            Self::Entry => f.write_str("producer snapshot with an impossible entry"),
        }
    }
}

impl std::error::Error for SnapshotError {}

#[cfg(test)]
#[path = "snapshot_test.rs"]
mod tests;

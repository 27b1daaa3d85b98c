//! Snapshots of the metadata log (KIP-630): `<end offset>-<epoch>.checkpoint`, and `bootstrap.checkpoint`.
//!
//! A snapshot is batches in a row: a control batch with header, version and voters, batches of records, a control batch
//! with the footer. Offsets in it begin at 0 and mean nothing. Without its footer it is not whole.

use std::fmt;

use barnabas_base::{LeaderEpoch, Offset, TimestampMs};
use barnabas_wire::Message;
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::control::{SnapshotFooterRecord, SnapshotHeaderRecord};
use barnabas_wire::record::{
    Batch, BatchBuilder, BatchOptions, ControlType, Decompressor, RecordError, Tail, batches, control_type,
};
use bytes::{Bytes, BytesMut};

use super::{
    CONTROL_RECORD_VERSION, DecodeBatchError, DecodedBatch, Quorum, append, append_control, append_voters,
    control_builder, decode_batch, finish,
};

/// Bytes after which a batch of a snapshot ends and the next one begins.
const SNAPSHOT_BATCH_BYTES: usize = 1024 * 1024;

/// Suffix of snapshots.
const SUFFIX: &str = ".checkpoint";
const OFFSET_DIGITS: usize = 20;
const EPOCH_DIGITS: usize = 10;

/// Which part of the log a snapshot stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// Offset after the last record it contains.
    pub end_offset: Offset,
    /// Epoch of that record.
    pub epoch: LeaderEpoch,
}

/// The content of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its records.
    pub records: Vec<MetadataRecord>,
    /// Timestamp of the last record of the log that it contains.
    pub last_timestamp: TimestampMs,
}

/// A snapshot that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// A batch in it is damaged.
    Batch(RecordError),
    /// A record in it is not known.
    Record(DecodeBatchError),
    /// It does not begin with a header.
    NoHeader,
    /// It does not end with a footer: the rest is missing.
    NoFooter,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::NoHeader => f.write_str("the snapshot does not begin with a header"),
            Self::NoFooter => f.write_str("the snapshot does not end with a footer"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// Name of a snapshot's file.
#[must_use]
pub fn snapshot_name(id: SnapshotId) -> String {
    format!("{:020}-{:010}{SUFFIX}", id.end_offset.0, id.epoch.0)
}

/// The snapshot that a file holds, by the file's name; `None` when it is none, or one that is not whole or on its way
/// out.
#[must_use]
pub fn parse_snapshot_name(name: &str) -> Option<SnapshotId> {
    let (offset, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let number = |text: &str, digits: usize| {
        let is_plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse::<i64>().ok()).flatten()
    };
    let end_offset = Offset(number(offset, OFFSET_DIGITS)?);
    let epoch = LeaderEpoch(i32::try_from(number(epoch, EPOCH_DIGITS)?).ok()?);
    Some(SnapshotId { end_offset, epoch })
}

/// The bytes of a snapshot that stands for the log up to `id`, whose last record is dated `last_timestamp`.
#[must_use]
pub fn encode_snapshot(
    id: SnapshotId,
    last_timestamp: TimestampMs,
    quorum: &Quorum,
    records: impl Iterator<Item = MetadataRecord>,
    now: TimestampMs,
) -> Bytes {
    encode(id.epoch, last_timestamp, Some(quorum), records, now)
}

/// The bytes of `bootstrap.checkpoint`: the records with which Kafka begins a metadata log that is empty.
#[must_use]
pub fn encode_bootstrap(records: impl Iterator<Item = MetadataRecord>, now: TimestampMs) -> Bytes {
    encode(LeaderEpoch(0), now, None, records, now)
}

/// Header, voters if the file names them, records, footer.
fn encode(
    epoch: LeaderEpoch,
    last_timestamp: TimestampMs,
    quorum: Option<&Quorum>,
    records: impl Iterator<Item = MetadataRecord>,
    now: TimestampMs,
) -> Bytes {
    let mut writer = Writer::new(epoch, now);
    let header =
        SnapshotHeaderRecord { version: CONTROL_RECORD_VERSION, last_contained_log_timestamp: last_timestamp.0 };
    let mut head = control_builder();
    append_control(&mut head, now, ControlType::SnapshotHeader, &header);
    if let Some(quorum) = quorum {
        append_voters(&mut head, now, quorum);
    }
    writer.add(head);
    writer.records(records);
    let mut foot = control_builder();
    let footer = SnapshotFooterRecord { version: CONTROL_RECORD_VERSION };
    append_control(&mut foot, now, ControlType::SnapshotFooter, &footer);
    writer.add(foot);
    writer.bytes.freeze()
}

/// Reads a snapshot, and `bootstrap.checkpoint` too.
///
/// # Errors
/// It is damaged, not whole, or holds what is not known.
pub fn decode_snapshot(bytes: &Bytes) -> Result<Snapshot, SnapshotError> {
    let mut decompressor = Decompressor::new();
    let (mut records, mut header, mut has_footer) = (Vec::new(), None, false);
    for batch in batches(bytes, Tail::MustBeWhole) {
        let batch = batch.map_err(SnapshotError::Batch)?;
        batch.check_crc().map_err(SnapshotError::Batch)?;
        if has_footer {
            return Err(SnapshotError::NoFooter);
        }
        match decode_batch(&batch, &mut decompressor).map_err(SnapshotError::Record)? {
            DecodedBatch::Records(_) if header.is_none() => return Err(SnapshotError::NoHeader),
            DecodedBatch::Records(more) => records.extend(more),
            DecodedBatch::Control => {
                let (head, foot) = ends(&batch, &mut decompressor)?;
                header = header.or(head);
                has_footer = foot;
            }
        }
    }
    let header = header.ok_or(SnapshotError::NoHeader)?;
    if !has_footer {
        return Err(SnapshotError::NoFooter);
    }
    Ok(Snapshot { records, last_timestamp: TimestampMs(header.last_contained_log_timestamp) })
}

/// The header in a control batch, and whether a footer is in it.
fn ends(batch: &Batch, decompressor: &mut Decompressor) -> Result<(Option<SnapshotHeaderRecord>, bool), SnapshotError> {
    let payload = batch.payload(decompressor, super::BATCH_BYTES_MAX).map_err(SnapshotError::Batch)?;
    let (mut header, mut has_footer) = (None, false);
    for record in payload.records() {
        let record = record.map_err(SnapshotError::Batch)?;
        match control_type(&record).map_err(SnapshotError::Batch)? {
            ControlType::SnapshotHeader => {
                let value = record.value.ok_or(SnapshotError::NoHeader)?;
                let decoded = SnapshotHeaderRecord::from_bytes(CONTROL_RECORD_VERSION, payload.share(value));
                header = Some(decoded.map_err(|error| SnapshotError::Record(DecodeBatchError::Record(error)))?);
            }
            ControlType::SnapshotFooter => has_footer = true,
            ControlType::Abort
            | ControlType::Commit
            | ControlType::LeaderChange
            | ControlType::KRaftVersion
            | ControlType::KRaftVoters
            | ControlType::Unknown(_) => {}
        }
    }
    Ok((header, has_footer))
}

/// Strings batches together, with offsets from 0.
struct Writer {
    bytes: BytesMut,
    next_offset: Offset,
    epoch: LeaderEpoch,
    now: TimestampMs,
}

impl Writer {
    fn new(epoch: LeaderEpoch, now: TimestampMs) -> Self {
        Self { bytes: BytesMut::new(), next_offset: Offset::ZERO, epoch, now }
    }

    fn records(&mut self, records: impl Iterator<Item = MetadataRecord>) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for record in records {
            let value = record.to_bytes().expect("records of an image have a byte form in the version written");
            append(&mut builder, self.now, &value);
            if builder.plain_bytes() >= SNAPSHOT_BATCH_BYTES {
                self.add(std::mem::replace(&mut builder, BatchBuilder::new(BatchOptions::default())));
            }
        }
        if !builder.is_empty() {
            self.add(builder);
        }
    }

    fn add(&mut self, builder: BatchBuilder) {
        let count = i64::from(builder.record_count());
        let batch = Batch::parse(finish(builder)).expect("a fresh batch parses");
        self.bytes.extend_from_slice(batch.stamped(self.next_offset, self.epoch).bytes());
        self.next_offset = self.next_offset.plus(count);
    }
}

#[cfg(test)]
mod tests {
    use barnabas_base::{BrokerId, DirectoryId, Uuid};
    use barnabas_wire::internal::metadata_schema::TopicRecord;

    use super::*;

    const ID: SnapshotId = SnapshotId { end_offset: Offset(1_234), epoch: LeaderEpoch(5) };

    fn snapshot(topics: u16) -> (Vec<MetadataRecord>, Bytes) {
        let record = |number: u16| {
            let mut id = [1; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            MetadataRecord::from(TopicRecord { name: format!("{number:0200}"), topic_id: Uuid(id) })
        };
        let records: Vec<_> = (0..topics).map(record).collect();
        let quorum = Quorum {
            voter: BrokerId(1),
            directory: DirectoryId(Uuid([5; 16])),
            endpoint: ("CONTROLLER".to_owned(), "localhost".to_owned(), 9093),
        };
        let bytes = encode_snapshot(ID, TimestampMs(77), &quorum, records.iter().cloned(), TimestampMs(99));
        (records, bytes)
    }

    #[test]
    fn names() {
        assert_eq!(snapshot_name(ID), "00000000000000001234-0000000005.checkpoint");
        assert_eq!(parse_snapshot_name(&snapshot_name(ID)), Some(ID));
        for other in [
            "bootstrap.checkpoint",
            "00000000000000001234-0000000005.checkpoint.deleted",
            "00000000000000001234-0000000005-123.checkpoint.part",
            "1-2.checkpoint",
            "99999999999999999999-0000000005.checkpoint",
            "00000000000000001234.log",
        ] {
            assert_eq!(parse_snapshot_name(other), None, "{other}");
        }
    }

    #[test]
    fn it_comes_back_in_several_batches() {
        let (records, bytes) = snapshot(12_000);
        let read: Vec<_> = batches(&bytes, Tail::MustBeWhole).map(|batch| *batch.expect("intact").header()).collect();
        assert!(read.len() > 4, "more than header, one batch and footer");
        let mut expected = Offset::ZERO;
        for header in read {
            assert_eq!(header.base_offset, expected);
            assert_eq!(header.partition_leader_epoch, ID.epoch);
            expected = header.end_offset();
        }
        assert_eq!(decode_snapshot(&bytes), Ok(Snapshot { records, last_timestamp: TimestampMs(77) }));
    }

    #[test]
    fn bootstrap_comes_back() {
        let (records, _) = snapshot(2);
        let bytes = encode_bootstrap(records.iter().cloned(), TimestampMs(99));
        assert_eq!(decode_snapshot(&bytes).map(|snapshot| snapshot.records), Ok(records));
    }

    #[test]
    fn a_part_is_not_taken_for_the_whole() {
        let (_, bytes) = snapshot(3);
        for len in 0..bytes.len() {
            assert!(decode_snapshot(&bytes.slice(..len)).is_err(), "{len} of {} bytes", bytes.len());
        }
        let mut damaged = bytes.to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        assert!(decode_snapshot(&Bytes::from(damaged)).is_err());
    }
}

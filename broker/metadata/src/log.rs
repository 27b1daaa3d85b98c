//! The bytes of the metadata log: batches of records, control batches of the quorum, snapshots, the vote file.
//!
//! Byte for byte Kafka's, so that its dump tool and its brokers read them. Bytes only: files, offsets and epochs are the
//! business of the node, which drives it.

mod quorum_state;
mod snapshot;

use std::fmt;

use barnabas_base::{BrokerId, DirectoryId, TimestampMs, Uuid};
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::control::{
    Endpoint, KRaftVersionFeature, KRaftVersionRecord, LeaderChangeMessage, LeaderChangeVoter, Voter, VotersRecord,
};
use barnabas_wire::record::{Batch, BatchBuilder, BatchOptions, Compressor, ControlType, Decompressor, RecordError};
use barnabas_wire::{DecodeError, Message};
use bytes::Bytes;

use crate::controller::KRAFT_VERSION;

pub use crate::controller::CLUSTER_METADATA_TOPIC as METADATA_TOPIC;
pub use quorum_state::{QuorumState, format_quorum_state, parse_quorum_state};
pub use snapshot::{
    Snapshot, SnapshotError, SnapshotId, decode_snapshot, encode_bootstrap, encode_snapshot, parse_snapshot_name,
    snapshot_name,
};

/// Most bytes one batch of the metadata log may yield (Kafka's `KafkaRaftClient.MAX_BATCH_SIZE_BYTES`).
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Version in which all control records of the quorum are written and read (`ControlRecordUtils`).
const CONTROL_RECORD_VERSION: i16 = 0;

/// The quorum: one voter, which is this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Its id.
    pub voter: BrokerId,
    /// The directory of its metadata log.
    pub directory: DirectoryId,
    /// Name, host and port of its controller listener.
    pub endpoint: (String, String, u16),
}

/// What a batch of the metadata log holds.
#[derive(Clone, Debug, PartialEq)]
pub enum DecodedBatch {
    /// Metadata records.
    Records(Vec<MetadataRecord>),
    /// Control records of the quorum, which the image does not see.
    Control,
}

/// A batch of the metadata log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeBatchError {
    /// The batch itself is damaged.
    Batch(RecordError),
    /// A record in it is none of Kafka's, or of a version that is not known.
    Record(DecodeError),
    /// A record has no value.
    NoValue,
}

impl fmt::Display for DecodeBatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::NoValue => f.write_str("a metadata record has no value"),
        }
    }
}

impl std::error::Error for DecodeBatchError {}

/// One batch of `records`, dated `now`. Offsets begin at 0; the log stamps its own.
///
/// # Panics
/// There are no records, or more than a batch may hold; a decision has at most
/// [`RECORDS_PER_DECISION_MAX`](crate::controller::RECORDS_PER_DECISION_MAX).
#[must_use]
pub fn encode_batch(records: &[MetadataRecord], now: TimestampMs) -> Bytes {
    assert!(!records.is_empty(), "a batch of the metadata log has records");
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for record in records {
        let value = record.to_bytes().expect("decided records have a byte form in the version that is written");
        append(&mut builder, now, &value);
    }
    finish(builder)
}

/// What `batch` holds.
///
/// # Errors
/// The batch is damaged, or holds records that are not known.
pub fn decode_batch(batch: &Batch, decompressor: &mut Decompressor) -> Result<DecodedBatch, DecodeBatchError> {
    if batch.header().attributes.is_control() {
        return Ok(DecodedBatch::Control);
    }
    let payload = batch.payload(decompressor, BATCH_BYTES_MAX).map_err(DecodeBatchError::Batch)?;
    let mut records = Vec::new();
    for record in payload.records() {
        let record = record.map_err(DecodeBatchError::Batch)?;
        let value = record.value.ok_or(DecodeBatchError::NoValue)?;
        let (record, _) = MetadataRecord::from_bytes(payload.share(value)).map_err(DecodeBatchError::Record)?;
        records.push(record);
    }
    Ok(DecodedBatch::Records(records))
}

/// The control batch with which a leader begins its epoch. In a log that is quite new it also says who votes (KIP-853).
#[must_use]
pub fn leader_change_batch(quorum: &Quorum, is_first: bool, now: TimestampMs) -> Bytes {
    let voter = LeaderChangeVoter { voter_id: quorum.voter.0, voter_directory_id: Uuid::ZERO };
    let change = LeaderChangeMessage {
        version: CONTROL_RECORD_VERSION,
        leader_id: quorum.voter.0,
        voters: vec![voter],
        granting_voters: vec![voter],
    };
    let mut builder = control_builder();
    append_control(&mut builder, now, ControlType::LeaderChange, &change);
    if is_first {
        append_voters(&mut builder, now, quorum);
    }
    finish(builder)
}

fn append_voters(builder: &mut BatchBuilder, now: TimestampMs, quorum: &Quorum) {
    let version = KRaftVersionRecord { version: CONTROL_RECORD_VERSION, kraft_version: KRAFT_VERSION };
    append_control(builder, now, ControlType::KRaftVersion, &version);
    let (name, host, port) = quorum.endpoint.clone();
    let voters = VotersRecord {
        version: CONTROL_RECORD_VERSION,
        voters: vec![Voter {
            voter_id: quorum.voter.0,
            voter_directory_id: quorum.directory.0,
            endpoints: vec![Endpoint { name, host, port }],
            kraft_version_feature: KRaftVersionFeature {
                min_supported_version: 0,
                max_supported_version: KRAFT_VERSION,
            },
        }],
    };
    append_control(builder, now, ControlType::KRaftVoters, &voters);
}

fn control_builder() -> BatchBuilder {
    BatchBuilder::new(BatchOptions { is_control: true, ..BatchOptions::default() })
}

fn append_control(builder: &mut BatchBuilder, now: TimestampMs, kind: ControlType, record: &impl Message) {
    let value = record.to_bytes(CONTROL_RECORD_VERSION).expect("control records have a byte form in version 0");
    builder.append_control(now, kind, &value).expect("a control batch is small");
}

fn append(builder: &mut BatchBuilder, now: TimestampMs, value: &[u8]) {
    builder.append(now, None, Some(value), std::iter::empty()).expect("batches of metadata are bounded");
}

fn finish(builder: BatchBuilder) -> Bytes {
    builder.build(&mut Compressor::new()).expect("a batch without compression builds")
}

#[cfg(test)]
mod tests {
    use barnabas_wire::internal::metadata_schema::{NoOpRecord, TopicRecord};

    use super::*;

    fn decode(bytes: Bytes) -> DecodedBatch {
        let batch = Batch::parse(bytes).expect("a whole batch");
        batch.check_crc().expect("a fresh batch is intact");
        decode_batch(&batch, &mut Decompressor::new()).expect("what is written is read")
    }

    #[test]
    fn records_come_back() {
        let topic = TopicRecord { name: "t".to_owned(), topic_id: Uuid([3; 16]) };
        let records: Vec<MetadataRecord> = vec![topic.into(), NoOpRecord {}.into()];
        assert_eq!(decode(encode_batch(&records, TimestampMs(7))), DecodedBatch::Records(records));
    }

    #[test]
    fn control_batches_are_told_apart() {
        let quorum = Quorum {
            voter: BrokerId(1),
            directory: DirectoryId(Uuid([5; 16])),
            endpoint: ("CONTROLLER".to_owned(), "localhost".to_owned(), 9093),
        };
        for is_first in [false, true] {
            let bytes = leader_change_batch(&quorum, is_first, TimestampMs(7));
            let batch = Batch::parse(bytes.clone()).expect("a whole batch");
            assert_eq!(batch.header().record_count, if is_first { 3 } else { 1 });
            assert_eq!(decode(bytes), DecodedBatch::Control);
        }
    }

    #[test]
    fn foreign_records_are_an_error() {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        append(&mut builder, TimestampMs(0), &[9, 9, 9]);
        let batch = Batch::parse(finish(builder)).expect("a whole batch");
        let error = decode_batch(&batch, &mut Decompressor::new()).expect_err("no such frame");
        assert!(matches!(error, DecodeBatchError::Record(_)));
    }
}

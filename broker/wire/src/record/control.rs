//! Control records: what a batch with the control bit holds. Keys and the transaction markers only; the values of the
//! quorum's control records are messages with schemas of their own. Coordinators, the quorum and log folds drive it.

use barnabas_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use bytes::Bytes;

use super::builder::{BatchBuilder, BatchOptions, ProducerFields};
use super::{BuildError, Compression, Compressor, Record, RecordError};

/// Version of the control record key and of the marker value.
const VERSION: i16 = 0;
const KEY_BYTES: usize = 4;
const MARKER_VALUE_BYTES: usize = 6;

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControlType {
    /// The producer's transaction on this partition was aborted.
    Abort,
    /// It was committed.
    Commit,
    /// A leader of the metadata quorum begins its epoch.
    LeaderChange,
    /// First record of a metadata snapshot.
    SnapshotHeader,
    /// Last record of a metadata snapshot.
    SnapshotFooter,
    /// The version of the quorum's protocol (KIP-853).
    KRaftVersion,
    /// The voters of the quorum (KIP-853).
    KRaftVoters,
    /// A type of a later version; readers skip it.
    Unknown(i16),
}

impl ControlType {
    /// The type in the record's key.
    #[must_use]
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// The type of `id`.
    #[must_use]
    pub const fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            id => Self::Unknown(id),
        }
    }

    /// The key of a control record of this type.
    #[must_use]
    pub fn key(self) -> [u8; KEY_BYTES] {
        let [a, b] = VERSION.to_be_bytes();
        let [c, d] = self.id().to_be_bytes();
        [a, b, c, d]
    }
}

/// The type that the key of a control record names. Later key versions may be longer but begin alike.
///
/// # Errors
/// [`RecordError::ControlRecord`] when the key is missing, short or has a negative version.
pub fn control_type(record: &Record<'_>) -> Result<ControlType, RecordError> {
    let key = record.key.ok_or(RecordError::ControlRecord)?;
    let key = key.first_chunk::<KEY_BYTES>().ok_or(RecordError::ControlRecord)?;
    if i16::from_be_bytes([key[0], key[1]]) < 0 {
        return Err(RecordError::ControlRecord);
    }
    Ok(ControlType::from_id(i16::from_be_bytes([key[2], key[3]])))
}

/// The end of a transaction on one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Committed, or else aborted.
    pub is_commit: bool,
    /// Epoch of the coordinator that decided; an older one is fenced.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Reads a marker; none when the record is another kind of control record.
    ///
    /// # Errors
    /// [`RecordError::ControlRecord`] when key or value are malformed.
    pub fn parse(record: &Record<'_>) -> Result<Option<Self>, RecordError> {
        let is_commit = match control_type(record)? {
            ControlType::Abort => false,
            ControlType::Commit => true,
            ControlType::LeaderChange
            | ControlType::SnapshotHeader
            | ControlType::SnapshotFooter
            | ControlType::KRaftVersion
            | ControlType::KRaftVoters
            | ControlType::Unknown(_) => return Ok(None),
        };
        let value = record.value.ok_or(RecordError::ControlRecord)?;
        let value = value.first_chunk::<MARKER_VALUE_BYTES>().ok_or(RecordError::ControlRecord)?;
        if i16::from_be_bytes([value[0], value[1]]) < 0 {
            return Err(RecordError::ControlRecord);
        }
        Ok(Some(Self { is_commit, coordinator_epoch: i32::from_be_bytes([value[2], value[3], value[4], value[5]]) }))
    }

    /// The kind of control record this is.
    #[must_use]
    pub const fn control_type(self) -> ControlType {
        if self.is_commit { ControlType::Commit } else { ControlType::Abort }
    }

    /// The value of the control record.
    #[must_use]
    pub fn value(self) -> [u8; MARKER_VALUE_BYTES] {
        let mut value = [0; MARKER_VALUE_BYTES];
        value[..2].copy_from_slice(&VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        value
    }
}

/// A batch with one transaction marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerBatch {
    /// The transactional producer.
    pub producer_id: ProducerId,
    /// Its epoch; in transactions v2 already the bumped one (KIP-890).
    pub producer_epoch: ProducerEpoch,
    /// What is said.
    pub marker: EndTxnMarker,
    /// When.
    pub timestamp: TimestampMs,
    /// Where it is appended.
    pub base_offset: Offset,
    /// By whom.
    pub leader_epoch: LeaderEpoch,
}

impl MarkerBatch {
    /// The bytes of the batch: transactional, control, uncompressed, no sequence.
    ///
    /// # Errors
    /// None in practice; the signature is that of every builder.
    pub fn build(&self) -> Result<Bytes, BuildError> {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: Compression::None,
            base_offset: self.base_offset,
            leader_epoch: self.leader_epoch,
            producer: Some(ProducerFields {
                id: self.producer_id,
                epoch: self.producer_epoch,
                base_sequence: Sequence::NONE,
            }),
            is_transactional: true,
            is_control: true,
            ..BatchOptions::default()
        });
        builder.append_control(self.timestamp, self.marker.control_type(), &self.marker.value())?;
        builder.build(&mut Compressor::new())
    }
}

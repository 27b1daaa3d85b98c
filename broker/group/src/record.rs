//! The records of `__consumer_offsets` that classic groups and commits consist of: typed, and as Kafka 4.3 writes them.
//!
//! Keys carry their kind as an `i16` in front (1 offset commit, 2 group metadata), values their version: 4 for an
//! offset with its topic id, 1 when it carries an expiry of its own, 3 for group metadata. All older versions are read.
//! Driven by the fold and by whoever prints the log.

use std::fmt;

use barnabas_base::{Offset, TimestampMs};
use barnabas_wire::internal::offsets_schema::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use barnabas_wire::internal::{OffsetsKey, OffsetsValue};
use barnabas_wire::{DecodeError, Message};
use bytes::{Buf, Bytes};

use crate::fold::CommittedOffset;
use crate::id::{GroupId, TopicName};

/// Kind of an offset commit key written by Kafka before 0.9; same fields, read only.
const KIND_LEGACY_OFFSET: i16 = 0;
const KIND_OFFSET: i16 = 1;
const KIND_GROUP: i16 = 2;
/// Kinds that show that a group id belongs to another protocol: consumer (KIP-848), share (KIP-932) and streams
/// (KIP-1071) group metadata.
const KINDS_OF_OTHER_PROTOCOLS: [i16; 3] = [3, 11, 17];

const KEY_VERSION: i16 = 0;

/// What a tombstone takes beside its names: the rest of the key, and the frame of a record with varints of three bytes.
const TOMBSTONE_FIXED_BYTES: usize = 32;

/// What a committed offset takes beside its names and its metadata: a tombstone's share, and a value with both times.
pub(crate) const OFFSET_FIXED_BYTES: usize = TOMBSTONE_FIXED_BYTES + 64;

/// One record. `None` values are tombstones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A committed offset.
    Offset {
        /// The group.
        group: GroupId,
        /// The topic.
        topic: TopicName,
        /// The partition of the topic.
        partition: i32,
        /// What was committed.
        value: Option<CommittedOffset>,
    },
    /// A classic group as its last generation left it.
    Group {
        /// The group.
        group: GroupId,
        /// Members, generation, protocol.
        value: Option<Box<GroupMetadataValue>>,
    },
    /// Metadata of a group of another protocol: the classic protocol must leave its id alone.
    OtherProtocol {
        /// The group.
        group: GroupId,
        /// Whether the group exists, that is, the record is no tombstone.
        exists: bool,
    },
    /// A record of another protocol that does not name a new group.
    Ignored,
}

/// A record of a known kind that does not read. The load fails with it, as in Kafka (`CoordinatorLoaderImpl`): without it
/// an older record of its key would be served. Kinds that are not known are no error, see [`Replayed::PassedOver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayError {
    /// Where it stands.
    pub offset: Offset,
    /// Why it cannot be read.
    pub reason: DecodeError,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record at offset {}: {}", self.offset, self.reason)
    }
}

impl std::error::Error for ReplayError {}

/// What a record of the log did that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is part of what is known.
    Applied,
    /// It is of a kind that the classic protocol has no use for, or of one that a newer Kafka may have left.
    PassedOver,
}

impl Record {
    /// Kafka's bytes: key and value.
    ///
    /// # Panics
    /// On a record of another protocol, which this coordinator never writes.
    #[must_use]
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Offset { group, topic, partition, value } => {
                let key = OffsetCommitKey { group: group.into(), topic: topic.into(), partition: *partition };
                (key_bytes(key), value.as_ref().map(encode_offset))
            }
            Self::Group { group, value } => {
                let key = GroupMetadataKey { group: group.into() };
                let value = value.as_deref().map(|value| value_bytes(value.clone()));
                (key_bytes(key), value)
            }
            Self::OtherProtocol { .. } | Self::Ignored => panic!("only records of the classic protocol are written"),
        }
    }

    /// Whether it deletes.
    pub(crate) const fn is_tombstone(&self) -> bool {
        matches!(self, Self::Offset { value: None, .. } | Self::Group { value: None, .. })
    }

    /// What a tombstone takes in a batch, a little more rather than less.
    pub(crate) fn tombstone_bytes(&self) -> usize {
        let names_bytes = match self {
            Self::Offset { group, topic, .. } => group.as_str().len() + topic.as_str().len(),
            Self::Group { group, .. } | Self::OtherProtocol { group, .. } => group.as_str().len(),
            Self::Ignored => 0,
        };
        TOMBSTONE_FIXED_BYTES + names_bytes
    }

    /// Reads Kafka's bytes.
    pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<Self, DecodeError> {
        let (kind, key) = split_prefix(key)?;
        match kind {
            KIND_LEGACY_OFFSET | KIND_OFFSET => {
                let OffsetCommitKey { group, topic, partition } = Message::from_bytes(KEY_VERSION, key)?;
                let value = value.map(decode_offset).transpose()?;
                Ok(Self::Offset { group: group.into(), topic: topic.into(), partition, value })
            }
            KIND_GROUP => {
                let GroupMetadataKey { group } = Message::from_bytes(KEY_VERSION, key)?;
                let value = value.map(decode_group).transpose()?;
                Ok(Self::Group { group: group.into(), value })
            }
            kind if KINDS_OF_OTHER_PROTOCOLS.contains(&kind) => {
                let GroupMetadataKey { group } = Message::from_bytes(KEY_VERSION, key)?;
                Ok(Self::OtherProtocol { group: group.into(), exists: value.is_some() })
            }
            _ => Ok(Self::Ignored),
        }
    }
}

/// Reads records one after the other. A commit of many partitions repeats all of its key but the partition, and a log
/// that loads consists of such commits: what is the same is not read again.
#[derive(Debug, Default)]
pub(crate) struct RecordReader {
    /// The key of the last offset up to its partition, and what it says.
    last: Option<(Box<[u8]>, GroupId, TopicName)>,
}

impl RecordReader {
    pub(crate) fn read(&mut self, key: Bytes, value: Option<Bytes>) -> Result<Record, DecodeError> {
        let split = key.split_last_chunk();
        if let Some((head, partition)) = split
            && let Some((last, group, topic)) = &self.last
            && head == &**last
        {
            let value = value.map(decode_offset).transpose()?;
            let (group, topic, partition) = (group.clone(), topic.clone(), i32::from_be_bytes(*partition));
            return Ok(Record::Offset { group, topic, partition, value });
        }
        let record = Record::decode(key.clone(), value)?;
        if let Record::Offset { group, topic, .. } = &record {
            let (head, _) = key.split_last_chunk::<4>().expect("the key of an offset ends in its partition");
            self.last = Some((head.into(), group.clone(), topic.clone()));
        }
        Ok(record)
    }
}

fn encode_offset(value: &CommittedOffset) -> Bytes {
    let body = OffsetCommitValue {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.to_string(),
        commit_timestamp: value.committed_at.0,
        expire_timestamp: value.expire_at.unwrap_or(TimestampMs::NONE).0,
        topic_id: value.topic_id,
    };
    value_bytes(body)
}

fn decode_offset(bytes: Bytes) -> Result<CommittedOffset, DecodeError> {
    let (version, body) = split_prefix(bytes)?;
    let value: OffsetCommitValue = Message::from_bytes(version, body)?;
    Ok(CommittedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.into(),
        committed_at: TimestampMs(value.commit_timestamp),
        expire_at: (value.expire_timestamp != -1).then_some(TimestampMs(value.expire_timestamp)),
        topic_id: value.topic_id,
    })
}

fn decode_group(bytes: Bytes) -> Result<Box<GroupMetadataValue>, DecodeError> {
    let (version, body) = split_prefix(bytes)?;
    Message::from_bytes(version, body).map(Box::new)
}

fn key_bytes(key: impl Into<OffsetsKey>) -> Bytes {
    key.into().to_bytes().expect("names that arrived in a request fit a record")
}

fn value_bytes(value: impl Into<OffsetsValue>) -> Bytes {
    value.into().to_bytes().expect("strings and arrays that arrived in a request fit a record")
}

fn split_prefix(mut bytes: Bytes) -> Result<(i16, Bytes), DecodeError> {
    if bytes.len() < 2 {
        return Err(DecodeError::Truncated { needed: 2, left: bytes.len() });
    }
    let prefix = bytes.get_i16();
    Ok((prefix, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_record(value: Option<CommittedOffset>) -> Record {
        Record::Offset { group: "g".into(), topic: "t".into(), partition: 3, value }
    }

    fn committed(expire_at: Option<TimestampMs>) -> CommittedOffset {
        CommittedOffset {
            offset: 42,
            leader_epoch: if expire_at.is_some() { -1 } else { 7 },
            metadata: "m".into(),
            committed_at: TimestampMs(1_000),
            expire_at,
            topic_id: barnabas_base::Uuid::ZERO,
        }
    }

    #[test]
    fn offset_bytes_are_kafkas() {
        let (key, value) = offset_record(Some(committed(None))).encode();
        assert_eq!(&key[..], b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x03");
        let expected: &[u8] = b"\x00\x04\0\0\0\0\0\0\0\x2a\0\0\0\x07\x02m\0\0\0\0\0\0\x03\xe8\x00";
        assert_eq!(value.as_deref(), Some(expected));
    }

    #[test]
    fn an_offset_with_its_own_expiry_is_version_1() {
        let (_, value) = offset_record(Some(committed(Some(TimestampMs(2_000))))).encode();
        let expected: &[u8] = b"\x00\x01\0\0\0\0\0\0\0\x2a\x00\x01m\0\0\0\0\0\0\x03\xe8\0\0\0\0\0\0\x07\xd0";
        assert_eq!(value.as_deref(), Some(expected));
    }

    #[test]
    fn records_come_back_as_they_were() {
        let group = GroupMetadataValue { generation: 5, protocol: None, leader: None, ..Default::default() };
        let records = [
            offset_record(None),
            offset_record(Some(committed(None))),
            offset_record(Some(committed(Some(TimestampMs(9))))),
            Record::Group { group: "g".into(), value: Some(Box::new(group)) },
            Record::Group { group: "g".into(), value: None },
        ];
        for record in records {
            let (key, value) = record.encode();
            assert_eq!(Record::decode(key, value), Ok(record));
        }
    }

    #[test]
    fn a_reader_gives_what_decoding_gives() {
        let named = |group: &str, topic: &str, partition: i32| Record::Offset {
            group: group.into(),
            topic: topic.into(),
            partition,
            value: (partition % 2 == 0).then(|| committed(None)),
        };
        let records = [
            named("g", "t", 0),
            named("g", "t", 1),
            named("gt", "", 1),
            named("g", "tt", 2),
            Record::Group { group: "g".into(), value: None },
            named("g", "tt", -1),
            named("h", "tt", 4),
        ];
        let mut reader = RecordReader::default();
        for record in records {
            let (key, value) = record.encode();
            assert_eq!(reader.read(key, value), Ok(record));
        }
        assert!(reader.read(Bytes::from_static(b"\x00"), None).is_err());
    }

    #[test]
    fn records_of_other_protocols_are_told_apart() {
        let key = Bytes::from_static(b"\x00\x03\x00\x01g");
        let decoded = Record::decode(key, Some(Bytes::new()));
        assert_eq!(decoded, Ok(Record::OtherProtocol { group: "g".into(), exists: true }));
        assert_eq!(Record::decode(Bytes::from_static(b"\x00\x63zz"), None), Ok(Record::Ignored));
    }

    #[test]
    fn torn_bytes_are_an_error() {
        assert!(Record::decode(Bytes::from_static(b"\x00"), None).is_err());
        assert!(Record::decode(Bytes::from_static(b"\x00\x02\x00\x09g"), None).is_err());
        let (key, _) = offset_record(None).encode();
        assert!(Record::decode(key, Some(Bytes::from_static(b"\x00\x77"))).is_err());
    }
}

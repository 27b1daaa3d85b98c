//! Keys and values of `__consumer_offsets` as enums: the `i16` in front of a key says which record it is, the
//! one in front of a value which version.
//!
//! Knows bytes only; the group coordinator folds them. Share and streams groups are not among them.

use bytes::Bytes;

use super::consumer_group_schema::*;
use super::offsets_schema::*;
use crate::codec::FieldCodec;
use crate::json::JsonWriter;
use crate::{DecodeError, Decoder, EncodeError, Encoder, Message, ToJson, Version};

/// The version of every key's fields; the number in front of them is the record's type.
const KEY_VERSION: i16 = 0;
const PREFIX: Version = Version::new(0, None);

macro_rules! offsets_records {
    ($($variant:ident($key:ident, $value:ident) = $kind:literal,)*) => {
        /// The key of a record in `__consumer_offsets`.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[allow(missing_docs, reason = "each variant is named after the key that it holds")]
        pub enum OffsetsKey {
            $($variant($key),)*
        }

        /// The value of a record in `__consumer_offsets`; a tombstone has none.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "each variant is named after the value that it holds")]
        pub enum OffsetsValue {
            $($variant($value),)*
        }

        impl OffsetsKey {
            /// The type in front of the key.
            pub const fn kind(&self) -> i16 {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }

            /// The key of a record in the log.
            pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
                let mut encoder = Encoder::new();
                self.kind().encode_field(&mut encoder, PREFIX)?;
                match self {
                    $(Self::$variant(key) => key.encode(KEY_VERSION, &mut encoder)?,)*
                }
                encoder.into_bytes()
            }

            /// Writes the key's fields in the layout of Kafka's tools.
            pub fn write_json(&self, writer: &mut JsonWriter) {
                match self {
                    $(Self::$variant(key) => key.write_json(PREFIX, writer),)*
                }
            }

            /// The key that the bytes are.
            pub fn from_bytes(key: Bytes) -> Result<Self, DecodeError> {
                let mut decoder = Decoder::new(key);
                let decoded = match decoder.i16()? {
                    $($kind => $key::decode(KEY_VERSION, &mut decoder).map(Self::$variant)?,)*
                    kind => return Err(DecodeError::UnknownRecordType { kind: kind.into() }),
                };
                decoder.finish()?;
                Ok(decoded)
            }

            /// The value that belongs to this key.
            pub fn decode_value(&self, value: Bytes) -> Result<OffsetsValue, DecodeError> {
                let mut decoder = Decoder::new(value);
                let version = decoder.i16()?;
                let decoded = match self {
                    $(Self::$variant(_) => {
                        $value::decode(version, &mut decoder).map(OffsetsValue::$variant)?
                    })*
                };
                decoder.finish()?;
                Ok(decoded)
            }
        }

        impl OffsetsValue {
            /// Writes the value's fields in `version`, in the layout of Kafka's tools.
            pub fn write_json(&self, version: i16, writer: &mut JsonWriter) {
                match self {
                    $(Self::$variant(value) => {
                        value.write_json(Version::new(version, <$value as Message>::FLEXIBLE_FROM), writer);
                    })*
                }
            }

            /// The value of a record in the log, in the version that Kafka 4.3 writes.
            pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
                self.to_bytes_in(self.written_version())
            }

            /// The value of a record in the log, in a version of the caller's choice; it stands in front.
            pub fn to_bytes_in(&self, version: i16) -> Result<Bytes, EncodeError> {
                let mut encoder = Encoder::new();
                version.encode_field(&mut encoder, PREFIX)?;
                match self {
                    $(Self::$variant(value) => value.encode(version, &mut encoder)?,)*
                }
                encoder.into_bytes()
            }
        }

        $(
            impl From<$key> for OffsetsKey {
                fn from(key: $key) -> Self {
                    Self::$variant(key)
                }
            }

            impl From<$value> for OffsetsValue {
                fn from(value: $value) -> Self {
                    Self::$variant(value)
                }
            }
        )*
    };
}

offsets_records! {
    LegacyOffsetCommit(LegacyOffsetCommitKey, LegacyOffsetCommitValue) = 0,
    OffsetCommit(OffsetCommitKey, OffsetCommitValue) = 1,
    GroupMetadata(GroupMetadataKey, GroupMetadataValue) = 2,
    ConsumerGroupMetadata(ConsumerGroupMetadataKey, ConsumerGroupMetadataValue) = 3,
    ConsumerGroupPartitionMetadata(ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue) = 4,
    ConsumerGroupMemberMetadata(ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue) = 5,
    ConsumerGroupTargetAssignmentMetadata(
        ConsumerGroupTargetAssignmentMetadataKey,
        ConsumerGroupTargetAssignmentMetadataValue
    ) = 6,
    ConsumerGroupTargetAssignmentMember(
        ConsumerGroupTargetAssignmentMemberKey,
        ConsumerGroupTargetAssignmentMemberValue
    ) = 7,
    ConsumerGroupCurrentMemberAssignment(
        ConsumerGroupCurrentMemberAssignmentKey,
        ConsumerGroupCurrentMemberAssignmentValue
    ) = 8,
    ConsumerGroupRegularExpression(ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue) = 16,
}

/// The version that expires a single commit at a time of its own; nothing after version 1 can carry that.
const OFFSET_COMMIT_EXPIRING_VERSION: i16 = 1;
/// Version 4 only adds tagged fields, for which Kafka 4.3 does not leave version 3.
const GROUP_METADATA_VERSION: i16 = 3;

impl OffsetsValue {
    /// The version in which Kafka 4.3 writes this value.
    pub const fn written_version(&self) -> i16 {
        match self {
            Self::OffsetCommit(value) if value.expire_timestamp != -1 => OFFSET_COMMIT_EXPIRING_VERSION,
            Self::OffsetCommit(_) => *OffsetCommitValue::VERSIONS.end(),
            Self::GroupMetadata(_) => GROUP_METADATA_VERSION,
            Self::LegacyOffsetCommit(_)
            | Self::ConsumerGroupMetadata(_)
            | Self::ConsumerGroupPartitionMetadata(_)
            | Self::ConsumerGroupMemberMetadata(_)
            | Self::ConsumerGroupTargetAssignmentMetadata(_)
            | Self::ConsumerGroupTargetAssignmentMember(_)
            | Self::ConsumerGroupCurrentMemberAssignment(_)
            | Self::ConsumerGroupRegularExpression(_) => 0,
        }
    }
}

//! The records of `__cluster_metadata` as one enum, with the frame that says which of them the bytes are.
//!
//! Knows bytes only; what a record means is decided by the metadata image. Driven by the metadata log.

use bytes::Bytes;

use super::access_schema::*;
use super::metadata_schema::*;
use super::node_schema::*;
use crate::json::JsonWriter;
use crate::{DecodeError, Decoder, EncodeError, Encoder, Message, ToJson, Version};

/// The only version of the frame in front of a metadata record.
const FRAME_VERSION: u32 = 1;

macro_rules! metadata_records {
    ($($variant:ident = $key:literal,)*) => {
        /// A record of the cluster's metadata (metadata.version 4.3).
        #[derive(Clone, PartialEq, Debug)]
        #[allow(missing_docs, reason = "each variant is named after the record that it holds")]
        pub enum MetadataRecord {
            $($variant($variant),)*
        }

        impl MetadataRecord {
            /// The record's key, of a number space of its own.
            pub const fn key(&self) -> i16 {
                match self {
                    $(Self::$variant(_) => $key,)*
                }
            }

            /// Kafka's name of the record.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => <$variant as Message>::NAME,)*
                }
            }

            /// The highest version of the record, which metadata.version 4.3 writes.
            pub const fn latest_version(&self) -> i16 {
                match self {
                    $(Self::$variant(_) => *<$variant as Message>::VERSIONS.end(),)*
                }
            }

            /// Writes the record's fields in `version`, in the layout of Kafka's tools.
            pub fn write_json(&self, version: i16, writer: &mut JsonWriter) {
                match self {
                    $(Self::$variant(record) => {
                        record.write_json(Version::new(version, <$variant as Message>::FLEXIBLE_FROM), writer);
                    })*
                }
            }

            fn encode_body(&self, version: i16, encoder: &mut Encoder) -> Result<(), EncodeError> {
                match self {
                    $(Self::$variant(record) => record.encode(version, encoder),)*
                }
            }

            fn decode_body(key: u32, version: i16, decoder: &mut Decoder) -> Result<Self, DecodeError> {
                match key {
                    $($key => $variant::decode(version, decoder).map(Self::$variant),)*
                    _ => Err(DecodeError::UnknownRecordType { kind: i32::try_from(key).unwrap_or(i32::MAX) }),
                }
            }
        }

        $(
            impl From<$variant> for MetadataRecord {
                fn from(record: $variant) -> Self {
                    Self::$variant(record)
                }
            }
        )*
    };
}

metadata_records! {
    RegisterBrokerRecord = 0,
    UnregisterBrokerRecord = 1,
    TopicRecord = 2,
    PartitionRecord = 3,
    ConfigRecord = 4,
    PartitionChangeRecord = 5,
    FenceBrokerRecord = 7,
    UnfenceBrokerRecord = 8,
    RemoveTopicRecord = 9,
    DelegationTokenRecord = 10,
    UserScramCredentialRecord = 11,
    FeatureLevelRecord = 12,
    ClientQuotaRecord = 14,
    ProducerIdsRecord = 15,
    BrokerRegistrationChangeRecord = 17,
    AccessControlEntryRecord = 18,
    RemoveAccessControlEntryRecord = 19,
    NoOpRecord = 20,
    ZkMigrationStateRecord = 21,
    RemoveUserScramCredentialRecord = 22,
    BeginTransactionRecord = 23,
    EndTransactionRecord = 24,
    AbortTransactionRecord = 25,
    RemoveDelegationTokenRecord = 26,
    RegisterControllerRecord = 27,
    ClearElrRecord = 28,
}

impl MetadataRecord {
    /// The value of a record in the log, in the version that metadata.version 4.3 writes.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        self.to_bytes_in(self.latest_version())
    }

    /// The value of a record in the log, in a version of the caller's choice.
    pub fn to_bytes_in(&self, version: i16) -> Result<Bytes, EncodeError> {
        let message = self.name();
        let unsupported = |_| EncodeError::UnsupportedVersion { message, version };
        let mut encoder = Encoder::new();
        encoder.put_unsigned_varint(FRAME_VERSION);
        encoder.put_unsigned_varint(self.key().unsigned_abs().into());
        encoder.put_unsigned_varint(u32::try_from(version).map_err(unsupported)?);
        self.encode_body(version, &mut encoder)?;
        encoder.into_bytes()
    }

    /// The record that a value of the log holds, and its version.
    pub fn from_bytes(value: Bytes) -> Result<(Self, i16), DecodeError> {
        let mut decoder = Decoder::new(value);
        let frame = decoder.unsigned_varint()?;
        if frame != FRAME_VERSION {
            return Err(DecodeError::UnknownRecordFrame { version: frame });
        }
        let key = decoder.unsigned_varint()?;
        let version = i16::try_from(decoder.unsigned_varint()?).unwrap_or(i16::MAX);
        let record = Self::decode_body(key, version, &mut decoder)?;
        decoder.finish()?;
        Ok((record, version))
    }
}

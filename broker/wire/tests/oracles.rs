//! Every message in every version against two independent implementations of Kafka's schemas: the crates
//! `kafka-protocol` and `kafka-wire`.
//!
//! A seeded value is encoded by us, decoded and encoded again by the oracle, and decoded by us: the bytes must be
//! identical and the value equal. Where an oracle lacks a version or errs, a table below says so, and the test
//! fails when an entry is no longer needed. Records of Kafka's internal topics are in neither crate;
//! `internal_records` compares those with what Kafka itself wrote.

mod shared;

use std::fmt::Debug;
use std::ops::RangeInclusive;

use barnabas_wire::generate::{Generate, Generator};
use barnabas_wire::internal::{consumer_protocol::*, control::*};
use barnabas_wire::message::*;
use barnabas_wire::{Message, Version};
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, Message as ProtocolMessage};
use kafka_wire::KafkaMessage;
use kafka_wire_core::{ApiVersion, DecodeLimits, Encoder};

/// How many values are tried of each message in each version.
const VALUES: u64 = 40;

/// What an oracle cannot be asked.
struct Difference {
    message: &'static str,
    versions: RangeInclusive<i16>,
    reason: &'static str,
}

/// `kafka-protocol` 0.18 was generated from Kafka 4.1.
const KAFKA_PROTOCOL_DIFFERENCES: &[Difference] = &[
    Difference {
        message: "ListOffsetsRequest",
        versions: 11..=11,
        reason: "newer than Kafka 4.1: the earliest offset not yet uploaded (KIP-1023)",
    },
    Difference { message: "ListOffsetsResponse", versions: 11..=11, reason: "as its request" },
    Difference {
        message: "OffsetCommitRequest",
        versions: 10..=10,
        reason: "newer than Kafka 4.1: topic ids (KIP-848)",
    },
    Difference {
        message: "OffsetFetchRequest",
        versions: 10..=10,
        reason: "newer than Kafka 4.1: topic ids (KIP-848)",
    },
    Difference {
        message: "DescribeLogDirsRequest",
        versions: 5..=5,
        reason: "Kafka 4.3 added it: cordoned directories (KIP-1066)",
    },
    Difference { message: "DescribeLogDirsResponse", versions: 5..=5, reason: "as its request" },
    Difference {
        message: "LeaderChangeMessage",
        versions: 0..=1,
        reason: "its field `version` overwrites the version that the rest is decoded in",
    },
    Difference { message: "VotersRecord", versions: 0..=0, reason: "as LeaderChangeMessage" },
];

/// `kafka-wire` 0.1 was generated from a commit after Kafka 4.3: it knows all of our versions.
const KAFKA_WIRE_DIFFERENCES: &[Difference] = &[];

/// An independent codec of one message.
trait Oracle {
    /// The versions that it knows.
    fn versions() -> RangeInclusive<i16>;

    /// The bytes of the value that it reads from `bytes`.
    fn recode(bytes: Bytes, version: i16) -> Result<Bytes, String>;
}

struct KafkaProtocol<M>(M);

impl<M: ProtocolMessage + Encodable + Decodable> Oracle for KafkaProtocol<M> {
    fn versions() -> RangeInclusive<i16> {
        M::VERSIONS.min..=M::VERSIONS.max
    }

    fn recode(mut bytes: Bytes, version: i16) -> Result<Bytes, String> {
        let value = M::decode(&mut bytes, version).map_err(|error| error.to_string())?;
        if !bytes.is_empty() {
            return Err(format!("{} bytes left", bytes.len()));
        }
        let mut again = BytesMut::new();
        value.encode(&mut again, version).map_err(|error| error.to_string())?;
        Ok(again.freeze())
    }
}

struct KafkaWire<M>(M);

impl<M: KafkaMessage> Oracle for KafkaWire<M> {
    fn versions() -> RangeInclusive<i16> {
        M::SUPPORTED_VERSIONS.min().value()..=M::SUPPORTED_VERSIONS.max().value()
    }

    fn recode(bytes: Bytes, version: i16) -> Result<Bytes, String> {
        let version = ApiVersion::new(version);
        let limits = DecodeLimits::default();
        let value = M::decode_from_bytes(bytes, version, limits).map_err(|error| error.to_string())?;
        let mut again = BytesMut::new();
        let mut encoder = Encoder::new(&mut again);
        value.encode(&mut encoder, version).map_err(|error| error.to_string())?;
        Ok(again.freeze())
    }
}

/// Compares all versions of one message with one oracle and lists what differs without a reason.
fn compare<M, O>(differences: &[Difference], problems: &mut Vec<String>)
where
    M: Message + Generate + PartialEq + Debug,
    O: Oracle,
{
    for version in M::VERSIONS {
        let known = differences.iter().any(|known| known.message == M::NAME && known.versions.contains(&version));
        let outcome = compare_version::<M, O>(version);
        match (known, outcome) {
            (false, Err(problem)) => problems.push(format!("{} v{version}: {problem}", M::NAME)),
            (true, Ok(())) => problems.push(format!("{} v{version}: agrees by now", M::NAME)),
            (true, Err(_)) | (false, Ok(())) => {}
        }
    }
}

fn compare_version<M, O>(version: i16) -> Result<(), String>
where
    M: Message + Generate + PartialEq + Debug,
    O: Oracle,
{
    if !O::versions().contains(&version) {
        return Err(format!("the oracle knows {:?}", O::versions()));
    }
    for seed in 0..VALUES {
        let form = Version::new(version, M::FLEXIBLE_FROM);
        let value = M::generate(&mut Generator::new(seed), form);
        let bytes = value.to_bytes(version).map_err(|error| format!("{error}: {value:?}"))?;
        let again = O::recode(bytes.clone(), version).map_err(|error| format!("{error}: {value:?}"))?;
        if again != bytes {
            return Err(format!("{value:?}\nours   {bytes:02x?}\noracle {again:02x?}"));
        }
        let decoded = M::from_bytes(version, again).map_err(|error| format!("{error}: {value:?}"))?;
        if decoded != value {
            return Err(format!("{value:?} came back as {decoded:?}"));
        }
    }
    Ok(())
}

fn conclude(problems: &[String], differences: &[Difference]) {
    for difference in differences {
        assert!(!difference.reason.is_empty(), "a difference has a reason: {}", difference.message);
    }
    assert!(problems.is_empty(), "{} messages differ:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn api_messages_are_those_of_kafka_protocol() {
    let mut problems = Vec::new();
    macro_rules! compare_each {
        ($($message:ident,)*) => {$(
            compare::<$message, KafkaProtocol<kafka_protocol::messages::$message>>(
                KAFKA_PROTOCOL_DIFFERENCES,
                &mut problems,
            );
        )*};
    }
    shared::for_each_api_message!(compare_each);
    conclude(&problems, KAFKA_PROTOCOL_DIFFERENCES);
}

#[test]
fn api_messages_are_those_of_kafka_wire() {
    let mut problems = Vec::new();
    macro_rules! compare_each {
        ($($message:ident,)*) => {$(
            compare::<$message, KafkaWire<kafka_wire::$message>>(
                KAFKA_WIRE_DIFFERENCES,
                &mut problems,
            );
        )*};
    }
    shared::for_each_api_message!(compare_each);
    conclude(&problems, KAFKA_WIRE_DIFFERENCES);
}

#[test]
fn control_records_and_the_consumer_protocol_are_those_of_both() {
    let mut problems = Vec::new();
    macro_rules! compare_each {
        ($($message:ident,)*) => {$(
            compare::<$message, KafkaProtocol<kafka_protocol::messages::$message>>(
                KAFKA_PROTOCOL_DIFFERENCES,
                &mut problems,
            );
            compare::<$message, KafkaWire<kafka_wire::$message>>(
                KAFKA_WIRE_DIFFERENCES,
                &mut problems,
            );
        )*};
    }
    compare_each! {
        EndTxnMarker,
        LeaderChangeMessage,
        SnapshotHeaderRecord,
        SnapshotFooterRecord,
        KRaftVersionRecord,
        VotersRecord,
        ConsumerProtocolSubscription,
        ConsumerProtocolAssignment,
    }
    conclude(&problems, KAFKA_PROTOCOL_DIFFERENCES);
}

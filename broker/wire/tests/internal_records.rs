//! Records of Kafka's internal topics and control batches against bytes that Apache Kafka 4.3.1's own classes wrote.
//!
//! The first part spells a value on both sides. The second part takes lines `message version hex` from
//! `vectors/internal-4.3.1.txt`, each of which Kafka's class read and wrote back unchanged.

mod shared;

use barnabas_base::Uuid;
use barnabas_wire::internal::consumer_protocol::{self, ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use barnabas_wire::internal::storage::{ProducerSnapshot, QuorumStateData};
use barnabas_wire::internal::{
    MetadataRecord, OffsetsKey, OffsetsValue, access_schema::*, consumer_group_schema::*, control::*,
    metadata_schema::*, node_schema::*, offsets_schema::*, transactions::*,
};
use barnabas_wire::{DecodeError, Message};
use bytes::Bytes;

/// The id that Kafka's side of the vectors used: bytes 1 to 16.
const ID: Uuid = Uuid([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

fn unhex(text: &str) -> Bytes {
    assert!(text.len().is_multiple_of(2), "a byte is two digits");
    let digit = |index| u8::from_str_radix(&text[index..index + 2], 16).expect("vectors are hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

#[track_caller]
fn same_metadata(record: impl Into<MetadataRecord>, version: i16, hex: &str) {
    let record = record.into();
    assert_eq!(record.to_bytes_in(version).expect("it has bytes"), unhex(hex));
    assert_eq!(MetadataRecord::from_bytes(unhex(hex)), Ok((record, version)));
}

#[track_caller]
fn same_message<M: Message + PartialEq + std::fmt::Debug>(message: M, version: i16, hex: &str) {
    assert_eq!(message.to_bytes(version).expect("it has bytes"), unhex(hex));
    assert_eq!(M::from_bytes(version, unhex(hex)), Ok(message));
}

#[test]
fn topics_and_partitions() {
    same_metadata(
        TopicRecord { name: "foo".to_owned(), topic_id: ID },
        0,
        "01020004666f6f0102030405060708090a0b0c0d0e0f1000",
    );
    same_metadata(
        PartitionRecord {
            partition_id: 7,
            topic_id: ID,
            replicas: vec![1, 2],
            isr: vec![1],
            removing_replicas: Vec::new(),
            adding_replicas: vec![3],
            leader: 1,
            leader_recovery_state: 1,
            leader_epoch: 5,
            partition_epoch: 6,
            directories: vec![ID, Uuid::ZERO],
            eligible_leader_replicas: Some(vec![2]),
            last_known_elr: Some(vec![3]),
        },
        2,
        "010302000000070102030405060708090a0b0c0d0e0f100300000001000000020200000001010200000003000000010000000500\
         000006030102030405060708090a0b0c0d0e0f1000000000000000000000000000000000030001010105020000000202050200000003",
    );
    same_metadata(
        PartitionChangeRecord {
            partition_id: 7,
            topic_id: ID,
            isr: Some(vec![2]),
            leader: 2,
            ..PartitionChangeRecord::default()
        },
        2,
        "010502000000070102030405060708090a0b0c0d0e0f100200050200000002010400000002",
    );
}

#[test]
fn configs_features_and_brokers() {
    same_metadata(
        ConfigRecord {
            resource_type: 2,
            resource_name: "foo".to_owned(),
            name: "retention.ms".to_owned(),
            value: None,
        },
        0,
        "0104000204666f6f0d726574656e74696f6e2e6d730000",
    );
    same_metadata(
        FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 29 },
        0,
        "010c00116d657461646174612e76657273696f6e001d00",
    );
    same_metadata(
        RegisterBrokerRecord {
            broker_id: 1,
            incarnation_id: ID,
            broker_epoch: 42,
            end_points: vec![BrokerEndpoint {
                name: "PLAINTEXT".to_owned(),
                host: "h".to_owned(),
                port: 40_000,
                security_protocol: 0,
            }],
            features: vec![BrokerFeature { name: "f".to_owned(), min_supported_version: 1, max_supported_version: 2 }],
            rack: Some("r".to_owned()),
            fenced: false,
            log_dirs: vec![ID],
            ..RegisterBrokerRecord::default()
        },
        3,
        "01000300000001000102030405060708090a0b0c0d0e0f10000000000000002a020a504c41494e5445585402689c400000000202\
         66000100020002720000010011020102030405060708090a0b0c0d0e0f10",
    );
}

#[test]
fn committed_offsets() {
    let key = OffsetCommitKey { group: "g".to_owned(), topic: "t".to_owned(), partition: 3 };
    let key = OffsetsKey::from(key);
    assert_eq!(key.to_bytes().expect("it has bytes"), unhex("000100016700017400000003"));
    assert_eq!(OffsetsKey::from_bytes(unhex("000100016700017400000003")), Ok(key.clone()));

    let value = OffsetsValue::from(OffsetCommitValue {
        offset: 100,
        leader_epoch: 4,
        metadata: "m".to_owned(),
        commit_timestamp: 1_234_567_890_123,
        topic_id: ID,
        ..OffsetCommitValue::default()
    });
    let hex = "0004000000000000006400000004026d0000011f71fb04cb0100100102030405060708090a0b0c0d0e0f10";
    assert_eq!(value.to_bytes().expect("it has bytes"), unhex(hex));
    assert_eq!(key.decode_value(unhex(hex)), Ok(value));

    let expiring = OffsetsValue::from(OffsetCommitValue {
        offset: 100,
        metadata: "m".to_owned(),
        commit_timestamp: 1,
        expire_timestamp: 2,
        ..OffsetCommitValue::default()
    });
    let hex = "0001000000000000006400016d00000000000000010000000000000002";
    assert_eq!(expiring.to_bytes().expect("it has bytes"), unhex(hex));
}

#[test]
fn classic_groups() {
    let value = OffsetsValue::from(GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 9,
        protocol: Some("range".to_owned()),
        leader: Some("a-1".to_owned()),
        current_state_timestamp: 77,
        members: vec![MemberMetadata {
            member_id: "a-1".to_owned(),
            group_instance_id: None,
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
            rebalance_timeout: 60,
            session_timeout: 30,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    });
    let hex = "00030008636f6e73756d657200000009000572616e67650003612d31000000000000004d000000010003612d31ffff00016300\
               022f680000003c0000001e0000000201020000000103";
    assert_eq!(value.to_bytes().expect("it has bytes"), unhex(hex));
    same_message(
        ConsumerProtocolSubscription {
            topics: vec!["t".to_owned()],
            user_data: None,
            owned_partitions: vec![consumer_protocol::TopicPartition { topic: "t".to_owned(), partitions: vec![0, 1] }],
            generation_id: 8,
            rack_id: Some("r".to_owned()),
        },
        3,
        "00000001000174ffffffff0000000100017400000002000000000000000100000008000172",
    );
}

#[test]
fn unknown_records_are_named_so_that_they_can_be_skipped() {
    let share_group = OffsetsKey::from_bytes(unhex("000b000167"));
    assert_eq!(share_group, Err(DecodeError::UnknownRecordType { kind: 11 }));
    let metadata = MetadataRecord::from_bytes(unhex("01d00f0000"));
    assert_eq!(metadata, Err(DecodeError::UnknownRecordType { kind: 2_000 }));
    let frame = MetadataRecord::from_bytes(unhex("02020000"));
    assert_eq!(frame, Err(DecodeError::UnknownRecordFrame { version: 2 }));
}

#[test]
fn control_records_and_transactions() {
    let voter = LeaderChangeVoter { voter_id: 1, voter_directory_id: ID };
    same_message(
        LeaderChangeMessage { version: 1, leader_id: 1, voters: vec![voter], granting_voters: vec![voter] },
        1,
        "00010000000102000000010102030405060708090a0b0c0d0e0f100002000000010102030405060708090a0b0c0d0e0f100000",
    );
    same_message(
        VotersRecord {
            version: 0,
            voters: vec![Voter {
                voter_id: 1,
                voter_directory_id: ID,
                endpoints: vec![Endpoint { name: "C".to_owned(), host: "h".to_owned(), port: 9_093 }],
                kraft_version_feature: KRaftVersionFeature { min_supported_version: 0, max_supported_version: 1 },
            }],
        },
        0,
        "000002000000010102030405060708090a0b0c0d0e0f10020243026823850000000001000000",
    );
    same_message(
        TransactionLogValue {
            producer_id: 5,
            producer_epoch: 2,
            transaction_timeout_ms: 60_000,
            transaction_status: 1,
            transaction_partitions: Some(vec![PartitionsSchema { topic: "t".to_owned(), partition_ids: vec![0] }]),
            transaction_last_update_timestamp_ms: 10,
            transaction_start_timestamp_ms: 9,
            client_transaction_version: 2,
            ..TransactionLogValue::default()
        },
        1,
        "000000000000000500020000ea6001020274020000000000000000000000000a00000000000000090102020002",
    );
}

/// Reads a vector and writes it again, in the old and the new hands.
fn recode<M: Message>(version: i16, bytes: Bytes) -> Bytes {
    let value = M::from_bytes(version, bytes).expect("what Kafka wrote can be read");
    value.to_bytes(version).expect("what was read can be written")
}

#[test]
fn every_internal_record_in_every_version_is_as_kafka_wrote_it() {
    let mut seen = std::collections::BTreeSet::new();
    for line in include_str!("vectors/internal-4.3.1.txt").lines() {
        let mut words = line.split(' ');
        let name = words.next().expect("a line starts with a name");
        let version: i16 = words.next().and_then(|word| word.parse().ok()).expect("then a version");
        let bytes = unhex(words.next().expect("then bytes"));
        macro_rules! recode_by_name {
            ($($message:ident,)*) => {
                match name {
                    $(stringify!($message) => recode::<$message>(version, bytes.clone()),)*
                    _ => panic!("no message is called {name}"),
                }
            };
        }
        let again = shared::for_each_internal_message!(recode_by_name);
        assert_eq!(again, bytes, "{name} v{version}");
        seen.insert((name, version));
    }
    macro_rules! expect_each {
        ($($message:ident,)*) => {$(
            for version in $message::VERSIONS {
                let name = stringify!($message);
                assert!(seen.contains(&(name, version)), "a vector of {name} v{version}");
            }
        )*};
    }
    shared::for_each_internal_message!(expect_each);
}

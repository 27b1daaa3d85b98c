//! Pitfalls 13 to 18: what Produce refuses, and how.

use barnabas_base::{TimestampMs, Uuid};
use barnabas_sim_world::{RawClient, requests, with_broker};
use barnabas_wire::ErrorCode;
use barnabas_wire::Records;
use barnabas_wire::message::create_topics::CreatableTopicConfig;
use barnabas_wire::message::produce::PartitionProduceResponse;
use barnabas_wire::message::*;
use barnabas_wire::record::{BatchOptions, Compression, crc32c};
use bytes::Bytes;

use crate::{FETCH, PRODUCE, append, fetched, is, produce, produced, records, topic};

/// Where the magic stands in a batch, and where its checksum.
const MAGIC: usize = 16;
const CRC: usize = 17;
const CHECKED: usize = 21;

fn plain(values: &[&[u8]]) -> Vec<u8> {
    requests::batch(BatchOptions::default(), values).to_vec()
}

/// A batch with bytes changed and the checksum made right again.
fn forged(mut bytes: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut bytes);
    let crc = crc32c(&bytes[CHECKED..]);
    bytes[CRC..CHECKED].copy_from_slice(&crc.to_be_bytes());
    bytes
}

async fn send(client: &mut RawClient, topic: &str, records: Vec<u8>) -> PartitionProduceResponse {
    produce(client, requests::produce(topic, 0, -1, records.into())).await
}

async fn refuses(client: &mut RawClient, records: Vec<u8>, code: ErrorCode) {
    let answer = send(client, "t", records).await;
    assert!(is(answer.error_code, code), "{} is due, not {answer:?}", code.name());
    assert_eq!(answer.base_offset, -1, "{answer:?}");
    assert_eq!(answer.log_append_time_ms, -1, "{answer:?}");
}

/// Creates a topic with one configuration key.
async fn configured(client: &mut RawClient, name: &str, key: &str, value: &str) {
    let mut request = requests::create_topic(name, 1);
    request.topics[0].configs = vec![CreatableTopicConfig { name: key.to_owned(), value: Some(value.to_owned()) }];
    let created = client.call(7, request).await;
    assert_eq!(created.topics[0].error_code, 0, "{created:?}");
}

#[test]
fn pitfall_13_what_is_no_single_sound_batch_is_refused() {
    with_broker(1, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let sound = plain(&[b"a", b"b"]);
        refuses(&mut client, [sound.clone(), sound.clone()].concat(), ErrorCode::InvalidRecord).await;
        refuses(&mut client, Vec::new(), ErrorCode::InvalidRecord).await;
        for magic in [0, 1] {
            let mut old = sound.clone();
            old[MAGIC] = magic;
            refuses(&mut client, old, ErrorCode::InvalidRecord).await;
        }
        let mut rotten = sound.clone();
        *rotten.last_mut().expect("a batch has bytes") ^= 1;
        refuses(&mut client, rotten, ErrorCode::CorruptMessage).await;
        // Offsets with a gap: the last delta says three records where two are counted.
        let gap = forged(sound.clone(), |bytes| bytes[26] = 2);
        refuses(&mut client, gap, ErrorCode::InvalidRecord).await;
        // A control batch is the coordinator's to write.
        let control = forged(sound.clone(), |bytes| bytes[22] |= 0x20);
        refuses(&mut client, control, ErrorCode::InvalidRecord).await;
        // A producer id without a sequence.
        let half = forged(sound.clone(), |bytes| bytes[43..51].copy_from_slice(&7_i64.to_be_bytes()));
        refuses(&mut client, half, ErrorCode::InvalidRecord).await;
        // A transaction without a transactional id: nobody could end it, and readers would wait for that forever.
        let options = BatchOptions { is_transactional: true, ..requests::idempotent(7, 0, 0) };
        let open = requests::batch(options, &[b"a"]);
        refuses(&mut client, open.to_vec(), ErrorCode::TransactionalIdAuthorizationFailed).await;
        assert_eq!(send(&mut client, "t", sound).await.base_offset, 0, "nothing of it was stored");
    });
}

#[test]
fn pitfall_13_null_records_are_refused() {
    with_broker(2, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        for version in 3..=PRODUCE {
            let mut request = requests::produce("t", 0, 1, Bytes::new());
            request.topic_data[0].partition_data[0].records = Records::Null;
            let response = client.call(version, request).await;
            assert!(is(produced(&response).error_code, ErrorCode::InvalidRecord), "v{version}: {response:?}");
        }
    });
}

#[test]
fn pitfall_13_zstd_is_for_version_7_and_later() {
    with_broker(3, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let options = BatchOptions { compression: Compression::Zstd, ..BatchOptions::default() };
        let request = || requests::produce("t", 0, -1, requests::batch(options, &[b"a", b"b"]));
        let old = client.call(6, request()).await;
        assert!(is(produced(&old).error_code, ErrorCode::UnsupportedCompressionType), "{old:?}");
        assert_eq!(produced(&client.call(7, request()).await).error_code, 0);
        // Of a topic that is configured for it, a consumer that cannot read the codec is told (KIP-110).
        configured(&mut client, "zstd", "compression.type", "zstd").await;
        append(&mut client, "zstd", b"a").await;
        let old = client.call(9, requests::fetch("zstd", 0, 0)).await;
        assert!(is(fetched(&old).error_code, ErrorCode::UnsupportedCompressionType), "{old:?}");
        assert_eq!(records(fetched(&client.call(10, requests::fetch("zstd", 0, 0)).await)).len(), 1);
    });
}

#[test]
fn pitfall_14_the_records_at_fault_are_named() {
    with_broker(4, &[], async |_, mut client| {
        configured(&mut client, "compacted", "cleanup.policy", "compact").await;
        let answer = send(&mut client, "compacted", plain(&[b"a", b"b"])).await;
        assert!(is(answer.error_code, ErrorCode::InvalidRecord), "{answer:?}");
        let named: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
        assert_eq!(named, [0, 1], "{answer:?}");
        assert!(answer.error_message.is_some(), "{answer:?}");

        configured(&mut client, "timely", "message.timestamp.after.max.ms", "1000").await;
        let future = TimestampMs(1_760_000_000_000);
        let late = requests::dated_batch(BatchOptions::default(), future, &[b"a"]);
        let answer = send(&mut client, "timely", late.to_vec()).await;
        assert!(is(answer.error_code, ErrorCode::InvalidTimestamp), "{answer:?}");
        assert_eq!(answer.record_errors.len(), 1, "{answer:?}");
    });
}

#[test]
fn pitfall_15_a_batch_above_the_limits_is_refused() {
    with_broker(5, &[], async |_, mut client| {
        configured(&mut client, "t", "max.message.bytes", "1000").await;
        let large = plain(&[&[b'x'; 1_000]]);
        refuses(&mut client, large.clone(), ErrorCode::MessageTooLarge).await;
        // It is the batch as it was sent that counts, not what it unpacks to.
        let options = BatchOptions { compression: Compression::Gzip, ..BatchOptions::default() };
        let packed = requests::batch(options, &[&[b'x'; 1_000]]);
        assert!(packed.len() < 1_000);
        assert_eq!(send(&mut client, "t", packed.to_vec()).await.error_code, 0);

        configured(&mut client, "narrow", "segment.bytes", "1048576").await;
        let huge = plain(&[&vec![b'x'; 1_048_570]]);
        let answer = send(&mut client, "narrow", huge).await;
        assert!(is(answer.error_code, ErrorCode::MessageTooLarge), "{answer:?}");
    });
}

#[test]
fn pitfall_16_the_append_time_is_told_where_the_broker_sets_it() {
    with_broker(6, &[], async |visitor, mut client| {
        configured(&mut client, "dated", "message.timestamp.type", "LogAppendTime").await;
        topic(&mut client, "created", 1).await;
        let now_ms = visitor.env.wall().0;
        let answer = send(&mut client, "dated", plain(&[b"a"])).await;
        assert!((now_ms - 1_000..now_ms + 60_000).contains(&answer.log_append_time_ms), "{answer:?}");
        assert_eq!(send(&mut client, "created", plain(&[b"a"])).await.log_append_time_ms, -1);
    });
}

#[test]
fn pitfall_16_acknowledgements_that_no_leader_can_give() {
    // More than there are replicas asks for all of them (`Partition.effectiveMinIsr`).
    with_broker(7, &[("min.insync.replicas", "2")], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let codes = [
            (-1, ErrorCode::None),
            (1, ErrorCode::None),
            (2, ErrorCode::InvalidRequiredAcks),
            (-2, ErrorCode::InvalidRequiredAcks),
        ];
        for (acks, code) in codes {
            let answer = produce(&mut client, requests::produce("t", 0, acks, plain(&[b"a"]).into())).await;
            assert!(is(answer.error_code, code), "acks {acks}: {answer:?}");
        }
    });
}

#[test]
fn pitfall_17_duplicates_gaps_and_stale_epochs() {
    with_broker(8, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        let given = client.call(4, request).await;
        assert_eq!((given.error_code, given.producer_epoch), (0, 0), "{given:?}");
        let id = given.producer_id;
        let of = |epoch, sequence| requests::batch(requests::idempotent(id, epoch, sequence), &[b"a", b"b"]).to_vec();
        for (sequence, offset) in [(0, 0), (2, 2), (4, 4), (6, 6), (8, 8), (10, 10)] {
            assert_eq!(send(&mut client, "t", of(0, sequence)).await.base_offset, offset);
        }
        for (sequence, offset) in [(10, 10), (4, 4), (2, 2)] {
            let again = send(&mut client, "t", of(0, sequence)).await;
            assert_eq!((again.error_code, again.base_offset), (0, offset), "sequence {sequence} is a duplicate");
        }
        // The sixth batch back is not remembered.
        refuses(&mut client, of(0, 0), ErrorCode::OutOfOrderSequenceNumber).await;
        refuses(&mut client, of(0, 14), ErrorCode::OutOfOrderSequenceNumber).await;
        assert_eq!(send(&mut client, "t", of(1, 0)).await.base_offset, 12, "a new epoch begins at 0");
        refuses(&mut client, of(0, 12), ErrorCode::InvalidProducerEpoch).await;
        refuses(&mut client, of(2, 5), ErrorCode::OutOfOrderSequenceNumber).await;
    });
}

#[test]
fn pitfall_17_half_a_producer_is_refused() {
    with_broker(14, &[], async |_, mut client| {
        let whole = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        for (producer_id, producer_epoch) in [(5, -1), (-1, 5)] {
            let request = InitProducerIdRequest { producer_id, producer_epoch, ..whole.clone() };
            let answer = client.call(4, request).await;
            assert!(is(answer.error_code, ErrorCode::InvalidRequest), "{answer:?}");
            assert_eq!((answer.producer_id, answer.producer_epoch), (-1, -1));
        }
        let request = InitProducerIdRequest { producer_id: 5, producer_epoch: 5, ..whole };
        assert_eq!(client.call(4, request).await.error_code, 0);
    });
}

#[test]
fn pitfall_17_an_unknown_producer_may_begin_anywhere_and_sequences_wrap() {
    with_broker(9, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let of = |sequence| requests::batch(requests::idempotent(77, 3, sequence), &[b"a", b"b"]).to_vec();
        assert_eq!(send(&mut client, "t", of(i32::MAX - 1)).await.base_offset, 0);
        assert_eq!(send(&mut client, "t", of(0)).await.base_offset, 2, "0 follows 2147483647");
        assert_eq!(send(&mut client, "t", of(i32::MAX - 1)).await.base_offset, 0, "still a duplicate");
    });
}

#[test]
fn pitfall_18_unknown_places_are_refused_without_half_a_hint() {
    with_broker(10, &[], async |_, mut client| {
        let id = topic(&mut client, "t", 1).await;
        for (name, index) in [("t", 1), ("t", -1), ("nowhere", 0), ("", 0)] {
            let response = client.call(PRODUCE, requests::produce(name, index, -1, plain(&[b"a"]).into())).await;
            let answer = produced(&response);
            assert!(is(answer.error_code, ErrorCode::UnknownTopicOrPartition), "{name}-{index}: {answer:?}");
            assert_eq!((answer.current_leader.leader_id, answer.current_leader.leader_epoch), (-1, -1));
            assert!(response.node_endpoints.is_empty());
        }
        for (topic_id, code) in [(id, ErrorCode::None), (Uuid([5; 16]), ErrorCode::UnknownTopicId)] {
            let response = client.call(13, requests::produce_by_id(topic_id, 0, -1, plain(&[b"a"]).into())).await;
            assert_eq!(response.responses[0].topic_id, topic_id);
            assert!(is(produced(&response).error_code, code), "{response:?}");
        }
        let internal = client.call(0, FindCoordinatorRequest { key: "g".to_owned(), ..Default::default() }).await;
        assert_eq!(internal.error_code, 0);
        let answer = send(&mut client, "__consumer_offsets", plain(&[b"a"])).await;
        assert!(is(answer.error_code, ErrorCode::InvalidTopicException), "{answer:?}");
    });
}

/// Several topics and partitions in one request, some of them refused: the others are stored.
#[test]
fn one_refusal_does_not_take_the_others_with_it() {
    with_broker(11, &[], async |_, mut client| {
        topic(&mut client, "t", 4).await;
        let mut request = requests::produce("t", 0, -1, plain(&[b"a"]).into());
        for index in [1, 9, 2, 3] {
            let more = requests::produce("t", index, -1, plain(&[b"a"]).into());
            request.topic_data[0].partition_data.extend(more.topic_data[0].partition_data.clone());
        }
        request.topic_data.extend(requests::produce("nowhere", 0, -1, plain(&[b"a"]).into()).topic_data);
        let response = client.call(PRODUCE, request).await;
        let answered: Vec<_> = response.responses[0]
            .partition_responses
            .iter()
            .map(|answer| (answer.index, answer.error_code, answer.base_offset))
            .collect();
        assert_eq!(answered, [(0, 0, 0), (1, 0, 0), (9, 3, -1), (2, 0, 0), (3, 0, 0)]);
        assert!(is(response.responses[1].partition_responses[0].error_code, ErrorCode::UnknownTopicOrPartition));
    });
}

#[test]
fn every_codec_comes_back_as_it_was_sent() {
    with_broker(12, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        for (compression, base) in codecs.into_iter().zip((0..).step_by(2)) {
            let options = BatchOptions { compression, ..BatchOptions::default() };
            let bytes = requests::batch(options, &[b"first", b"second"]);
            assert_eq!(send(&mut client, "t", bytes.to_vec()).await.base_offset, base);
            let answer = client.call(FETCH, requests::fetch("t", 0, base)).await;
            let Records::Bytes(stored) = &fetched(&answer).records else { panic!("no records: {answer:?}") };
            assert_eq!(stored[MAGIC..], bytes[MAGIC..], "{compression:?}: only offset and epoch are stamped");
        }
        append(&mut client, "t", b"last").await;
    });
}

/// Pitfall 32: what clients do not know they take for fatal, and what they know they may retry for ever. This code ends
/// a transactional producer of every client at once.
#[test]
fn pitfall_32_a_transactional_producer_is_told_for_good() {
    with_broker(20, &[], async |_, mut client| {
        let due = ErrorCode::TransactionalIdAuthorizationFailed;
        for version in 0..=5 {
            let transactional_id = Some("t".to_owned());
            let request = InitProducerIdRequest { transactional_id, ..InitProducerIdRequest::default() };
            let answer = client.call(version, request).await;
            assert!(is(answer.error_code, due), "v{version}: {answer:?}");
            assert_eq!((answer.producer_id, answer.producer_epoch), (-1, -1), "v{version}");
        }
        for version in 1..=6 {
            let batched = version >= 4;
            let keys = if batched { vec!["t".to_owned()] } else { Vec::new() };
            let key = if batched { String::new() } else { "t".to_owned() };
            let request = FindCoordinatorRequest { key, key_type: 1, coordinator_keys: keys };
            let answer = client.call(version, request).await;
            let (code, message) = match answer.coordinators.first() {
                Some(one) => (one.error_code, &one.error_message),
                None => (answer.error_code, &answer.error_message),
            };
            assert!(is(code, due), "v{version}: {answer:?}");
            assert!(message.as_ref().is_some_and(|text| text.contains("transaction")), "v{version}: {answer:?}");
        }
    });
}

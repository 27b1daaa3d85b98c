//! Pitfall 24, and what else asks for positions in logs: ListOffsets, OffsetForLeaderEpoch, DeleteRecords.

use std::time::Duration;

use barnabas_base::TimestampMs;
use barnabas_sim_world::{RawClient, requests, with_broker};
use barnabas_wire::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use barnabas_wire::message::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use barnabas_wire::message::*;
use barnabas_wire::record::BatchOptions;
use barnabas_wire::{ErrorCode, RequestBody, RequestHeader, Segment};

use crate::{FETCH, PRODUCE, append, fetched, is, listed, produced, records, topic};

const FIRST: i64 = 1_749_999_000_000;

/// Two batches of three records, a second apart, a millisecond between records.
async fn two_batches(client: &mut RawClient) {
    topic(client, "t", 1).await;
    for second in [0, 1] {
        let batch =
            requests::dated_batch(BatchOptions::default(), TimestampMs(FIRST + second * 1_000), &[b"a", b"b", b"c"]);
        let response = client.call(PRODUCE, requests::produce("t", 0, -1, batch)).await;
        assert_eq!(produced(&response).error_code, 0, "{response:?}");
    }
}

#[test]
fn pitfall_24_special_timestamps_by_version() {
    with_broker(1, &[], async |_, mut client| {
        two_batches(&mut client).await;
        // What is asked for, since when, and the offset.
        let specials = [(-1, 1, 6), (-2, 1, 0), (-3, 7, 5), (-4, 8, 0), (-5, 9, -1), (-6, 11, -1)];
        for version in 1..=11 {
            for (timestamp, since, offset) in specials {
                let answer = listed(&mut client, version, requests::list_offset("t", 0, timestamp)).await;
                let due = if version >= since { (0, offset) } else { (ErrorCode::UnsupportedVersion.code(), -1) };
                assert_eq!(answer, due, "timestamp {timestamp} in v{version}");
            }
            let (code, _) = listed(&mut client, version, requests::list_offset("t", 0, -7)).await;
            assert!(is(code, ErrorCode::UnsupportedVersion), "v{version}: {code}");
        }
    });
}

#[test]
fn pitfall_24_a_timestamp_finds_its_record() {
    with_broker(2, &[], async |_, mut client| {
        two_batches(&mut client).await;
        for (timestamp, offset) in [(0, 0), (FIRST, 0), (FIRST + 1, 1), (FIRST + 3, 3), (FIRST + 1_002, 5)] {
            let response = client.call(4, requests::list_offset("t", 0, timestamp)).await;
            let answer = &response.topics[0].partitions[0];
            assert_eq!((answer.error_code, answer.offset), (0, offset), "{timestamp}");
            assert_eq!(answer.timestamp, timestamp.max(FIRST).max(FIRST + if offset == 3 { 1_000 } else { 0 }));
            assert!(answer.leader_epoch >= 0, "{answer:?}");
        }
        let none = listed(&mut client, 4, requests::list_offset("t", 0, FIRST + 1_003)).await;
        assert_eq!(none, (0, -1), "no record is that late");
    });
}

#[test]
fn pitfall_24_an_empty_log_and_unknown_places() {
    with_broker(3, &[], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        for (timestamp, offset) in [(-1, 0), (-2, 0), (-3, -1), (0, -1)] {
            let answer = listed(&mut client, 7, requests::list_offset("t", 0, timestamp)).await;
            assert_eq!(answer, (0, offset), "{timestamp}");
        }
        for (name, index) in [("t", 1), ("nowhere", 0)] {
            let (code, offset) = listed(&mut client, 7, requests::list_offset(name, index, -1)).await;
            assert!(is(code, ErrorCode::UnknownTopicOrPartition));
            assert_eq!(offset, -1);
        }
        let mut request = requests::list_offset("t", 0, -1);
        request.topics[0].partitions[0].current_leader_epoch = 99;
        let (code, _) = listed(&mut client, 7, request).await;
        assert!(is(code, ErrorCode::UnknownLeaderEpoch));
    });
}

#[test]
fn pitfall_24_a_partition_named_twice_is_refused() {
    with_broker(8, &[], async |_, mut client| {
        topic(&mut client, "t", 2).await;
        append(&mut client, "t", b"a").await;
        let one = requests::list_offset("t", 0, -1).topics.remove(0);
        let mut other = one.clone();
        other.partitions[0].partition_index = 1;
        let mut nowhere = one.clone();
        nowhere.name = "nowhere".to_owned();
        // In one topic, in the topic once more, and where there is none.
        let mut within = one.clone();
        within.partitions.extend([one.partitions[0], other.partitions[0]]);
        for topics in [vec![within], vec![one.clone(), other, one], vec![nowhere.clone(), nowhere]] {
            let request = ListOffsetsRequest { topics, ..requests::list_offset("t", 0, -1) };
            let response = client.call(7, request).await;
            let mut told: Vec<(i32, i16, i64)> = response
                .topics
                .iter()
                .flat_map(|topic| &topic.partitions)
                .map(|answer| (answer.partition_index, answer.error_code, answer.offset))
                .collect();
            told.sort_unstable();
            let refused = (0, ErrorCode::InvalidRequest.code(), -1);
            let due = if response.topics[0].name == "t" { vec![refused, (1, 0, 0)] } else { vec![refused] };
            assert_eq!(told, due, "{response:?}");
        }
    });
}

fn delete(name: &str, partition_index: i32, offset: i64) -> DeleteRecordsRequest {
    let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
    DeleteRecordsRequest { topics: vec![DeleteRecordsTopic { name: name.to_owned(), partitions }], timeout_ms: 30_000 }
}

#[test]
fn records_are_deleted_up_to_an_offset() {
    with_broker(4, &[], async |_, mut client| {
        two_batches(&mut client).await;
        append(&mut client, "t", b"d").await;
        let mut deleted = async |name: &str, index, offset| {
            let response = client.call(2, delete(name, index, offset)).await;
            let answer = response.topics[0].partitions[0];
            (answer.error_code, answer.low_watermark)
        };
        assert_eq!(deleted("t", 0, 4).await, (0, 4));
        assert_eq!(deleted("t", 0, 2).await, (0, 4), "it never goes back");
        for offset in [8, -2] {
            assert_eq!(deleted("t", 0, offset).await, (ErrorCode::OffsetOutOfRange.code(), -1), "{offset}");
        }
        assert_eq!(deleted("t", 3, 0).await, (ErrorCode::UnknownTopicOrPartition.code(), -1));
        assert_eq!(deleted("nowhere", 0, 0).await, (ErrorCode::UnknownTopicOrPartition.code(), -1));
        assert_eq!(listed(&mut client, 7, requests::list_offset("t", 0, -2)).await, (0, 4));
        let below = client.call(FETCH, requests::fetch("t", 0, 3)).await;
        assert!(is(fetched(&below).error_code, ErrorCode::OffsetOutOfRange), "{below:?}");
        let inside = client.call(FETCH, requests::fetch("t", 0, 4)).await;
        assert_eq!(records(fetched(&inside)).last(), Some(&(6, b"d".to_vec())));
        assert_eq!(fetched(&inside).log_start_offset, 4);
        let response = client.call(2, delete("t", 0, -1)).await;
        assert_eq!(response.topics[0].partitions[0].low_watermark, 7, "-1 is the high watermark");
    });
}

/// The connection ends while the new starts of logs are made durable, on its own shard and on another one.
#[test]
fn records_are_deleted_whatever_becomes_of_the_connection() {
    const PARTITIONS: i32 = 8;
    with_broker(7, &[], async |visitor, mut client| {
        topic(&mut client, "t", PARTITIONS).await;
        for index in 0..PARTITIONS {
            let batch = requests::batch(BatchOptions::default(), &[b"a"]);
            let response = client.call(PRODUCE, requests::produce("t", index, -1, batch)).await;
            assert_eq!(produced(&response).error_code, 0, "{response:?}");
        }
        // Without acknowledgements an error closes the connection. Both arrive at once.
        let lost = requests::produce("nowhere", 0, 0, requests::batch(BatchOptions::default(), &[b"a"]));
        let mut request = delete("t", 0, 1);
        request.topics[0].partitions =
            (0..PARTITIONS).map(|partition_index| DeleteRecordsPartition { partition_index, offset: 1 }).collect();
        let frames = [frame(PRODUCE, 1, lost.into()), frame(2, 2, request.into())].concat();
        client.send_bytes(frames).await.expect("it is connected");
        assert!(client.frame().await.is_err(), "the connection is closed");
        visitor.env.sleep(Duration::from_secs(5)).await;
        let mut other = visitor.connect().await;
        for index in 0..PARTITIONS {
            assert_eq!(listed(&mut other, 7, requests::list_offset("t", index, -2)).await, (0, 1), "{index}");
        }
    });
}

/// A request as it travels.
fn frame(api_version: i16, correlation_id: i32, body: RequestBody) -> Vec<u8> {
    let header = RequestHeader { api_key: body.api_key(), api_version, correlation_id, client_id: None };
    let segments = body.to_frame(&header).expect("the version carries the request");
    let bytes = |segment: Segment| match segment {
        Segment::Bytes(bytes) => bytes,
        Segment::External { .. } => unreachable!("a request carries its records itself"),
    };
    segments.into_iter().flat_map(bytes).collect()
}

#[test]
fn records_of_internal_and_compacted_topics_are_not_deleted() {
    with_broker(5, &[("log.cleanup.policy", "compact")], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        let find = FindCoordinatorRequest { key: "g".to_owned(), ..FindCoordinatorRequest::default() };
        assert_eq!(client.call(0, find).await.error_code, 0);
        for (name, code) in
            [("t", ErrorCode::PolicyViolation), ("__consumer_offsets", ErrorCode::InvalidTopicException)]
        {
            let answer = client.call(2, delete(name, 0, 0)).await;
            assert!(is(answer.topics[0].partitions[0].error_code, code), "{name}: {answer:?}");
        }
    });
}

#[test]
fn the_end_of_a_leader_epoch_is_told() {
    with_broker(6, &[], async |_, mut client| {
        two_batches(&mut client).await;
        let about = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let epoch = client.call(9, about).await.topics[0].partitions[0].leader_epoch;
        let mut ask = async |current_leader_epoch, leader_epoch| {
            let partition = OffsetForLeaderPartition { partition: 0, current_leader_epoch, leader_epoch };
            let topic = OffsetForLeaderTopic { topic: "t".to_owned(), partitions: vec![partition] };
            let request = OffsetForLeaderEpochRequest { topics: vec![topic], ..Default::default() };
            let response = client.call(4, request).await;
            let answer = response.topics[0].partitions[0];
            (answer.error_code, answer.leader_epoch, answer.end_offset)
        };
        assert_eq!(ask(-1, epoch).await, (0, epoch, 6));
        assert_eq!(ask(epoch, epoch).await, (0, epoch, 6));
        assert_eq!(ask(-1, epoch + 1).await, (0, -1, -1), "an epoch to come");
        assert_eq!(ask(epoch + 1, epoch).await, (ErrorCode::UnknownLeaderEpoch.code(), -1, -1));
    });
}

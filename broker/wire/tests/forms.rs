//! What the codec promises beyond the bytes of each message: fields that a version lacks, segments, tags, frames.

use std::ops::RangeInclusive;

use barnabas_base::Uuid;
use barnabas_wire::message::api_versions::ApiVersion;
use barnabas_wire::message::describe_topic_partitions::Cursor;
use barnabas_wire::message::fetch::{EpochEndOffset, FetchTopic, FetchableTopicResponse, PartitionData};
use barnabas_wire::message::metadata::MetadataRequestTopic;
use barnabas_wire::message::*;
use barnabas_wire::{
    ApiKey, DecodeError, Decoder, EncodeError, Encoder, Message, Records, Request, RequestBody, RequestHeader,
    ResponseBody, Segment,
};
use bytes::Bytes;

#[test]
fn a_value_that_matters_is_refused_where_the_version_cannot_carry_it() {
    let with_epoch = FetchRequest {
        topics: vec![FetchTopic {
            partitions: vec![fetch::FetchPartition { last_fetched_epoch: 3, ..Default::default() }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let refused =
        EncodeError::FieldNotInVersion { message: "FetchPartition", field: "last_fetched_epoch", version: 11 };
    assert_eq!(with_epoch.to_bytes(11), Err(refused));
    assert!(with_epoch.to_bytes(12).is_ok());
}

#[test]
fn an_ignorable_value_is_dropped_where_the_version_cannot_carry_it() {
    let with_rack = FetchRequest { rack_id: "r".to_owned(), ..FetchRequest::default() };
    let bytes = with_rack.to_bytes(10).expect("the rack is ignorable");
    assert_eq!(FetchRequest::from_bytes(10, bytes), Ok(FetchRequest::default()));
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let all_topics = MetadataRequest { topics: None, ..MetadataRequest::default() };
    assert_eq!(all_topics.to_bytes(0), Err(EncodeError::UnexpectedNull { field: "topics" }));
    assert_eq!(MetadataRequest::from_bytes(0, Bytes::from_static(&[0xff; 4])), Err(DecodeError::UnexpectedNull));
    let bytes = all_topics.to_bytes(1).expect("null means all topics from version 1 on");
    assert_eq!(MetadataRequest::from_bytes(1, bytes), Ok(all_topics));
}

#[test]
fn versions_outside_the_range_are_refused_both_ways() {
    let request = ProduceRequest::default();
    let message = "ProduceRequest";
    for version in [-1, 0, 2, 14, i16::MAX, i16::MIN] {
        assert_eq!(request.to_bytes(version), Err(EncodeError::UnsupportedVersion { message, version }));
        assert_eq!(
            ProduceRequest::from_bytes(version, Bytes::new()),
            Err(DecodeError::UnsupportedVersion { message, version })
        );
    }
    assert_eq!(ProduceRequest::VERSIONS, 3..=13);
    assert_eq!(ProduceRequest::ADVERTISED, 0..=13);
}

/// What Apache Kafka 4.3.1 lists in its own ApiVersions response, key by key.
const ADVERTISED_BY_KAFKA: &[(i16, RangeInclusive<i16>)] = &[
    (0, 0..=13),
    (1, 4..=18),
    (2, 1..=11),
    (3, 0..=13),
    (8, 2..=10),
    (9, 1..=10),
    (10, 0..=6),
    (11, 0..=9),
    (12, 0..=4),
    (13, 0..=5),
    (14, 0..=5),
    (15, 0..=6),
    (16, 0..=5),
    (18, 0..=4),
    (19, 2..=7),
    (20, 1..=6),
    (21, 0..=2),
    (22, 0..=5),
    (23, 2..=4),
    (29, 1..=3),
    (30, 1..=3),
    (31, 1..=3),
    (32, 1..=4),
    (33, 0..=2),
    (35, 1..=5),
    (37, 0..=3),
    (42, 0..=2),
    (43, 0..=2),
    (44, 0..=1),
    (47, 0..=0),
    (55, 0..=2),
    (60, 0..=2),
    (61, 0..=0),
    (74, 0..=1),
    (75, 0..=0),
];

#[test]
fn advertised_versions_are_those_of_kafka() {
    let ours: Vec<_> =
        RequestBody::APIS.iter().filter_map(|api| Some((api.code(), RequestBody::advertised(*api)?))).collect();
    assert_eq!(ours, ADVERTISED_BY_KAFKA);
    assert_eq!(RequestBody::advertised(ApiKey::Vote), None);
}

#[test]
fn the_flexible_versions_of_a_message_are_those_of_its_key() {
    macro_rules! same_form {
        ($($request:ident)*) => {$(
            assert_eq!($request::FLEXIBLE_FROM, $request::KEY.flexible_from(), "{}", $request::NAME);
        )*};
    }
    same_form! {
        ProduceRequest FetchRequest ListOffsetsRequest MetadataRequest OffsetCommitRequest OffsetFetchRequest
        FindCoordinatorRequest JoinGroupRequest HeartbeatRequest LeaveGroupRequest SyncGroupRequest
        DescribeGroupsRequest ListGroupsRequest ApiVersionsRequest CreateTopicsRequest DeleteTopicsRequest
        DeleteRecordsRequest InitProducerIdRequest OffsetForLeaderEpochRequest DescribeAclsRequest CreateAclsRequest
        DeleteAclsRequest DescribeConfigsRequest AlterConfigsRequest DescribeLogDirsRequest CreatePartitionsRequest
        DeleteGroupsRequest ElectLeadersRequest IncrementalAlterConfigsRequest OffsetDeleteRequest
        DescribeQuorumRequest DescribeClusterRequest DescribeProducersRequest ListConfigResourcesRequest
        DescribeTopicPartitionsRequest
    }
}

fn fetched(records: Vec<Records>) -> FetchResponse {
    let partition = |(index, records)| PartitionData {
        partition_index: i32::try_from(index).expect("a test has few partitions"),
        high_watermark: 9,
        records,
        ..PartitionData::default()
    };
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic_id: Uuid([7; 16]),
            partitions: records.into_iter().enumerate().map(partition).collect(),
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    }
}

#[test]
fn file_ranges_are_holes_that_every_length_counts() {
    let in_memory = Bytes::from(vec![0xab; 70_000]);
    let with_hole = fetched(vec![Records::External { len: 70_000, token: 42 }, Records::Null]);
    let with_bytes = fetched(vec![Records::Bytes(in_memory.clone()), Records::Null]);
    for version in [4, 11, 12, 16, 18] {
        let mut filled = Vec::new();
        let segments = ResponseBody::from(with_hole.clone()).to_frame(version, 5).expect("it has bytes");
        assert_eq!(segments.len(), 3, "head, hole, tail");
        for segment in segments {
            match segment {
                Segment::Bytes(bytes) => filled.extend_from_slice(&bytes),
                Segment::External { len, token } => {
                    assert_eq!((len, token), (70_000, 42));
                    filled.extend_from_slice(&in_memory);
                }
            }
        }
        let frame = ResponseBody::from(with_bytes.clone()).to_frame(version, 5).expect("it has bytes");
        assert_eq!(filled, joined(&frame), "version {version}");
        assert_eq!(&filled[..4], (filled.len() as u32 - 4).to_be_bytes());
        let body = Bytes::from(filled).slice(4..);
        let (header, _) = ResponseBody::from_frame(ApiKey::Fetch, version, body).expect("it is a response");
        assert_eq!(header.correlation_id, 5);
    }
    assert_eq!(with_hole.to_bytes(12), Err(EncodeError::ExternalNotAllowed));
}

fn joined(segments: &[Segment]) -> Vec<u8> {
    let mut joined = Vec::new();
    for segment in segments {
        match segment {
            Segment::Bytes(bytes) => joined.extend_from_slice(bytes),
            Segment::External { .. } => panic!("this response lies in memory"),
        }
    }
    joined
}

#[test]
fn record_bytes_are_never_copied() {
    let records = Bytes::from(vec![1; 4_096]);
    let mut encoder = Encoder::new();
    fetched(vec![Records::Bytes(records.clone())]).encode(12, &mut encoder).expect("it has bytes");
    let shared = encoder
        .into_segments()
        .into_iter()
        .any(|segment| matches!(segment, Segment::Bytes(bytes) if bytes.as_ptr() == records.as_ptr()));
    assert!(shared, "the batch is a segment of its own");

    let frame = fetched(vec![Records::Bytes(records)]).to_bytes(12).expect("it has bytes");
    let decoded = FetchResponse::from_bytes(12, frame.clone()).expect("it is a response");
    let slice = decoded.responses[0].partitions[0].records.bytes().expect("it has records");
    let inside = frame.as_ptr_range().contains(&slice.as_ptr());
    assert!(inside, "the batch is a slice of its frame");
}

#[test]
fn tagged_fields_are_written_only_when_they_differ_and_in_order() {
    let plain = fetched(vec![Records::Null]);
    let tagged = FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: vec![PartitionData {
                diverging_epoch: EpochEndOffset { epoch: 1, end_offset: 2 },
                ..plain.responses[0].partitions[0].clone()
            }],
            ..plain.responses[0].clone()
        }],
        ..plain.clone()
    };
    let short = plain.to_bytes(13).expect("it has bytes");
    let long = tagged.to_bytes(13).expect("it has bytes");
    let (tag, size, epoch, end_offset, tags) = (1, 1, 4, 8, 1);
    assert_eq!(long.len() - short.len(), tag + size + epoch + end_offset + tags);
    assert_eq!(FetchResponse::from_bytes(13, long), Ok(tagged));
}

#[test]
fn pitfall_7_unknown_tags_are_skipped_and_any_byte_but_zero_is_true() {
    let mut bytes = vec![0x02];
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&[0x02, b't', 0x01, 0x63, 0x03, 1, 2, 3]);
    bytes.extend_from_slice(&[0x02, 0x00, 0x01, 0x09, 0x00]);
    let request = MetadataRequest::from_bytes(12, Bytes::from(bytes)).expect("unknown tags do not matter");
    let topic = MetadataRequestTopic { topic_id: Uuid::ZERO, name: Some("t".to_owned()) };
    let expected =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true, ..MetadataRequest::default() };
    assert_eq!(request, expected);
}

#[test]
fn pitfall_7_a_nullable_struct_has_a_marker_byte_in_front() {
    let whole = DescribeTopicPartitionsRequest { response_partition_limit: 5, ..Default::default() };
    let bytes = whole.to_bytes(0).expect("it has bytes");
    assert_eq!(&bytes[..], [1, 0, 0, 0, 5, 0xff, 0]);
    let cursor = Cursor { topic_name: "t".to_owned(), partition_index: 3 };
    let paged = DescribeTopicPartitionsRequest { cursor: Some(cursor), ..whole };
    let bytes = paged.to_bytes(0).expect("it has bytes");
    assert_eq!(&bytes[..], [1, 0, 0, 0, 5, 1, 2, b't', 0, 0, 0, 3, 0, 0]);
    assert_eq!(DescribeTopicPartitionsRequest::from_bytes(0, bytes), Ok(paged));
}

#[test]
fn frames_carry_their_headers() {
    let header = RequestHeader {
        api_key: ApiKey::ApiVersions,
        api_version: 3,
        correlation_id: 11,
        client_id: Some("kcat".to_owned()),
    };
    let request = RequestBody::from(ApiVersionsRequest {
        client_software_name: "librdkafka".to_owned(),
        client_software_version: "2.0.2".to_owned(),
    });
    let frame = Bytes::from(joined(&request.to_frame(&header).expect("it has bytes")));
    assert_eq!(RequestBody::from_frame(frame.slice(4..)), Ok((header, request)));

    let response = ResponseBody::from(ApiVersionsResponse {
        api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 4 }],
        ..ApiVersionsResponse::default()
    });
    let frame = joined(&response.to_frame(3, 11).expect("it has bytes"));
    assert_eq!(&frame[4..], [0, 0, 0, 11, 0, 0, 2, 0, 18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn bytes_behind_a_message_are_refused() {
    let mut decoder = Decoder::new(Bytes::from_static(&[0, 0, 0]));
    assert_eq!(decoder.i16(), Ok(0));
    assert_eq!(decoder.finish(), Err(DecodeError::TrailingBytes { left: 1 }));
}

#[test]
fn strings_that_kafka_refuses_are_refused() {
    let named = |length| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("x".repeat(length)), ..Default::default() }]),
        ..MetadataRequest::default()
    };
    for version in [1, 9] {
        assert!(named(32_767).to_bytes(version).is_ok());
        assert_eq!(named(32_768).to_bytes(version), Err(EncodeError::StringTooLong { bytes: 32_768 }));
    }
}

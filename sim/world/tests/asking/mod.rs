//! What to ask: for each API and version the requests that a client might send, and those at the edge.
//!
//! Values only; the test asks and judges.

use barnabas_base::Uuid;
use barnabas_sim_world::{RawClient, requests};
use barnabas_wire::message::*;
use barnabas_wire::record::BatchOptions;
use barnabas_wire::{ApiKey, Records, RequestBody};
use bytes::{BufMut, Bytes, BytesMut};

mod admin;
mod group;

/// Topic that exists, with three partitions and two records in the first.
pub(crate) const TOPIC: &str = "here";
/// Topic that does not exist.
pub(crate) const UNKNOWN: &str = "nowhere";
/// Group with a commit.
pub(crate) const GROUP: &str = "readers";

/// What the broker has when the questions begin.
pub(crate) struct Stage {
    pub(crate) topic_id: Uuid,
}

/// Creates the topic, writes to it, and commits an offset.
pub(crate) async fn set(client: &mut RawClient) -> Stage {
    let created = client.call(7, requests::create_topic(TOPIC, 3)).await;
    assert_eq!(created.topics[0].error_code, 0, "{created:?}");
    let records = requests::batch(BatchOptions::default(), &[b"a", b"b"]);
    let produced = client.call(9, requests::produce(TOPIC, 0, -1, records)).await;
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0, "{produced:?}");
    let find = FindCoordinatorRequest { key: GROUP.to_owned(), ..FindCoordinatorRequest::default() };
    assert_eq!(client.call(2, find).await.error_code, 0);
    loop {
        let committed = client.call(8, requests::commit(GROUP, TOPIC, 0, 1)).await;
        if committed.topics[0].partitions[0].error_code == 0 {
            break;
        }
    }
    Stage { topic_id: created.topics[0].topic_id }
}

/// What to ask of `api` in `version`.
pub(crate) fn sensible(api: ApiKey, version: i16, stage: &Stage) -> Vec<RequestBody> {
    match api {
        ApiKey::Produce => produce(version, stage),
        ApiKey::Fetch => fetch(version, stage),
        ApiKey::ListOffsets => list_offsets(version),
        ApiKey::Metadata => metadata(version, stage),
        ApiKey::OffsetForLeaderEpoch => for_leader_epoch(),
        ApiKey::ApiVersions => vec![
            ApiVersionsRequest { client_software_name: "test".to_owned(), client_software_version: "1.0".to_owned() }
                .into(),
            ApiVersionsRequest::default().into(),
        ],
        ApiKey::InitProducerId => init_producer_id(),
        ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::FindCoordinator
        | ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteGroups
        | ApiKey::OffsetDelete => group::sensible(api, version, stage),
        _ => admin::sensible(api, version, stage),
    }
}

/// A frame of a Produce that Kafka 4 does not read any more.
pub(crate) fn produce_of_version(version: i16) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i16(ApiKey::Produce.code());
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    frame.put_i16(1);
    frame.put_i32(1_000);
    frame.put_i32(0);
    let mut framed = BytesMut::new();
    framed.put_i32(i32::try_from(frame.len()).expect("a short frame"));
    framed.extend_from_slice(&frame);
    framed.freeze()
}

fn produce(version: i16, stage: &Stage) -> Vec<RequestBody> {
    let records = || requests::batch(BatchOptions::default(), &[b"x"]);
    let mut asked = Vec::new();
    for acks in [1, -1, 7] {
        for (topic, topic_id) in [(TOPIC, stage.topic_id), (UNKNOWN, Uuid::ZERO)] {
            for index in [0, 9] {
                let mut request = requests::produce(topic, index, acks, records());
                if version >= 13 {
                    request.topic_data[0].topic_id = topic_id;
                }
                asked.push(request);
            }
        }
    }
    let mut null = requests::produce(TOPIC, 0, 1, Bytes::new());
    null.topic_data[0].topic_id = stage.topic_id;
    asked.push(null.clone());
    null.topic_data[0].partition_data[0].records = Records::Null;
    asked.push(null.clone());
    null.topic_data[0].partition_data.clear();
    asked.push(null);
    asked.push(ProduceRequest { acks: 1, ..ProduceRequest::default() });
    asked.into_iter().map(Into::into).collect()
}

fn fetch(version: i16, stage: &Stage) -> Vec<RequestBody> {
    let mut asked = Vec::new();
    for (topic, topic_id) in [(TOPIC, stage.topic_id), (UNKNOWN, Uuid::ZERO)] {
        for (index, offset) in [(0, 0), (0, 1), (0, 1_000_000), (0, -1), (9, 0)] {
            for isolation_level in [0, 1] {
                let mut request = requests::fetch(topic, index, offset);
                request.isolation_level = isolation_level;
                request.topics[0].topic_id = topic_id;
                asked.push(request.clone());
                if version >= 9 {
                    request.topics[0].partitions[0].current_leader_epoch = 1_000;
                    asked.push(request.clone());
                }
                if version >= 12 {
                    request.topics[0].partitions[0].current_leader_epoch = -1;
                    request.topics[0].partitions[0].last_fetched_epoch = 0;
                    asked.push(request);
                }
            }
        }
    }
    if version >= 7 {
        let (mut open, mut wrong) = (requests::fetch(TOPIC, 0, 0), requests::fetch(TOPIC, 0, 0));
        open.topics[0].topic_id = stage.topic_id;
        (open.session_id, open.session_epoch) = (0, 0);
        (wrong.session_id, wrong.session_epoch) = (77, 3);
        asked.extend([open, wrong]);
    }
    asked.push(FetchRequest { topics: Vec::new(), ..requests::fetch(TOPIC, 0, 0) });
    asked.into_iter().map(Into::into).collect()
}

fn list_offsets(version: i16) -> Vec<RequestBody> {
    let mut asked = vec![ListOffsetsRequest { replica_id: -1, ..ListOffsetsRequest::default() }];
    for timestamp in [0, 1_750_000_000_001, i64::MAX, -1, -2, -3, -4, -5, -6, -7] {
        for (topic, index) in [(TOPIC, 0), (TOPIC, 1), (TOPIC, 9), (UNKNOWN, 0)] {
            let mut request = requests::list_offset(topic, index, timestamp);
            if version >= 2 {
                request.isolation_level = 1;
            }
            asked.push(request.clone());
            if version >= 4 {
                request.topics[0].partitions[0].current_leader_epoch = 1_000;
                asked.push(request);
            }
        }
    }
    asked.into_iter().map(Into::into).collect()
}

fn metadata(version: i16, stage: &Stage) -> Vec<RequestBody> {
    let named = |name: &str| metadata::MetadataRequestTopic { name: Some(name.to_owned()), ..Default::default() };
    let identified = |topic_id| metadata::MetadataRequestTopic { topic_id, name: None };
    let mut asked = vec![MetadataRequest::default()];
    asked.push(MetadataRequest { topics: Some(vec![named(TOPIC), named(UNKNOWN)]), ..Default::default() });
    asked.push(MetadataRequest { topics: Some(vec![named("no/name"), named("")]), ..Default::default() });
    if version >= 1 {
        asked.push(MetadataRequest { topics: None, ..MetadataRequest::default() });
    }
    if version >= 4 {
        let topics = Some(vec![named("not created")]);
        asked.push(MetadataRequest { topics, allow_auto_topic_creation: false, ..MetadataRequest::default() });
    }
    if version >= 8 {
        asked.push(MetadataRequest {
            topics: None,
            include_topic_authorized_operations: true,
            include_cluster_authorized_operations: version <= 10,
            ..MetadataRequest::default()
        });
    }
    if version >= 10 {
        let topics = vec![identified(stage.topic_id), identified(Uuid::ZERO), identified(Uuid([7; 16]))];
        asked.push(MetadataRequest { topics: Some(topics), ..MetadataRequest::default() });
    }
    asked.into_iter().map(Into::into).collect()
}

fn for_leader_epoch() -> Vec<RequestBody> {
    use offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let mut asked = vec![OffsetForLeaderEpochRequest::default()];
    for (topic, partition) in [(TOPIC, 0), (TOPIC, 9), (UNKNOWN, 0)] {
        for (current_leader_epoch, leader_epoch) in [(-1, 0), (-1, 50), (50, 0), (0, -1)] {
            let partition = OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch };
            let topic = OffsetForLeaderTopic { topic: topic.to_owned(), partitions: vec![partition] };
            asked.push(OffsetForLeaderEpochRequest { topics: vec![topic], ..OffsetForLeaderEpochRequest::default() });
        }
    }
    asked.into_iter().map(Into::into).collect()
}

fn init_producer_id() -> Vec<RequestBody> {
    let ids = [None, Some(String::new()), Some("transactional".to_owned())];
    let of = |transactional_id| InitProducerIdRequest {
        transactional_id,
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    ids.into_iter().map(of).map(Into::into).collect()
}

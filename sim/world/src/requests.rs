//! Requests that protocol tests send again and again, in the fewest words. Plain values, no behaviour.

use barnabas_base::{ProducerEpoch, ProducerId, Sequence, TimestampMs, Uuid};
use barnabas_wire::Records;
use barnabas_wire::message::create_topics::CreatableTopic;
use barnabas_wire::message::fetch::{FetchPartition, FetchTopic};
use barnabas_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::produce::{PartitionProduceData, TopicProduceData};
use barnabas_wire::message::{
    CreateTopicsRequest, FetchRequest, ListOffsetsRequest, OffsetCommitRequest, ProduceRequest,
};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, ProducerFields};
use bytes::Bytes;

/// Simulated time in which a request has to take effect.
const TIMEOUT_MS: i32 = 30_000;
/// The most bytes a fetch asks for unless a test says otherwise.
const FETCH_BYTES_MAX: i32 = 1024 * 1024;

/// One batch of records without keys.
///
/// # Panics
/// When the values do not fit one batch.
#[must_use]
pub fn batch(options: BatchOptions, values: &[&[u8]]) -> Bytes {
    dated_batch(options, TimestampMs(1_750_000_000_000), values)
}

/// One batch of records without keys, the first of `first_timestamp`, each a millisecond after the one before.
///
/// # Panics
/// When the values do not fit one batch.
#[must_use]
pub fn dated_batch(options: BatchOptions, first_timestamp: TimestampMs, values: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (value, delta_ms) in values.iter().zip(0..) {
        let timestamp = first_timestamp.saturating_add_ms(delta_ms);
        builder.append(timestamp, None, Some(value), std::iter::empty()).expect("the test's records fit a batch");
    }
    builder.build(&mut Compressor::new()).expect("the test's records can be compressed")
}

/// Options of a batch of an idempotent producer.
#[must_use]
pub fn idempotent(producer_id: i64, epoch: i16, base_sequence: i32) -> BatchOptions {
    let producer = ProducerFields {
        id: ProducerId(producer_id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(base_sequence),
    };
    BatchOptions { producer: Some(producer), ..BatchOptions::default() }
}

/// Records for partition `index` of `topic`, by name.
#[must_use]
pub fn produce(topic: &str, index: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let partition_data = vec![PartitionProduceData { index, records: Records::Bytes(records) }];
    let topic = TopicProduceData { name: topic.to_owned(), partition_data, ..TopicProduceData::default() };
    ProduceRequest { transactional_id: None, acks, timeout_ms: TIMEOUT_MS, topic_data: vec![topic] }
}

/// Records for partition `index` of the topic with `topic_id`.
#[must_use]
pub fn produce_by_id(topic_id: Uuid, index: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let mut request = produce("", index, acks, records);
    request.topic_data[0].topic_id = topic_id;
    request
}

/// A fetch without a session of partition `index` of `topic`, by name, that waits for nothing.
#[must_use]
pub fn fetch(topic: &str, index: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition {
        partition: index,
        fetch_offset: offset,
        partition_max_bytes: FETCH_BYTES_MAX,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: FETCH_BYTES_MAX,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

/// The same by topic id.
#[must_use]
pub fn fetch_by_id(topic_id: Uuid, index: i32, offset: i64) -> FetchRequest {
    let mut request = fetch("", index, offset);
    request.topics[0].topic_id = topic_id;
    request
}

/// The offset of `timestamp` in partition `index` of `topic`.
#[must_use]
pub fn list_offset(topic: &str, index: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition { partition_index: index, timestamp, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition] };
    ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() }
}

/// One topic of `partitions` partitions.
#[must_use]
pub fn create_topic(name: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only: false }
}

/// A commit of a simple consumer, which is in no group.
#[must_use]
pub fn commit(group: &str, topic: &str, index: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset,
        committed_leader_epoch: -1,
        committed_metadata: Some("m".to_owned()),
    };
    let topic = OffsetCommitRequestTopic {
        name: topic.to_owned(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest { group_id: group.to_owned(), topics: vec![topic], ..OffsetCommitRequest::default() }
}

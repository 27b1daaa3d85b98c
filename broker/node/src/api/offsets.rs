//! ListOffsets, OffsetForLeaderEpoch and DeleteRecords: questions about positions in logs, and moving their start.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use barnabas_commitlog::{DeleteRecordsError, ReadError, TimestampAndOffset};
use barnabas_metadata::controller::is_internal_topic;
use barnabas_runtime::Local;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use barnabas_wire::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic, ListOffsetsTopicResponse,
};
use barnabas_wire::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use barnabas_wire::message::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use crate::dispatch::Call;
use crate::partition::Partition;
use crate::shard::Shard;

/// The end of what may be read: high watermark or last stable offset.
const LATEST: i64 = -1;
/// The log start offset.
const EARLIEST: i64 = -2;
/// The record with the largest timestamp (KIP-734), since version 7.
const MAX_TIMESTAMP: i64 = -3;
/// First offset on local disk (KIP-405), since version 8; the log start without tiered storage.
const EARLIEST_LOCAL: i64 = -4;
/// Last offset in tiered storage (KIP-1005), since version 9; none without tiered storage.
const LATEST_TIERED: i64 = -5;
/// First offset not yet in tiered storage (KIP-1023), since version 11; none without tiered storage.
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// First version of ListOffsets that carries leader epochs (KIP-320).
const EPOCHS_SINCE: i16 = 4;
/// DeleteRecords up to the high watermark.
const UP_TO_HIGH_WATERMARK: i64 = -1;

const READ_COMMITTED: i8 = 1;

/// ListOffsets.
pub(crate) async fn list(call: &Call, mut request: ListOffsetsRequest) -> ListOffsetsResponse {
    let committed_only = request.isolation_level == READ_COMMITTED;
    let version = call.version;
    let mut repeated = take_repeated(&mut request.topics);
    let topics = request.topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let ask = move |_: &Rc<Shard>, partition: Rc<Partition>, asked: ListOffsetsPartition| {
        let answer: Local<'static, _> =
            Box::pin(async move { list_one(&partition, asked, version, committed_only).await });
        answer
    };
    let refuse = |asked: &ListOffsetsPartition, code: ErrorCode| ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: code.code(),
        ..ListOffsetsPartitionResponse::default()
    };
    let index = |asked: &ListOffsetsPartition| asked.partition_index;
    let answered = ask_owners(call, topics, index, ask, refuse).await;
    let topics = answered.into_iter().map(|(name, mut partitions)| {
        let repeated = repeated.remove(&name).unwrap_or_default();
        partitions.extend(repeated.iter().map(|asked| refuse(asked, ErrorCode::InvalidRequest)));
        ListOffsetsTopicResponse { name, partitions }
    });
    ListOffsetsResponse { topics: topics.collect(), ..ListOffsetsResponse::default() }
}

/// Takes out what is named more than once, and gives one of each. Whoever asks twice may ask for two timestamps, and the
/// answer has one place (`ReplicaManager.fetchOffset`).
fn take_repeated(topics: &mut [ListOffsetsTopic]) -> BTreeMap<String, Vec<ListOffsetsPartition>> {
    let mut repeated: BTreeMap<String, Vec<ListOffsetsPartition>> = BTreeMap::new();
    let mut counts: BTreeMap<&str, BTreeMap<i32, u32>> = BTreeMap::new();
    for topic in topics.iter() {
        let counts = counts.entry(&topic.name).or_default();
        let mut twice = Vec::new();
        for asked in &topic.partitions {
            let count = counts.entry(asked.partition_index).or_default();
            *count += 1;
            if *count == 2 {
                twice.push(*asked);
            }
        }
        // The name is copied once, not for each of them: it may be longer than all that is said of them.
        if !twice.is_empty() {
            repeated.entry(topic.name.clone()).or_default().append(&mut twice);
        }
    }
    for topic in topics {
        let Some(taken) = repeated.get(&topic.name) else { continue };
        let taken: BTreeSet<i32> = taken.iter().map(|asked| asked.partition_index).collect();
        topic.partitions.retain(|asked| !taken.contains(&asked.partition_index));
    }
    repeated
}

async fn list_one(
    partition: &Rc<Partition>,
    asked: ListOffsetsPartition,
    version: i16,
    committed_only: bool,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..Default::default() };
    if let Err(code) = partition.check_epoch(LeaderEpoch(asked.current_leader_epoch)) {
        response.error_code = code.code();
        return response;
    }
    match find(partition, asked.timestamp, version, committed_only).await {
        Ok(Some(found)) => {
            response.timestamp = found.timestamp.0;
            response.offset = found.offset.0;
            if version >= EPOCHS_SINCE {
                response.leader_epoch = found.leader_epoch.0;
            }
        }
        Ok(None) => {}
        Err(code) => response.error_code = code.code(),
    }
    response
}

/// What `timestamp` asks for; `None` when no record answers it.
async fn find(
    partition: &Rc<Partition>,
    timestamp: i64,
    version: i16,
    committed_only: bool,
) -> Result<Option<TimestampAndOffset>, ErrorCode> {
    let log = &partition.log;
    let bound = if committed_only { log.last_stable_offset() } else { log.high_watermark() };
    let at = |offset: Offset, leader_epoch: LeaderEpoch| {
        Ok(Some(TimestampAndOffset { timestamp: TimestampMs::NONE, offset, leader_epoch }))
    };
    let since = |first: i16| if version >= first { Ok(()) } else { Err(ErrorCode::UnsupportedVersion) };
    match timestamp {
        LATEST => at(bound, partition.leader_epoch()),
        EARLIEST => at(log.log_start_offset(), start_epoch(partition)),
        EARLIEST_LOCAL => since(8).and_then(|()| at(log.log_start_offset(), start_epoch(partition))),
        EARLIEST_PENDING_UPLOAD => since(11).and_then(|()| at(Offset::UNKNOWN, LeaderEpoch::UNKNOWN)),
        LATEST_TIERED => since(9).and_then(|()| at(Offset::UNKNOWN, LeaderEpoch::UNKNOWN)),
        MAX_TIMESTAMP => {
            since(7)?;
            log.max_timestamp(bound).await.map_err(|error| storage_code(&error))
        }
        negative if negative < 0 => Err(ErrorCode::UnsupportedVersion),
        wanted => log.offset_for_timestamp(TimestampMs(wanted), bound).await.map_err(|error| storage_code(&error)),
    }
}

/// The epoch of the first record that is still there.
fn start_epoch(partition: &Partition) -> LeaderEpoch {
    partition.log.epoch_of(partition.log.log_start_offset()).unwrap_or(LeaderEpoch::UNKNOWN)
}

fn storage_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange => ErrorCode::OffsetOutOfRange,
        ReadError::Damaged => ErrorCode::CorruptMessage,
        ReadError::Storage => ErrorCode::KafkaStorageError,
    }
}

/// OffsetForLeaderEpoch (KIP-279, KIP-320).
pub(crate) async fn for_leader_epoch(
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| (topic.topic, topic.partitions)).collect();
    let ask = |_: &Rc<Shard>, partition: Rc<Partition>, asked: OffsetForLeaderPartition| {
        let answer: Local<'static, _> = Box::pin(std::future::ready(epoch_end(&partition, asked)));
        answer
    };
    let refuse = |asked: &OffsetForLeaderPartition, code: ErrorCode| EpochEndOffset {
        error_code: code.code(),
        partition: asked.partition,
        ..EpochEndOffset::default()
    };
    let answered = ask_owners(call, topics, |asked| asked.partition, ask, refuse).await;
    let topics =
        answered.into_iter().map(|(topic, partitions)| OffsetForLeaderTopicResult { topic, partitions }).collect();
    OffsetForLeaderEpochResponse { topics, ..OffsetForLeaderEpochResponse::default() }
}

fn epoch_end(partition: &Partition, asked: OffsetForLeaderPartition) -> EpochEndOffset {
    let mut response = EpochEndOffset { partition: asked.partition, ..EpochEndOffset::default() };
    if let Err(code) = partition.check_epoch(LeaderEpoch(asked.current_leader_epoch)) {
        response.error_code = code.code();
        return response;
    }
    if let Some((epoch, end_offset)) = partition.log.epoch_end_offset(LeaderEpoch(asked.leader_epoch)) {
        response.leader_epoch = epoch.0;
        response.end_offset = end_offset.0;
    }
    response
}

/// DeleteRecords: moves log starts; answered once the new starts are durable.
pub(crate) async fn delete_records(call: &Call, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| (topic.name, topic.partitions)).collect();
    let ask = |_: &Rc<Shard>, partition: Rc<Partition>, asked: DeleteRecordsPartition| {
        let answer: Local<'static, _> = Box::pin(async move { delete_before(&partition, asked).await });
        answer
    };
    let refuse = |asked: &DeleteRecordsPartition, code: ErrorCode| DeleteRecordsPartitionResult {
        partition_index: asked.partition_index,
        low_watermark: -1,
        error_code: code.code(),
    };
    let answered = ask_owners(call, topics, |asked| asked.partition_index, ask, refuse).await;
    let topics = answered.into_iter().map(|(name, partitions)| DeleteRecordsTopicResult { name, partitions }).collect();
    DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() }
}

async fn delete_before(partition: &Rc<Partition>, asked: DeleteRecordsPartition) -> DeleteRecordsPartitionResult {
    if is_internal_topic(&partition.topic_name) {
        let error_code = ErrorCode::InvalidTopicException.code();
        return DeleteRecordsPartitionResult { partition_index: asked.partition_index, low_watermark: -1, error_code };
    }
    let wanted = match asked.offset {
        UP_TO_HIGH_WATERMARK => partition.log.high_watermark(),
        offset => Offset(offset),
    };
    let (low_watermark, code) = match partition.log.delete_records_before(wanted).await {
        Ok(start) => (start.0, ErrorCode::None),
        Err(DeleteRecordsError::OutOfRange) => (-1, ErrorCode::OffsetOutOfRange),
        Err(DeleteRecordsError::PolicyViolation) => (-1, ErrorCode::PolicyViolation),
        Err(DeleteRecordsError::Storage) => (-1, ErrorCode::KafkaStorageError),
    };
    DeleteRecordsPartitionResult { partition_index: asked.partition_index, low_watermark, error_code: code.code() }
}

/// Asks the owner of every partition named in `topics` and keeps the shape of the request.
///
/// `index` names the partition of an element, `ask` begins on the owner, `refuse` answers for partitions without one.
pub(crate) async fn ask_owners<Q, A, I, F, R>(
    call: &Call,
    topics: Vec<(String, Vec<Q>)>,
    index: I,
    ask: F,
    refuse: R,
) -> Vec<(String, Vec<A>)>
where
    Q: Copy + Send + 'static,
    A: Send + 'static,
    I: Fn(&Q) -> i32,
    F: Fn(&Rc<Shard>, Rc<Partition>, Q) -> Local<'static, A> + Copy + Send + 'static,
    R: Fn(&Q, ErrorCode) -> A + Copy + Send + 'static,
{
    let mut begun = Vec::with_capacity(topics.len());
    for (name, asked) in topics {
        let topic_id = call.shard.image().topic_by_name(&name).map(|topic| topic.id);
        let mut answers: Vec<Local<'static, A>> = Vec::with_capacity(asked.len());
        for question in asked {
            let Some(topic_id) = topic_id else {
                answers.push(Box::pin(std::future::ready(refuse(&question, ErrorCode::UnknownTopicOrPartition))));
                continue;
            };
            let partition = PartitionIndex(index(&question));
            let id = barnabas_base::TopicPartition { topic_id, partition };
            let owner = id.shard(call.shard.data_shards);
            answers.push(call.shard.on(owner, move |shard| match shard.led_partition(id) {
                Ok(partition) => ask(shard, partition, question),
                Err(code) => Box::pin(std::future::ready(refuse(&question, code))),
            }));
        }
        begun.push((name, answers));
    }
    let mut answered = Vec::with_capacity(begun.len());
    for (name, answers) in begun {
        answered.push((name, barnabas_runtime::join_all(answers).await));
    }
    answered
}

//! Operations that ask one question and wait for its answer: administration, offset queries, committed offsets. Carried out
//! on a [`Life`] by `script`.

use barnabas_base::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use barnabas_client::{CallError, Destination};
use barnabas_history::{Call, CallId, LogName, Outcome, Reply};
use barnabas_plan::{GroupName, OffsetSpec, TopicName};
use barnabas_wire::message::create_partitions::CreatePartitionsTopic;
use barnabas_wire::message::create_topics::CreatableTopic;
use barnabas_wire::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use barnabas_wire::message::delete_topics::DeleteTopicState;
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use barnabas_wire::message::offset_fetch::OffsetFetchRequestTopic;
use barnabas_wire::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest, ListOffsetsRequest, OffsetFetchRequest,
};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};

use crate::life::Life;

/// OffsetFetch with one group.
const OFFSET_FETCH_VERSION_MAX: i16 = 7;
/// ConfigResource.Type.TOPIC.
const RESOURCE_TOPIC: i8 = 2;
/// How long the broker may take for an administrative request, in milliseconds.
const TIMEOUT_MS: i32 = 8_000;

type Answer = Result<(i16, ResponseBody), CallError>;

/// The outcome of an answer that is an error code and, when there is none, a reply.
pub(crate) fn judged(code: i16, reply: impl FnOnce() -> Reply) -> Outcome {
    match ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => Outcome::Ok(reply()),
        code @ (ErrorCode::RequestTimedOut
        | ErrorCode::UnknownServerError
        | ErrorCode::NotLeaderOrFollower
        | ErrorCode::NotController
        | ErrorCode::KafkaStorageError) => Outcome::Unknown(code.name().to_owned()),
        code => Outcome::Failed(code.name().to_owned()),
    }
}

/// An answer that is none, or of another kind.
pub(crate) fn unanswered(answer: &Answer) -> Outcome {
    match answer {
        Err(
            error @ (CallError::Refused(_) | CallError::Unsupported | CallError::Overloaded | CallError::Encode(_)),
        ) => Outcome::Failed(error.to_string()),
        Err(error @ (CallError::TimedOut | CallError::Disconnected)) => Outcome::Unknown(error.to_string()),
        Ok((_, body)) => Outcome::Unknown(format!("an answer to {} that says nothing", body.api_key().name())),
    }
}

fn index(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

pub(crate) async fn create(life: &mut Life, topic: TopicName, partitions: u32) {
    let call = life.recorder.call(life.by, Call::Create { topic, partitions });
    let creatable = CreatableTopic {
        name: topic.to_string(),
        num_partitions: index(partitions),
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![creatable], timeout_ms: TIMEOUT_MS, validate_only: false };
    let answer = life.ask(Destination::Controller, RequestBody::CreateTopics(request), None).await;
    let outcome = match &answer {
        Ok((_, ResponseBody::CreateTopics(response))) => match response.topics.first() {
            Some(result) => judged(result.error_code, || Reply::Created { id: result.topic_id }),
            None => unanswered(&answer),
        },
        _ => unanswered(&answer),
    };
    life.recorder.end(call, outcome);
    life.client.refresh_metadata(life.env.now());
}

pub(crate) async fn drop_topic(life: &mut Life, topic: TopicName) {
    let call = life.recorder.call(life.by, Call::Drop { topic });
    let state = DeleteTopicState { name: Some(topic.to_string()), ..DeleteTopicState::default() };
    let request =
        DeleteTopicsRequest { topics: vec![state], topic_names: vec![topic.to_string()], timeout_ms: TIMEOUT_MS };
    let answer = life.ask(Destination::Controller, RequestBody::DeleteTopics(request), None).await;
    let outcome = match &answer {
        Ok((_, ResponseBody::DeleteTopics(response))) => match response.responses.first() {
            Some(result) => judged(result.error_code, || Reply::Done),
            None => unanswered(&answer),
        },
        _ => unanswered(&answer),
    };
    life.recorder.end(call, outcome);
    life.client.refresh_metadata(life.env.now());
}

pub(crate) async fn grow(life: &mut Life, topic: TopicName, partitions: u32) {
    let call = life.recorder.call(life.by, Call::Grow { topic, partitions });
    let wanted = CreatePartitionsTopic { name: topic.to_string(), count: index(partitions), assignments: None };
    let request = CreatePartitionsRequest { topics: vec![wanted], timeout_ms: TIMEOUT_MS, validate_only: false };
    let answer = life.ask(Destination::Controller, RequestBody::CreatePartitions(request), None).await;
    let outcome = match &answer {
        Ok((_, ResponseBody::CreatePartitions(response))) => match response.results.first() {
            Some(result) => judged(result.error_code, || Reply::Done),
            None => unanswered(&answer),
        },
        _ => unanswered(&answer),
    };
    life.recorder.end(call, outcome);
    life.client.refresh_metadata(life.env.now());
}

pub(crate) async fn configure(life: &mut Life, topic: TopicName, key: &str, value: &str) {
    let (key, value) = (key.to_owned(), value.to_owned());
    let call = life.recorder.call(life.by, Call::Configure { topic, key: key.clone(), value: value.clone() });
    let config = AlterableConfig { name: key, value: Some(value), ..AlterableConfig::default() };
    let resource =
        AlterConfigsResource { resource_type: RESOURCE_TOPIC, resource_name: topic.to_string(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answer = life.ask(Destination::Controller, RequestBody::IncrementalAlterConfigs(request), None).await;
    let outcome = match &answer {
        Ok((_, ResponseBody::IncrementalAlterConfigs(response))) => match response.responses.first() {
            Some(result) => judged(result.error_code, || Reply::Done),
            None => unanswered(&answer),
        },
        _ => unanswered(&answer),
    };
    life.recorder.end(call, outcome);
}

/// An offset of a log, as a bare query.
pub(crate) async fn list_offset(
    life: &mut Life,
    topic: TopicName,
    partition: u32,
    timestamp: i64,
) -> Result<(Offset, TimestampMs, LeaderEpoch), Outcome> {
    let asked =
        ListOffsetsPartition { partition_index: index(partition), timestamp, ..ListOffsetsPartition::default() };
    let topics = vec![ListOffsetsTopic { name: topic.to_string(), partitions: vec![asked] }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
    let destination = Destination::Leader(topic.to_string(), PartitionIndex(index(partition)));
    let answer = life.ask(destination, RequestBody::ListOffsets(request), None).await;
    let found = match &answer {
        Ok((_, ResponseBody::ListOffsets(response))) => {
            response.topics.first().and_then(|topic| topic.partitions.first())
        }
        _ => None,
    };
    let Some(found) = found else { return Err(unanswered(&answer)) };
    match judged(found.error_code, || Reply::Done) {
        Outcome::Ok(_) => Ok((Offset(found.offset), TimestampMs(found.timestamp), LeaderEpoch(found.leader_epoch))),
        refused => Err(refused),
    }
}

pub(crate) async fn offsets(life: &mut Life, topic: TopicName, partition: u32, spec: OffsetSpec) {
    let now = life.env.wall();
    let (asked, timestamp) = match spec {
        OffsetSpec::Earliest => (-2, TimestampMs(-1)),
        OffsetSpec::Latest => (-1, TimestampMs(-1)),
        OffsetSpec::MaxTimestamp => (-3, TimestampMs(-1)),
        // Some seconds ago: in the middle of what was sent.
        OffsetSpec::Timestamp => {
            let then = now.saturating_add_ms(-5_000);
            (then.0, then)
        }
    };
    let call = life.recorder.call(life.by, Call::Offsets { topic, partition, spec, timestamp });
    let outcome = match list_offset(life, topic, partition, asked).await {
        Ok((offset, timestamp, epoch)) => {
            Outcome::Ok(Reply::Offset { log: life.log(topic, partition), offset, timestamp, epoch })
        }
        Err(outcome) => outcome,
    };
    life.recorder.end(call, outcome);
}

pub(crate) async fn trim(life: &mut Life, topic: TopicName, partition: u32, percent: u32) {
    // What there is to trim is asked for first: a plan does not know offsets.
    let Ok((start, ..)) = list_offset(life, topic, partition, -2).await else { return };
    let Ok((end, ..)) = list_offset(life, topic, partition, -1).await else { return };
    let before = Offset(start.0 + (end.0 - start.0) * i64::from(percent.min(100)) / 100);
    let call = life.recorder.call(life.by, Call::Trim { topic, partition, before });
    let outcome = delete_records(life, topic, partition, before).await;
    life.recorder.end(call, outcome);
}

async fn delete_records(life: &mut Life, topic: TopicName, partition: u32, before: Offset) -> Outcome {
    let partitions = vec![DeleteRecordsPartition { partition_index: index(partition), offset: before.0 }];
    let topics = vec![DeleteRecordsTopic { name: topic.to_string(), partitions }];
    let request = DeleteRecordsRequest { topics, timeout_ms: TIMEOUT_MS };
    let destination = Destination::Leader(topic.to_string(), PartitionIndex(index(partition)));
    let answer = life.ask(destination, RequestBody::DeleteRecords(request), None).await;
    let found = match &answer {
        Ok((_, ResponseBody::DeleteRecords(response))) => {
            response.topics.first().and_then(|topic| topic.partitions.first())
        }
        _ => None,
    };
    let Some(found) = found else { return unanswered(&answer) };
    let log = life.log(topic, partition);
    judged(found.error_code, || Reply::Trimmed { log, low_watermark: Offset(found.low_watermark) })
}

pub(crate) async fn committed(life: &mut Life, group: GroupName, topic: TopicName) {
    let partitions = life.partitions(topic).await;
    let call = life.recorder.call(life.by, Call::Committed { group, topic });
    let outcome = fetch_committed(life, group, topic, &partitions).await;
    end_committed(life, call, outcome);
}

fn end_committed(life: &Life, call: CallId, outcome: Result<Vec<(LogName, Offset)>, Outcome>) {
    let outcome = outcome.map_or_else(|outcome| outcome, |offsets| Outcome::Ok(Reply::Committed { offsets }));
    life.recorder.end(call, outcome);
}

/// The committed offsets of a group for the partitions of a topic.
async fn fetch_committed(
    life: &mut Life,
    group: GroupName,
    topic: TopicName,
    partitions: &[PartitionIndex],
) -> Result<Vec<(LogName, Offset)>, Outcome> {
    let asked = OffsetFetchRequestTopic {
        name: topic.to_string(),
        partition_indexes: partitions.iter().map(|partition| partition.0).collect(),
    };
    let request =
        OffsetFetchRequest { group_id: group.to_string(), topics: Some(vec![asked]), ..OffsetFetchRequest::default() };
    let destination = Destination::Coordinator(group.to_string());
    let answer = life.ask(destination, RequestBody::OffsetFetch(request), Some(OFFSET_FETCH_VERSION_MAX)).await;
    let Ok((_, ResponseBody::OffsetFetch(response))) = &answer else { return Err(unanswered(&answer)) };
    if response.error_code == ErrorCode::NotCoordinator.code() {
        life.client.forget_coordinator(&group.to_string());
    }
    let answered = response.topics.iter().flat_map(|topic| &topic.partitions);
    let refused = answered.clone().map(|partition| partition.error_code).find(|code| *code != 0);
    let code = if response.error_code != 0 { response.error_code } else { refused.unwrap_or(0) };
    if let refused @ (Outcome::Failed(_) | Outcome::Unknown(_)) = judged(code, || Reply::Done) {
        return Err(refused);
    }
    let known = answered.filter(|partition| partition.committed_offset >= 0);
    Ok(known
        .map(|partition| {
            (life.log(topic, partition.partition_index.unsigned_abs()), Offset(partition.committed_offset))
        })
        .collect())
}

/// As [`committed`], asked again until it is answered or time is up: for the final read.
pub(crate) async fn committed_surely(life: &mut Life, group: GroupName, topic: TopicName) -> Result<(), String> {
    const ATTEMPTS_MAX: u32 = 60;
    let partitions = life.partitions(topic).await;
    let mut refusal = String::new();
    for _ in 0..ATTEMPTS_MAX {
        let call = life.recorder.call(life.by, Call::Committed { group, topic });
        let outcome = fetch_committed(life, group, topic, &partitions).await;
        let is_answered = outcome.is_ok();
        if let Err(Outcome::Failed(reason) | Outcome::Unknown(reason)) = &outcome {
            refusal.clone_from(reason);
        }
        end_committed(life, call, outcome);
        if is_answered {
            return Ok(());
        }
        let later = life.env.now().after_ms(1_000);
        while life.env.now() < later {
            life.turn(later).await;
        }
    }
    Err(format!("committed offsets of {group}: {refusal}"))
}

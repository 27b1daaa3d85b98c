//! Produce: splits a request by owner, appends in order, answers when the records are as safe as `acks` asks.

use std::collections::BTreeMap;
use std::rc::Rc;

use barnabas_base::{Monotonic, Observation, Offset, PartitionIndex, ShardId, TopicId, TopicPartition};
use barnabas_commitlog::{AppendError, AppendOptions, AppendOrigin, AppendTicket, Appended};
use barnabas_metadata::controller::is_internal_topic;
use barnabas_runtime::{Local, join_all};
use barnabas_wire::message::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceData, TopicProduceResponse,
};
use barnabas_wire::message::{ProduceRequest, ProduceResponse};
use barnabas_wire::record::BatchHeader;
use barnabas_wire::{ErrorCode, Records, ResponseBody};
use bytes::Bytes;

use crate::connection::Outgoing;
use crate::dispatch::Call;
use crate::partition::Partition;
use crate::shard::Shard;

const ACKS_ALL: i16 = -1;
const ACKS_LEADER: i16 = 1;
const ACKS_NONE: i16 = 0;

/// What the owner of a partition needs to know of the request.
#[derive(Clone, Copy, Debug)]
struct Terms {
    version: i16,
    acks: i16,
    deadline: Monotonic,
}

/// The shortest time after which a Produce is answered with REQUEST_TIMED_OUT. In Kafka `timeout.ms` covers followers and
/// not the write of the leader; here that write includes a sync, which a client that gives no time does not mean to lose.
const TIMEOUT_MS_MIN: i32 = 1_000;

/// Records for one partition and where their answer goes.
struct Part {
    slot: usize,
    partition: TopicPartition,
    records: Bytes,
}

/// What became of one part.
struct Outcome {
    slot: usize,
    response: PartitionProduceResponse,
}

/// Appends everything; the future waits for the answers only.
pub(crate) fn begin(call: Call, request: ProduceRequest) -> Local<'static, Outgoing> {
    let acks = request.acks;
    let deadline = call.shard.env.now().after_ms(i64::from(request.timeout_ms.max(TIMEOUT_MS_MIN)));
    let terms = Terms { version: call.version, acks, deadline };
    let refused_all = refuse_whole(&request);
    let mut responses = Vec::with_capacity(request.topic_data.len());
    let mut slots = Vec::new();
    let mut by_owner: BTreeMap<ShardId, Vec<Part>> = BTreeMap::new();
    for topic in request.topic_data {
        let resolved = refused_all.map_or_else(|| resolve(&call, &topic), Err);
        let topic_index = responses.len();
        let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let slot = slots.len();
            slots.push((topic_index, partition_responses.len()));
            let index = PartitionIndex(data.index);
            let part = resolved.and_then(|topic_id| part(slot, topic_id, index, data.records));
            let code = match part {
                Ok(part) => {
                    let owner = part.partition.shard(call.shard.data_shards);
                    by_owner.entry(owner).or_default().push(part);
                    ErrorCode::None
                }
                Err(code) => code,
            };
            partition_responses.push(refusal(data.index, code, None));
        }
        responses.push(TopicProduceResponse { name: topic.name, topic_id: topic.topic_id, partition_responses });
    }
    let appended: Vec<Local<'static, Vec<Outcome>>> = by_owner
        .into_iter()
        .map(|(owner, parts)| call.shard.on(owner, move |shard| append(shard, parts, terms)))
        .collect();
    Box::pin(async move {
        for outcome in join_all(appended).await.into_iter().flatten() {
            let (topic, partition) = slots[outcome.slot];
            responses[topic].partition_responses[partition] = outcome.response;
        }
        let response = ProduceResponse { responses, ..ProduceResponse::default() };
        finish(&call, acks, response)
    })
}

/// Sends the answer; `acks=0` has none, and an error there closes the connection, which is all such a client can see.
fn finish(call: &Call, acks: i16, response: ProduceResponse) -> Outgoing {
    let response = ResponseBody::from(response);
    if acks == ACKS_NONE {
        let mut failed = false;
        response.error_codes(&mut |_| failed = true);
        call.observe_errors(&response);
        barnabas_base::sometimes!(call.shard.env, FAILURE_WITHOUT_ANSWER, failed);
        return Outgoing { close: failed, api_key: call.api.code(), ..Outgoing::default() };
    }
    call.answer(&response, &[])
}

/// A reason to refuse every partition, if there is one.
fn refuse_whole(request: &ProduceRequest) -> Option<ErrorCode> {
    if !matches!(request.acks, ACKS_ALL | ACKS_NONE | ACKS_LEADER) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    if request.transactional_id.is_some() {
        return Some(ErrorCode::InvalidTxnState);
    }
    // A transaction that nobody can end would hold the last stable offset back for good. Kafka answers the same when
    // such records come without a transactional id.
    let mut all = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    all.any(|data| is_transactional(&data.records)).then_some(ErrorCode::TransactionalIdAuthorizationFailed)
}

/// Whether the batch says that it belongs to a transaction. What is no batch is refused later, by its log.
fn is_transactional(records: &Records) -> bool {
    let Records::Bytes(bytes) = records else { return false };
    BatchHeader::parse(bytes).is_ok_and(|header| header.attributes.is_transactional())
}

fn resolve(call: &Call, topic: &TopicProduceData) -> Result<TopicId, ErrorCode> {
    const FIRST_VERSION_WITH_IDS: i16 = 13;
    let image = call.shard.image();
    let found = if call.version >= FIRST_VERSION_WITH_IDS {
        image.topic(TopicId(topic.topic_id)).ok_or(ErrorCode::UnknownTopicId)?
    } else {
        image.topic_by_name(&topic.name).ok_or(ErrorCode::UnknownTopicOrPartition)?
    };
    if is_internal_topic(&found.name) {
        return Err(ErrorCode::InvalidTopicException);
    }
    Ok(found.id)
}

fn part(slot: usize, topic_id: TopicId, index: PartitionIndex, records: Records) -> Result<Part, ErrorCode> {
    match records {
        Records::Bytes(records) if !records.is_empty() => {
            Ok(Part { slot, partition: TopicPartition { topic_id, partition: index }, records })
        }
        Records::Bytes(_) | Records::Null | Records::External { .. } => Err(ErrorCode::InvalidRecord),
    }
}

fn refusal(index: i32, code: ErrorCode, message: Option<String>) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        error_code: code.code(),
        base_offset: -1,
        error_message: message,
        ..PartitionProduceResponse::default()
    }
}

/// A part that was handed to its log, or refused before.
enum Begun {
    Refused(ErrorCode),
    Appending { partition: Rc<Partition>, ticket: AppendTicket },
}

/// Appends parts on the shard that owns them: all are queued before this returns.
fn append(shard: &Rc<Shard>, parts: Vec<Part>, terms: Terms) -> Local<'static, Vec<Outcome>> {
    let begun: Vec<_> = parts
        .into_iter()
        .map(|part| (part.slot, part.partition.partition.0, begin_append(shard, part, terms)))
        .collect();
    let shard = Rc::clone(shard);
    Box::pin(async move {
        let mut outcomes = Vec::with_capacity(begun.len());
        for (slot, index, begun) in begun {
            let response = match begun {
                Begun::Refused(code) => refusal(index, code, None),
                Begun::Appending { partition, ticket } => complete(&shard, &partition, ticket, terms).await,
            };
            outcomes.push(Outcome { slot, response });
        }
        outcomes
    })
}

fn begin_append(shard: &Rc<Shard>, part: Part, terms: Terms) -> Begun {
    let partition = match shard.led_partition(part.partition) {
        Ok(partition) => partition,
        Err(code) => return Begun::Refused(code),
    };
    if terms.acks == ACKS_ALL && !partition.has_enough_in_sync_replicas() {
        return Begun::Refused(ErrorCode::NotEnoughReplicas);
    }
    let options = AppendOptions {
        origin: AppendOrigin::Client { produce_version: terms.version },
        leader_epoch: partition.leader_epoch(),
    };
    let ticket = partition.log.append(part.records, options);
    Begun::Appending { partition, ticket }
}

async fn complete(
    shard: &Rc<Shard>,
    partition: &Rc<Partition>,
    ticket: AppendTicket,
    terms: Terms,
) -> PartitionProduceResponse {
    let index = partition.id.partition.0;
    let appended = match ticket.await {
        Ok(appended) => appended,
        Err(error) => {
            if matches!(error, AppendError::Full) {
                shard.log_full(partition.log.directory());
            }
            return refused(index, partition, &error);
        }
    };
    if terms.acks != ACKS_NONE {
        let durable = durable(partition, &appended, terms.acks);
        match shard.env.timeout_at(terms.deadline, durable).await {
            Some(Ok(())) => {}
            Some(Err(code)) => return refusal(index, code, None),
            None => return refusal(index, ErrorCode::RequestTimedOut, None),
        }
        shard.env.observe(&Observation::Acked {
            partition: partition.id,
            base_offset: appended.base_offset,
            end_offset: appended.end_offset,
            acks: terms.acks,
            duplicate: appended.duplicate,
        });
    }
    PartitionProduceResponse {
        index,
        error_code: ErrorCode::None.code(),
        base_offset: appended.base_offset.0,
        log_append_time_ms: appended.log_append_time.map_or(-1, |time| time.0),
        log_start_offset: partition.log.log_start_offset().0,
        error_message: None,
        ..PartitionProduceResponse::default()
    }
}

/// Waits until the batch is as safe as `acks` asks: the high watermark for all, the leader's own sync for one (both
/// follow `flush.policy`). A duplicate of a batch that still waits, waits like the original.
async fn durable(partition: &Partition, appended: &Appended, acks: i16) -> Result<(), ErrorCode> {
    let end: Offset = appended.end_offset;
    let waited = if acks == ACKS_ALL {
        partition.log.wait_high_watermark(end).await
    } else {
        partition.log.wait_safe(end).await
    };
    waited.map_err(|_| ErrorCode::KafkaStorageError)
}

fn refused(index: i32, partition: &Partition, error: &AppendError) -> PartitionProduceResponse {
    let mut response = refusal(index, error.code(), error.message());
    response.log_start_offset = partition.log.log_start_offset().0;
    response.record_errors = error
        .record_errors()
        .iter()
        .map(|each| BatchIndexAndErrorMessage {
            batch_index: each.index,
            batch_index_error_message: Some(each.message.clone()),
        })
        .collect();
    response
}

//! InitProducerId for idempotent producers and DescribeProducers.

use std::rc::Rc;

use barnabas_base::ProducerId;
use barnabas_runtime::Local;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_producers::{PartitionResponse, ProducerState, TopicResponse};
use barnabas_wire::message::{
    DescribeProducersRequest, DescribeProducersResponse, InitProducerIdRequest, InitProducerIdResponse,
};

use super::groups::NO_TRANSACTIONS;
use crate::dispatch::Call;
use crate::partition::Partition;
use crate::shard::Shard;

/// The id of a producer that has none yet.
const NO_PRODUCER_ID: i64 = -1;
/// The epoch of a producer that has none yet.
const NO_PRODUCER_EPOCH: i16 = -1;

/// InitProducerId. An idempotent producer gets a fresh id with epoch 0; a transactional one needs a coordinator, which
/// this broker does not have.
pub(crate) async fn init(call: &Call, request: &InitProducerIdRequest) -> InitProducerIdResponse {
    let refused = |code: ErrorCode| InitProducerIdResponse {
        error_code: code.code(),
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        ..InitProducerIdResponse::default()
    };
    match &request.transactional_id {
        Some(id) if id.is_empty() => return refused(ErrorCode::InvalidRequest),
        Some(_) => return refused(NO_TRANSACTIONS),
        None => {}
    }
    // Half of what a producer has names none (`KafkaApis.handleInitProducerIdRequest`).
    if (request.producer_id == NO_PRODUCER_ID) != (request.producer_epoch == NO_PRODUCER_EPOCH) {
        return refused(ErrorCode::InvalidRequest);
    }
    match next_producer_id(&call.shard).await {
        Ok(ProducerId(producer_id)) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..InitProducerIdResponse::default() }
        }
        Err(code) => refused(code),
    }
}

/// The next id of this shard's block; an empty block is replaced by one from the controller, which has made it durable
/// before it answers, so that no id is ever given twice.
async fn next_producer_id(shard: &Rc<Shard>) -> Result<ProducerId, ErrorCode> {
    loop {
        if let Some(id) = shard.producer_ids.borrow_mut().next() {
            return Ok(ProducerId(id));
        }
        let block = crate::controller::allocate_producer_ids(shard).await?;
        let mut ids = shard.producer_ids.borrow_mut();
        if ids.is_empty() {
            *ids = block;
        }
    }
}

/// DescribeProducers (KIP-664).
pub(crate) async fn describe(call: &Call, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect();
    let ask = |shard: &Rc<Shard>, partition: Rc<Partition>, _: i32| {
        let answer: Local<'static, _> = Box::pin(std::future::ready(describe_one(shard, &partition)));
        answer
    };
    let refuse = |index: &i32, code: ErrorCode| PartitionResponse {
        partition_index: *index,
        error_code: code.code(),
        ..PartitionResponse::default()
    };
    let answered = super::offsets::ask_owners(call, topics, |index| *index, ask, refuse).await;
    let topics = answered.into_iter().map(|(name, partitions)| TopicResponse { name, partitions }).collect();
    DescribeProducersResponse { topics, ..DescribeProducersResponse::default() }
}

fn describe_one(_: &Rc<Shard>, partition: &Partition) -> PartitionResponse {
    let to_wire = |state: barnabas_commitlog::ActiveProducer| ProducerState {
        producer_id: state.producer_id.0,
        producer_epoch: i32::from(state.epoch.0),
        last_sequence: state.last_sequence.0,
        last_timestamp: state.last_timestamp.0,
        coordinator_epoch: state.coordinator_epoch,
        current_txn_start_offset: state.transaction_start.map_or(-1, |offset| offset.0),
    };
    PartitionResponse {
        partition_index: partition.id.partition.0,
        active_producers: partition.log.producers().into_iter().map(to_wire).collect(),
        ..PartitionResponse::default()
    }
}

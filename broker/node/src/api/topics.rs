//! Metadata, DescribeTopicPartitions, and the creation, growth and deletion of topics.

use barnabas_base::Uuid;
use barnabas_metadata::answer::missing_topic;
use barnabas_metadata::controller::{CONSUMER_OFFSETS_TOPIC, is_valid_topic_name};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::create_topics::CreatableTopicResult;
use barnabas_wire::message::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use barnabas_wire::message::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest,
    MetadataResponse,
};
use barnabas_wire::message::{create_partitions, delete_topics};

use crate::controller::decide;
use crate::dispatch::Call;

/// First version of Metadata that may forbid the creation of topics.
const CREATION_CHOICE_SINCE: i16 = 4;
/// First version of Metadata in which topic ids may be sent, though its format has them since version 10 (KIP-516).
const IDS_SINCE: i16 = 12;
/// Topics one Metadata request may create; the rest is answered LEADER_NOT_AVAILABLE and asked for again.
const AUTO_CREATED_AT_ONCE_MAX: usize = 1_000;
/// Room that a creation needs whatever it creates.
const ROOM_BYTES_MIN: u64 = 256 * 1024;
/// Room of a partition without records: its folder and the files that begin with it, a block each.
const PARTITION_ROOM_BYTES: u64 = 16 * 1024;

/// Metadata. Topics that do not exist are created when client and broker both allow it.
pub(crate) async fn metadata(call: &Call, request: MetadataRequest) -> MetadataResponse {
    if call.version < IDS_SINCE && names_by_id(&request) {
        return refused_metadata(request, ErrorCode::InvalidRequest);
    }
    let endpoint = call.endpoint();
    let mut answer = call.view(&call.shard.image(), &endpoint).metadata(call.version, &request);
    if answer.missing.is_empty() {
        return answer.response;
    }
    let may_create = call.shard.options.config.topics.auto_create
        && (call.version < CREATION_CHOICE_SINCE || request.allow_auto_topic_creation);
    let missing = std::mem::take(&mut answer.missing);
    let made =
        if may_create { create_missing(call, missing).await } else { missing.into_iter().map(unknown).collect() };
    // What was created just now is answered as it stands, from an image that has it.
    let created: Vec<_> = made.iter().filter(|topic| topic.error_code == ErrorCode::None.code()).collect();
    if created.is_empty() {
        answer.response.topics.extend(made);
        return answer.response;
    }
    let mut again = call.view(&call.shard.image(), &endpoint).metadata(call.version, &request);
    let refused = made.into_iter().filter(|topic| topic.error_code != ErrorCode::None.code());
    again.response.topics.extend(refused);
    again.response
}

fn names_by_id(request: &MetadataRequest) -> bool {
    let is_by_id = |topic: &MetadataRequestTopic| topic.name.is_none() || topic.topic_id != Uuid::ZERO;
    request.topics.iter().flatten().any(is_by_id)
}

/// Refuses a request as a whole: there is no place for that before version 13 but at every topic.
fn refused_metadata(request: MetadataRequest, code: ErrorCode) -> MetadataResponse {
    let refuse = |topic: MetadataRequestTopic| MetadataResponseTopic {
        topic_id: topic.topic_id,
        is_internal: false,
        ..missing_topic(topic.name.unwrap_or_default(), code)
    };
    MetadataResponse {
        error_code: code.code(),
        topics: request.topics.into_iter().flatten().map(refuse).collect(),
        ..MetadataResponse::default()
    }
}

fn unknown(name: String) -> MetadataResponseTopic {
    let code =
        if is_valid_topic_name(&name) { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
    missing_topic(name, code)
}

async fn create_missing(call: &Call, names: Vec<String>) -> Vec<MetadataResponseTopic> {
    let mut answered = Vec::with_capacity(names.len());
    let mut wanted = Vec::new();
    for name in names {
        if !is_valid_topic_name(&name) {
            answered.push(missing_topic(name, ErrorCode::InvalidTopicException));
        } else if wanted.len() < AUTO_CREATED_AT_ONCE_MAX {
            wanted.push(name);
        } else {
            answered.push(missing_topic(name, ErrorCode::LeaderNotAvailable));
        }
    }
    if wanted.is_empty() {
        return answered;
    }
    let room = room(call).await;
    let asked = wanted.clone();
    let decided = decide(&call.shard, move |core, ids| core.auto_create_topics(&asked, room, ids)).await;
    let outcomes = decided.unwrap_or_else(|code| wanted.into_iter().map(|name| (name, code)).collect());
    for (name, code) in outcomes {
        let code = match code {
            ErrorCode::None | ErrorCode::TopicAlreadyExists => ErrorCode::None,
            ErrorCode::InvalidTopicException | ErrorCode::InvalidReplicationFactor => code,
            // Anything else may be over when the client asks again.
            _ => ErrorCode::LeaderNotAvailable,
        };
        answered.push(missing_topic(name, code));
    }
    answered
}

fn refused_creation(name: String, code: ErrorCode) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: code.code(),
        error_message: None,
        configs: None,
        ..CreatableTopicResult::default()
    }
}

/// How many partitions more the log directory with the most room takes. What passes it is refused when it is decided: a
/// topic that cannot be written to is worse than none.
async fn room(call: &Call) -> usize {
    let mut most = 0;
    for directory in crate::homes::takers(&call.shard) {
        // Where the room cannot be told, the creation of the logs will.
        let Ok(space) = call.shard.env.disk.space(directory.path()).await else { return usize::MAX };
        most = most.max(space.usable_bytes.saturating_sub(ROOM_BYTES_MIN) / PARTITION_ROOM_BYTES);
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Makes sure that `__consumer_offsets` is there.
pub(crate) async fn ensure_offsets_topic(call: &Call) -> Result<(), (ErrorCode, &'static str)> {
    const CANNOT: &str = "__consumer_offsets could not be created";
    if call.shard.image().topic_by_name(CONSUMER_OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    if room(call).await == 0 {
        return Err((ErrorCode::CoordinatorNotAvailable, CANNOT));
    }
    let wanted = vec![CONSUMER_OFFSETS_TOPIC.to_owned()];
    // A device with little room left still serves groups: the logs that cannot be made yet are tried again.
    let decided = decide(&call.shard, move |core, ids| core.auto_create_topics(&wanted, usize::MAX, ids)).await;
    let code = decided.map_or_else(Some, |outcomes| outcomes.first().map(|(_, code)| *code));
    match code {
        Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
        Some(_) | None => Err((ErrorCode::CoordinatorNotAvailable, CANNOT)),
    }
}

/// CreateTopics.
pub(crate) async fn create(call: &Call, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let names: Vec<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let room = room(call).await;
    let decided = decide(&call.shard, move |core, ids| core.create_topics(&request, room, ids)).await;
    decided.unwrap_or_else(|code| CreateTopicsResponse {
        topics: names.into_iter().map(|name| refused_creation(name, code)).collect(),
        ..CreateTopicsResponse::default()
    })
}

/// DeleteTopics.
pub(crate) async fn delete(call: &Call, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let version = call.version;
    let named: Vec<_> = request
        .topics
        .iter()
        .map(|topic| (topic.name.clone(), topic.topic_id))
        .chain(request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::ZERO)))
        .collect();
    let decided = decide(&call.shard, move |core, _| core.delete_topics(&request, version)).await;
    decided.unwrap_or_else(|code| DeleteTopicsResponse {
        responses: named
            .into_iter()
            .map(|(name, topic_id)| delete_topics::DeletableTopicResult {
                name,
                topic_id,
                error_code: code.code(),
                error_message: None,
            })
            .collect(),
        ..DeleteTopicsResponse::default()
    })
}

/// CreatePartitions.
pub(crate) async fn create_partitions(call: &Call, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let names: Vec<_> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let room = room(call).await;
    let decided = decide(&call.shard, move |core, _| core.create_partitions(&request, room)).await;
    decided.unwrap_or_else(|code| CreatePartitionsResponse {
        results: names
            .into_iter()
            .map(|name| create_partitions::CreatePartitionsTopicResult {
                name,
                error_code: code.code(),
                error_message: None,
            })
            .collect(),
        ..CreatePartitionsResponse::default()
    })
}

/// DescribeTopicPartitions.
pub(crate) fn describe_partitions(
    call: &Call,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let partitions_max = call.shard.options.config.network.described_partitions_max;
    let endpoint = call.endpoint();
    call.view(&call.shard.image(), &endpoint).describe_topic_partitions(request, partitions_max)
}

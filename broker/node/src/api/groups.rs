//! Requests about consumer groups: found by the hash of the group id, answered by the coordinator of that partition.

use std::collections::BTreeMap;
use std::rc::Rc;

use barnabas_base::{PartitionIndex, ShardId, TopicId, TopicPartition, Uuid};
use barnabas_group::resolve::{
    TopicNames, complete_offset_commit, complete_offset_delete, complete_offset_fetch, offset_fetch_groups,
    offset_fetch_response, resolve_offset_commit, resolve_offset_delete, resolve_offset_fetch,
};
use barnabas_group::{ClientInfo, Input, Response, Token, partition_for};
use barnabas_metadata::answer::GROUP_OPERATIONS;
use barnabas_metadata::controller::CONSUMER_OFFSETS_TOPIC;
use barnabas_runtime::{Local, join_all};
use barnabas_wire::message::find_coordinator::Coordinator;
use barnabas_wire::message::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchResponseGroup};
use barnabas_wire::message::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};

use crate::connection::Outgoing;
use crate::dispatch::Call;
use crate::shard::Shard;

/// First version of FindCoordinator that asks for several keys.
const BATCHED_FIND_SINCE: i16 = 4;
/// Key type of consumer groups in FindCoordinator.
const GROUP_KEY: i8 = 0;
const TRANSACTION_KEY: i8 = 1;

/// What a transactional producer is told, here and for its InitProducerId. The code that says it better,
/// UNSUPPORTED_VERSION, is retried by librdkafka until its time is up; this one ends every client at once (librdkafka's
/// `rd_kafka_idemp_check_error`, Java's `TransactionManager`).
pub(crate) const NO_TRANSACTIONS: ErrorCode = ErrorCode::TransactionalIdAuthorizationFailed;

/// Makes the input of a coordinator once it has given out a token.
type MakeInput = Box<dyn FnOnce(Token) -> Input + Send>;

/// The partition of `__consumer_offsets` that has `group_id`.
fn coordinator_of(shard: &Shard, group_id: &str) -> Result<TopicPartition, ErrorCode> {
    let image = shard.image();
    let topic = image.topic_by_name(CONSUMER_OFFSETS_TOPIC).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let partition = partition_for(group_id, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
    Ok(TopicPartition { topic_id: topic.id, partition })
}

/// Asks the coordinator of one partition. Its effects are in order before this returns when it lives on this shard, and
/// in the order of sending otherwise.
fn ask(shard: &Rc<Shard>, coordinator: TopicPartition, make: MakeInput) -> Local<'static, Response> {
    shard.on(coordinator.shard(shard.data_shards), move |shard| {
        let found = shard.coordinators.borrow().get(&coordinator.partition).cloned();
        match found {
            Some(found) => Box::pin(found.ask(make)),
            None => Box::pin(std::future::ready(make(Token(0)).refusal(ErrorCode::NotCoordinator))),
        }
    })
}

/// Asks the coordinator of `group_id`, or refuses in the shape of the answer.
fn ask_group(call: &Call, group_id: &str, make: MakeInput) -> Local<'static, Response> {
    match coordinator_of(&call.shard, group_id) {
        Ok(coordinator) => ask(&call.shard, coordinator, make),
        Err(code) => Box::pin(std::future::ready(make(Token(0)).refusal(code))),
    }
}

/// OffsetCommit: takes its place in the order here, is answered when the commit is durable.
pub(crate) fn begin_commit(call: Call, request: OffsetCommitRequest) -> Local<'static, Outgoing> {
    let version = call.version;
    let (request, refused) = resolve_offset_commit(version, request, &Names::of(&call.shard));
    if request.topics.is_empty() && !refused.is_empty() {
        let response = OffsetCommitResponse { topics: refused, ..OffsetCommitResponse::default() };
        return Box::pin(std::future::ready(call.answer(&response.into(), &[])));
    }
    let group_id = request.group_id.clone();
    let asked = ask_group(&call, &group_id, Box::new(move |token| Input::OffsetCommit { token, version, request }));
    Box::pin(async move {
        let Response::OffsetCommit(response) = asked.await else { unreachable!("a commit is answered by a commit") };
        call.answer(&complete_offset_commit(response, refused).into(), &[])
    })
}

/// Names and ids of topics as the image has them.
struct Names {
    image: std::sync::Arc<barnabas_metadata::image::ClusterImage>,
}

impl Names {
    fn of(shard: &Shard) -> Self {
        Self { image: shard.image() }
    }
}

impl TopicNames for Names {
    fn name_of(&self, topic_id: Uuid) -> Option<String> {
        self.image.topic(TopicId(topic_id)).map(|topic| topic.name.to_string())
    }

    fn id_of(&self, name: &str) -> Option<Uuid> {
        self.image.topic_by_name(name).map(|topic| topic.id.0)
    }

    fn has_partition(&self, topic_id: Uuid, partition: i32) -> bool {
        let partition = TopicPartition { topic_id: TopicId(topic_id), partition: PartitionIndex(partition) };
        self.image.partition(partition).is_some()
    }
}

/// FindCoordinator. Asking for the first group creates `__consumer_offsets`, as in Kafka.
pub(crate) async fn find_coordinator(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let batched = call.version >= BATCHED_FIND_SINCE;
    if request.key_type == TRANSACTION_KEY {
        let (client, address) = (&call.client_id, call.peer.address);
        tracing::warn!(target: "KafkaApis", "{client} at {address} wants transactions, which do not work yet");
    }
    let keys = if batched { request.coordinator_keys } else { vec![request.key] };
    let outcome = match request.key_type {
        GROUP_KEY => super::topics::ensure_offsets_topic(call).await,
        TRANSACTION_KEY => Err((NO_TRANSACTIONS, "this broker does not have transactions: remove transactional.id")),
        _ => Err((ErrorCode::InvalidRequest, "unknown coordinator type")),
    };
    let mut coordinators: Vec<_> = keys.into_iter().map(|key| coordinator(call, key, outcome)).collect();
    if batched {
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let only = coordinators.pop().expect("one key was asked for");
    FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..FindCoordinatorResponse::default()
    }
}

fn coordinator(call: &Call, key: String, outcome: Result<(), (ErrorCode, &'static str)>) -> Coordinator {
    match outcome {
        Ok(()) => {
            let endpoint = call.endpoint();
            Coordinator {
                key,
                node_id: call.shard.options.broker_id().0,
                host: endpoint.host,
                port: i32::from(endpoint.port),
                error_code: ErrorCode::None.code(),
                error_message: None,
            }
        }
        Err((code, message)) => Coordinator {
            key,
            node_id: -1,
            host: String::new(),
            port: -1,
            error_code: code.code(),
            error_message: Some(message.to_owned()),
        },
    }
}

/// Requests that are answered before the next one of their connection is dispatched.
pub(crate) async fn respond(call: &Call, body: RequestBody) -> ResponseBody {
    match body {
        RequestBody::DescribeGroups(request) => describe(call, request).await.into(),
        RequestBody::ListGroups(request) => list(call, &request).await.into(),
        RequestBody::DeleteGroups(request) => delete(call, request).await.into(),
        RequestBody::OffsetFetch(request) => fetch_offsets(call, request).await.into(),
        RequestBody::OffsetDelete(request) => delete_offsets(call, request).await.into(),
        other => {
            let (group_id, make) = single_group(call, other);
            to_body(ask_group(call, &group_id, make).await)
        }
    }
}

async fn delete_offsets(call: &Call, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let (request, refused) = resolve_offset_delete(request, &Names::of(&call.shard));
    if request.topics.is_empty() && !refused.is_empty() {
        return OffsetDeleteResponse { topics: refused, ..OffsetDeleteResponse::default() };
    }
    let group_id = request.group_id.clone();
    let asked = ask_group(call, &group_id, Box::new(move |token| Input::OffsetDelete { token, request }));
    let Response::OffsetDelete(response) = asked.await else {
        unreachable!("a deletion of offsets is answered by one")
    };
    complete_offset_delete(response, refused)
}

/// Requests that name one group and are answered by its coordinator as they are.
fn single_group(call: &Call, body: RequestBody) -> (String, MakeInput) {
    let version = call.version;
    match body {
        RequestBody::JoinGroup(request) => {
            // Java prints the address of a peer with a leading slash, and tools show that text.
            let client = ClientInfo { id: call.client_id.clone(), host: format!("/{}", call.peer.address.ip()) };
            let fresh_uuid = call.shard.env.random_uuid();
            let group = request.group_id.clone();
            (group, Box::new(move |token| Input::JoinGroup { token, version, client, fresh_uuid, request }))
        }
        RequestBody::SyncGroup(request) => {
            (request.group_id.clone(), Box::new(move |token| Input::SyncGroup { token, version, request }))
        }
        RequestBody::Heartbeat(request) => {
            (request.group_id.clone(), Box::new(move |token| Input::Heartbeat { token, request }))
        }
        RequestBody::LeaveGroup(request) => {
            (request.group_id.clone(), Box::new(move |token| Input::LeaveGroup { token, version, request }))
        }
        other => unreachable!("{} is no request about one group", other.api_key().name()),
    }
}

fn to_body(response: Response) -> ResponseBody {
    match response {
        Response::JoinGroup(response) => response.into(),
        Response::SyncGroup(response) => response.into(),
        Response::Heartbeat(response) => response.into(),
        Response::LeaveGroup(response) => response.into(),
        Response::OffsetCommit(response) => response.into(),
        Response::OffsetDelete(response) => response.into(),
        Response::ListGroups(response) => response.into(),
        Response::OffsetFetch(_) | Response::DescribeGroups(_) | Response::DeleteGroups(_) => {
            unreachable!("answers for several groups are gathered first")
        }
    }
}

/// Splits group ids by the coordinator that has them; those without one come back apart.
fn by_coordinator(call: &Call, groups: Vec<String>) -> Sorted {
    let mut sorted = Sorted::default();
    for group in groups {
        match coordinator_of(&call.shard, &group) {
            Ok(coordinator) => sorted.found.entry(coordinator).or_default().push(group),
            Err(code) => sorted.refused.push((group, code)),
        }
    }
    sorted
}

/// Group ids by the coordinator that has them, and those without one.
#[derive(Default)]
struct Sorted {
    found: BTreeMap<TopicPartition, Vec<String>>,
    refused: Vec<(String, ErrorCode)>,
}

async fn describe(call: &Call, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let version = call.version;
    let tells_operations = request.include_authorized_operations;
    let Sorted { found, refused } = by_coordinator(call, request.groups);
    let asked = found
        .into_iter()
        .map(|(coordinator, groups)| {
            ask(&call.shard, coordinator, Box::new(move |token| Input::DescribeGroups { token, version, groups }))
        })
        .collect();
    let mut response = DescribeGroupsResponse::default();
    for answered in join_all(asked).await {
        let Response::DescribeGroups(groups) = answered else { unreachable!("asked to describe") };
        response.groups.extend(groups);
    }
    for (group, code) in refused {
        let refusal = Input::DescribeGroups { token: Token(0), version, groups: vec![group] }.refusal(code);
        let Response::DescribeGroups(groups) = refusal else { unreachable!("asked to describe") };
        response.groups.extend(groups);
    }
    if tells_operations {
        let described = response.groups.iter_mut().filter(|group| group.error_code == ErrorCode::None.code());
        described.for_each(|group| group.authorized_operations = GROUP_OPERATIONS);
    }
    response
}

async fn delete(call: &Call, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let Sorted { found, refused } = by_coordinator(call, request.groups_names);
    let asked = found
        .into_iter()
        .map(|(coordinator, groups)| {
            ask(&call.shard, coordinator, Box::new(move |token| Input::DeleteGroups { token, groups }))
        })
        .collect();
    let mut response = DeleteGroupsResponse::default();
    for answered in join_all(asked).await {
        let Response::DeleteGroups(results) = answered else { unreachable!("asked to delete") };
        response.results.extend(results);
    }
    for (group, code) in refused {
        let refusal = Input::DeleteGroups { token: Token(0), groups: vec![group] }.refusal(code);
        let Response::DeleteGroups(results) = refusal else { unreachable!("asked to delete") };
        response.results.extend(results);
    }
    response
}

/// ListGroups: every coordinator of every shard. What one does not serve is left out, as in Kafka
/// (`GroupCoordinatorService.listGroups` passes over NOT_COORDINATOR): the groups of the others are still told.
async fn list(call: &Call, request: &ListGroupsRequest) -> ListGroupsResponse {
    let mut response = ListGroupsResponse::default();
    let asked: Vec<Local<'static, Vec<Response>>> = (0..call.shard.data_shards)
        .map(|shard| {
            let request = request.clone();
            call.shard.on(ShardId(shard), move |shard| {
                let coordinators: Vec<_> = shard.coordinators.borrow().values().cloned().collect();
                let listed: Vec<Local<'static, Response>> = coordinators
                    .into_iter()
                    .map(|coordinator| {
                        let request = request.clone();
                        let listed: Local<'static, Response> =
                            Box::pin(coordinator.ask(|token| Input::ListGroups { token, request }));
                        listed
                    })
                    .collect();
                Box::pin(join_all(listed))
            })
        })
        .collect();
    for answered in join_all(asked).await.into_iter().flatten() {
        let Response::ListGroups(listed) = answered else { unreachable!("asked to list") };
        response.groups.extend(listed.groups);
        let is_served = listed.error_code != ErrorCode::NotCoordinator.code();
        if is_served && listed.error_code != ErrorCode::None.code() {
            response.error_code = listed.error_code;
        }
    }
    response
}

/// OffsetFetch in all its shapes: one group up to version 7, several from 8 on.
async fn fetch_offsets(call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let require_stable = request.require_stable;
    let groups = offset_fetch_groups(call.version, request);
    let first = groups.first().cloned();
    let asked = groups.into_iter().map(|group| fetch_group(call, group, require_stable)).collect();
    let answered = join_all(asked).await;
    offset_fetch_response(call.version, first.as_ref(), answered)
}

fn fetch_group(
    call: &Call,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> Local<'static, OffsetFetchResponseGroup> {
    let names = Names::of(&call.shard);
    let version = call.version;
    let (request, refused) = resolve_offset_fetch(version, group, &names);
    let group_id = request.group_id.clone();
    let asked =
        ask_group(call, &group_id, Box::new(move |token| Input::OffsetFetch { token, require_stable, request }));
    Box::pin(async move {
        let Response::OffsetFetch(response) = asked.await else { unreachable!("asked for offsets") };
        complete_offset_fetch(version, response, refused, &names)
    })
}

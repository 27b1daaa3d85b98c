//! From a frame to a handler: header, version check, decode, and which requests may be overtaken.
//!
//! Produce and OffsetCommit take effect here and are answered in the background, so that the next request of the
//! connection is dispatched while they wait for a sync; all others finish first. Driven by the connection.

use std::fmt;
use std::rc::Rc;

use barnabas_base::Observation;
use barnabas_metadata::config::Listener;
use barnabas_runtime::{Local, Segment};
use barnabas_wire::message::ApiVersionsResponse;
use barnabas_wire::{
    ApiKey, DecodeError, Decoder, ErrorCode, RequestBody, RequestHeader, ResponseBody, Segment as WireSegment,
};
use bytes::Bytes;

use crate::api;
use crate::connection::{Outgoing, Peer};
use crate::endpoint::{Endpoint, endpoint_for};
use crate::shard::Shard;

/// A request under way.
pub(crate) enum Dispatched {
    /// Its effect is ordered; the answer may come after the next request was dispatched.
    Background(Local<'static, Outgoing>),
    /// To be finished before the next request is dispatched.
    InTurn(Local<'static, Outgoing>),
}

/// A frame that cannot be answered: the connection is closed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The bytes are no request of ours.
    Decode(DecodeError),
    /// An API that is not served, or a version of it that is not.
    Unsupported { api: ApiKey, version: i16 },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => write!(f, "cannot read request: {error}"),
            Self::Unsupported { api, version } => {
                write!(f, "{} version {version} is not supported", api.name())
            }
        }
    }
}

impl From<DecodeError> for Refused {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// What every handler is told about its request.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) shard: Rc<Shard>,
    pub(crate) peer: Rc<Peer>,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: String,
}

impl Call {
    /// The listener the client came through.
    pub(crate) fn listener(&self) -> &Listener {
        let listener = self.shard.options.client_listeners().nth(self.peer.listener);
        listener.expect("connections come from configured listeners")
    }

    /// The address that this client is told to connect to.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let bound_port = self.peer.local_address.port();
        endpoint_for(self.listener(), bound_port, self.peer.address, self.peer.local_address)
    }

    /// Observes the error codes of an answer, those of its parts included.
    pub(crate) fn observe_errors(&self, response: &ResponseBody) {
        response.error_codes(&mut |code| {
            self.shard.env.observe(&Observation::ErrorReturned { api_key: self.api.code(), code });
        });
    }

    /// The frame of `response`; its record holes are filled from `external` by their tokens.
    pub(crate) fn answer(&self, response: &ResponseBody, external: &[Vec<Segment>]) -> Outgoing {
        self.observe_errors(response);
        let segments = match response.to_frame(self.version, self.correlation_id) {
            Ok(segments) => segments,
            Err(error) => {
                self.shard.log_unanswerable(self.api, self.version, &error.to_string());
                return Outgoing { close: true, ..Outgoing::default() };
            }
        };
        let mut filled = Vec::with_capacity(segments.len());
        for segment in segments {
            match segment {
                WireSegment::Bytes(bytes) => filled.push(Segment::Bytes(bytes)),
                WireSegment::External { token, len } => {
                    let ranges = external.get(token as usize).expect("every hole has its ranges");
                    let total: u64 = ranges.iter().map(Segment::len).sum();
                    assert_eq!(total, u64::from(len), "ranges fill their hole exactly");
                    filled.extend(ranges.iter().cloned());
                }
            }
        }
        Outgoing { segments: filled, api_key: self.api.code(), close: false }
    }
}

/// Reads a request and starts it. Ordered effects happen before this returns.
pub(crate) fn dispatch(shard: &Rc<Shard>, peer: &Rc<Peer>, frame: Bytes) -> Result<Dispatched, Refused> {
    let size_bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let mut decoder = Decoder::new(frame);
    let header = RequestHeader::decode(&mut decoder)?;
    let (api, version) = (header.api_key, header.api_version);
    shard.env.observe(&Observation::RequestReceived { api_key: api.code(), size_bytes });
    let call = Call {
        shard: Rc::clone(shard),
        peer: Rc::clone(peer),
        api,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id.unwrap_or_default(),
    };
    let served = RequestBody::versions(api).is_some_and(|versions| versions.contains(&version));
    if !served {
        if api == ApiKey::ApiVersions {
            return Ok(Dispatched::InTurn(Box::pin(std::future::ready(unknown_api_versions(&call)))));
        }
        return Err(Refused::Unsupported { api, version });
    }
    // What follows in the frame is passed over, as Kafka's RequestContext does: some clients pad.
    let body = RequestBody::decode(api, version, &mut decoder)?;
    Ok(route(call, body))
}

/// An ApiVersions request of a version we do not know is answered in version 0 with our range (KIP-511), so that the
/// client can ask again.
fn unknown_api_versions(call: &Call) -> Outgoing {
    let mut oldest = call.clone();
    oldest.version = 0;
    let own = api::versions::advertised().into_iter().filter(|key| key.api_key == ApiKey::ApiVersions.code()).collect();
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: own,
        ..ApiVersionsResponse::default()
    };
    oldest.answer(&response.into(), &[])
}

fn route(call: Call, body: RequestBody) -> Dispatched {
    match body {
        RequestBody::Produce(request) => Dispatched::Background(api::produce::begin(call, request)),
        RequestBody::OffsetCommit(request) => Dispatched::Background(api::groups::begin_commit(call, request)),
        RequestBody::Fetch(request) => Dispatched::InTurn(Box::pin(api::fetch::serve(call, request))),
        other if changes_something(&other) => {
            // It runs to its end whatever becomes of the connection: half of a change is none that anybody asked for.
            let env = call.shard.env.clone();
            let answered = env.spawn_detached("change", async move {
                let response = respond(&call, other).await;
                call.answer(&response, &[])
            });
            // No answer means that the shard is going down.
            let closed = || Outgoing { close: true, ..Outgoing::default() };
            Dispatched::InTurn(Box::pin(async move { answered.await.unwrap_or_else(|_| closed()) }))
        }
        other => Dispatched::InTurn(Box::pin(async move {
            let response = respond(&call, other).await;
            call.answer(&response, &[])
        })),
    }
}

/// Whether a request changes topics, logs or configuration. Changes of groups are in order before anybody waits for them.
const fn changes_something(body: &RequestBody) -> bool {
    matches!(
        body,
        RequestBody::CreateTopics(_)
            | RequestBody::DeleteTopics(_)
            | RequestBody::CreatePartitions(_)
            | RequestBody::DeleteRecords(_)
            | RequestBody::AlterConfigs(_)
            | RequestBody::IncrementalAlterConfigs(_)
            | RequestBody::ElectLeaders(_)
    )
}

/// Answers the requests that carry no records.
async fn respond(call: &Call, body: RequestBody) -> ResponseBody {
    match body {
        RequestBody::Produce(_) | RequestBody::Fetch(_) | RequestBody::OffsetCommit(_) => {
            unreachable!("these three are routed before")
        }
        RequestBody::ApiVersions(request) => api::versions::respond(call, &request).into(),
        RequestBody::Metadata(request) => api::topics::metadata(call, request).await.into(),
        RequestBody::DescribeTopicPartitions(request) => api::topics::describe_partitions(call, &request).into(),
        RequestBody::CreateTopics(request) => api::topics::create(call, request).await.into(),
        RequestBody::DeleteTopics(request) => api::topics::delete(call, request).await.into(),
        RequestBody::CreatePartitions(request) => api::topics::create_partitions(call, request).await.into(),
        RequestBody::ListOffsets(request) => api::offsets::list(call, request).await.into(),
        RequestBody::OffsetForLeaderEpoch(request) => api::offsets::for_leader_epoch(call, request).await.into(),
        RequestBody::DeleteRecords(request) => api::offsets::delete_records(call, request).await.into(),
        RequestBody::DescribeProducers(request) => api::producers::describe(call, request).await.into(),
        RequestBody::InitProducerId(request) => api::producers::init(call, &request).await.into(),
        RequestBody::DescribeConfigs(request) => api::configs::describe(call, &request).into(),
        RequestBody::AlterConfigs(request) => api::configs::alter(call, request).await.into(),
        RequestBody::IncrementalAlterConfigs(request) => api::configs::incremental_alter(call, request).await.into(),
        RequestBody::ListConfigResources(request) => api::configs::list_resources(call, &request).into(),
        RequestBody::DescribeCluster(request) => api::cluster::describe(call, &request).into(),
        RequestBody::DescribeQuorum(request) => api::cluster::describe_quorum(call, request).await.into(),
        RequestBody::DescribeLogDirs(request) => api::log_dirs::describe(call, &request).await.into(),
        RequestBody::ElectLeaders(request) => api::cluster::elect_leaders(call, request).await.into(),
        RequestBody::DescribeAcls(_) => api::acls::describe().into(),
        RequestBody::CreateAcls(request) => api::acls::create(&request).into(),
        RequestBody::DeleteAcls(request) => api::acls::delete(&request).into(),
        RequestBody::FindCoordinator(request) => api::groups::find_coordinator(call, request).await.into(),
        group @ (RequestBody::JoinGroup(_)
        | RequestBody::SyncGroup(_)
        | RequestBody::Heartbeat(_)
        | RequestBody::LeaveGroup(_)
        | RequestBody::OffsetFetch(_)
        | RequestBody::OffsetDelete(_)
        | RequestBody::DescribeGroups(_)
        | RequestBody::ListGroups(_)
        | RequestBody::DeleteGroups(_)) => api::groups::respond(call, group).await,
    }
}

//! What goes into a coordinator and what comes out. Plain data.

use barnabas_base::{Observation, Uuid};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::delete_groups::DeletableGroupResult;
use barnabas_wire::message::describe_groups::DescribedGroup;
use barnabas_wire::message::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchResponseGroup};
use barnabas_wire::message::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, SyncGroupRequest, SyncGroupResponse,
};
use bytes::Bytes;

use crate::id::{AppendId, Token};
use crate::record::Record;

/// Who sent a request, as DescribeGroups shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// `client.id` of the request header; empty when null.
    pub id: String,
    /// Address of the peer in Java's form, with a leading slash: `/127.0.0.1`.
    pub host: String,
}

/// One request for this coordinator. Requests that name several groups are split by coordinator before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are Kafka's requests and what their headers say")]
pub enum Input {
    /// JoinGroup. `fresh_uuid` becomes part of a new member's id.
    JoinGroup { token: Token, version: i16, client: ClientInfo, fresh_uuid: Uuid, request: JoinGroupRequest },
    /// SyncGroup.
    SyncGroup { token: Token, version: i16, request: SyncGroupRequest },
    /// Heartbeat.
    Heartbeat { token: Token, request: HeartbeatRequest },
    /// LeaveGroup.
    LeaveGroup { token: Token, version: i16, request: LeaveGroupRequest },
    /// OffsetCommit, with names resolved and unknown topics taken out ([`crate::resolve`]).
    OffsetCommit { token: Token, version: i16, request: OffsetCommitRequest },
    /// One group of an OffsetFetch, with names resolved ([`crate::resolve`]).
    OffsetFetch { token: Token, require_stable: bool, request: OffsetFetchRequestGroup },
    /// OffsetDelete, with what does not exist taken out ([`crate::resolve`]).
    OffsetDelete { token: Token, request: OffsetDeleteRequest },
    /// The groups of a DescribeGroups that live here.
    DescribeGroups { token: Token, version: i16, groups: Vec<String> },
    /// ListGroups; the shell concatenates the answers of all coordinators.
    ListGroups { token: Token, request: ListGroupsRequest },
    /// The groups of a DeleteGroups that live here.
    DeleteGroups { token: Token, groups: Vec<String> },
}

/// The answer to one [`Input`], of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is named after the answer that it holds")]
pub enum Response {
    JoinGroup(JoinGroupResponse),
    SyncGroup(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponseGroup),
    OffsetDelete(OffsetDeleteResponse),
    DescribeGroups(Vec<DescribedGroup>),
    ListGroups(ListGroupsResponse),
    DeleteGroups(Vec<DeletableGroupResult>),
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Append these records as one batch, behind all batches emitted before, and report the outcome.
    Append {
        /// Names the batch in the report.
        append_id: AppendId,
        /// The records; [`Record::encode`] gives key and value.
        records: Vec<(Bytes, Option<Bytes>)>,
    },
    /// Answer a request.
    Reply {
        /// The request.
        token: Token,
        /// The answer.
        response: Response,
    },
    /// Report a fact.
    Observe(Observation),
}

impl Output {
    /// The batch that `records` are.
    pub(crate) fn append(append_id: AppendId, records: &[Record]) -> Self {
        Self::Append { append_id, records: records.iter().map(Record::encode).collect() }
    }
}

impl Input {
    /// The request this is.
    #[must_use]
    pub const fn token(&self) -> Token {
        match self {
            Self::JoinGroup { token, .. }
            | Self::SyncGroup { token, .. }
            | Self::Heartbeat { token, .. }
            | Self::LeaveGroup { token, .. }
            | Self::OffsetCommit { token, .. }
            | Self::OffsetFetch { token, .. }
            | Self::OffsetDelete { token, .. }
            | Self::DescribeGroups { token, .. }
            | Self::ListGroups { token, .. }
            | Self::DeleteGroups { token, .. } => *token,
        }
    }

    /// The answer that refuses all of this request with `code`.
    #[must_use]
    pub fn refusal(&self, code: ErrorCode) -> Response {
        let error_code = code.code();
        match self {
            Self::JoinGroup { request, .. } => {
                let member_id = request.member_id.clone();
                Response::JoinGroup(JoinGroupResponse { error_code, member_id, ..Default::default() })
            }
            Self::SyncGroup { .. } => Response::SyncGroup(SyncGroupResponse { error_code, ..Default::default() }),
            Self::Heartbeat { .. } => Response::Heartbeat(HeartbeatResponse { error_code, ..Default::default() }),
            Self::LeaveGroup { .. } => Response::LeaveGroup(LeaveGroupResponse { error_code, ..Default::default() }),
            Self::OffsetCommit { request, .. } => {
                Response::OffsetCommit(crate::resolve::refuse_offset_commit(request, code))
            }
            Self::OffsetFetch { request, .. } => Response::OffsetFetch(OffsetFetchResponseGroup {
                group_id: request.group_id.clone(),
                error_code,
                ..Default::default()
            }),
            Self::OffsetDelete { .. } => {
                Response::OffsetDelete(OffsetDeleteResponse { error_code, ..Default::default() })
            }
            Self::DescribeGroups { groups, .. } => Response::DescribeGroups(
                groups
                    .iter()
                    .map(|group| DescribedGroup { group_id: group.clone(), error_code, ..Default::default() })
                    .collect(),
            ),
            Self::ListGroups { .. } => Response::ListGroups(ListGroupsResponse { error_code, ..Default::default() }),
            Self::DeleteGroups { groups, .. } => Response::DeleteGroups(
                groups.iter().map(|group| DeletableGroupResult { group_id: group.clone(), error_code }).collect(),
            ),
        }
    }
}

impl Response {
    /// This answer turned into a refusal: its promise did not come true.
    #[must_use]
    pub(crate) fn failed(self, code: ErrorCode) -> Self {
        let error_code = code.code();
        match self {
            Self::JoinGroup(response) => {
                let member_id = response.member_id;
                Self::JoinGroup(JoinGroupResponse { error_code, member_id, ..Default::default() })
            }
            Self::SyncGroup(_) => Self::SyncGroup(SyncGroupResponse { error_code, ..Default::default() }),
            Self::Heartbeat(_) => Self::Heartbeat(HeartbeatResponse { error_code, ..Default::default() }),
            Self::LeaveGroup(_) => Self::LeaveGroup(LeaveGroupResponse { error_code, ..Default::default() }),
            Self::OffsetCommit(mut response) => {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| partition.error_code = error_code);
                Self::OffsetCommit(response)
            }
            Self::OffsetFetch(response) => Self::OffsetFetch(OffsetFetchResponseGroup {
                group_id: response.group_id,
                error_code,
                ..Default::default()
            }),
            Self::OffsetDelete(_) => Self::OffsetDelete(OffsetDeleteResponse { error_code, ..Default::default() }),
            Self::DescribeGroups(mut groups) => {
                groups.iter_mut().for_each(|group| group.error_code = error_code);
                Self::DescribeGroups(groups)
            }
            Self::ListGroups(_) => Self::ListGroups(ListGroupsResponse { error_code, ..Default::default() }),
            Self::DeleteGroups(mut results) => {
                results.iter_mut().for_each(|result| result.error_code = error_code);
                Self::DeleteGroups(results)
            }
        }
    }
}

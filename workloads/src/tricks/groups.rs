//! Tricks of members, in a group of the trick's own: commits of the past, two members with one name, a group that is
//! deleted under its member, and an assignment that is too large.

use std::time::Duration;

use barnabas_client::Address;
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use barnabas_wire::message::sync_group::SyncGroupRequestAssignment;
use barnabas_wire::message::{
    DeleteGroupsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    OffsetCommitRequest, OffsetDeleteRequest, SyncGroupRequest,
};
use barnabas_wire::{ErrorCode, ResponseBody};
use bytes::{BufMut, Bytes, BytesMut};

use super::{ANSWER_MAX, Stage, TOO_LARGE_BYTES, Trouble, code_of, must_be_refused, refusal_in};
use crate::RawClient;
use crate::record::partition_index;

pub(super) const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
pub(super) const COMMIT_VERSION: i16 = 8;
pub(super) const FIND_COORDINATOR_VERSION: i16 = 3;
pub(super) const DELETE_GROUPS_VERSION: i16 = 2;
pub(super) const OFFSET_DELETE_VERSION: i16 = 0;
/// How often a coordinator is asked for, and the pause between.
pub(super) const LOOKUPS_MAX: u32 = 20;
pub(super) const LOOKUP_PAUSE: Duration = Duration::from_millis(250);
pub(super) const SESSION_MS: i32 = 10_000;
/// How long a member that is late may take, and how late it is.
const REBALANCE_MS: i32 = 1_000;
const LATE_BY: Duration = Duration::from_secs(3);
/// A join waits for the group's first rebalance.
pub(super) const JOIN_MAX: Duration = Duration::from_secs(20);
/// The offset that no commit of the past may leave behind.
const STALE_OFFSET: i64 = 1_000_000;

impl Stage<'_> {
    pub(super) fn group(&self) -> String {
        format!("raw-{}-{}", self.session.by.client, self.session.by.life)
    }

    /// A connection to the group's coordinator.
    pub(super) async fn coordinator(&self) -> Result<RawClient, Trouble> {
        self.coordinator_of(&self.group()).await
    }

    pub(super) async fn coordinator_of(&self, group: &str) -> Result<RawClient, Trouble> {
        let mut raw = self.connect().await?;
        let mut code = ErrorCode::None;
        for _ in 0..LOOKUPS_MAX {
            let request = FindCoordinatorRequest { key: group.to_owned(), ..Default::default() };
            raw.send(FIND_COORDINATOR_VERSION, request).await?;
            let ResponseBody::FindCoordinator(response) = raw.receive_within(ANSWER_MAX).await? else {
                return Err(Trouble::Broken("FindCoordinator is answered by something else".to_owned()));
            };
            code = code_of(response.error_code);
            if let (ErrorCode::None, Ok(port)) = (code, u16::try_from(response.port)) {
                return self.connect_to(&Address { host: response.host, port }).await;
            }
            self.session.env.sleep(LOOKUP_PAUSE).await;
        }
        Err(Trouble::Unclear(format!("no coordinator is found: {}", code.name())))
    }

    /// `ConsumerProtocolSubscription`, version 0, to the trick's topic.
    pub(super) fn subscription(&self) -> Bytes {
        let topic = self.log.topic.to_string();
        let mut bytes = BytesMut::new();
        bytes.put_i16(0);
        bytes.put_i32(1);
        bytes.put_i16(i16::try_from(topic.len()).expect("a short name"));
        bytes.put_slice(topic.as_bytes());
        // No user data.
        bytes.put_i32(-1);
        bytes.freeze()
    }

    async fn join(&self, raw: &mut RawClient, instance: &str) -> Result<JoinGroupResponse, Trouble> {
        self.join_within(raw, instance, SESSION_MS).await
    }

    async fn join_within(
        &self,
        raw: &mut RawClient,
        instance: &str,
        rebalance_timeout_ms: i32,
    ) -> Result<JoinGroupResponse, Trouble> {
        let request = JoinGroupRequest {
            group_id: self.group(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms,
            group_instance_id: Some(instance.to_owned()),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: self.subscription() }],
            ..Default::default()
        };
        raw.send(JOIN_VERSION, request).await?;
        match raw.receive_within(JOIN_MAX).await? {
            ResponseBody::JoinGroup(response) if response.error_code == 0 => Ok(response),
            ResponseBody::JoinGroup(response) => {
                Err(Trouble::Unclear(format!("a join: {}", code_of(response.error_code).name())))
            }
            other => Err(Trouble::Broken(format!("JoinGroup is answered by {:?}", other.api_key()))),
        }
    }

    /// Leads the group through its rebalance: only then does it judge generations.
    async fn sync(&self, raw: &mut RawClient, joined: &JoinGroupResponse, instance: &str) -> Result<(), Trouble> {
        match self.sync_with(raw, joined, instance, Bytes::new()).await? {
            ErrorCode::None => Ok(()),
            code => Err(Trouble::Unclear(format!("a sync: {}", code.name()))),
        }
    }

    /// Asks for the member's own assignment, and gives it should it lead; the code of the answer.
    async fn sync_with(
        &self,
        raw: &mut RawClient,
        joined: &JoinGroupResponse,
        instance: &str,
        assignment: Bytes,
    ) -> Result<ErrorCode, Trouble> {
        raw.send(SYNC_VERSION, self.sync_request(joined, instance, assignment)).await?;
        synced(raw).await.map(|(code, _)| code)
    }

    fn sync_request(&self, joined: &JoinGroupResponse, instance: &str, assignment: Bytes) -> SyncGroupRequest {
        let mine = SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment };
        SyncGroupRequest {
            group_id: self.group(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            group_instance_id: Some(instance.to_owned()),
            assignments: vec![mine],
            ..Default::default()
        }
    }

    /// Commits as somebody; the code of the answer.
    async fn commit_as(
        &self,
        raw: &mut RawClient,
        (member, instance): (&str, &str),
        generation: i32,
    ) -> Result<ErrorCode, Trouble> {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition_index(self.log.partition).0,
            committed_offset: STALE_OFFSET,
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: self.log.topic.to_string(),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: self.group(),
            generation_id_or_member_epoch: generation,
            member_id: member.to_owned(),
            group_instance_id: Some(instance.to_owned()),
            topics: vec![topic],
            ..Default::default()
        };
        raw.send(COMMIT_VERSION, request).await?;
        let ResponseBody::OffsetCommit(response) = raw.receive_within(ANSWER_MAX).await? else {
            return Err(Trouble::Broken("OffsetCommit is answered by something else".to_owned()));
        };
        let code = response.topics.iter().flat_map(|topic| &topic.partitions).next();
        Ok(code.map_or(ErrorCode::UnknownServerError, |partition| code_of(partition.error_code)))
    }

    /// A commit and a heartbeat in the name of a generation that is over.
    pub(super) async fn stale_commit(&mut self) -> Result<(), Trouble> {
        let mut raw = self.coordinator().await?;
        let joined = self.join(&mut raw, "stale").await?;
        self.sync(&mut raw, &joined, "stale").await?;
        let code = self.commit_as(&mut raw, (&joined.member_id, "stale"), joined.generation_id - 1).await?;
        let expected = [
            ErrorCode::IllegalGeneration,
            ErrorCode::UnknownMemberId,
            ErrorCode::RebalanceInProgress,
            ErrorCode::FencedInstanceId,
        ];
        must_be_refused("a commit of a generation that has passed", code, &expected)?;
        let code = self.heartbeat_as(&mut raw, (&joined.member_id, "stale"), joined.generation_id - 1).await?;
        must_be_refused("a heartbeat of a generation that has passed", code, &expected)
    }

    async fn heartbeat_as(
        &self,
        raw: &mut RawClient,
        (member, instance): (&str, &str),
        generation: i32,
    ) -> Result<ErrorCode, Trouble> {
        let request = HeartbeatRequest {
            group_id: self.group(),
            generation_id: generation,
            member_id: member.to_owned(),
            group_instance_id: Some(instance.to_owned()),
        };
        raw.send(HEARTBEAT_VERSION, request).await?;
        let ResponseBody::Heartbeat(response) = raw.receive_within(ANSWER_MAX).await? else {
            return Err(Trouble::Broken("Heartbeat is answered by something else".to_owned()));
        };
        Ok(code_of(response.error_code))
    }

    /// The second member of one instance id takes the place of the first, who is fenced.
    pub(super) async fn static_twin(&mut self) -> Result<(), Trouble> {
        let mut first = self.coordinator().await?;
        let before = self.join(&mut first, "twin").await?;
        self.sync(&mut first, &before, "twin").await?;
        let mut second = self.coordinator().await?;
        let after = self.join(&mut second, "twin").await?;
        if before.member_id == after.member_id {
            return Err(Trouble::Broken("two members share one member id".to_owned()));
        }
        let code = self.heartbeat_as(&mut first, (&before.member_id, "twin"), before.generation_id).await?;
        let expected = [ErrorCode::FencedInstanceId, ErrorCode::UnknownMemberId];
        must_be_refused("a heartbeat of a member that was replaced", code, &expected)?;
        let code = self.commit_as(&mut first, (&before.member_id, "twin"), before.generation_id).await?;
        must_be_refused("a commit of a member that was replaced", code, &expected)
    }

    /// A group with a member is not deleted, nor are the offsets of what it reads.
    pub(super) async fn busy_group(&mut self) -> Result<(), Trouble> {
        let mut raw = self.coordinator().await?;
        // A static member that comes back to read something else makes no rebalance, and so changes nothing of what its
        // group is known to read.
        let instance = format!("busy-{}", self.log.topic);
        let joined = self.join(&mut raw, &instance).await?;
        let joined_at = self.session.env.now();
        self.sync(&mut raw, &joined, &instance).await?;
        let deletion = DeleteGroupsRequest { groups_names: vec![self.group()] };
        raw.send(DELETE_GROUPS_VERSION, deletion).await?;
        let group = refusal_in(&raw.receive_within(ANSWER_MAX).await?);
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: partition_index(self.log.partition).0 }];
        let topics = vec![OffsetDeleteRequestTopic { name: self.log.topic.to_string(), partitions }];
        raw.send(OFFSET_DELETE_VERSION, OffsetDeleteRequest { group_id: self.group(), topics }).await?;
        let offsets = refusal_in(&raw.receive_within(ANSWER_MAX).await?);
        if self.session.env.now() >= joined_at.after_ms(i64::from(SESSION_MS)) {
            return Err(Trouble::Unclear("the member may have been taken for dead".to_owned()));
        }
        must_be_refused("the deletion of a group with a member", group, &[ErrorCode::NonEmptyGroup])?;
        let what = "the deletion of offsets in a topic that the group reads";
        must_be_refused(what, offsets, &[ErrorCode::GroupSubscribedToTopic])
    }

    /// What the log cannot hold is refused, and the group lives on. A member that does not lead gives no assignment.
    pub(super) async fn huge_assignment(&mut self) -> Result<(), Trouble> {
        let mut raw = self.coordinator().await?;
        let joined = self.join(&mut raw, "huge").await?;
        if joined.leader != joined.member_id {
            return Ok(());
        }
        let code = self.sync_with(&mut raw, &joined, "huge", vec![0; TOO_LARGE_BYTES].into()).await?;
        let expected = [ErrorCode::UnknownServerError, ErrorCode::RebalanceInProgress, ErrorCode::UnknownMemberId];
        must_be_refused("an assignment that no record holds", code, &expected)?;
        let again = self.join(&mut raw, "huge").await?;
        self.sync(&mut raw, &again, "huge").await
    }

    /// A leader that repeats itself is given the same twice, whatever it says the second time.
    pub(super) async fn sync_twice(&mut self) -> Result<(), Trouble> {
        // On one connection the second would wait for the answer to the first.
        let (mut raw, mut other) = (self.coordinator().await?, self.coordinator().await?);
        let joined = self.join(&mut raw, "twice").await?;
        raw.send(SYNC_VERSION, self.sync_request(&joined, "twice", Bytes::from_static(b"first"))).await?;
        other.send(SYNC_VERSION, self.sync_request(&joined, "twice", Bytes::from_static(b"second"))).await?;
        let (first, second) = (synced(&mut raw).await?, synced(&mut other).await?);
        match (first, second) {
            ((ErrorCode::None, one), (ErrorCode::None, other)) if one != other => {
                Err(Trouble::Broken(format!("one member was assigned {one:?} and {other:?} in one generation")))
            }
            _ => Ok(()),
        }
    }

    /// Who does not ask for its assignment in time loses its place; how late that is noticed is nobody's promise.
    pub(super) async fn late_sync(&mut self) -> Result<(), Trouble> {
        let mut raw = self.coordinator().await?;
        let joined = self.join_within(&mut raw, "late", REBALANCE_MS).await?;
        self.session.env.sleep(LATE_BY).await;
        match self.sync_with(&mut raw, &joined, "late", Bytes::new()).await? {
            ErrorCode::None => Err(Trouble::Unclear("a late sync was in time".to_owned())),
            code => must_be_refused("a late sync", code, &[ErrorCode::UnknownMemberId, ErrorCode::RebalanceInProgress]),
        }
    }
}

async fn synced(raw: &mut RawClient) -> Result<(ErrorCode, Bytes), Trouble> {
    match raw.receive_within(ANSWER_MAX).await? {
        ResponseBody::SyncGroup(response) => Ok((code_of(response.error_code), response.assignment)),
        other => Err(Trouble::Broken(format!("SyncGroup is answered by {:?}", other.api_key()))),
    }
}

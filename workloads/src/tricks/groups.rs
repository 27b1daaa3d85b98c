//! Tricks of members, in a group of the trick's own: commits of the past, and two members with one name.

use std::time::Duration;

use barnabas_client::Address;
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::sync_group::SyncGroupRequestAssignment;
use barnabas_wire::message::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, OffsetCommitRequest,
    SyncGroupRequest,
};
use barnabas_wire::{ErrorCode, ResponseBody};

use super::{ANSWER_MAX, Stage, Trouble, code_of, must_be_refused};
use crate::RawClient;
use crate::record::partition_index;

const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
const COMMIT_VERSION: i16 = 8;
const FIND_COORDINATOR_VERSION: i16 = 3;
/// How often a coordinator is asked for, and the pause between.
const LOOKUPS_MAX: u32 = 20;
const LOOKUP_PAUSE: Duration = Duration::from_millis(250);
const SESSION_MS: i32 = 10_000;
/// A join waits for the group's first rebalance.
const JOIN_MAX: Duration = Duration::from_secs(20);
/// The offset that no commit of the past may leave behind.
const STALE_OFFSET: i64 = 1_000_000;

impl Stage<'_> {
    fn group(&self) -> String {
        format!("raw-{}-{}", self.session.by.client, self.session.by.life)
    }

    /// A connection to the group's coordinator.
    async fn coordinator(&self) -> Result<RawClient, Trouble> {
        let mut raw = self.connect().await?;
        let mut code = ErrorCode::None;
        for _ in 0..LOOKUPS_MAX {
            let request = FindCoordinatorRequest { key: self.group(), ..Default::default() };
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

    async fn join(&self, raw: &mut RawClient, instance: &str) -> Result<JoinGroupResponse, Trouble> {
        let request = JoinGroupRequest {
            group_id: self.group(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            group_instance_id: Some(instance.to_owned()),
            protocol_type: "consumer".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: bytes::Bytes::new() }],
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
        let mine = SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: bytes::Bytes::new() };
        let request = SyncGroupRequest {
            group_id: self.group(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            group_instance_id: Some(instance.to_owned()),
            assignments: vec![mine],
            ..Default::default()
        };
        raw.send(SYNC_VERSION, request).await?;
        match raw.receive_within(ANSWER_MAX).await? {
            ResponseBody::SyncGroup(response) if response.error_code == 0 => Ok(()),
            ResponseBody::SyncGroup(response) => {
                Err(Trouble::Unclear(format!("a sync: {}", code_of(response.error_code).name())))
            }
            other => Err(Trouble::Broken(format!("SyncGroup is answered by {:?}", other.api_key()))),
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
}

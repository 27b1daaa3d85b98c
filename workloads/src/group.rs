//! Groups: a member that joins, owns what the group gives it, commits what it has read, and goes.

use std::collections::BTreeMap;
use std::fmt;

use barnabas_base::{Offset, PartitionIndex};
use barnabas_client::{Destination, MemberConfig, MemberEvent, Membership};
use barnabas_history::{Call, LogName, Membership as Change, Outcome, Reply, What};
use barnabas_plan::{GroupName, TopicName};
use barnabas_wire::message::leave_group::MemberIdentity;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_fetch::OffsetFetchRequestTopic;
use barnabas_wire::message::{LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};
use barnabas_wire::{ErrorCode, ResponseBody};

use crate::reading::Reader;
use crate::record::{log_name, partition_index};
use crate::session::{Answer, Purpose, Session, error_of, refused, unanswered};

/// OffsetCommit with names.
const COMMIT_VERSION_MAX: i16 = 9;
/// OffsetFetch with names and one group.
const FETCH_VERSION_MAX: i16 = 7;
/// How much longer than a session a join may take before the client goes on with something else.
const JOIN_GRACE_MS: i64 = 5_000;
/// Heartbeats within one session.
const HEARTBEATS_PER_SESSION: i64 = 3;

/// A membership and what is read as a member.
pub(crate) struct Member {
    pub(crate) group: GroupName,
    pub(crate) membership: Membership,
    pub(crate) reader: Reader,
    instance_id: Option<String>,
    is_owner: bool,
    failure: Option<ErrorCode>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("group", &self.group).field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Session {
    /// Joins a group; leaves the one it is in.
    pub(crate) async fn join(&mut self, group: GroupName, topic: TopicName, instance: u32) {
        self.leave("joins another group").await;
        let call = self.call(Call::Join { group, topic, instance });
        let session_timeout_ms = self.script.client.session_timeout_ms;
        let timeout_ms = i32::try_from(session_timeout_ms).expect("sessions are short");
        let instance_id = (instance > 0).then(|| format!("instance-{instance}"));
        let config = MemberConfig {
            instance_id: instance_id.clone(),
            session_timeout_ms: timeout_ms,
            rebalance_timeout_ms: timeout_ms,
            heartbeat_interval_ms: i64::from(timeout_ms) / HEARTBEATS_PER_SESSION,
            ..MemberConfig::new(&group.to_string(), [topic.to_string()].into())
        };
        let reader = Reader::new(self.script.client.fetch_bytes);
        let membership = Membership::new(config);
        self.member = Some(Member { group, membership, reader, instance_id, is_owner: false, failure: None });
        let deadline = self.env.now().after_ms(i64::from(timeout_ms) + JOIN_GRACE_MS);
        loop {
            let member = self.member.as_ref().expect("only a leave ends it");
            if member.is_owner {
                return self.recorder.end(call, Outcome::Ok(Reply::Done));
            }
            if let Some(code) = member.failure {
                self.member = None;
                return self.recorder.end(call, refused(code));
            }
            if self.env.now() >= deadline {
                return self.recorder.end(call, Outcome::Unknown("not joined in time, but still at it".to_owned()));
            }
            self.turn(deadline).await;
        }
    }

    /// Takes what happened to the membership.
    pub(crate) fn take_member_events(&mut self) {
        while let Some(event) = self.member.as_mut().and_then(|member| member.membership.poll_event()) {
            match event {
                MemberEvent::Assigned(positions) => self.own(&positions),
                MemberEvent::Revoked { lost } => {
                    self.disown(if lost { "the membership was lost" } else { "the group rebalances" });
                }
                MemberEvent::Failed(code) => {
                    self.disown(code.name());
                    self.member.as_mut().expect("it has events").failure = Some(code);
                }
                MemberEvent::Committed(_) | MemberEvent::Left => {}
            }
        }
    }

    fn own(&mut self, positions: &BTreeMap<(String, PartitionIndex), Option<Offset>>) {
        let by = self.by;
        let (Some(member), client) = self.member_and_client() else { return };
        let log = |(topic, partition): &(String, PartitionIndex)| {
            let name: TopicName = topic.parse().ok()?;
            Some(log_name(name, client.cluster().topic_id(topic), *partition))
        };
        let owned: Vec<(LogName, Option<Offset>)> =
            positions.iter().filter_map(|(key, position)| Some((log(key)?, *position))).collect();
        member.is_owner = true;
        member.reader.assign(&owned, true);
        let change = Change::Assigned {
            group: member.group,
            generation: member.membership.generation(),
            member: member.membership.member_id().to_owned(),
            logs: owned.iter().map(|(log, _)| *log).collect(),
            positions: owned.iter().filter_map(|(log, position)| Some((*log, (*position)?))).collect(),
        };
        self.recorder.push(What::Member { by, change });
    }

    fn disown(&mut self, reason: &str) {
        let Some(member) = self.member.as_mut().filter(|member| member.is_owner) else { return };
        member.is_owner = false;
        member.reader.release();
        let change = Change::Revoked { group: member.group, reason: reason.to_owned() };
        self.recorder.push(What::Member { by: self.by, change });
    }

    /// Ends the membership, if there is one, without a word to the group.
    pub(crate) fn vanish(&mut self, reason: &str) {
        self.disown(reason);
        self.member = None;
    }

    /// Leaves the group, if it is in one. A static member just goes: its place is kept until the session ends.
    pub(crate) async fn leave(&mut self, reason: &str) {
        let Some(group) = self.member.as_ref().map(|member| member.group) else { return };
        let call = self.call(Call::Leave { group });
        self.disown(reason);
        let member = self.member.take().expect("it was there");
        let member_id = member.membership.member_id().to_owned();
        if member.instance_id.is_some() || member_id.is_empty() {
            return self.recorder.end(call, Outcome::Ok(Reply::Done));
        }
        let members = vec![MemberIdentity { member_id, ..Default::default() }];
        let request = LeaveGroupRequest { group_id: group.to_string(), members, ..Default::default() };
        let destination = Destination::Coordinator(group.to_string());
        let answer = self.ask_as(Purpose::Group, destination, request, None).await;
        let outcome = match &answer {
            Ok((_, ResponseBody::LeaveGroup(response))) => {
                let codes = response.members.iter().map(|member| member.error_code).chain([response.error_code]);
                let failed = codes.map(error_of).find_map(Result::err);
                failed.unwrap_or(Outcome::Ok(Reply::Done))
            }
            other => unanswered(other),
        };
        self.recorder.end(call, outcome);
    }

    /// Commits the positions behind what was polled as a member; nothing where it owns nothing.
    pub(crate) async fn commit(&mut self) {
        let Some(member) = self.member.as_ref().filter(|member| member.is_owner) else { return };
        let offsets = member.reader.positions();
        if offsets.is_empty() {
            return;
        }
        let group = member.group;
        let (generation, member_id) = (member.membership.generation(), member.membership.member_id().to_owned());
        let request = OffsetCommitRequest {
            group_id: group.to_string(),
            generation_id_or_member_epoch: generation,
            member_id: member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            topics: commit_topics(&offsets),
            ..Default::default()
        };
        let call = self.call(Call::Commit { group, generation, member: member_id, offsets });
        let destination = Destination::Coordinator(group.to_string());
        let answer = self.ask_as(Purpose::Group, destination, request, Some(COMMIT_VERSION_MAX)).await;
        let outcome = commit_outcome(&answer);
        if let Outcome::Unknown(_) = outcome {
            self.client_mut(Purpose::Group).forget_coordinator(&group.to_string());
        }
        self.recorder.end(call, outcome);
    }

    /// Asks for the committed offsets of a group. Says whether they were told.
    pub(crate) async fn committed(&mut self, group: GroupName, topic: TopicName) -> bool {
        let call = self.call(Call::Committed { group, topic });
        let is_known = self.know(Purpose::Group, topic).await;
        let logs = self.logs_of(Purpose::Group, topic);
        // Who asks for no partition is told of none, which says nothing about what is committed.
        if !is_known || logs.is_empty() {
            self.recorder.end(call, Outcome::Failed("the topic is not known".to_owned()));
            return false;
        }
        let partition_indexes = logs.iter().map(|log| partition_index(log.partition).0).collect();
        let request = OffsetFetchRequest {
            group_id: group.to_string(),
            topics: Some(vec![OffsetFetchRequestTopic { name: topic.to_string(), partition_indexes }]),
            ..Default::default()
        };
        let destination = Destination::Coordinator(group.to_string());
        let answer = self.ask_as(Purpose::Group, destination, request, Some(FETCH_VERSION_MAX)).await;
        let outcome = match &answer {
            Ok((_, ResponseBody::OffsetFetch(response))) => committed_outcome(response, &logs),
            other => unanswered(other),
        };
        let is_told = matches!(outcome, Outcome::Ok(_));
        if !is_told {
            self.client_mut(Purpose::Group).forget_coordinator(&group.to_string());
        }
        self.recorder.end(call, outcome);
        is_told
    }
}

fn commit_topics(offsets: &[(LogName, Offset)]) -> Vec<OffsetCommitRequestTopic> {
    let mut topics: BTreeMap<TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (log, offset) in offsets {
        topics.entry(log.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: partition_index(log.partition).0,
            committed_offset: offset.0,
            ..Default::default()
        });
    }
    let topic = |(name, partitions): (TopicName, _)| OffsetCommitRequestTopic {
        name: name.to_string(),
        partitions,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}

/// Done when all was done, definitely not when all was refused so; otherwise nobody knows.
fn commit_outcome(answer: &Answer) -> Outcome {
    let Ok((_, ResponseBody::OffsetCommit(response))) = answer else { return unanswered(answer) };
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let results: Vec<Result<(), Outcome>> = partitions.map(|partition| error_of(partition.error_code)).collect();
    match results.iter().find_map(|result| result.as_ref().err()) {
        None => Outcome::Ok(Reply::Done),
        Some(Outcome::Failed(reason)) => {
            let all_failed = results.iter().all(|result| matches!(result, Err(Outcome::Failed(_))));
            if all_failed { Outcome::Failed(reason.clone()) } else { Outcome::Unknown(reason.clone()) }
        }
        Some(open) => open.clone(),
    }
}

fn committed_outcome(response: &OffsetFetchResponse, logs: &[LogName]) -> Outcome {
    let partitions = || response.topics.iter().flat_map(|topic| &topic.partitions);
    let codes = partitions().map(|partition| partition.error_code).chain([response.error_code]);
    if let Some(failed) = codes.map(error_of).find_map(Result::err) {
        return failed;
    }
    let offset = |log: &LogName| {
        let answer = partitions().find(|answer| answer.partition_index == partition_index(log.partition).0)?;
        (answer.committed_offset >= 0).then_some((*log, Offset(answer.committed_offset)))
    };
    Outcome::Ok(Reply::Committed { offsets: logs.iter().filter_map(offset).collect() })
}

//! Members of a group of the trick's own: one that comes and goes, one that lasts, and two that share it. What they are
//! told, and what is told of them.

use std::collections::BTreeSet;
use std::time::Duration;

use barnabas_base::Monotonic;
use barnabas_wire::message::describe_groups::{DescribedGroup, DescribedGroupMember};
use barnabas_wire::message::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use barnabas_wire::message::leave_group::MemberIdentity;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use barnabas_wire::message::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use barnabas_wire::message::sync_group::SyncGroupRequestAssignment;
use barnabas_wire::message::{
    DeleteGroupsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest,
};
use barnabas_wire::{ErrorCode, ResponseBody};
use bytes::Bytes;

use super::groups::{DELETE_GROUPS_VERSION, JOIN_MAX, LOOKUP_PAUSE, LOOKUPS_MAX, OFFSET_DELETE_VERSION};
use super::own::{Seen, ask, first_code, is_due, operations};
use super::{Stage, Trouble, code_of, must_be_accepted, must_be_refused};
use crate::RawClient;
use crate::record::partition_index;

/// Long enough that nobody is taken for dead between two requests, but for the slowest machines.
const SESSION_MS: i32 = 30_000;
/// The first JoinGroup that wants a member to ask for its id first, as a dynamic one.
const JOIN_SINCE: i16 = 5;
const SYNC_SINCE: i16 = 3;
const HEARTBEAT_SINCE: i16 = 3;
/// The first LeaveGroup of several members, and the first ListGroups that looks for states.
const LEAVE_SINCE: i16 = 3;
const LIST_STATES_SINCE: i16 = 4;
/// The first DescribeGroups that tells what a client may do.
const DESCRIBE_OPERATIONS_SINCE: i16 = 3;
/// All that may be done with a group, as bits of `AclOperation`: nobody is kept from anything.
const GROUP_OPERATIONS: i32 = 0b1101_0100_1000;
/// The first OffsetFetch that asks for several groups.
const COMMITTED_OF_GROUPS: i16 = 8;
/// From this version on a group that is not there is an error (KIP-1043).
const NOT_FOUND_SINCE: i16 = 6;
/// How long a group waits for a member that does not come.
const REBALANCE_MS: i32 = 2_000;
/// How often a member that lasts is looked at, and the pause before.
const LASTING_LOOKS: u32 = 6;
const LASTING_PAUSE: Duration = Duration::from_secs(3);
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";
const COMMITTED: i64 = 11;
const METADATA: &str = "by a member";

/// A member and its connection.
struct Seat {
    raw: RawClient,
    group: String,
    member_id: String,
    /// Of a static member.
    instance_id: Option<String>,
    rebalance_timeout_ms: i32,
    generation: i32,
    /// When it last said something that keeps it alive.
    spoke_at: Monotonic,
    /// When it last asked to join.
    asked_at: Monotonic,
}

impl Stage<'_> {
    /// One member from its first word to the end of its group.
    pub(super) async fn lone_member(&mut self) -> Result<(), Trouble> {
        let group = self.own_name();
        let mut seat = self.seat(&group).await?;
        self.is_dead(&mut seat, "a group that never was").await?;
        let joined = self.enter(&mut seat).await?;
        seat.is_led_by_itself(&joined, &self.subscription())?;
        let assignment = Bytes::from_static(b"all of it");
        let given = self.sync_seat(&mut seat, &[(joined.member_id.clone(), assignment.clone())]).await?;
        is_due("an assignment", &given, &assignment)?;
        self.is_described(&mut seat, &assignment).await?;
        self.is_listed(&mut seat, "Stable", "Empty").await?;
        self.is_held_to_its_word(&mut seat).await?;
        let code = self.commit_in_seat(&mut seat, COMMITTED).await?;
        seat.accepted("a commit of a member", code)?;
        self.is_committed(&mut seat, COMMITTED).await?;
        let code = self.leave_seat(&mut seat).await?;
        seat.accepted("a member that leaves", code)?;
        self.is_left_behind(&mut seat).await
    }

    /// A group without its member, until it is deleted.
    async fn is_left_behind(&mut self, seat: &mut Seat) -> Result<(), Trouble> {
        let code = self.leave_seat(seat).await?;
        must_be_refused("a member that leaves twice", code, &[ErrorCode::UnknownMemberId])?;
        self.sees("a group that everybody left", async |stage: &mut Self| {
            let (code, group) = stage.describe_seat(seat).await?;
            let seen = (code, group.group_state, group.protocol_type, group.protocol_data, group.members.len());
            let expected = (ErrorCode::None, "Empty".to_owned(), PROTOCOL_TYPE.to_owned(), String::new(), 0);
            Ok(Seen::equal(&seen, &expected))
        })
        .await?;
        self.is_listed(seat, "Empty", "Stable").await?;
        let code = self.commit_in_seat(seat, COMMITTED + 1).await?;
        let expected = [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration];
        must_be_refused("a commit of a member that left", code, &expected)?;
        self.is_committed(seat, COMMITTED).await?;
        let holds_nothing = self.below(2) == 0;
        if holds_nothing {
            self.delete_offset(seat).await?;
        }
        let request = DeleteGroupsRequest { groups_names: vec![seat.group.clone()] };
        let response = ask(&mut seat.raw, DELETE_GROUPS_VERSION, request).await?;
        match first_code(response.results.iter().map(|one| one.error_code)) {
            // Without members and offsets it goes with the next look at what has expired.
            ErrorCode::GroupIdNotFound if holds_nothing => {}
            code => must_be_accepted("the deletion of an empty group", code)?,
        }
        self.is_dead(seat, "a group that was deleted").await?;
        self.is_committed(seat, -1).await
    }

    /// Two members are told of one another, each is given its own, and one stays when the other leaves.
    pub(super) async fn two_members(&mut self) -> Result<(), Trouble> {
        let group = self.own_name();
        let mut first = self.seat(&group).await?;
        let alone = self.enter(&mut first).await?;
        self.sync_seat(&mut first, &[(alone.member_id.clone(), Bytes::from_static(b"all"))]).await?;
        let mut second = self.seat(&group).await?;
        self.ask_for_id(&mut second).await?;
        self.send_join(&mut second).await?;
        self.is_told_to_rejoin(&mut first).await?;
        self.send_join(&mut first).await?;
        let (one, other) = (self.receive_join(&mut first).await?, self.receive_join(&mut second).await?);
        is_due("the generation of two members", &(one.generation_id, other.generation_id), &{
            let next = alone.generation_id + 1;
            (next, next)
        })?;
        is_due("the leader of two members", &(&one.leader, &other.leader), &(&alone.leader, &alone.leader))?;
        let both = BTreeSet::from([first.member_id.as_str(), second.member_id.as_str()]);
        is_due("the members that a leader is told of", &told_members(&one), &both)?;
        is_due("how many members a leader is told of", &one.members.len(), &both.len())?;
        is_due("the members that a follower is told of", &other.members.len(), &0)?;
        let shares = [
            (first.member_id.clone(), Bytes::from_static(b"the first half")),
            (second.member_id.clone(), Bytes::from_static(b"the second half")),
        ];
        let given = (self.sync_seat(&mut first, &shares).await?, self.sync_seat(&mut second, &[]).await?);
        is_due("the shares of two members", &given, &(shares[0].1.clone(), shares[1].1.clone()))?;
        let code = self.leave_seat(&mut second).await?;
        second.accepted("one of two members that leaves", code)?;
        self.is_told_to_rejoin(&mut first).await?;
        self.send_join(&mut first).await?;
        let rest = self.receive_join(&mut first).await?;
        is_due("the generation after a member left", &rest.generation_id, &(one.generation_id + 1))?;
        first.is_led_by_itself(&rest, &self.subscription())?;
        let code = self.leave_seat(&mut first).await?;
        first.accepted("the last member that leaves", code)
    }

    /// Who does not come in time while its group changes is out, unless it has a name that it keeps (KIP-345).
    pub(super) async fn absent_member(&mut self) -> Result<(), Trouble> {
        let group = self.own_name();
        let mut absent = self.seat(&group).await?;
        absent.rebalance_timeout_ms = REBALANCE_MS;
        absent.instance_id = (self.below(2) == 0).then(|| "absent".to_owned());
        let alone = self.enter(&mut absent).await?;
        self.sync_seat(&mut absent, &[(alone.member_id.clone(), Bytes::from_static(b"all"))]).await?;
        let mut second = self.seat(&group).await?;
        second.rebalance_timeout_ms = REBALANCE_MS;
        let joined = self.enter(&mut second).await?;
        absent.is_in_time(self.session.env.now())?;
        is_due("the generation without an absent member", &joined.generation_id, &(alone.generation_id + 1))?;
        is_due("the leader in the place of an absent one", &joined.leader, &second.member_id)?;
        let mut due = BTreeSet::from([second.member_id.as_str()]);
        due.extend(absent.instance_id.is_some().then_some(absent.member_id.as_str()));
        is_due("the members that a new leader is told of", &told_members(&joined), &due)?;
        is_due("how many members a new leader is told of", &joined.members.len(), &due.len())?;
        let (member_id, generation) = (absent.member_id.clone(), absent.generation);
        let code = self.beat(&mut absent, &member_id, generation).await?;
        let expected =
            if absent.instance_id.is_some() { [ErrorCode::IllegalGeneration] } else { [ErrorCode::UnknownMemberId] };
        must_be_refused("a heartbeat of an absent member", code, &expected)
    }

    /// What a member was answered holds for as long as it speaks, whatever becomes of its coordinator meanwhile.
    pub(super) async fn lasting_member(&mut self) -> Result<(), Trouble> {
        let group = self.own_name();
        let mut seat = self.seat(&group).await?;
        let joined = self.enter(&mut seat).await?;
        let assignment = Bytes::from_static(b"for long");
        self.sync_seat(&mut seat, &[(joined.member_id, assignment.clone())]).await?;
        let code = self.commit_in_seat(&mut seat, COMMITTED).await?;
        seat.accepted("a commit of a member", code)?;
        let mut is_found = true;
        for _ in 0..LASTING_LOOKS {
            self.session.env.sleep(LASTING_PAUSE).await;
            if !is_found {
                is_found = self.find_again(&mut seat).await?;
                continue;
            }
            match self.lasts(&mut seat, &assignment).await {
                Ok(()) => {}
                Err(Trouble::Broken(what)) => {
                    seat.is_in_time(self.session.env.now())?;
                    return Err(Trouble::Broken(what));
                }
                Err(Trouble::Unclear(_)) => is_found = self.find_again(&mut seat).await?,
            }
        }
        if !is_found {
            return Err(Trouble::Unclear("the coordinator is gone".to_owned()));
        }
        let code = self.leave_seat(&mut seat).await?;
        seat.accepted("a member that leaves after a while", code)
    }

    async fn lasts(&mut self, seat: &mut Seat, assignment: &Bytes) -> Result<(), Trouble> {
        let (member_id, generation) = (seat.member_id.clone(), seat.generation);
        let code = self.beat(seat, &member_id, generation).await?;
        must_be_accepted("a heartbeat after a while", code)?;
        self.is_described(seat, assignment).await?;
        self.is_committed(seat, COMMITTED).await
    }

    /// Connects to the coordinator once more, if there is one.
    async fn find_again(&mut self, seat: &mut Seat) -> Result<bool, Trouble> {
        match self.coordinator_of(&seat.group).await {
            Ok(raw) => seat.raw = raw,
            Err(Trouble::Unclear(_)) => return Ok(false),
            Err(broken @ Trouble::Broken(_)) => return Err(broken),
        }
        Ok(true)
    }

    async fn seat(&self, group: &str) -> Result<Seat, Trouble> {
        let raw = self.coordinator_of(group).await?;
        let (member_id, now) = (String::new(), self.session.env.now());
        let (instance_id, rebalance_timeout_ms) = (None, SESSION_MS);
        Ok(Seat {
            raw,
            group: group.to_owned(),
            member_id,
            instance_id,
            rebalance_timeout_ms,
            generation: -1,
            spoke_at: now,
            asked_at: now,
        })
    }

    /// The join of a static member, or both steps of that of a dynamic one.
    async fn enter(&mut self, seat: &mut Seat) -> Result<JoinGroupResponse, Trouble> {
        if seat.instance_id.is_none() {
            self.ask_for_id(seat).await?;
        }
        self.send_join(seat).await?;
        self.receive_join(seat).await
    }

    /// The first step: an id, and nothing else (KIP-394).
    async fn ask_for_id(&mut self, seat: &mut Seat) -> Result<(), Trouble> {
        self.send_join(seat).await?;
        let answer = joined(&mut seat.raw).await?;
        match code_of(answer.error_code) {
            ErrorCode::MemberIdRequired if !answer.member_id.is_empty() => {
                seat.member_id = answer.member_id;
                Ok(())
            }
            // Full groups take nobody.
            ErrorCode::GroupMaxSizeReached => Err(Trouble::Unclear("the group is full".to_owned())),
            code => must_be_refused("a join without an id", code, &[ErrorCode::MemberIdRequired]),
        }
    }

    async fn send_join(&mut self, seat: &mut Seat) -> Result<(), Trouble> {
        let request = JoinGroupRequest {
            group_id: seat.group.clone(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: seat.rebalance_timeout_ms,
            member_id: seat.member_id.clone(),
            group_instance_id: seat.instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: PROTOCOL.to_owned(), metadata: self.subscription() }],
            ..Default::default()
        };
        seat.asked_at = self.session.env.now();
        seat.spoke_at = seat.asked_at;
        let version = self.any_version_from::<JoinGroupRequest>(JOIN_SINCE);
        seat.raw.send(version, request).await?;
        Ok(())
    }

    /// The second step. A member waits for its group, and is alive meanwhile.
    async fn receive_join(&mut self, seat: &mut Seat) -> Result<JoinGroupResponse, Trouble> {
        let answer = joined(&mut seat.raw).await?;
        match code_of(answer.error_code) {
            ErrorCode::GroupMaxSizeReached => return Err(Trouble::Unclear("the group is full".to_owned())),
            code => seat.accepted("a join", code)?,
        }
        seat.spoke_at = self.session.env.now();
        if seat.member_id.is_empty() {
            seat.member_id.clone_from(&answer.member_id);
        }
        is_due("the id of a member", &answer.member_id, &seat.member_id)?;
        is_due("the protocol of a group", &answer.protocol_name.as_deref(), &Some(PROTOCOL))?;
        seat.generation = answer.generation_id;
        Ok(answer)
    }

    async fn sync_seat(&mut self, seat: &mut Seat, assignments: &[(String, Bytes)]) -> Result<Bytes, Trouble> {
        let assignments = assignments.iter().map(|(member_id, assignment)| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: assignment.clone(),
        });
        let request = SyncGroupRequest {
            group_id: seat.group.clone(),
            generation_id: seat.generation,
            member_id: seat.member_id.clone(),
            group_instance_id: seat.instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(PROTOCOL.to_owned()),
            assignments: assignments.collect(),
        };
        let version = self.any_version_from::<SyncGroupRequest>(SYNC_SINCE);
        let response = ask(&mut seat.raw, version, request).await?;
        seat.has_synced(self.session.env.now(), code_of(response.error_code))?;
        Ok(response.assignment)
    }

    /// The code of a heartbeat as somebody.
    async fn beat(&mut self, seat: &mut Seat, member_id: &str, generation_id: i32) -> Result<ErrorCode, Trouble> {
        let request = HeartbeatRequest {
            group_id: seat.group.clone(),
            generation_id,
            member_id: member_id.to_owned(),
            group_instance_id: seat.instance_id.clone(),
        };
        let version = self.any_version_from::<HeartbeatRequest>(HEARTBEAT_SINCE);
        let spoke_at = self.session.env.now();
        let response = ask(&mut seat.raw, version, request).await?;
        seat.is_in_time(self.session.env.now())?;
        if member_id == seat.member_id && generation_id == seat.generation {
            seat.spoke_at = spoke_at;
        }
        Ok(code_of(response.error_code))
    }

    /// Heartbeats count in the name and the generation of a member alone.
    async fn is_held_to_its_word(&mut self, seat: &mut Seat) -> Result<(), Trouble> {
        let (member_id, generation) = (seat.member_id.clone(), seat.generation);
        let code = self.beat(seat, &member_id, generation).await?;
        must_be_accepted("a heartbeat", code)?;
        let code = self.beat(seat, &member_id, generation + 1).await?;
        must_be_refused("a heartbeat of the next generation", code, &[ErrorCode::IllegalGeneration])?;
        let code = self.beat(seat, "nobody", generation).await?;
        must_be_refused("a heartbeat of nobody", code, &[ErrorCode::UnknownMemberId])
    }

    async fn is_told_to_rejoin(&mut self, seat: &mut Seat) -> Result<(), Trouble> {
        let (member_id, generation) = (seat.member_id.clone(), seat.generation);
        for _ in 0..LOOKUPS_MAX {
            match self.beat(seat, &member_id, generation).await? {
                ErrorCode::RebalanceInProgress => return Ok(()),
                code => must_be_accepted("a heartbeat", code)?,
            }
            self.session.env.sleep(LOOKUP_PAUSE).await;
        }
        Err(Trouble::Broken("a member is never told that its group changes".to_owned()))
    }

    /// Commits as the member; the code of the answer.
    async fn commit_in_seat(&mut self, seat: &mut Seat, offset: i64) -> Result<ErrorCode, Trouble> {
        let partition = OffsetCommitRequestPartition {
            partition_index: partition_index(self.log.partition).0,
            committed_offset: offset,
            committed_metadata: Some(METADATA.to_owned()),
            ..Default::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: self.log.topic.to_string(),
            topic_id: self.log.id,
            partitions: vec![partition],
        };
        let request = OffsetCommitRequest {
            group_id: seat.group.clone(),
            generation_id_or_member_epoch: seat.generation,
            member_id: seat.member_id.clone(),
            topics: vec![topic],
            ..Default::default()
        };
        let version = self.any_version::<OffsetCommitRequest>();
        let response = ask(&mut seat.raw, version, request).await?;
        seat.is_in_time(self.session.env.now())?;
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(first_code(partitions.map(|partition| partition.error_code)))
    }

    /// Whether this is what is committed; -1 for nothing.
    async fn is_committed(&mut self, seat: &mut Seat, offset: i64) -> Result<(), Trouble> {
        let version = self.any_version::<OffsetFetchRequest>();
        let response = ask(&mut seat.raw, version, self.committed_request(&seat.group, version)).await?;
        let codes = std::iter::once(response.error_code).chain(response.groups.iter().map(|group| group.error_code));
        for code in codes {
            must_be_accepted("a question for what is committed", code_of(code))?;
        }
        let told = if version < COMMITTED_OF_GROUPS {
            let told = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
            told.map(|told| (told.error_code, told.committed_offset, told.metadata))
        } else {
            let told = response.groups.into_iter().flat_map(|group| group.topics).flat_map(|topic| topic.partitions);
            told.map(|told| (told.error_code, told.committed_offset, told.metadata)).next()
        };
        let Some((code, committed, metadata)) = told else {
            return Err(Trouble::Broken("OffsetFetch is answered without its partition".to_owned()));
        };
        must_be_accepted("a question for what is committed", code_of(code))?;
        let due = (offset, if offset < 0 { "" } else { METADATA });
        is_due("what is committed", &(committed, metadata.as_deref().unwrap_or_default()), &due)
    }

    fn committed_request(&self, group: &str, version: i16) -> OffsetFetchRequest {
        let (name, partition_indexes) = (self.log.topic.to_string(), vec![partition_index(self.log.partition).0]);
        if version < COMMITTED_OF_GROUPS {
            let topics = Some(vec![OffsetFetchRequestTopic { name, partition_indexes }]);
            return OffsetFetchRequest { group_id: group.to_owned(), topics, ..Default::default() };
        }
        let topics = Some(vec![OffsetFetchRequestTopics { name, topic_id: self.log.id, partition_indexes }]);
        let group = OffsetFetchRequestGroup { group_id: group.to_owned(), topics, ..Default::default() };
        OffsetFetchRequest { groups: vec![group], ..Default::default() }
    }

    /// Offsets of what nobody reads any more can be deleted one by one.
    async fn delete_offset(&mut self, seat: &mut Seat) -> Result<(), Trouble> {
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: partition_index(self.log.partition).0 }];
        let topics = vec![OffsetDeleteRequestTopic { name: self.log.topic.to_string(), partitions }];
        let request = OffsetDeleteRequest { group_id: seat.group.clone(), topics };
        let response = ask(&mut seat.raw, OFFSET_DELETE_VERSION, request).await?;
        must_be_accepted("the deletion of an offset", code_of(response.error_code))?;
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let code = first_code(partitions.map(|partition| partition.error_code));
        must_be_accepted("the deletion of an offset", code)?;
        self.is_committed(seat, -1).await
    }

    async fn leave_seat(&mut self, seat: &mut Seat) -> Result<ErrorCode, Trouble> {
        let member = MemberIdentity { member_id: seat.member_id.clone(), ..Default::default() };
        let request = LeaveGroupRequest { group_id: seat.group.clone(), members: vec![member], ..Default::default() };
        let version = self.any_version_from::<LeaveGroupRequest>(LEAVE_SINCE);
        let response = ask(&mut seat.raw, version, request).await?;
        seat.is_in_time(self.session.env.now())?;
        must_be_accepted("an answer to who leaves", code_of(response.error_code))?;
        Ok(first_code(response.members.iter().map(|member| member.error_code)))
    }

    async fn describe_seat(&mut self, seat: &mut Seat) -> Result<(ErrorCode, DescribedGroup), Trouble> {
        let version = self.any_version::<DescribeGroupsRequest>();
        self.describe_seat_in(seat, version, false).await
    }

    async fn describe_seat_in(
        &self,
        seat: &mut Seat,
        version: i16,
        include_authorized_operations: bool,
    ) -> Result<(ErrorCode, DescribedGroup), Trouble> {
        let request = DescribeGroupsRequest { groups: vec![seat.group.clone()], include_authorized_operations };
        let response = ask(&mut seat.raw, version, request).await?;
        let Some(group) = response.groups.into_iter().next() else {
            return Err(Trouble::Broken("DescribeGroups is answered without its group".to_owned()));
        };
        is_due("the group that is described", &group.group_id, &seat.group)?;
        Ok((code_of(group.error_code), group))
    }

    /// A group that is not there is described as dead, and not listed.
    async fn is_dead(&mut self, seat: &mut Seat, what: &str) -> Result<(), Trouble> {
        self.sees(what, async |stage: &mut Self| {
            let version = stage.any_version::<DescribeGroupsRequest>();
            let (code, group) = stage.describe_seat_in(seat, version, false).await?;
            let due = if version < NOT_FOUND_SINCE { ErrorCode::None } else { ErrorCode::GroupIdNotFound };
            let seen = (code, group.group_state.as_str(), group.members.len());
            Ok(Seen::answered(code, &seen, &(due, "Dead", 0)))
        })
        .await
    }

    async fn is_described(&mut self, seat: &mut Seat, assignment: &Bytes) -> Result<(), Trouble> {
        let subscription = self.subscription();
        self.sees("a group with a member", async |stage: &mut Self| {
            let version = stage.any_version::<DescribeGroupsRequest>();
            let asks = version >= DESCRIBE_OPERATIONS_SINCE && stage.below(2) == 0;
            let (code, mut group) = stage.describe_seat_in(seat, version, asks).await?;
            // Where it connects from is the business of the network.
            for member in &mut group.members {
                member.client_host = String::new();
            }
            let expected = DescribedGroup {
                group_id: seat.group.clone(),
                group_state: "Stable".to_owned(),
                protocol_type: PROTOCOL_TYPE.to_owned(),
                protocol_data: PROTOCOL.to_owned(),
                members: vec![DescribedGroupMember {
                    member_id: seat.member_id.clone(),
                    client_id: "raw".to_owned(),
                    member_metadata: subscription.clone(),
                    member_assignment: assignment.clone(),
                    ..Default::default()
                }],
                authorized_operations: operations(asks, GROUP_OPERATIONS),
                ..Default::default()
            };
            Ok(Seen::answered(code, &(code, group), &(ErrorCode::None, expected)))
        })
        .await
    }

    /// Who looks for groups in one state finds it, and nobody who looks for another one.
    async fn is_listed(&mut self, seat: &mut Seat, state: &str, other: &str) -> Result<(), Trouble> {
        self.sees("a list of groups", async |stage: &mut Self| {
            let mut found = Vec::new();
            for wanted in [state, other] {
                let version = stage.any_version_from::<ListGroupsRequest>(LIST_STATES_SINCE);
                let request = ListGroupsRequest { states_filter: vec![wanted.to_owned()], ..Default::default() };
                let response = ask(&mut seat.raw, version, request).await?;
                must_be_accepted("a list of groups", code_of(response.error_code))?;
                let own = response.groups.into_iter().filter(|group| group.group_id == seat.group);
                found.extend(own.map(|group| (group.group_state, group.protocol_type)));
            }
            Ok(Seen::equal(&found, &vec![(state.to_owned(), PROTOCOL_TYPE.to_owned())]))
        })
        .await
    }
}

impl Seat {
    /// Nothing is promised to a member that was silent for as long as its session.
    fn is_in_time(&self, now: Monotonic) -> Result<(), Trouble> {
        if now >= self.spoke_at.after_ms(i64::from(SESSION_MS)) {
            return Err(Trouble::Unclear("the member may have been taken for dead".to_owned()));
        }
        Ok(())
    }

    /// A generation waits for the sync of its members as long as for their joins, and nobody knows how long ago it was
    /// told of.
    fn has_synced(&self, now: Monotonic, code: ErrorCode) -> Result<(), Trouble> {
        self.is_in_time(now)?;
        let may_be_late = now >= self.asked_at.after_ms(i64::from(self.rebalance_timeout_ms));
        if may_be_late && code == ErrorCode::UnknownMemberId {
            return Err(Trouble::Unclear("the sync may have come too late".to_owned()));
        }
        self.accepted("a sync", code)
    }

    fn accepted(&self, what: &str, code: ErrorCode) -> Result<(), Trouble> {
        match code {
            // Another member came or went; a group may not be where its members think.
            ErrorCode::RebalanceInProgress => Err(Trouble::Unclear(format!("{what}: {}", code.name()))),
            code => must_be_accepted(what, code),
        }
    }

    /// Whether it leads, and is the only member that it is told of.
    fn is_led_by_itself(&self, joined: &JoinGroupResponse, subscription: &Bytes) -> Result<(), Trouble> {
        is_due("the leader of one member", &joined.leader, &self.member_id)?;
        let own = JoinGroupResponseMember {
            member_id: self.member_id.clone(),
            group_instance_id: None,
            metadata: subscription.clone(),
        };
        is_due("the members that a leader is told of", &joined.members, &vec![own])
    }
}

/// Whom a leader is told of.
fn told_members(joined: &JoinGroupResponse) -> BTreeSet<&str> {
    joined.members.iter().map(|member| member.member_id.as_str()).collect()
}

async fn joined(raw: &mut RawClient) -> Result<JoinGroupResponse, Trouble> {
    match raw.receive_within(JOIN_MAX).await? {
        ResponseBody::JoinGroup(response) => Ok(response),
        other => Err(Trouble::Broken(format!("JoinGroup is answered by {:?}", other.api_key()))),
    }
}

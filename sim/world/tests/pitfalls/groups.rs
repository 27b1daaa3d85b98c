//! Pitfalls 25, 26 and 28: classic groups and their offsets.

use std::time::Duration;

use barnabas_base::Uuid;
use barnabas_sim_world::{RawClient, requests, with_broker};
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use barnabas_wire::message::leave_group::MemberIdentity;
use barnabas_wire::message::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use barnabas_wire::message::sync_group::SyncGroupRequestAssignment;
use barnabas_wire::message::*;
use barnabas_wire::{ErrorCode, ResponseBody};
use bytes::Bytes;

use crate::{is, topic};

const GROUP: &str = "g";
const JOIN: i16 = 9;

/// Waits until the coordinator of the group has loaded.
async fn ready(client: &mut RawClient) {
    let find = FindCoordinatorRequest { key: GROUP.to_owned(), ..FindCoordinatorRequest::default() };
    let found = client.call(2, find).await;
    assert_eq!((found.error_code, found.node_id), (0, 1), "{found:?}");
    loop {
        let code = heartbeat(client, 1, "nobody").await;
        if is(code, ErrorCode::UnknownMemberId) {
            return;
        }
        assert!(is(code, ErrorCode::CoordinatorLoadInProgress) || is(code, ErrorCode::NotCoordinator), "{code}");
    }
}

fn joining(member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::from_static(b"topics") };
    JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

fn syncing(generation_id: i32, member_id: &str, assigned: &[(&str, &'static [u8])]) -> SyncGroupRequest {
    let assignment = |(member_id, assignment): &(&str, &'static [u8])| SyncGroupRequestAssignment {
        member_id: (*member_id).to_owned(),
        assignment: Bytes::from_static(assignment),
    };
    SyncGroupRequest {
        group_id: GROUP.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: assigned.iter().map(assignment).collect(),
        ..SyncGroupRequest::default()
    }
}

async fn heartbeat(client: &mut RawClient, generation_id: i32, member_id: &str) -> i16 {
    let request = HeartbeatRequest {
        group_id: GROUP.to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        group_instance_id: None,
    };
    client.call(4, request).await.error_code
}

/// Asks for a member id and gets one.
async fn member_id(client: &mut RawClient) -> String {
    let refused = client.call(JOIN, joining("")).await;
    assert!(is(refused.error_code, ErrorCode::MemberIdRequired), "{refused:?}");
    assert!(refused.member_id.starts_with("raw-"), "{refused:?}");
    refused.member_id
}

async fn joined(client: &mut RawClient) -> JoinGroupResponse {
    match client.receive().await {
        Ok(ResponseBody::JoinGroup(answer)) => answer,
        other => panic!("a JoinGroup answer is due, not {other:?}"),
    }
}

#[test]
fn pitfall_25_a_member_is_named_before_it_joins() {
    with_broker(1, &[("group.initial.rebalance.delay.ms", "500")], async |visitor, mut client| {
        ready(&mut client).await;
        let id = member_id(&mut client).await;
        let began = visitor.env.now();
        let joined = client.call(JOIN, joining(&id)).await;
        assert!(visitor.env.now().since(began) >= Duration::from_millis(500), "the first rebalance waits for others");
        assert_eq!((joined.error_code, joined.generation_id), (0, 1), "{joined:?}");
        assert_eq!((joined.leader.as_str(), joined.member_id.as_str()), (id.as_str(), id.as_str()));
        assert_eq!(
            (joined.protocol_name.as_deref(), joined.protocol_type.as_deref()),
            (Some("range"), Some("consumer"))
        );
        assert_eq!(joined.members.len(), 1);
        assert_eq!(joined.members[0].metadata, Bytes::from_static(b"topics"));
        let synced = client.call(5, syncing(1, &id, &[(&id, b"mine")])).await;
        assert_eq!((synced.error_code, synced.assignment), (0, Bytes::from_static(b"mine")));
        assert_eq!(heartbeat(&mut client, 1, &id).await, 0);
        assert!(is(heartbeat(&mut client, 2, &id).await, ErrorCode::IllegalGeneration));
        assert!(is(heartbeat(&mut client, 1, "stranger").await, ErrorCode::UnknownMemberId));
        // Before version 4 nobody is sent back for an id.
        let mut old = visitor.connect().await;
        let group_id = "old".to_owned();
        let joined = old.call(3, JoinGroupRequest { group_id, ..joining("") }).await;
        assert_eq!(joined.error_code, 0, "{joined:?}");
        assert!(!joined.member_id.is_empty());
    });
}

#[test]
fn pitfall_25_two_members_share_and_one_leaves() {
    with_broker(2, &[("group.initial.rebalance.delay.ms", "1000")], async |visitor, mut first| {
        let mut second = visitor.connect().await;
        ready(&mut first).await;
        let (a, b) = (member_id(&mut first).await, member_id(&mut second).await);
        first.send(JOIN, joining(&a)).await.expect("it is connected");
        second.send(JOIN, joining(&b)).await.expect("it is connected");
        let (at_first, at_second) = (joined(&mut first).await, joined(&mut second).await);
        assert_eq!((at_first.generation_id, at_second.generation_id), (1, 1), "one generation for both");
        assert_eq!(at_first.leader, at_second.leader);
        let (leads, follows) = if at_first.leader == a { (&at_first, &at_second) } else { (&at_second, &at_first) };
        assert_eq!((leads.members.len(), follows.members.len()), (2, 0), "only the leader sees the members");
        // The follower's sync is held back until the leader has handed in.
        let (mut leader, mut follower) = if at_first.leader == a { (first, second) } else { (second, first) };
        follower.send(5, syncing(1, &follows.member_id, &[])).await.expect("it is connected");
        assert!(follower.frame_within(Duration::from_secs(2)).await.is_err(), "it is held back");
        let both: [(&str, &'static [u8]); 2] = [(&leads.member_id, b"left"), (&follows.member_id, b"right")];
        assert_eq!(leader.call(5, syncing(1, &leads.member_id, &both)).await.assignment, Bytes::from_static(b"left"));
        let Ok(ResponseBody::SyncGroup(synced)) = follower.receive().await else { panic!("a sync is due") };
        assert_eq!((synced.error_code, synced.assignment), (0, Bytes::from_static(b"right")));
        // One leaves: the other hears of it by its heartbeat and joins the next generation alone.
        let gone = MemberIdentity { member_id: follows.member_id.clone(), ..MemberIdentity::default() };
        let leave = LeaveGroupRequest { group_id: GROUP.to_owned(), members: vec![gone], ..Default::default() };
        let left = follower.call(5, leave).await;
        assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
        assert!(is(heartbeat(&mut leader, 1, &leads.member_id).await, ErrorCode::RebalanceInProgress));
        let again = leader.call(JOIN, joining(&leads.member_id)).await;
        assert_eq!((again.error_code, again.generation_id, again.members.len()), (0, 2, 1), "{again:?}");
        assert!(is(heartbeat(&mut follower, 1, &follows.member_id).await, ErrorCode::UnknownMemberId));
    });
}

#[test]
fn pitfall_25_a_silent_member_is_dropped_after_its_session() {
    with_broker(3, &[("group.initial.rebalance.delay.ms", "0")], async |visitor, mut client| {
        ready(&mut client).await;
        let id = member_id(&mut client).await;
        assert_eq!(client.call(JOIN, joining(&id)).await.error_code, 0);
        assert_eq!(client.call(5, syncing(1, &id, &[(&id, b"mine")])).await.error_code, 0);
        for _ in 0..4 {
            visitor.env.sleep(Duration::from_secs(6)).await;
            assert_eq!(heartbeat(&mut client, 1, &id).await, 0, "heartbeats keep it");
        }
        visitor.env.sleep(Duration::from_secs(11)).await;
        assert!(is(heartbeat(&mut client, 1, &id).await, ErrorCode::UnknownMemberId));
    });
}

#[test]
fn pitfall_25_a_static_member_replaces_itself_and_fences_its_past() {
    with_broker(4, &[("group.initial.rebalance.delay.ms", "0")], async |_, mut client| {
        ready(&mut client).await;
        let named =
            |member_id: &str| JoinGroupRequest { group_instance_id: Some("i".to_owned()), ..joining(member_id) };
        let first = client.call(JOIN, named("")).await;
        assert_eq!(first.error_code, 0, "a static member needs no id first: {first:?}");
        let synced = client.call(5, syncing(1, &first.member_id, &[(&first.member_id, b"mine")])).await;
        assert_eq!(synced.error_code, 0);
        let second = client.call(JOIN, named("")).await;
        assert_eq!((second.error_code, second.generation_id), (0, 1), "no rebalance: {second:?}");
        assert_ne!(second.member_id, first.member_id);
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id: 1,
            member_id: first.member_id,
            group_instance_id: Some("i".to_owned()),
        };
        assert!(is(client.call(4, request).await.error_code, ErrorCode::FencedInstanceId));
    });
}

#[test]
fn pitfall_25_what_cannot_join_is_told_why() {
    with_broker(5, &[], async |_, mut client| {
        ready(&mut client).await;
        let id = member_id(&mut client).await;
        assert_eq!(client.call(JOIN, joining(&id)).await.error_code, 0);
        let other_type = JoinGroupRequest { protocol_type: "connect".to_owned(), ..joining("") };
        let mut other_protocol = joining("");
        other_protocol.protocols[0].name = "sticky".to_owned();
        for (request, code) in [
            (JoinGroupRequest { group_id: String::new(), ..joining("") }, ErrorCode::InvalidGroupId),
            (JoinGroupRequest { session_timeout_ms: 1, ..joining("") }, ErrorCode::InvalidSessionTimeout),
            (joining("stranger"), ErrorCode::UnknownMemberId),
            (other_type, ErrorCode::InconsistentGroupProtocol),
            (other_protocol, ErrorCode::InconsistentGroupProtocol),
        ] {
            let answer = client.call(JOIN, request.clone()).await;
            assert!(is(answer.error_code, code), "{} is due: {request:?} {answer:?}", code.name());
        }
    });
}

/// What OffsetFetch up to version 7 says of partition 0: offset, leader epoch, metadata, error.
async fn committed(client: &mut RawClient, version: i16, group: &str) -> (i64, i32, Option<String>, i16) {
    let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0] };
    let group_id = group.to_owned();
    let request = OffsetFetchRequest { group_id, topics: Some(vec![topic]), ..OffsetFetchRequest::default() };
    let response = client.call(version, request).await;
    assert_eq!(response.error_code, 0);
    let answer = response.topics[0].partitions[0].clone();
    (answer.committed_offset, answer.committed_leader_epoch, answer.metadata, answer.error_code)
}

#[test]
fn pitfall_26_offsets_come_back_as_they_were_committed() {
    with_broker(6, &[], async |_, mut client| {
        topic(&mut client, "t", 2).await;
        ready(&mut client).await;
        for version in 1..=7 {
            let none = committed(&mut client, version, GROUP).await;
            assert_eq!(none, (-1, -1, Some(String::new()), 0), "v{version}: no commit is no error");
        }
        let mut request = requests::commit(GROUP, "t", 0, 42);
        request.topics[0].partitions[0].committed_leader_epoch = 3;
        assert_eq!(client.call(8, request).await.topics[0].partitions[0].error_code, 0);
        for version in 1..=7 {
            let epoch = if version >= 5 { 3 } else { -1 };
            assert_eq!(
                committed(&mut client, version, GROUP).await,
                (42, epoch, Some("m".to_owned()), 0),
                "v{version}"
            );
        }
        // All that is committed, and nothing at all.
        for (topics, count) in [(None, 1), (Some(Vec::new()), 0)] {
            let request = OffsetFetchRequest { group_id: GROUP.to_owned(), topics, ..OffsetFetchRequest::default() };
            assert_eq!(client.call(7, request).await.topics.len(), count);
        }
    });
}

#[test]
fn pitfall_26_several_groups_and_topic_ids() {
    with_broker(7, &[], async |_, mut client| {
        let id = topic(&mut client, "t", 2).await;
        ready(&mut client).await;
        let mut request = requests::commit(GROUP, "", 0, 42);
        request.topics[0].topic_id = id;
        let response = client.call(10, request.clone()).await;
        assert_eq!((response.topics[0].topic_id, response.topics[0].partitions[0].error_code), (id, 0));
        request.topics[0].topic_id = Uuid([5; 16]);
        let response = client.call(10, request).await;
        assert!(is(response.topics[0].partitions[0].error_code, ErrorCode::UnknownTopicId), "{response:?}");
        for version in [8, 9, 10] {
            let named =
                |topic_id| OffsetFetchRequestTopics { name: "t".to_owned(), topic_id, partition_indexes: vec![0, 1] };
            let group = |group_id: &str, topics| OffsetFetchRequestGroup {
                group_id: group_id.to_owned(),
                topics,
                ..OffsetFetchRequestGroup::default()
            };
            let groups =
                vec![group(GROUP, Some(vec![named(id)])), group("other", Some(vec![named(id)])), group(GROUP, None)];
            let response = client.call(version, OffsetFetchRequest { groups, ..Default::default() }).await;
            let names: Vec<&str> = response.groups.iter().map(|group| group.group_id.as_str()).collect();
            assert_eq!(names, [GROUP, "other", GROUP], "v{version}");
            let offsets = |group: usize| -> Vec<i64> {
                let partitions = &response.groups[group].topics[0].partitions;
                partitions.iter().map(|partition| partition.committed_offset).collect()
            };
            assert_eq!((offsets(0), offsets(1), offsets(2)), (vec![42, -1], vec![-1, -1], vec![42]), "v{version}");
            if version >= 10 {
                assert!(response.groups.iter().all(|group| group.topics[0].topic_id == id));
            }
        }
    });
}

#[test]
fn pitfall_26_commits_are_fenced_by_the_generation() {
    with_broker(8, &[("group.initial.rebalance.delay.ms", "0")], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        ready(&mut client).await;
        let id = member_id(&mut client).await;
        assert_eq!(client.call(JOIN, joining(&id)).await.error_code, 0);
        assert_eq!(client.call(5, syncing(1, &id, &[(&id, b"mine")])).await.error_code, 0);
        for (generation, member, code) in [
            (1, id.as_str(), ErrorCode::None),
            (2, id.as_str(), ErrorCode::IllegalGeneration),
            (1, "stranger", ErrorCode::UnknownMemberId),
            (-1, "", ErrorCode::UnknownMemberId),
        ] {
            let mut request = requests::commit(GROUP, "t", 0, 1);
            (request.generation_id_or_member_epoch, request.member_id) = (generation, member.to_owned());
            let response = client.call(8, request).await;
            let got = response.topics[0].partitions[0].error_code;
            assert!(is(got, code), "{generation} {member}: {} is due, not {got}", code.name());
        }
        let mut long = requests::commit("simple", "t", 0, 1);
        long.topics[0].partitions[0].committed_metadata = Some("x".repeat(5_000));
        let response = client.call(8, long).await;
        assert!(is(response.topics[0].partitions[0].error_code, ErrorCode::OffsetMetadataTooLarge), "{response:?}");
        let unknown = client.call(8, requests::commit("simple", "nowhere", 0, 1)).await;
        let code = unknown.topics[0].partitions[0].error_code;
        assert!(is(code, ErrorCode::UnknownTopicOrPartition), "{unknown:?}");
    });
}

#[test]
fn pitfall_28_groups_are_listed_described_and_deleted() {
    with_broker(9, &[("group.initial.rebalance.delay.ms", "0")], async |_, mut client| {
        topic(&mut client, "t", 1).await;
        ready(&mut client).await;
        let id = member_id(&mut client).await;
        assert_eq!(client.call(JOIN, joining(&id)).await.error_code, 0);
        assert_eq!(client.call(5, syncing(1, &id, &[(&id, b"mine")])).await.error_code, 0);
        assert_eq!(client.call(8, requests::commit("simple", "t", 0, 1)).await.topics[0].partitions[0].error_code, 0);
        let mut listed = async |states: &[&str], types: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            let request = ListGroupsRequest { states_filter: texts(states), types_filter: texts(types) };
            let mut groups = client.call(5, request).await.groups;
            groups.sort_by(|one, other| one.group_id.cmp(&other.group_id));
            groups.into_iter().map(|group| (group.group_id, group.group_state, group.group_type)).collect::<Vec<_>>()
        };
        let text = |(a, b, c): (&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
        let (stable, empty) = (text((GROUP, "Stable", "classic")), text(("simple", "Empty", "classic")));
        assert_eq!(listed(&[], &[]).await, [stable.clone(), empty.clone()]);
        assert_eq!(listed(&["Stable"], &["Classic"]).await, [stable]);
        assert_eq!(listed(&["empty"], &[]).await, [empty]);
        assert_eq!(listed(&[], &["consumer"]).await, []);
        let groups = vec![GROUP.to_owned(), "none".to_owned()];
        let request = DescribeGroupsRequest { groups, include_authorized_operations: false };
        let described = client.call(6, request).await.groups;
        assert_eq!((described[0].group_state.as_str(), described[0].members.len()), ("Stable", 1));
        let member = &described[0].members[0];
        assert_eq!((&member.member_id, member.client_id.as_str()), (&id, "raw"));
        assert_eq!(member.member_assignment, Bytes::from_static(b"mine"));
        assert!(is(described[1].error_code, ErrorCode::GroupIdNotFound), "{described:?}");
        assert_eq!(described[1].group_state, "Dead");
        let groups_names = [GROUP, "simple", "none"].map(str::to_owned).to_vec();
        let mut results = client.call(2, DeleteGroupsRequest { groups_names }).await.results;
        results.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
        let due = [ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound, ErrorCode::None];
        assert_eq!(codes, due.map(ErrorCode::code), "{results:?}");
    });
}

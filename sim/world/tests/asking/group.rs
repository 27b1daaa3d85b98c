//! What to ask about groups.

use barnabas_base::Uuid;
use barnabas_sim_world::requests;
use barnabas_wire::message::*;
use barnabas_wire::{ApiKey, RequestBody};
use bytes::Bytes;

use super::{GROUP, Stage, TOPIC, UNKNOWN};

pub(super) fn sensible(api: ApiKey, version: i16, stage: &Stage) -> Vec<RequestBody> {
    match api {
        ApiKey::OffsetCommit => offset_commit(version, stage),
        ApiKey::OffsetFetch => offset_fetch(version, stage),
        ApiKey::FindCoordinator => find_coordinator(version),
        ApiKey::JoinGroup => join(version),
        ApiKey::SyncGroup => sync(version),
        ApiKey::Heartbeat => each(groups(), |group_id| HeartbeatRequest {
            group_id,
            generation_id: 1,
            member_id: "m".to_owned(),
            group_instance_id: (version >= 3).then(|| "i".to_owned()),
        }),
        ApiKey::LeaveGroup => leave(version),
        ApiKey::DescribeGroups => {
            let of = |include_authorized_operations| DescribeGroupsRequest {
                groups: groups(),
                include_authorized_operations,
            };
            let plain = vec![of(false), DescribeGroupsRequest::default()];
            let all = if version >= 3 { vec![of(true)] } else { Vec::new() };
            each(plain.into_iter().chain(all), |request| request)
        }
        ApiKey::ListGroups => list(version),
        ApiKey::DeleteGroups => each([Vec::new(), vec!["".to_owned(), "other".to_owned()]], |groups_names| {
            DeleteGroupsRequest { groups_names }
        }),
        ApiKey::OffsetDelete => offset_delete(),
        other => panic!("{} is not about groups", other.name()),
    }
}

fn groups() -> Vec<String> {
    [GROUP, "other", ""].map(str::to_owned).to_vec()
}

fn each<T, R: Into<RequestBody>>(items: impl IntoIterator<Item = T>, of: impl Fn(T) -> R) -> Vec<RequestBody> {
    items.into_iter().map(|item| of(item).into()).collect()
}

fn offset_commit(version: i16, stage: &Stage) -> Vec<RequestBody> {
    let mut asked = vec![OffsetCommitRequest { group_id: GROUP.to_owned(), ..OffsetCommitRequest::default() }];
    for (group, topic, topic_id) in
        [(GROUP, TOPIC, stage.topic_id), (GROUP, UNKNOWN, Uuid([9; 16])), ("", TOPIC, stage.topic_id)]
    {
        for index in [0, 99] {
            let mut request = requests::commit(group, topic, index, 1);
            request.topics[0].topic_id = topic_id;
            asked.push(request.clone());
            request.topics[0].partitions[0].committed_metadata = None;
            asked.push(request.clone());
            request.topics[0].partitions[0].committed_metadata = Some("long".repeat(3_000));
            asked.push(request.clone());
            (request.generation_id_or_member_epoch, request.member_id) = (4, "m".to_owned());
            if version >= 7 {
                request.group_instance_id = Some("i".to_owned());
            }
            asked.push(request);
        }
    }
    each(asked, |request| request)
}

fn offset_fetch(version: i16, stage: &Stage) -> Vec<RequestBody> {
    use offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics};
    let mut asked = Vec::new();
    for group_id in groups() {
        if version < 8 {
            let topic = |name: &str| OffsetFetchRequestTopic { name: name.to_owned(), partition_indexes: vec![0, 9] };
            let topics = Some(vec![topic(TOPIC), topic(UNKNOWN)]);
            let request = OffsetFetchRequest { group_id, topics, ..OffsetFetchRequest::default() };
            asked.push(request.clone());
            asked.push(OffsetFetchRequest { topics: Some(Vec::new()), ..request.clone() });
            if version >= 2 {
                asked.push(OffsetFetchRequest { topics: None, ..request.clone() });
            }
            if version >= 7 {
                asked.push(OffsetFetchRequest { require_stable: true, ..request });
            }
            continue;
        }
        let topic = |name: &str, topic_id| OffsetFetchRequestTopics {
            name: name.to_owned(),
            topic_id,
            partition_indexes: vec![0, 9],
        };
        let topics = vec![topic(TOPIC, stage.topic_id), topic(UNKNOWN, Uuid([9; 16]))];
        let group = OffsetFetchRequestGroup { group_id, topics: Some(topics), ..OffsetFetchRequestGroup::default() };
        let all = OffsetFetchRequestGroup { topics: None, ..group.clone() };
        let none = OffsetFetchRequestGroup { topics: Some(Vec::new()), ..group.clone() };
        asked.push(OffsetFetchRequest { groups: vec![group, all, none], ..OffsetFetchRequest::default() });
    }
    asked.push(OffsetFetchRequest { group_id: String::new(), groups: Vec::new(), ..OffsetFetchRequest::default() });
    each(asked, |request| request)
}

fn find_coordinator(version: i16) -> Vec<RequestBody> {
    let types: &[i8] = if version >= 1 { &[0, 1, 2, 9] } else { &[0] };
    let of = |key_type: &i8| {
        let key_type = *key_type;
        if version >= 4 {
            FindCoordinatorRequest { key_type, coordinator_keys: groups(), ..FindCoordinatorRequest::default() }
        } else {
            FindCoordinatorRequest { key: GROUP.to_owned(), key_type, ..FindCoordinatorRequest::default() }
        }
    };
    each(types, of)
}

fn join(version: i16) -> Vec<RequestBody> {
    use join_group::JoinGroupRequestProtocol;
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::from_static(b"p") };
    let request = JoinGroupRequest {
        group_id: format!("joined in version {version}"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: if version >= 1 { 200 } else { -1 },
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    };
    let mut asked = vec![
        request.clone(),
        JoinGroupRequest { member_id: "stranger".to_owned(), ..request.clone() },
        JoinGroupRequest { session_timeout_ms: 1, ..request.clone() },
        JoinGroupRequest { group_id: String::new(), ..request.clone() },
        JoinGroupRequest { protocols: Vec::new(), ..request.clone() },
        JoinGroupRequest { protocol_type: "connect".to_owned(), ..request.clone() },
    ];
    if version >= 5 {
        let group_instance_id = Some("i".to_owned());
        asked.push(JoinGroupRequest { group_id: format!("static {version}"), group_instance_id, ..request });
    }
    each(asked, |request| request)
}

fn sync(version: i16) -> Vec<RequestBody> {
    each(groups(), |group_id| SyncGroupRequest {
        group_id,
        generation_id: 1,
        member_id: "m".to_owned(),
        group_instance_id: (version >= 3).then(|| "i".to_owned()),
        protocol_type: (version >= 5).then(|| "consumer".to_owned()),
        protocol_name: (version >= 5).then(|| "range".to_owned()),
        ..SyncGroupRequest::default()
    })
}

fn leave(version: i16) -> Vec<RequestBody> {
    use leave_group::MemberIdentity;
    each(groups(), |group_id| {
        if version < 3 {
            return LeaveGroupRequest { group_id, member_id: "m".to_owned(), ..LeaveGroupRequest::default() };
        }
        let identified = |group_instance_id: Option<&str>| MemberIdentity {
            member_id: "m".to_owned(),
            group_instance_id: group_instance_id.map(str::to_owned),
            ..MemberIdentity::default()
        };
        let members = vec![identified(None), identified(Some("i"))];
        LeaveGroupRequest { group_id, members, ..LeaveGroupRequest::default() }
    })
}

fn list(version: i16) -> Vec<RequestBody> {
    let mut asked = vec![ListGroupsRequest::default()];
    if version >= 4 {
        let states_filter = vec!["Empty".to_owned(), "no such state".to_owned()];
        asked.push(ListGroupsRequest { states_filter, ..ListGroupsRequest::default() });
    }
    if version >= 5 {
        let types_filter = vec!["classic".to_owned(), "no such type".to_owned()];
        asked.push(ListGroupsRequest { types_filter, ..ListGroupsRequest::default() });
    }
    each(asked, |request| request)
}

fn offset_delete() -> Vec<RequestBody> {
    use offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
    let topic = |name: &str| OffsetDeleteRequestTopic {
        name: name.to_owned(),
        partitions: vec![OffsetDeleteRequestPartition { partition_index: 1 }],
    };
    each(groups(), |group_id| OffsetDeleteRequest { group_id, topics: vec![topic(TOPIC), topic(UNKNOWN)] })
}

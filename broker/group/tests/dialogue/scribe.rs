//! Outputs of a coordinator in words, one line each.

use barnabas_base::Observation;
use barnabas_group::{Output, Record, Response, Token};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::offsets_schema::GroupMetadataValue;
use barnabas_wire::message::offset_fetch::OffsetFetchResponseGroup;
use barnabas_wire::message::{JoinGroupResponse, OffsetCommitResponse};
use bytes::Bytes;

/// How the end of member ids is written: `app#01` for `app-00000000-0000-0000-0000-000000000001`.
pub(crate) const LONG_SUFFIX: &str = "-00000000-0000-0000-0000-0000000000";

pub(crate) fn describe(output: &Output) -> Option<String> {
    match output {
        Output::Append { append_id, records } => {
            let records: Vec<String> = records.iter().map(record).collect();
            Some(format!("append {}: {}", append_id.0, records.join("; ")))
        }
        Output::Reply { token: Token(token), response: answer } => Some(format!("{token}: {}", response(answer))),
        Output::Observe(Observation::Mark { name }) => Some(format!("mark {name}")),
        Output::Observe(_) => None,
    }
}

fn record((key, value): &(Bytes, Option<Bytes>)) -> String {
    match Record::decode(key.clone(), value.clone()).expect("a coordinator writes what it can read") {
        Record::Offset { group, topic, partition, value } => match value {
            Some(value) => format!("offset {group} {topic}-{partition}={}", value.offset),
            None => format!("offset {group} {topic}-{partition} deleted"),
        },
        Record::Group { group, value } => match value {
            Some(value) => format!("group {group} {}", group_value(&value)),
            None => format!("group {group} deleted"),
        },
        Record::OtherProtocol { .. } | Record::Ignored => panic!("a coordinator writes records of its own protocol"),
    }
}

fn group_value(value: &GroupMetadataValue) -> String {
    let members: Vec<String> = value
        .members
        .iter()
        .map(|member| format!("{}={}", short(&member.member_id), text(&member.assignment)))
        .collect();
    let protocol = value.protocol.as_deref().unwrap_or("-");
    format!("gen={} {}/{protocol} [{}]", value.generation, value.protocol_type, members.join(" "))
}

fn response(response: &Response) -> String {
    match response {
        Response::JoinGroup(answer) => join(answer),
        Response::SyncGroup(answer) => {
            format!("SyncGroup {} [{}]", code(answer.error_code), text(&answer.assignment))
        }
        Response::Heartbeat(answer) => format!("Heartbeat {}", code(answer.error_code)),
        Response::LeaveGroup(answer) => {
            let members = answer.members.iter();
            let members = members.map(|member| format!(" {}:{}", short(&member.member_id), code(member.error_code)));
            format!("LeaveGroup {}{}", code(answer.error_code), members.collect::<String>())
        }
        Response::OffsetCommit(answer) => commit(answer),
        Response::OffsetFetch(answer) => fetch(answer),
        Response::OffsetDelete(answer) => {
            let topics = answer.topics.iter().flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(move |one| format!(" {}-{}:{}", topic.name, one.partition_index, code(one.error_code)))
            });
            format!("OffsetDelete {}{}", code(answer.error_code), topics.collect::<String>())
        }
        Response::DescribeGroups(groups) => {
            let groups = groups.iter().map(|group| {
                let members = group.members.iter().map(|member| {
                    let (metadata, assignment) = (text(&member.member_metadata), text(&member.member_assignment));
                    format!(" {}={metadata}/{assignment}", short(&member.member_id))
                });
                let members: String = members.collect();
                let protocol = format!("{}/{}", group.protocol_type, group.protocol_data);
                let error = code(group.error_code);
                format!(" {} {error} {} {protocol}{members};", group.group_id, group.group_state)
            });
            format!("DescribeGroups{}", groups.collect::<String>())
        }
        Response::ListGroups(answer) => {
            let groups = answer.groups.iter().map(|group| {
                format!(" {}:{}:{}:{}", group.group_id, group.protocol_type, group.group_state, group.group_type)
            });
            format!("ListGroups {}{}", code(answer.error_code), groups.collect::<String>())
        }
        Response::DeleteGroups(results) => {
            let results = results.iter().map(|result| format!(" {}:{}", result.group_id, code(result.error_code)));
            format!("DeleteGroups{}", results.collect::<String>())
        }
    }
}

fn join(answer: &JoinGroupResponse) -> String {
    let member = short(&answer.member_id);
    if answer.error_code != 0 {
        return format!("JoinGroup {} member={member}", code(answer.error_code));
    }
    let members: Vec<String> =
        answer.members.iter().map(|one| format!("{}={}", short(&one.member_id), text(&one.metadata))).collect();
    let protocol = answer.protocol_name.as_deref().unwrap_or("-");
    let skip = if answer.skip_assignment { " skip" } else { "" };
    let leader = short(&answer.leader);
    let generation = answer.generation_id;
    format!("JoinGroup NONE gen={generation} {protocol} leader={leader} member={member} [{}]{skip}", members.join(" "))
}

fn commit(answer: &OffsetCommitResponse) -> String {
    let partitions = answer.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(move |one| format!(" {}-{}:{}", topic.name, one.partition_index, code(one.error_code)))
    });
    format!("OffsetCommit{}", partitions.collect::<String>())
}

fn fetch(answer: &OffsetFetchResponseGroup) -> String {
    let partitions = answer.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(move |one| {
            let metadata = one.metadata.as_deref().unwrap_or_default();
            let metadata = if metadata.is_empty() { String::new() } else { format!("({metadata})") };
            format!(" {}-{}={}{metadata}", topic.name, one.partition_index, one.committed_offset)
        })
    });
    format!("OffsetFetch {}{}", code(answer.error_code), partitions.collect::<String>())
}

fn code(code: i16) -> &'static str {
    ErrorCode::from_code(code).expect("only Kafka's codes are answered").name()
}

fn short(member: &str) -> String {
    member.replace(LONG_SUFFIX, "#")
}

fn text(bytes: &Bytes) -> String {
    bytes.escape_ascii().to_string()
}

//! `barnabas groups`: list, describe with lag, delete, reset offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use barnabas_base::{BrokerId, Offset, PartitionIndex};
use barnabas_client::{Destination, decode_assignment};
use barnabas_wire::message::describe_groups::DescribedGroup;
use barnabas_wire::message::list_groups::ListedGroup;
use barnabas_wire::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use barnabas_wire::message::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
};
use barnabas_wire::{ErrorCode, RequestBody};
use serde_json::{Value, json};

use super::offsets::{EARLIEST, LATEST, Partitions, list_offsets};
use super::summarize;
use super::topic_partitions::TopicPartitions;
use crate::client::{ClusterArgs, Session, expect_response, run};
use crate::output::{Cause, Failure, complain, explain, known_code};

/// OffsetFetch and OffsetCommit with names; OffsetFetch with one group.
const FETCH_VERSION_MAX: i16 = 7;
const COMMIT_VERSION_MAX: i16 = 9;
/// Tries while coordinators move or load.
const ATTEMPTS_MAX: u32 = 20;
const PAUSE_MS: i64 = 200;
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Options of `barnabas groups`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Groups {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  barnabas groups list --state Stable
  barnabas groups describe billing                      committed offsets and lag
  barnabas groups describe billing --members
  barnabas groups reset-offsets billing --topic orders --to-earliest             (shows what would be done)
  barnabas groups reset-offsets billing --topic orders --to-earliest --execute
  barnabas groups delete billing";

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List groups
    List(List),
    /// Show committed offsets and lag, or members
    Describe(Describe),
    /// Delete groups that have no members, with their offsets
    Delete(Delete),
    /// Move the committed offsets of a group that has no members
    ResetOffsets(ResetOffsets),
}

/// As Kafka names them (`GroupState`, `GroupType`).
const STATES: [&str; 8] =
    ["Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Assigning", "Reconciling", "NotReady"];
const TYPES: [&str; 4] = ["Classic", "Consumer", "Share", "Streams"];

#[derive(clap::Args, Debug)]
struct List {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only groups in this state; may be repeated
    #[arg(long, ignore_case = true, value_parser = STATES)]
    state: Vec<String>,
    /// Only groups of this type; may be repeated
    #[arg(long = "type", ignore_case = true, value_parser = TYPES)]
    types: Vec<String>,
}

#[derive(clap::Args, Debug)]
struct Describe {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
    /// Show members and what is assigned to them
    #[arg(long)]
    members: bool,
}

#[derive(clap::Args, Debug)]
struct Delete {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    groups: Vec<String>,
}

#[derive(clap::Args, Debug)]
struct ResetOffsets {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The group
    group: String,
    /// Topics, or some of their partitions as TOPIC:0,2-4; may be repeated [default: all that are committed]
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<TopicPartitions>,
    #[command(flatten)]
    to: Target,
    /// Do it; without this the new offsets are only shown
    #[arg(long)]
    execute: bool,
}

#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Target {
    /// To the first record
    #[arg(long)]
    to_earliest: bool,
    /// Behind the last record
    #[arg(long)]
    to_latest: bool,
    /// To what is committed, held within the log
    #[arg(long)]
    to_current: bool,
    /// To this offset, held within the log
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<i64>,
    /// By this many records, forth or back, held within the log
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first record of this time or later, in milliseconds since 1970
    #[arg(long, value_name = "MS")]
    to_timestamp: Option<i64>,
}

impl Groups {
    pub(crate) fn run(self) -> ExitCode {
        match self.action {
            Action::List(list) => {
                let request = ListGroupsRequest { states_filter: list.state, types_filter: list.types };
                run(&list.cluster, false, async move |session| list_groups(session, &request).await)
            }
            Action::Describe(describe) => {
                let (groups, members) = (describe.groups, describe.members);
                run(&describe.cluster, false, async move |session| describe_groups(session, &groups, members).await)
            }
            Action::Delete(delete) => {
                let groups = delete.groups;
                run(&delete.cluster, false, async move |session| delete_groups(session, &groups).await)
            }
            Action::ResetOffsets(reset) => {
                let (group, topics, to, execute) = (reset.group, reset.topic, reset.to, reset.execute);
                run(&reset.cluster, false, async move |session| {
                    reset_offsets(session, &group, &topics, &to, execute).await
                })
            }
        }
    }
}

type Offsets = BTreeMap<(String, PartitionIndex), Offset>;

/// Every broker lists the groups it coordinates.
async fn list_groups(session: &mut Session, request: &ListGroupsRequest) -> Result<(), Failure> {
    session.reach_cluster().await?;
    session.ask(Destination::Controller, RequestBody::ListGroups(ListGroupsRequest::default()), None).await?;
    let brokers: Vec<BrokerId> = session.driver.client.cluster().brokers().map(|broker| broker.id).collect();
    let mut groups: BTreeMap<String, ListedGroup> = BTreeMap::new();
    for broker in brokers {
        for attempt in 0.. {
            let ask = RequestBody::ListGroups(request.clone());
            let answer = session.ask(Destination::Broker(broker), ask, None).await?;
            let answer = expect_response!(answer, ListGroups)?;
            match known_code(answer.error_code) {
                ErrorCode::None => {
                    groups.extend(answer.groups.into_iter().map(|group| (group.group_id.clone(), group)));
                    break;
                }
                code if code.is_retriable() && attempt < ATTEMPTS_MAX => pause(session).await,
                code => return Err(Failure::code(&format!("broker {broker}"), code, None)),
            }
        }
    }
    let rows: Vec<Vec<Value>> = groups
        .into_values()
        .map(|group| {
            vec![json!(group.group_id), json!(group.group_type), json!(group.group_state), json!(group.protocol_type)]
        })
        .collect();
    session.out.table(&["group", "type", "state", "protocol_type"], &rows)
}

async fn pause(session: &mut Session) {
    let until = session.driver.now().after_ms(PAUSE_MS);
    while session.driver.now() < until {
        session.step(Some(until)).await;
    }
}

/// Asks the coordinator of a group; finds it again when it has moved.
async fn ask_coordinator<T>(
    session: &mut Session,
    group: &str,
    request: &RequestBody,
    version_cap: Option<i16>,
    read: impl Fn(barnabas_wire::ResponseBody) -> Result<(ErrorCode, T), Failure>,
) -> Result<(ErrorCode, T), Failure> {
    let mut attempt = 0;
    loop {
        let destination = Destination::Coordinator(group.to_owned());
        let answer = session.ask(destination, request.clone(), version_cap).await?;
        let (code, value) = read(answer)?;
        if !code.is_retriable() || attempt >= ATTEMPTS_MAX {
            return Ok((code, value));
        }
        attempt += 1;
        session.driver.client.forget_coordinator(group);
        pause(session).await;
    }
}

async fn describe_group(session: &mut Session, group: &str) -> Result<(ErrorCode, DescribedGroup), Failure> {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    let request = RequestBody::DescribeGroups(request);
    ask_coordinator(session, group, &request, None, |answer| {
        let described = expect_response!(answer, DescribeGroups)?.groups.into_iter().next().unwrap_or_default();
        Ok((known_code(described.error_code), described))
    })
    .await
}

async fn committed_offsets(session: &mut Session, group: &str) -> Result<Offsets, Failure> {
    let request = OffsetFetchRequest { group_id: group.to_owned(), topics: None, ..Default::default() };
    let request = RequestBody::OffsetFetch(request);
    let (code, answer) = ask_coordinator(session, group, &request, Some(FETCH_VERSION_MAX), |answer| {
        let answer = expect_response!(answer, OffsetFetch)?;
        Ok((known_code(answer.error_code), answer))
    })
    .await?;
    if code != ErrorCode::None {
        return Err(Failure::code(group, code, None));
    }
    let offsets = answer.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |partition| {
            ((name.clone(), PartitionIndex(partition.partition_index)), Offset(partition.committed_offset))
        })
    });
    Ok(offsets.filter(|(_, offset)| offset.0 >= 0).collect())
}

async fn describe_groups(session: &mut Session, groups: &[String], members: bool) -> Result<(), Failure> {
    let (mut done, mut refused) = (0, Vec::new());
    for group in groups {
        let (code, described) = describe_group(session, group).await?;
        // Brokers before 4.1 call a group that is not there dead.
        let is_missing = code == ErrorCode::None && described.group_state == "Dead";
        let code = if is_missing { ErrorCode::GroupIdNotFound } else { code };
        if code != ErrorCode::None {
            refused.push(explain(group, code, described.error_message.as_deref()));
            continue;
        }
        done += 1;
        if members { print_members(session, &described)? } else { print_lag(session, group, &described).await? }
    }
    summarize(done, refused)
}

fn print_members(session: &mut Session, group: &DescribedGroup) -> Result<(), Failure> {
    let rows: Vec<Vec<Value>> = group
        .members
        .iter()
        .map(|member| {
            let assigned = assigned_to(group, &member.member_assignment);
            let assigned: Vec<String> = assigned.iter().map(|(topic, index)| format!("{topic}-{index}")).collect();
            vec![
                json!(group.group_id),
                json!(member.member_id),
                json!(member.group_instance_id),
                json!(member.client_id),
                json!(member.client_host),
                json!(assigned),
            ]
        })
        .collect();
    session.out.table(&["group", "member", "instance", "client", "host", "assigned"], &rows)
}

/// Partitions of an assignment, where the group's protocol tells.
fn assigned_to(group: &DescribedGroup, assignment: &bytes::Bytes) -> BTreeSet<(String, PartitionIndex)> {
    if group.protocol_type != CONSUMER_PROTOCOL_TYPE {
        return BTreeSet::new();
    }
    let assigned = decode_assignment(assignment.clone()).unwrap_or_default();
    assigned.into_iter().map(|(topic, index)| (topic, PartitionIndex(index))).collect()
}

async fn print_lag(session: &mut Session, group: &str, described: &DescribedGroup) -> Result<(), Failure> {
    let committed = committed_offsets(session, group).await?;
    let mut owners: BTreeMap<(String, PartitionIndex), &str> = BTreeMap::new();
    for member in &described.members {
        let assigned = assigned_to(described, &member.member_assignment);
        owners.extend(assigned.into_iter().map(|key| (key, member.member_id.as_str())));
    }
    let partitions: BTreeSet<&(String, PartitionIndex)> = committed.keys().chain(owners.keys()).collect();
    let mut rows = Vec::new();
    for key in partitions {
        let end = log_end(session, key).await?;
        let position = committed.get(key).copied();
        let lag = end.zip(position).map(|(end, position)| end.minus(position).max(0));
        rows.push(vec![
            json!(group),
            json!(key.0),
            json!(key.1.0),
            json!(position.map(Offset::get)),
            json!(end.map(Offset::get)),
            json!(lag),
            json!(owners.get(key)),
        ]);
    }
    if !session.out.is_json() {
        let state = &described.group_state;
        complain(&format!("{group} is {state} with {} members", described.members.len()));
    }
    let fields = ["group", "topic", "partition", "committed_offset", "log_end_offset", "lag", "member"];
    session.out.table(&fields, &rows)
}

/// The end of a partition's log; none when the topic is gone.
async fn log_end(session: &mut Session, key: &(String, PartitionIndex)) -> Result<Option<Offset>, Failure> {
    if session.await_topic(&key.0).await.is_err() {
        return Ok(None);
    }
    let known = session.driver.client.cluster().topic(&key.0);
    if known.is_none_or(|topic| !topic.partitions.contains_key(&key.1)) {
        return Ok(None);
    }
    let ends = list_offsets(session, &vec![key.clone()], LATEST).await?;
    Ok(ends.get(key).copied())
}

async fn delete_groups(session: &mut Session, groups: &[String]) -> Result<(), Failure> {
    let (mut done, mut refused) = (0, Vec::new());
    for group in groups {
        let request = RequestBody::DeleteGroups(DeleteGroupsRequest { groups_names: vec![group.clone()] });
        let (code, ()) = ask_coordinator(session, group, &request, None, |answer| {
            let result = expect_response!(answer, DeleteGroups)?.results.into_iter().next().unwrap_or_default();
            Ok((known_code(result.error_code), ()))
        })
        .await?;
        if code != ErrorCode::None {
            refused.push(explain(group, code, None));
            continue;
        }
        done += 1;
        session.out.line(|| format!("{group} deleted"), || json!({ "group": group, "result": "deleted" }))?;
    }
    summarize(done, refused)
}

async fn reset_offsets(
    session: &mut Session,
    group: &str,
    topics: &[TopicPartitions],
    to: &Target,
    execute: bool,
) -> Result<(), Failure> {
    let (code, described) = describe_group(session, group).await?;
    if !matches!(code, ErrorCode::None | ErrorCode::GroupIdNotFound) {
        return Err(Failure::code(group, code, described.error_message.as_deref()));
    }
    if !described.members.is_empty() {
        let count = described.members.len();
        return Err(Failure::refused(format!("{group} has {count} members: offsets move only when nobody is there")));
    }
    let committed = committed_offsets(session, group).await?;
    let partitions = chosen_partitions(session, topics, &committed).await?;
    if partitions.is_empty() {
        return Err(Failure::refused(format!("{group} has committed nothing: name the topics by --topic")));
    }
    let targets = target_offsets(session, &partitions, &committed, to).await?;
    let refused = if execute { commit_offsets(session, group, &targets).await? } else { Vec::new() };
    let rows: Vec<Vec<Value>> = targets
        .iter()
        .map(|((topic, partition), offset)| {
            let before = committed.get(&(topic.clone(), *partition)).copied();
            vec![json!(group), json!(topic), json!(partition.0), json!(before.map(Offset::get)), json!(offset.0)]
        })
        .collect();
    session.out.table(&["group", "topic", "partition", "committed_offset", "new_offset"], &rows)?;
    if !execute && !session.out.is_json() {
        complain("nothing was changed: add --execute to do it");
    }
    summarize(targets.len() - refused.len(), refused)
}

async fn chosen_partitions(
    session: &mut Session,
    topics: &[TopicPartitions],
    committed: &Offsets,
) -> Result<Partitions, Failure> {
    if topics.is_empty() {
        return Ok(committed.keys().cloned().collect());
    }
    let mut chosen = Vec::new();
    for wanted in topics {
        session.await_topic(&wanted.topic).await?;
        let known = session.driver.client.cluster().topic(&wanted.topic);
        let known: BTreeSet<PartitionIndex> =
            known.into_iter().flat_map(|topic| topic.partitions.keys().copied()).collect();
        let partitions = wanted.partitions.as_ref().unwrap_or(&known);
        if let Some(missing) = partitions.iter().find(|partition| !known.contains(partition)) {
            return Err(Failure::refused(format!("{} has no partition {missing}", wanted.topic)));
        }
        chosen.extend(partitions.iter().map(|partition| (wanted.topic.clone(), *partition)));
    }
    Ok(chosen)
}

/// Where each partition goes, never outside its log.
async fn target_offsets(
    session: &mut Session,
    partitions: &Partitions,
    committed: &Offsets,
    to: &Target,
) -> Result<Offsets, Failure> {
    let first = list_offsets(session, partitions, EARLIEST).await?;
    let end = list_offsets(session, partitions, LATEST).await?;
    let at_time = match to.to_timestamp {
        Some(timestamp) => list_offsets(session, partitions, timestamp).await?,
        None => BTreeMap::new(),
    };
    let mut targets = BTreeMap::new();
    for key in partitions {
        let (first, end) = (first[key].0, end[key].0);
        let current = committed.get(key).map(|offset| offset.0);
        let unbounded = if to.to_earliest {
            first
        } else if to.to_latest {
            end
        } else if to.to_current {
            current.unwrap_or(end)
        } else if let Some(offset) = to.to_offset {
            offset
        } else if let Some(count) = to.shift_by {
            current.unwrap_or(end).saturating_add(count)
        } else {
            // No record of that time or later.
            at_time.get(key).map(|offset| offset.0).filter(|offset| *offset >= 0).unwrap_or(end)
        };
        targets.insert(key.clone(), Offset(unbounded.clamp(first, end)));
    }
    Ok(targets)
}

/// Says what was refused.
async fn commit_offsets(session: &mut Session, group: &str, targets: &Offsets) -> Result<Vec<Cause>, Failure> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, partition), offset) in targets {
        topics.entry(topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: partition.0,
            committed_offset: offset.0,
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        name: name.to_owned(),
        partitions,
        ..Default::default()
    });
    let request = OffsetCommitRequest { group_id: group.to_owned(), topics: topics.collect(), ..Default::default() };
    let request = RequestBody::OffsetCommit(request);
    let (_, answer) = ask_coordinator(session, group, &request, Some(COMMIT_VERSION_MAX), |answer| {
        let answer = expect_response!(answer, OffsetCommit)?;
        let mut codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|one| known_code(one.error_code));
        let code = codes.find(|code| code.is_retriable()).unwrap_or(ErrorCode::None);
        Ok((code, answer))
    })
    .await?;
    let refused = answer.topics.iter().flat_map(|topic| {
        let refused = topic.partitions.iter().filter(|partition| partition.error_code != 0);
        refused.map(|partition| {
            let subject = format!("{}-{}", topic.name, partition.partition_index);
            explain(&subject, known_code(partition.error_code), None)
        })
    });
    Ok(refused.collect())
}

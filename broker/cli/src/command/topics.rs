//! `barnabas topics`: list, create, describe, alter, delete.

use std::collections::BTreeMap;
use std::process::ExitCode;

use barnabas_client::Destination;
use barnabas_wire::message::create_partitions::CreatePartitionsTopic;
use barnabas_wire::message::create_topics::{CreatableTopic, CreatableTopicConfig};
use barnabas_wire::message::describe_configs::DescribeConfigsResource;
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use barnabas_wire::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, MetadataRequest,
};
use barnabas_wire::{ErrorCode, RequestBody};
use serde_json::{Value, json};

use super::{parse_property, summarize};
use crate::client::{ClusterArgs, Session, expect_response, run};
use crate::output::{Cause, Failure, explain, known_code};

/// DeleteTopics with names only; from version 6 on it may name ids.
const DELETE_BY_NAME_VERSION_MAX: i16 = 5;
/// Configs of this kind of resource are a topic's.
const RESOURCE_TOPIC: i8 = 2;
/// `config_source` of a value set for this topic (Kafka's `DescribeConfigsResponse.ConfigSource`).
const SOURCE_TOPIC: i8 = 1;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;
/// Lets the broker decide how many partitions or replicas (KIP-464).
const BROKER_DEFAULT: i16 = -1;

/// Options of `barnabas topics`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Topics {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  barnabas topics create orders --partitions 6 --config retention.ms=86400000
  barnabas topics describe orders
  barnabas topics alter orders --partitions 12 --set cleanup.policy=compact --unset retention.ms
  barnabas topics list --format json
  barnabas topics delete orders --if-exists";

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List topics
    List(List),
    /// Create topics
    Create(Create),
    /// Show partitions, replicas and configuration
    Describe(Describe),
    /// Add partitions, set or reset configuration
    Alter(Alter),
    /// Delete topics with all their records
    Delete(Delete),
}

#[derive(clap::Args, Debug)]
struct List {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Leave out topics that the cluster itself uses
    #[arg(long)]
    exclude_internal: bool,
}

#[derive(clap::Args, Debug)]
struct Create {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Partitions of each [default: num.partitions of the broker]
    #[arg(long, short = 'p')]
    partitions: Option<i32>,
    /// Replicas of each partition [default: default.replication.factor of the broker]
    #[arg(long, short = 'r')]
    replication_factor: Option<i16>,
    /// Set a configuration key; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_property)]
    config: Vec<(String, String)>,
    /// Be content if a topic is there already
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args, Debug)]
struct Describe {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Names of the topics [default: all]
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
}

#[derive(clap::Args, Debug)]
struct Alter {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Name of the topic
    topic: String,
    /// New number of partitions, more than there are
    #[arg(long, short = 'p')]
    partitions: Option<i32>,
    /// Set a configuration key; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_property, alias = "config")]
    set: Vec<(String, String)>,
    /// Reset a configuration key to the broker's default; may be repeated
    #[arg(long, value_name = "KEY", alias = "delete-config")]
    unset: Vec<String>,
    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args, Debug)]
struct Delete {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Names of the topics
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Be content if a topic is not there
    #[arg(long)]
    if_exists: bool,
}

impl Topics {
    pub(crate) fn run(self) -> ExitCode {
        match self.action {
            Action::List(list) => {
                let exclude_internal = list.exclude_internal;
                run(&list.cluster, false, async move |session| list_topics(session, exclude_internal).await)
            }
            Action::Create(create) => {
                let (args, request, if_not_exists) = create.into_request();
                run(&args, false, async move |session| create_topics(session, request, if_not_exists).await)
            }
            Action::Describe(describe) => {
                let topics = describe.topics;
                run(&describe.cluster, false, async move |session| describe_topics(session, &topics).await)
            }
            Action::Alter(alter) => {
                let changes = Changes {
                    topic: alter.topic,
                    partitions: alter.partitions,
                    set: alter.set,
                    unset: alter.unset,
                    dry_run: alter.dry_run,
                };
                run(&alter.cluster, false, async move |session| alter_topic(session, changes).await)
            }
            Action::Delete(delete) => {
                let (topics, if_exists) = (delete.topics, delete.if_exists);
                run(&delete.cluster, false, async move |session| delete_topics(session, topics, if_exists).await)
            }
        }
    }
}

impl Create {
    fn into_request(self) -> (ClusterArgs, CreateTopicsRequest, bool) {
        let configs: Vec<CreatableTopicConfig> =
            self.config.into_iter().map(|(name, value)| CreatableTopicConfig { name, value: Some(value) }).collect();
        let topics = self.topics.into_iter().map(|name| CreatableTopic {
            name,
            num_partitions: self.partitions.unwrap_or(i32::from(BROKER_DEFAULT)),
            replication_factor: self.replication_factor.unwrap_or(BROKER_DEFAULT),
            configs: configs.clone(),
            ..Default::default()
        });
        let request =
            CreateTopicsRequest { topics: topics.collect(), validate_only: self.dry_run, ..Default::default() };
        (self.cluster, request, self.if_not_exists)
    }
}

/// Descriptions of the topics named, or of all.
async fn fetch_metadata(session: &mut Session, topics: &[String]) -> Result<Vec<MetadataResponseTopic>, Failure> {
    let named = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
    let request = MetadataRequest {
        topics: (!topics.is_empty()).then(|| topics.iter().map(named).collect()),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    let answer = session.ask(Destination::Any, RequestBody::Metadata(request), None).await?;
    let mut topics = expect_response!(answer, Metadata)?.topics;
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(topics)
}

async fn list_topics(session: &mut Session, exclude_internal: bool) -> Result<(), Failure> {
    let topics = fetch_metadata(session, &[]).await?;
    for topic in topics.into_iter().filter(|topic| !(exclude_internal && topic.is_internal)) {
        let name = topic.name.unwrap_or_default();
        let value = json!({
            "topic": &name,
            "id": topic.topic_id.to_string(),
            "internal": topic.is_internal,
            "partitions": topic.partitions.len(),
        });
        session.out.line(|| name.clone(), || value)?;
    }
    Ok(())
}

async fn create_topics(
    session: &mut Session,
    mut request: CreateTopicsRequest,
    if_not_exists: bool,
) -> Result<(), Failure> {
    request.timeout_ms = i32::try_from(session.request_timeout_ms).unwrap_or(i32::MAX);
    let dry_run = request.validate_only;
    let answer = session.ask(Destination::Controller, RequestBody::CreateTopics(request), None).await?;
    let answer = expect_response!(answer, CreateTopics)?;
    let (mut done, mut refused) = (0, Vec::new());
    for topic in answer.topics {
        let code = known_code(topic.error_code);
        let verb = match code {
            ErrorCode::None if dry_run => "could be created",
            ErrorCode::None => "created",
            ErrorCode::TopicAlreadyExists if if_not_exists => "exists",
            code => {
                refused.push(explain(&topic.name, code, topic.error_message.as_deref()));
                continue;
            }
        };
        done += 1;
        let value = json!({
            "topic": &topic.name,
            "id": topic.topic_id.to_string(),
            "result": verb,
            "partitions": topic.num_partitions,
            "replication_factor": topic.replication_factor,
        });
        session.out.line(|| format!("{} {verb}", topic.name), || value)?;
    }
    summarize(done, refused)
}

async fn describe_topics(session: &mut Session, topics: &[String]) -> Result<(), Failure> {
    let described = fetch_metadata(session, topics).await?;
    let names: Vec<String> =
        described.iter().filter(|topic| topic.error_code == 0).filter_map(|topic| topic.name.clone()).collect();
    let configs = fetch_configs(session, &names).await?;
    let (mut done, mut refused) = (0, Vec::new());
    for topic in described {
        let name = topic.name.clone().unwrap_or_default();
        let code = known_code(topic.error_code);
        if code != ErrorCode::None {
            refused.push(explain(&name, code, None));
            continue;
        }
        done += 1;
        describe_topic(session, &name, &topic, configs.get(&name))?;
    }
    summarize(done, refused)
}

/// Values set for the topics themselves.
async fn fetch_configs(
    session: &mut Session,
    topics: &[String],
) -> Result<BTreeMap<String, BTreeMap<String, Value>>, Failure> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let resource = |name: &String| DescribeConfigsResource {
        resource_type: RESOURCE_TOPIC,
        resource_name: name.clone(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: topics.iter().map(resource).collect(), ..Default::default() };
    let answer = session.ask(Destination::Any, RequestBody::DescribeConfigs(request), None).await?;
    let answer = expect_response!(answer, DescribeConfigs)?;
    let configs = answer.results.into_iter().map(|result| {
        let own = result.configs.into_iter().filter(|config| config.config_source == SOURCE_TOPIC);
        (result.resource_name, own.map(|config| (config.name, json!(config.value))).collect())
    });
    Ok(configs.collect())
}

fn describe_topic(
    session: &mut Session,
    name: &str,
    topic: &MetadataResponseTopic,
    configs: Option<&BTreeMap<String, Value>>,
) -> Result<(), Failure> {
    let mut partitions = topic.partitions.clone();
    partitions.sort_by_key(|partition| partition.partition_index);
    let replication_factor = partitions.iter().map(|partition| partition.replica_nodes.len()).max().unwrap_or(0);
    let leader = |id: i32| if id < 0 { Value::Null } else { json!(id) };
    if session.out.is_json() {
        let partitions = partitions.iter().map(|partition| {
            json!({
                "partition": partition.partition_index,
                "leader": leader(partition.leader_id),
                "leader_epoch": partition.leader_epoch,
                "replicas": partition.replica_nodes,
                "isr": partition.isr_nodes,
                "offline": partition.offline_replicas,
            })
        });
        let value = json!({
            "topic": name,
            "id": topic.topic_id.to_string(),
            "internal": topic.is_internal,
            "replication_factor": replication_factor,
            "configs": configs,
            "partitions": partitions.collect::<Vec<_>>(),
        });
        return session.out.line(String::new, || value);
    }
    let plain = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let configs = configs.into_iter().flatten().map(|(key, value)| format!("{key}={}", plain(value)));
    let configs = configs.collect::<Vec<_>>().join(",");
    let count = partitions.len();
    let heading = format!(
        "Topic: {name}  Id: {}  Partitions: {count}  Replication factor: {replication_factor}  Configs: {configs}",
        topic.topic_id
    );
    session.out.line(|| heading.trim_end().to_owned(), || Value::Null)?;
    let rows: Vec<Vec<Value>> = partitions
        .iter()
        .map(|partition| {
            vec![
                json!(partition.partition_index),
                leader(partition.leader_id),
                json!(partition.replica_nodes),
                json!(partition.isr_nodes),
                json!(partition.offline_replicas),
            ]
        })
        .collect();
    session.out.table(&["partition", "leader", "replicas", "isr", "offline"], &rows)
}

/// What `topics alter` is to change.
struct Changes {
    topic: String,
    partitions: Option<i32>,
    set: Vec<(String, String)>,
    unset: Vec<String>,
    dry_run: bool,
}

async fn alter_topic(session: &mut Session, changes: Changes) -> Result<(), Failure> {
    if changes.partitions.is_none() && changes.set.is_empty() && changes.unset.is_empty() {
        return Err(Failure::usage("nothing to alter: give --partitions, --set or --unset"));
    }
    let verb = if changes.dry_run { "could be altered" } else { "altered" };
    let mut done = 0;
    let mut refused = Vec::new();
    if let Some(count) = changes.partitions {
        match add_partitions(session, &changes, count).await? {
            None => done += 1,
            Some(refusal) => refused.push(refusal),
        }
    }
    if !changes.set.is_empty() || !changes.unset.is_empty() {
        match alter_configs(session, &changes).await? {
            None => done += 1,
            Some(refusal) => refused.push(refusal),
        }
    }
    if done > 0 {
        let topic = &changes.topic;
        session.out.line(|| format!("{topic} {verb}"), || json!({ "topic": topic, "result": verb }))?;
    }
    summarize(done, refused)
}

/// Says why it was refused, if it was.
async fn add_partitions(session: &mut Session, changes: &Changes, count: i32) -> Result<Option<Cause>, Failure> {
    let topic = CreatePartitionsTopic { name: changes.topic.clone(), count, assignments: None };
    let request = CreatePartitionsRequest {
        topics: vec![topic],
        timeout_ms: i32::try_from(session.request_timeout_ms).unwrap_or(i32::MAX),
        validate_only: changes.dry_run,
    };
    let answer = session.ask(Destination::Controller, RequestBody::CreatePartitions(request), None).await?;
    let answer = expect_response!(answer, CreatePartitions)?;
    let refused = answer.results.iter().find(|result| result.error_code != 0);
    Ok(refused.map(|result| explain(&result.name, known_code(result.error_code), result.error_message.as_deref())))
}

/// Says why it was refused, if it was.
async fn alter_configs(session: &mut Session, changes: &Changes) -> Result<Option<Cause>, Failure> {
    let set = changes.set.iter().map(|(name, value)| AlterableConfig {
        name: name.clone(),
        config_operation: OPERATION_SET,
        value: Some(value.clone()),
    });
    let unset = changes.unset.iter().map(|name| AlterableConfig {
        name: name.clone(),
        config_operation: OPERATION_DELETE,
        value: None,
    });
    let resource = AlterConfigsResource {
        resource_type: RESOURCE_TOPIC,
        resource_name: changes.topic.clone(),
        configs: set.chain(unset).collect(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: changes.dry_run };
    let answer = session.ask(Destination::Controller, RequestBody::IncrementalAlterConfigs(request), None).await?;
    let answer = expect_response!(answer, IncrementalAlterConfigs)?;
    let refused = answer.responses.iter().find(|result| result.error_code != 0);
    Ok(refused
        .map(|result| explain(&result.resource_name, known_code(result.error_code), result.error_message.as_deref())))
}

async fn delete_topics(session: &mut Session, topics: Vec<String>, if_exists: bool) -> Result<(), Failure> {
    let request = DeleteTopicsRequest {
        topic_names: topics,
        timeout_ms: i32::try_from(session.request_timeout_ms).unwrap_or(i32::MAX),
        ..Default::default()
    };
    let request = RequestBody::DeleteTopics(request);
    let answer = session.ask(Destination::Controller, request, Some(DELETE_BY_NAME_VERSION_MAX)).await?;
    let answer = expect_response!(answer, DeleteTopics)?;
    let (mut done, mut refused) = (0, Vec::new());
    for topic in answer.responses {
        let name = topic.name.unwrap_or_default();
        let verb = match known_code(topic.error_code) {
            ErrorCode::None => "deleted",
            ErrorCode::UnknownTopicOrPartition if if_exists => "does not exist",
            code => {
                refused.push(explain(&name, code, topic.error_message.as_deref()));
                continue;
            }
        };
        done += 1;
        session.out.line(|| format!("{name} {verb}"), || json!({ "topic": name, "result": verb }))?;
    }
    summarize(done, refused)
}

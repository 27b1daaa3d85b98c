//! What the world asks of a client before and after the plan: topics are set up, and at the end everything is read.

use std::collections::BTreeMap;
use std::time::Duration;

use barnabas_base::{Monotonic, Offset, PartitionIndex};
use barnabas_client::{Address, Destination, StartAt};
use barnabas_history::{Call, ClientLife, Outcome, Reply};
use barnabas_plan::{GroupName, Lane, PlannedClient, PlannedTopic, TopicName};
use barnabas_runtime::Env;
use barnabas_wire::message::create_topics::{CreatableTopic, CreatableTopicConfig};
use barnabas_wire::message::{CreateTopicsRequest, MetadataRequest};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};

use crate::life::{Life, polled};
use crate::{Recorder, admin};

/// How often a question is asked that has to be answered.
const ATTEMPTS_MAX: u32 = 60;
/// Pause between them, in milliseconds.
const PAUSE_MS: i64 = 1_000;
/// A read that does not get further for this long is stuck, in milliseconds.
const STUCK_MS: i64 = 60_000;
/// Where damage may be, a read that does not get further for this long goes around it, in milliseconds.
const DAMAGED_MS: i64 = 2_000;
/// Clients of the world, not of the plan, have this number.
const READER: barnabas_plan::ClientName = barnabas_plan::ClientName(u16::MAX);

fn reader(fetch_bytes: u32) -> PlannedClient {
    PlannedClient {
        name: READER,
        acks: -1,
        idempotent: false,
        in_flight: 1,
        compression: "none".to_owned(),
        delivery_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        fetch_bytes,
    }
}

/// Creates the topics of a plan.
///
/// # Errors
/// The topic that could not be created, and why.
pub async fn set_up(
    env: Env,
    bootstrap: Vec<Address>,
    topics: Vec<PlannedTopic>,
    recorder: Recorder,
) -> Result<(), String> {
    let mut life = Life::new(&env, &reader(1), &bootstrap, 0, recorder);
    for topic in topics {
        let mut outcome = ErrorCode::None;
        for _ in 0..ATTEMPTS_MAX {
            outcome = create(&mut life, &topic).await;
            if matches!(outcome, ErrorCode::None | ErrorCode::TopicAlreadyExists) {
                break;
            }
            pause(&mut life).await;
        }
        if !matches!(outcome, ErrorCode::None | ErrorCode::TopicAlreadyExists) {
            return Err(format!("{} cannot be created: {}", topic.name, outcome.name()));
        }
    }
    Ok(())
}

async fn create(life: &mut Life, topic: &PlannedTopic) -> ErrorCode {
    let config =
        |(name, value): (&String, &String)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) };
    let creatable = CreatableTopic {
        name: topic.name.to_string(),
        num_partitions: i32::try_from(topic.partitions).unwrap_or(i32::MAX),
        replication_factor: -1,
        configs: topic.configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![creatable], timeout_ms: 10_000, validate_only: false };
    match life.ask(Destination::Controller, RequestBody::CreateTopics(request), None).await {
        Ok((_, ResponseBody::CreateTopics(response))) => {
            let code = response.topics.first().map_or(-1, |result| result.error_code);
            ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
        }
        Ok(_) | Err(_) => ErrorCode::RequestTimedOut,
    }
}

async fn pause(life: &mut Life) {
    let later = life.env.now().after_ms(PAUSE_MS);
    while life.env.now() < later {
        life.turn(later).await;
    }
}

/// Reads every partition of every topic from its start to its end, and the committed offsets of `groups`, as `by`.
///
/// # Errors
/// What does not come to its end.
pub async fn read_everything(
    env: Env,
    bootstrap: Vec<Address>,
    fetch_bytes: u32,
    (lane, groups): (Lane, Vec<GroupName>),
    by: ClientLife,
    recorder: Recorder,
) -> Result<(), String> {
    let mut life = Life::new(&env, &reader(fetch_bytes), &bootstrap, by.life, recorder);
    life.by = by;
    let topics = topics(&mut life).await?;
    let mut logs = Vec::new();
    for (topic, partitions) in &topics {
        for partition in partitions {
            life.consumer.assign(&topic.to_string(), *partition, StartAt::Beginning);
            logs.push((*topic, *partition));
        }
    }
    read_to_the_end(&mut life, lane, &logs).await?;
    for (topic, partition) in &logs {
        let partition = partition.0.unsigned_abs();
        admin::offsets(&mut life, *topic, partition, barnabas_plan::OffsetSpec::Earliest).await;
        admin::offsets(&mut life, *topic, partition, barnabas_plan::OffsetSpec::Latest).await;
    }
    for group in groups {
        for topic in topics.keys() {
            admin::committed_surely(&mut life, group, *topic).await?;
        }
    }
    Ok(())
}

/// The topics of plans that exist, with their partitions.
async fn topics(life: &mut Life) -> Result<BTreeMap<TopicName, Vec<PartitionIndex>>, String> {
    for _ in 0..ATTEMPTS_MAX {
        let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let answer = life.ask(Destination::Any, RequestBody::Metadata(request), None).await;
        if let Ok((_, ResponseBody::Metadata(response))) = answer {
            let mut topics = BTreeMap::new();
            for topic in response.topics {
                let Some(name) = topic.name.as_deref().and_then(|name| name.parse::<TopicName>().ok()) else {
                    continue;
                };
                let partitions = topic.partitions.iter().map(|partition| PartitionIndex(partition.partition_index));
                topics.insert(name, partitions.collect());
            }
            return Ok(topics);
        }
        pause(life).await;
    }
    Err("the metadata of all topics".to_owned())
}

async fn read_to_the_end(life: &mut Life, lane: Lane, logs: &[(TopicName, PartitionIndex)]) -> Result<(), String> {
    let may_skip = lane.promises().detection_only;
    let mut moved_at = life.env.now();
    let mut skip = 1;
    loop {
        let is_at_end = life.consumer.is_at_end();
        let records: Vec<_> = life.records.borrow_mut().drain(..).collect();
        let now = life.env.now();
        if !records.is_empty() {
            moved_at = now;
            skip = 1;
            let call = life.recorder.call(life.by, Call::Poll { group: None });
            let logs = polled(records, |topic, partition| life.log(topic, partition));
            life.recorder.end(call, Outcome::Ok(Reply::Polled { logs }));
        }
        if is_at_end {
            return Ok(());
        }
        let patience_ms = if may_skip { DAMAGED_MS } else { STUCK_MS };
        if now >= moved_at.after_ms(patience_ms) {
            if !may_skip || skip > 1 << 20 {
                return Err(format!("the read of {}", stuck(life, logs)));
            }
            go_around(life, logs, skip);
            skip *= 2;
            moved_at = now;
        }
        life.turn(life.env.now().after(Duration::from_millis(500)).min(Monotonic::NEVER)).await;
    }
}

/// Goes on some offsets further in every log that has not ended: in front of them is damage that is reported, not served.
fn go_around(life: &mut Life, logs: &[(TopicName, PartitionIndex)], skip: i64) {
    for (topic, partition) in logs {
        let name = topic.to_string();
        if let Some(position) = life.consumer.position(&name, *partition) {
            life.consumer.assign(&name, *partition, StartAt::Offset(Offset(position.0 + skip)));
        }
    }
}

fn stuck(life: &Life, logs: &[(TopicName, PartitionIndex)]) -> String {
    let at = |(topic, partition): &(TopicName, PartitionIndex)| {
        let position = life.consumer.position(&topic.to_string(), *partition);
        format!("{topic}-{} at {}", partition.0, position.map_or(-1, |offset| offset.0))
    };
    logs.iter().map(at).collect::<Vec<_>>().join(", ")
}

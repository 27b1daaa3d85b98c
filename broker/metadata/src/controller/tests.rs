//! Dialogues with the controller: each file in `scripts/` is a story, told as commands (`>`) and what they lead to.
//!
//! What a command leads to are its answers, then the records it decided (`+`). Scripts are read as prose when they
//! change; ids of topics are shown by the order in which they were drawn.

use std::fmt::Write;
use std::sync::Arc;

use barnabas_base::{DirectoryId, LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::node_schema::{BrokerRegistrationChangeRecord, RegisterBrokerRecord};
use barnabas_wire::message::alter_configs::AlterConfigsRequest;
use barnabas_wire::message::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use barnabas_wire::message::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use barnabas_wire::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use barnabas_wire::message::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use barnabas_wire::message::incremental_alter_configs::IncrementalAlterConfigsRequest;
use barnabas_wire::message::{alter_configs, incremental_alter_configs};

use super::*;
use crate::config::ConfigSources;
use crate::image::{ClusterImage, Endpoint};

#[test]
fn scripts() {
    let scripts = [
        ("start", include_str!("scripts/start.txt")),
        ("create_topics", include_str!("scripts/create_topics.txt")),
        ("assignments", include_str!("scripts/assignments.txt")),
        ("delete_topics", include_str!("scripts/delete_topics.txt")),
        ("create_partitions", include_str!("scripts/create_partitions.txt")),
        ("configs", include_str!("scripts/configs.txt")),
        ("elections", include_str!("scripts/elections.txt")),
        ("two_views", include_str!("scripts/two_views.txt")),
        ("producer_ids", include_str!("scripts/producer_ids.txt")),
    ];
    for (name, script) in scripts {
        let told = tell(script);
        assert!(told == script, "{name} is told differently now:\n{told}");
    }
}

/// The script again, with what its commands lead to.
fn tell(script: &str) -> String {
    let mut story = Story::new("");
    let mut told = String::new();
    for line in script.lines().filter(|line| line.starts_with(['>', '#']) || line.is_empty()) {
        told.push_str(line);
        told.push('\n');
        if let Some(command) = line.strip_prefix("> ") {
            told.push_str(&story.tell(command));
        }
    }
    told
}

/// Comparing each resource with each other one would take the controller's shard an hour.
#[test]
fn requests_with_very_many_resources_are_answered() {
    const RESOURCES: usize = 200_000;
    const UNKNOWN_TYPE: i8 = 99;
    let mut core = Story::new("").core;
    // The last one is the first one again.
    let names = || (0..RESOURCES).map(|index| format!("topic-{}", index % (RESOURCES - 1)));
    let resources = names().map(|resource_name| incremental_alter_configs::AlterConfigsResource {
        resource_type: UNKNOWN_TYPE,
        resource_name,
        configs: Vec::new(),
    });
    let request = IncrementalAlterConfigsRequest { resources: resources.collect(), validate_only: true };
    let changed = core.incremental_alter_configs(&request).response.responses;
    let resources = names().map(|resource_name| alter_configs::AlterConfigsResource {
        resource_type: UNKNOWN_TYPE,
        resource_name,
        configs: Vec::new(),
    });
    let request = AlterConfigsRequest { resources: resources.collect(), validate_only: true };
    let replaced = core.alter_configs(&request).response.responses;
    let changed = changed.into_iter().map(|response| response.error_message);
    let replaced = replaced.into_iter().map(|response| response.error_message);
    for messages in [changed.collect::<Vec<_>>(), replaced.collect()] {
        let about = |text: &str| messages.iter().flatten().filter(|message| message.contains(text)).count();
        assert_eq!(about("Each resource must appear at most once."), 2);
        assert_eq!(about("Unknown resource type"), RESOURCES - 2);
    }
}

/// An appended value that no record could carry is refused before anything is decided.
#[test]
fn values_do_not_grow_beyond_a_record() {
    const SET: i8 = 0;
    const APPEND: i8 = 2;
    let mut core = Story::new("").core;
    let mut alter = |config_operation: i8, bytes: usize| {
        let config = incremental_alter_configs::AlterableConfig {
            name: "metric.reporters".to_owned(),
            config_operation,
            value: Some(config_operation.to_string().repeat(bytes)),
        };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type: 4,
            resource_name: String::new(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let decision = core.incremental_alter_configs(&request);
        if !decision.records.is_empty() {
            drop(crate::log::encode_batch(&decision.records, TimestampMs(0)));
        }
        let response = decision.response.responses.into_iter().next().expect("one resource, one answer");
        (response.error_code, response.error_message)
    };
    assert_eq!(alter(SET, 30_000), (0, None));
    let message = "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.";
    assert_eq!(alter(APPEND, 2_767), (ErrorCode::InvalidConfig.code(), Some(message.to_owned())));
    // A comma stands between the two.
    assert_eq!(alter(APPEND, 2_766), (0, None));
}

/// A snapshot holds all of it and has to be read as a whole.
#[test]
fn settings_are_bounded_and_can_be_taken_away() {
    const DELETE: i8 = 1;
    let value = "v".repeat(32_767);
    let alter = |core: &mut ControllerCore, resource_type: i8, name: &str, operation: i8, keys: &[String]| {
        let config = |key: &String| incremental_alter_configs::AlterableConfig {
            name: key.clone(),
            config_operation: operation,
            value: (operation != DELETE).then(|| value.clone()),
        };
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: keys.iter().map(config).collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let decision = core.incremental_alter_configs(&request);
        if !decision.records.is_empty() {
            core.commit(Offset(0), LeaderEpoch(0), &decision.records);
        }
        ErrorCode::from_code(decision.response.responses[0].error_code).expect("a known code")
    };
    let mut core = Story::new("").core;
    let keys: Vec<String> = (0..=CONFIG_ENTRIES_MAX).map(|index| format!("my.key.{index}")).collect();
    assert_eq!(alter(&mut core, 4, "", 0, &keys), ErrorCode::PolicyViolation);
    assert_eq!(alter(&mut core, 4, "", 0, &keys[1..]), ErrorCode::None);
    assert_eq!(alter(&mut core, 4, "", 0, &keys[..1]), ErrorCode::PolicyViolation);
    // Names that are read as the same broker are resources of their own.
    let mut outcomes = (0..8).map(|zeros| alter(&mut core, 4, &format!("{}1", "0".repeat(zeros)), 0, &keys[1..]));
    assert!(outcomes.by_ref().any(|outcome| outcome == ErrorCode::PolicyViolation));
    drop(outcomes);
    assert!(core.pending().config_bytes() <= CONFIG_BYTES_MAX);
    assert_eq!(alter(&mut core, 4, "", DELETE, &keys[1..]), ErrorCode::None);
    assert_eq!(alter(&mut core, 4, "", 0, &keys[..1]), ErrorCode::None);
}

struct Story {
    core: ControllerCore,
    /// Decisions to be appended, oldest first.
    log: Vec<Vec<MetadataRecord>>,
    end_offset: i64,
    drawn: u8,
    /// How many partitions more the broker has room for.
    room: usize,
}

impl Story {
    fn new(properties: &str) -> Self {
        let file = Some(("test".to_owned(), properties.to_owned()));
        let sources = ConfigSources { file, ..ConfigSources::default() };
        let (config, _) = BrokerConfig::from_sources(&sources).expect("the test's configuration is valid");
        let core = ControllerCore::new(Arc::new(config), ClusterImage::default());
        Self { core, log: Vec::new(), end_offset: 0, drawn: 0, room: usize::MAX }
    }

    fn tell(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (verb, words) = words.split_first().expect("a command has a verb");
        match *verb {
            "config" => {
                *self = Self::new(&words.join("\n"));
                String::new()
            }
            "room" => {
                self.room = words[0].parse().expect("a count");
                String::new()
            }
            "start" => self.start(words),
            "broker" => self.other_broker(words),
            "create" => self.create(words),
            "auto" => self.auto(words),
            "delete" => self.delete(words),
            "grow" => self.grow(words),
            "alter" => self.alter(words),
            "replace" => self.replace(words),
            "elect" => self.elect(words),
            "ids" => {
                let now = words.first().map_or(0, |now| now.parse().expect("a time"));
                let decision = self.core.allocate_producer_ids(TimestampMs(now));
                let (first, count) = decision.response;
                self.append(format!("{count} from {first}\n"), decision.records)
            }
            "lose" => self.lose(words),
            "assign" => self.assign(words),
            "happens" => self.happens(words),
            "fence" => self.fence(words),
            "commit" => self.commit(),
            "fail" => {
                self.log.clear();
                self.core.drop_pending();
                String::new()
            }
            "show" => self.show(words),
            other => panic!("no such command: {other}"),
        }
    }

    fn append(&mut self, mut told: String, records: Vec<MetadataRecord>) -> String {
        for record in &records {
            writeln!(told, "+ {}", shown(record)).expect("a string takes everything");
        }
        if !records.is_empty() {
            self.end_offset += i64::try_from(records.len()).expect("short");
            self.log.push(records);
        }
        told
    }

    fn start(&mut self, words: &[&str]) -> String {
        let decision = self.core.bootstrap();
        let mut told = self.append(String::new(), decision.records);
        let endpoint = |name: &str, port| Endpoint {
            name: name.to_owned(),
            host: "localhost".to_owned(),
            port,
            security_protocol: 0,
        };
        let registration = BrokerRegistration {
            incarnation_id: Uuid([9; 16]),
            endpoints: vec![endpoint("PLAINTEXT", 9092)],
            controller_endpoints: vec![endpoint("CONTROLLER", 9093)],
            directories: words.iter().map(|word| directory(word)).collect(),
        };
        let decision = self.core.start_broker(&registration, Offset(self.end_offset));
        match decision.response {
            Ok(epoch) => writeln!(told, "epoch {}", epoch.0),
            Err(refusal) => writeln!(told, "{refusal}"),
        }
        .expect("a string takes everything");
        self.append(told, decision.records)
    }

    /// Another broker appears in the log, as if it had been part of the cluster all along.
    fn other_broker(&mut self, words: &[&str]) -> String {
        let record = RegisterBrokerRecord {
            broker_id: words[0].parse().expect("an id"),
            fenced: words.contains(&"fenced"),
            log_dirs: vec![directory(words[0]).0],
            rack: None,
            ..RegisterBrokerRecord::default()
        };
        self.write(record.into())
    }

    /// A record that no request leads to.
    fn write(&mut self, record: MetadataRecord) -> String {
        let mut work = self.core.work();
        work.add_unbounded(vec![record]);
        let decision = self.core.decided(work, ());
        self.end_offset += 1;
        self.log.push(decision.records);
        String::new()
    }

    /// A partition changes for reasons of its own.
    fn happens(&mut self, words: &[&str]) -> String {
        let topic = self.core.pending().topic_id(words[0]).expect("the topic is there");
        let mut change = crate::image::partition_change(topic, PartitionIndex(words[1].parse().expect("an index")));
        let ids = |text: &str| {
            text.split('+').filter(|id| !id.is_empty()).map(|id| id.parse().expect("an id")).collect::<Vec<i32>>()
        };
        for (key, value) in words[2..].iter().filter_map(|word| word.split_once('=')) {
            match key {
                "leader" => change.leader = value.parse().expect("an id"),
                "isr" => change.isr = Some(ids(value)),
                "elr" => change.eligible_leader_replicas = Some(ids(value)),
                other => panic!("nothing called {other} happens"),
            }
        }
        self.write(change.into())
    }

    fn fence(&mut self, words: &[&str]) -> String {
        let broker_id: i32 = words[0].parse().expect("an id");
        let broker = self.core.pending().broker(BrokerId(broker_id)).expect("it is registered");
        let change = BrokerRegistrationChangeRecord {
            broker_id,
            broker_epoch: broker.epoch.0,
            fenced: 1,
            ..BrokerRegistrationChangeRecord::default()
        };
        self.write(change.into())
    }

    fn fresh_id(drawn: &mut u8) -> Uuid {
        *drawn += 1;
        let mut bytes = [0; 16];
        bytes[0] = *drawn;
        Uuid(bytes)
    }

    fn create(&mut self, words: &[&str]) -> String {
        let mut request = CreateTopicsRequest { validate_only: words.contains(&"validate"), ..Default::default() };
        for words in words.split(|word| *word == "and") {
            let mut topic = CreatableTopic {
                name: words[0].replace("''", ""),
                num_partitions: -1,
                replication_factor: -1,
                ..CreatableTopic::default()
            };
            for (key, value) in words[1..].iter().filter_map(|word| word.split_once('=')) {
                match key {
                    "partitions" => topic.num_partitions = value.parse().expect("a count"),
                    "factor" => topic.replication_factor = value.parse().expect("a factor"),
                    "assign" => topic.assignments = assignments(value),
                    _ => topic.configs.push(CreatableTopicConfig {
                        name: key.to_owned(),
                        value: (value != "null").then(|| value.to_owned()),
                    }),
                }
            }
            request.topics.push(topic);
        }
        let drawn = &mut self.drawn;
        let decision = self.core.create_topics(&request, self.room, &mut || Self::fresh_id(drawn));
        let mut told = String::new();
        for topic in &decision.response.topics {
            let outcome = outcome(topic.error_code, topic.error_message.as_deref());
            write!(told, "{}: {outcome}", topic.name).expect("a string takes everything");
            if topic.error_code == 0 {
                let configs = topic.configs.as_ref().expect("configs are answered");
                write!(told, " {} x {}", topic.num_partitions, topic.replication_factor).expect("a string");
                for config in configs.iter().filter(|config| config.config_source != 5) {
                    let value = config.value.as_deref().unwrap_or("null");
                    write!(told, " {}={value} from {}", config.name, config.config_source).expect("a string");
                }
            }
            told.push('\n');
        }
        self.append(told, decision.records)
    }

    fn auto(&mut self, words: &[&str]) -> String {
        let names: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let drawn = &mut self.drawn;
        let decision = self.core.auto_create_topics(&names, self.room, &mut || Self::fresh_id(drawn));
        let mut told = String::new();
        for (name, code) in decision.response {
            writeln!(told, "{name}: {}", code.name()).expect("a string takes everything");
        }
        self.append(told, decision.records)
    }

    fn delete(&mut self, words: &[&str]) -> String {
        let mut request = DeleteTopicsRequest::default();
        let mut version = 6;
        for word in words {
            match word.split_once('=') {
                Some(("version", text)) => version = text.parse().expect("a version"),
                Some(("id", text)) => {
                    let topic_id = Uuid([text.parse().expect("a number"), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                    request.topics.push(DeleteTopicState { name: None, topic_id });
                }
                Some((name, _)) => {
                    request.topics.push(DeleteTopicState { name: Some(name.to_owned()), topic_id: Uuid([1; 16]) })
                }
                None if version < 6 => request.topic_names.push((*word).to_owned()),
                None => request.topics.push(DeleteTopicState { name: Some((*word).to_owned()), topic_id: Uuid::ZERO }),
            }
        }
        let decision = self.core.delete_topics(&request, version);
        let mut told = String::new();
        for topic in &decision.response.responses {
            let name = topic.name.as_deref().unwrap_or("null");
            let outcome = outcome(topic.error_code, topic.error_message.as_deref());
            writeln!(told, "{name} {}: {outcome}", number(topic.topic_id)).expect("a string takes everything");
        }
        self.append(told, decision.records)
    }

    fn grow(&mut self, words: &[&str]) -> String {
        let mut request = CreatePartitionsRequest { validate_only: words.contains(&"validate"), ..Default::default() };
        for words in words.split(|word| *word == "and") {
            let assigned = words.iter().find_map(|word| word.strip_prefix("assign="));
            let replicas = |ids: &str| ids.split('+').map(|id| id.parse().expect("an id")).collect();
            request.topics.push(CreatePartitionsTopic {
                name: words[0].to_owned(),
                count: words[1].parse().expect("a count"),
                assignments: assigned.map(|text| {
                    text.split(',').map(|ids| CreatePartitionsAssignment { broker_ids: replicas(ids) }).collect()
                }),
            });
        }
        let decision = self.core.create_partitions(&request, self.room);
        let mut told = String::new();
        for topic in &decision.response.results {
            let outcome = outcome(topic.error_code, topic.error_message.as_deref());
            writeln!(told, "{}: {outcome}", topic.name).expect("a string takes everything");
        }
        self.append(told, decision.records)
    }

    fn alter(&mut self, words: &[&str]) -> String {
        let mut request =
            IncrementalAlterConfigsRequest { validate_only: words.contains(&"validate"), ..Default::default() };
        for words in words.split(|word| *word == "and") {
            let (kind, name) = resource(words[0]);
            let mut resource = incremental_alter_configs::AlterConfigsResource {
                resource_type: kind,
                resource_name: name,
                ..Default::default()
            };
            for word in words[1..].iter().filter(|word| **word != "validate") {
                let (operation, rest) = match word.split_at(1) {
                    ("+", rest) => (2, rest),
                    ("-", rest) => (3, rest),
                    ("?", rest) => (9, rest),
                    _ => (i8::from(!word.contains('=')), *word),
                };
                let (name, value) = rest.split_once('=').map_or((rest, None), |(name, value)| (name, Some(value)));
                resource.configs.push(incremental_alter_configs::AlterableConfig {
                    name: name.to_owned(),
                    config_operation: operation,
                    value: value.filter(|value| *value != "null").map(str::to_owned),
                });
            }
            request.resources.push(resource);
        }
        let decision = self.core.incremental_alter_configs(&request);
        let mut told = String::new();
        for one in &decision.response.responses {
            let outcome = outcome(one.error_code, one.error_message.as_deref());
            writeln!(told, "{} {}: {outcome}", one.resource_type, one.resource_name).expect("a string");
        }
        self.append(told, decision.records)
    }

    fn replace(&mut self, words: &[&str]) -> String {
        let (resource_type, resource_name) = resource(words[0]);
        let configs = words[1..].iter().map(|word| {
            let (name, value) = word.split_once('=').expect("name=value");
            alter_configs::AlterableConfig { name: name.to_owned(), value: Some(value.to_owned()) }
        });
        let resource = alter_configs::AlterConfigsResource { resource_type, resource_name, configs: configs.collect() };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
        let decision = self.core.alter_configs(&request);
        let one = &decision.response.responses[0];
        let outcome = outcome(one.error_code, one.error_message.as_deref());
        let told = format!("{} {}: {outcome}\n", one.resource_type, one.resource_name);
        self.append(told, decision.records)
    }

    fn elect(&mut self, words: &[&str]) -> String {
        let election_type = match words[0] {
            "preferred" => 0,
            "unclean" => 1,
            other => other.parse().expect("a type"),
        };
        let mut wanted: Vec<TopicPartitions> = Vec::new();
        for word in &words[1..] {
            let (topic, partition) = word.rsplit_once('-').expect("topic-partition");
            wanted.push(TopicPartitions {
                topic: topic.to_owned(),
                partitions: vec![partition.parse().expect("an index")],
            });
        }
        let topic_partitions = (words.len() > 1).then_some(wanted);
        let request = ElectLeadersRequest { election_type, topic_partitions, ..Default::default() };
        let decision = self.core.elect_leaders(&request);
        let mut told = String::new();
        if decision.response.error_code != 0 {
            told = format!("{}\n", outcome(decision.response.error_code, None));
        }
        for topic in &decision.response.replica_election_results {
            for partition in &topic.partition_result {
                let outcome = outcome(partition.error_code, partition.error_message.as_deref());
                writeln!(told, "{}-{}: {outcome}", topic.topic, partition.partition_id).expect("a string");
            }
        }
        self.append(told, decision.records)
    }

    fn assign(&mut self, words: &[&str]) -> String {
        let topic_id = self.core.pending().topic_id(words[0]).unwrap_or(TopicId(Uuid([77; 16])));
        let index = PartitionIndex(words[1].parse().expect("an index"));
        let node = self.core.node_id();
        let decision = self.core.assign_directories(node, &[(topic_id, index, directory(words[2]))]);
        self.append(String::new(), decision.records)
    }

    fn lose(&mut self, words: &[&str]) -> String {
        let failed: Vec<_> = words.iter().map(|word| directory(word)).collect();
        let decision = self.core.fail_directories(self.core.node_id(), &failed);
        self.append(String::new(), decision.records)
    }

    fn commit(&mut self) -> String {
        let records = self.log.remove(0);
        let (image, delta) = self.core.commit(Offset(self.end_offset), LeaderEpoch(1), &records);
        assert_eq!(*image, *self.core.committed());
        let mut told = format!("{} topics, {} partitions", image.topics().count(), image.partition_count());
        let place = |place: &TopicPartition| format!("{}-{}", number(place.topic_id.0), place.partition);
        let changed: Vec<String> = delta.changed_partitions.iter().map(place).collect();
        if !changed.is_empty() {
            write!(told, ", changed {}", changed.join(" ")).expect("a string takes everything");
        }
        if !delta.changed_configs.is_empty() {
            let names: Vec<&str> = delta.changed_configs.iter().map(|one| one.name.as_str()).collect();
            write!(told, ", configs of {}", names.join(" ")).expect("a string takes everything");
        }
        told.push('\n');
        told
    }

    fn show(&self, words: &[&str]) -> String {
        let mut told = String::new();
        for (view, image) in [("pending", self.core.pending()), ("committed", &*self.core.committed())] {
            let found = image.topic_by_name(words[0]).map_or_else(
                || "none".to_owned(),
                |topic| {
                    let partition = |(index, one): (&PartitionIndex, &Arc<crate::image::PartitionImage>)| {
                        format!("{index} leader {} epoch {}/{}", one.leader, one.leader_epoch, one.partition_epoch)
                    };
                    topic.partitions.iter().map(partition).collect::<Vec<_>>().join(", ")
                },
            );
            writeln!(told, "{view}: {found}").expect("a string takes everything");
        }
        told
    }
}

fn assignments(text: &str) -> Vec<CreatableReplicaAssignment> {
    text.split(',')
        .map(|part| {
            let (index, ids) = part.split_once(':').expect("index:ids");
            let ids = ids.split('+').filter(|id| !id.is_empty());
            CreatableReplicaAssignment {
                partition_index: index.parse().expect("an index"),
                broker_ids: ids.map(|id| id.parse().expect("an id")).collect(),
            }
        })
        .collect()
}

fn resource(word: &str) -> (i8, String) {
    let (kind, name) = word.split_once(':').expect("kind:name");
    let code = match kind {
        "topic" => 2,
        "broker" => 4,
        other => other.parse().expect("a kind"),
    };
    (code, name.to_owned())
}

fn directory(word: &str) -> DirectoryId {
    let byte = word.bytes().last().expect("a directory has a name");
    let mut bytes = [0; 16];
    bytes[15] = if word == "reserved" { 1 } else { byte };
    DirectoryId(Uuid(bytes))
}

fn outcome(code: i16, message: Option<&str>) -> String {
    let name = ErrorCode::from_code(code).expect("a code of Kafka's").name();
    message.map_or_else(|| name.to_owned(), |message| format!("{name} ({message})"))
}

/// The order in which an id was drawn.
fn number(id: Uuid) -> String {
    format!("#{}", id.0[0])
}

fn shown(record: &MetadataRecord) -> String {
    match record {
        MetadataRecord::TopicRecord(one) => format!("topic {} {}", one.name, number(one.topic_id)),
        MetadataRecord::RemoveTopicRecord(one) => format!("remove topic {}", number(one.topic_id)),
        MetadataRecord::PartitionRecord(one) => format!(
            "partition {}-{} replicas {:?} isr {:?} leader {} epoch {} directories {:?}",
            number(one.topic_id),
            one.partition_id,
            one.replicas,
            one.isr,
            one.leader,
            one.leader_epoch,
            one.directories.iter().map(|id| id.0[15]).collect::<Vec<_>>()
        ),
        MetadataRecord::PartitionChangeRecord(one) => {
            let mut text = format!("change {}-{}", number(one.topic_id), one.partition_id);
            if one.leader != -2 {
                write!(text, " leader {}", one.leader).expect("a string takes everything");
            }
            let lists = [("isr", &one.isr), ("elr", &one.eligible_leader_replicas), ("known", &one.last_known_elr)];
            for (name, list) in lists.into_iter().filter_map(|(name, list)| Some((name, list.as_ref()?))) {
                write!(text, " {name} {list:?}").expect("a string takes everything");
            }
            if one.leader_recovery_state != -1 {
                write!(text, " recovery {}", one.leader_recovery_state).expect("a string takes everything");
            }
            if let Some(directories) = &one.directories {
                let directories: Vec<u8> = directories.iter().map(|id| id.0[15]).collect();
                write!(text, " directories {directories:?}").expect("a string takes everything");
            }
            text
        }
        MetadataRecord::ConfigRecord(one) => format!(
            "config {} {:?} {}={}",
            one.resource_type,
            one.resource_name,
            one.name,
            one.value.as_deref().unwrap_or("null")
        ),
        MetadataRecord::FeatureLevelRecord(one) => format!("feature {} {}", one.name, one.feature_level),
        MetadataRecord::RegisterBrokerRecord(one) => {
            format!("broker {} epoch {} fenced {}", one.broker_id, one.broker_epoch, one.fenced)
        }
        MetadataRecord::RegisterControllerRecord(one) => format!("controller {}", one.controller_id),
        MetadataRecord::BrokerRegistrationChangeRecord(one) if one.log_dirs.is_empty() => {
            format!("broker {} epoch {} fenced {}", one.broker_id, one.broker_epoch, one.fenced)
        }
        MetadataRecord::BrokerRegistrationChangeRecord(one) => {
            let directories: Vec<u8> = one.log_dirs.iter().map(|id| id.0[15]).collect();
            format!("broker {} epoch {} directories {directories:?}", one.broker_id, one.broker_epoch)
        }
        MetadataRecord::ProducerIdsRecord(one) => format!("producer ids up to {}", one.next_producer_id),
        other => other.name().to_owned(),
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// A command of a small world, so that commands meet the same topics again.
    fn command() -> impl Strategy<Value = String> {
        let topic = || prop::sample::select(vec!["a", "b.c", "b_c", "d"]);
        prop_oneof![
            3 => (topic(), 1..4).prop_map(|(topic, count)| format!("create {topic} partitions={count}")),
            1 => (topic(), topic()).prop_map(|(one, other)| format!("create {one} and {other} retention.ms=5")),
            2 => topic().prop_map(|topic| format!("delete {topic}")),
            2 => (topic(), 1..6).prop_map(|(topic, count)| format!("grow {topic} {count}")),
            2 => (topic(), 1..5).prop_map(|(topic, value)| format!("alter topic:{topic} retention.ms={value}")),
            1 => topic().prop_map(|topic| format!("alter topic:{topic} retention.ms")),
            1 => Just("start a".to_owned()),
            1 => Just("ids".to_owned()),
            1 => Just("auto __consumer_offsets".to_owned()),
            3 => Just("commit".to_owned()),
            1 => Just("fail".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_committed_view_is_the_log(commands in prop::collection::vec(command(), 0..40)) {
            let mut story = Story::new("offsets.topic.num.partitions=3");
            let mut replayed = ClusterImage::default();
            for command in std::iter::once("start a").chain(commands.iter().map(String::as_str)) {
                if command == "commit" {
                    let Some(records) = story.log.first() else { continue };
                    replayed = replayed.apply(records).expect("decisions fit the log before them").0;
                }
                story.tell(command);
                prop_assert_eq!(story.core.in_flight(), story.log.len());
                prop_assert_eq!(&*story.core.committed(), &replayed);
            }
            for records in &story.log {
                replayed = replayed.apply(records).expect("decisions fit the log before them").0;
            }
            prop_assert_eq!(story.core.pending(), &replayed);
        }
    }
}

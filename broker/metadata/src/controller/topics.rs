//! Creating topics: as a client asks, or because somebody asked for one that is missing.
//!
//! Follows Kafka's `ControllerApis` and `ReplicationControlManager` in what is refused, with which code and message.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{BrokerId, PartitionIndex, TopicId, Uuid};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::{ConfigRecord, TopicRecord};
use barnabas_wire::message::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicConfigs, CreatableTopicResult,
    CreateTopicsRequest, CreateTopicsResponse,
};

use super::names::{CLUSTER_METADATA_TOPIC, CONSUMER_OFFSETS_TOPIC, invalid_topic_name};
use super::partitions::{check_assignment, new_partition};
use super::placement::place;
use super::refusal::Refusal;
use super::{ControllerCore, Decision, RECORDS_PER_DECISION_MAX, Work};
use crate::config::{ConfigMap, describe_new_topic, validate_topic};
use crate::image::{ClusterImage, ConfigResource};

/// Replication factor of the offsets topic when none is configured and the cluster has as many brokers.
const OFFSETS_TOPIC_REPLICATION_FACTOR: usize = 3;

impl ControllerCore {
    /// Creates topics, all that can be created. `room` is how many partitions more there is room for: what is valid and
    /// passes it is refused.
    pub fn create_topics(
        &mut self,
        request: &CreateTopicsRequest,
        room: usize,
        fresh_id: &mut dyn FnMut() -> Uuid,
    ) -> Decision<CreateTopicsResponse> {
        let mut work = self.work();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *counts.entry(&topic.name).or_default() += 1;
        }
        let too_many = self.partitions_asked_for(&request.topics) > RECORDS_PER_DECISION_MAX;
        let (mut results, mut answered) = (Vec::new(), BTreeSet::new());
        // Validation alone takes no room.
        let mut room = if request.validate_only { usize::MAX } else { room };
        for topic in &request.topics {
            if !answered.insert(topic.name.as_str()) {
                continue;
            }
            let result = if counts[topic.name.as_str()] > 1 {
                Err(Refusal::invalid_request("Duplicate topic name."))
            } else if too_many {
                let message = "Excessively large number of partitions per request.";
                Err(Refusal::new(ErrorCode::PolicyViolation, message))
            } else {
                self.create_topic(topic, &mut room, fresh_id, &mut work)
            };
            results.push(result.unwrap_or_else(|refusal| refused_topic(&topic.name, refusal)));
        }
        let response = CreateTopicsResponse { throttle_time_ms: 0, topics: results };
        if request.validate_only { self.answered(response) } else { self.decided(work, response) }
    }

    /// Creates missing topics that somebody asked for, as `auto.create.topics.enable` allows, and internal ones with
    /// their own configuration. The answer has an outcome for each name, in alphabetical order. `room` is as for
    /// [`ControllerCore::create_topics`].
    pub fn auto_create_topics(
        &mut self,
        names: &[String],
        room: usize,
        fresh_id: &mut dyn FnMut() -> Uuid,
    ) -> Decision<Vec<(String, ErrorCode)>> {
        let distinct: BTreeSet<&String> = names.iter().collect();
        let topics = distinct.into_iter().map(|name| self.automatic_topic(name)).collect();
        let request = CreateTopicsRequest { topics, validate_only: false, ..CreateTopicsRequest::default() };
        let Decision { records, response, rests_on_pending } = self.create_topics(&request, room, fresh_id);
        let outcome = |topic: CreatableTopicResult| {
            (topic.name, ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError))
        };
        let response = response.topics.into_iter().map(outcome).collect();
        Decision { records, response, rests_on_pending }
    }

    fn partitions_asked_for(&self, topics: &[CreatableTopic]) -> usize {
        let default = self.config.topics.partitions_default;
        let count = |topic: &CreatableTopic| match topic.num_partitions {
            -1 if topic.assignments.is_empty() => usize::try_from(default).unwrap_or(0),
            -1 => topic.assignments.len(),
            count => usize::try_from(count).unwrap_or(0),
        };
        topics.iter().fold(0, |sum: usize, topic| sum.saturating_add(count(topic)))
    }

    fn create_topic(
        &self,
        topic: &CreatableTopic,
        room: &mut usize,
        fresh_id: &mut dyn FnMut() -> Uuid,
        work: &mut Work,
    ) -> Result<CreatableTopicResult, Refusal> {
        check_new_name(&topic.name, &work.image)?;
        let configs = new_topic_configs(&topic.configs)?;
        let own = self.own_resource();
        validate_topic(&configs, &work.layers(&self.config, &own))
            .map_err(|invalid| Refusal::invalid_config(invalid.0))?;
        let id = TopicId(fresh_id());
        let replicas = if topic.assignments.is_empty() {
            self.placed(topic, id, &work.image)?
        } else {
            assigned(topic, &work.image)?
        };
        let mut records: Vec<MetadataRecord> = vec![TopicRecord { name: topic.name.clone(), topic_id: id.0 }.into()];
        records.extend(configs.iter().map(|(name, value)| topic_config_record(&topic.name, name, value)));
        let factor = replicas.first().map_or(0, Vec::len);
        let partition_count = replicas.len();
        let partitions = i32::try_from(replicas.len()).expect("bounded by the records of a decision");
        for (index, replicas) in (0..).map(PartitionIndex).zip(replicas) {
            records.push(new_partition(&work.image, index, replicas)?.to_record(id, index).into());
        }
        let room_left = room.checked_sub(partition_count).ok_or_else(Refusal::no_room)?;
        work.add(records)?;
        *room = room_left;
        let described = describe_new_topic(&work.layers(&self.config, &own), &configs);
        let config = |entry: crate::config::ConfigEntry| CreatableTopicConfigs {
            name: entry.name,
            value: entry.value,
            read_only: entry.read_only,
            config_source: entry.source.code(),
            is_sensitive: entry.is_sensitive,
        };
        Ok(CreatableTopicResult {
            name: topic.name.clone(),
            topic_id: id.0,
            error_code: ErrorCode::None.code(),
            error_message: None,
            topic_config_error_code: ErrorCode::None.code(),
            num_partitions: partitions,
            replication_factor: i16::try_from(factor).unwrap_or(i16::MAX),
            configs: Some(described.into_iter().map(config).collect()),
        })
    }

    /// Replicas of the partitions of a topic that names counts only.
    fn placed(&self, topic: &CreatableTopic, id: TopicId, image: &ClusterImage) -> Result<Vec<Vec<BrokerId>>, Refusal> {
        let factor = match topic.replication_factor {
            -1 => self.config.topics.replication_factor_default,
            factor if factor < 1 => {
                let message = "Replication factor must be larger than 0, or -1 to use the default value.";
                return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
            }
            factor => factor,
        };
        let partitions = match topic.num_partitions {
            -1 => self.config.topics.partitions_default,
            count if count < 1 => {
                let message = "Number of partitions was set to an invalid non-positive value.";
                return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
            }
            count => count,
        };
        place(image, 0, partitions, factor, draw_of(id))
    }

    fn automatic_topic(&self, name: &str) -> CreatableTopic {
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            ..CreatableTopic::default()
        };
        if name != CONSUMER_OFFSETS_TOPIC {
            return topic;
        }
        let groups = &self.config.groups;
        let brokers = self.pending.brokers().filter(|broker| broker.is_active()).count();
        let unset = || i16::try_from(brokers.clamp(1, OFFSETS_TOPIC_REPLICATION_FACTOR)).expect("at most three");
        let config = |name: &str, value: String| CreatableTopicConfig { name: name.to_owned(), value: Some(value) };
        CreatableTopic {
            num_partitions: groups.offsets_topic_partitions,
            replication_factor: groups.offsets_topic_replication_factor.unwrap_or_else(unset),
            configs: vec![
                config("cleanup.policy", "compact".to_owned()),
                config("compression.type", "producer".to_owned()),
                config("segment.bytes", groups.offsets_topic_segment_bytes.to_string()),
            ],
            ..topic
        }
    }
}

/// A draw that depends on the new topic alone, so that a decision needs no randomness but its id.
pub(crate) fn draw_of(id: TopicId) -> u64 {
    barnabas_base::keyed_hash(0, id.0.as_bytes())
}

fn check_new_name(name: &str, image: &ClusterImage) -> Result<(), Refusal> {
    if name == CLUSTER_METADATA_TOPIC {
        let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
        return Err(Refusal::invalid_request(message));
    }
    if image.topic_id(name).is_some() {
        return Err(Refusal::new(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
    }
    if let Some(message) = invalid_topic_name(name) {
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    if let Some(existing) = image.colliding_topic(name) {
        let message = format!("Topic '{name}' collides with existing topic: {existing}");
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    Ok(())
}

/// Values of a new topic. Of a key given twice the last value counts, as in Kafka.
fn new_topic_configs(configs: &[CreatableTopicConfig]) -> Result<ConfigMap, Refusal> {
    let nulls: Vec<&str> =
        configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(Refusal::invalid_config(message));
    }
    Ok(configs.iter().filter_map(|config| Some((config.name.clone(), config.value.clone()?))).collect())
}

fn topic_config_record(topic: &str, name: &str, value: &str) -> MetadataRecord {
    let resource = ConfigResource::topic(topic);
    ConfigRecord {
        resource_type: resource.kind.code(),
        resource_name: resource.name,
        name: name.to_owned(),
        value: Some(value.to_owned()),
    }
    .into()
}

/// Replicas of the partitions of a topic that names them itself.
fn assigned(topic: &CreatableTopic, image: &ClusterImage) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    if topic.replication_factor != -1 {
        let message = "A manual partition assignment was specified, but replication factor was not set to -1.";
        return Err(Refusal::invalid_request(message));
    }
    if topic.num_partitions != -1 {
        let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return Err(Refusal::invalid_request(message));
    }
    let mut by_index: BTreeMap<i32, Vec<BrokerId>> = BTreeMap::new();
    let mut factor = None;
    for CreatableReplicaAssignment { partition_index, broker_ids } in &topic.assignments {
        if by_index.contains_key(partition_index) {
            return Err(Refusal::new(
                ErrorCode::InvalidReplicaAssignment,
                format!("Found multiple manual partition assignments for partition {partition_index}"),
            ));
        }
        let replicas = check_assignment(image, *partition_index, broker_ids, factor)?;
        factor = Some(replicas.len());
        by_index.insert(*partition_index, replicas);
    }
    if !by_index.keys().copied().zip(0..).all(|(index, expected)| index == expected) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(by_index.into_values().collect())
}

fn refused_topic(name: &str, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        error_code: refusal.code.code(),
        error_message: refusal.message,
        ..CreatableTopicResult::default()
    }
}

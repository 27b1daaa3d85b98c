//! One image and records give the next image and what changed. The fold of the metadata log.
//!
//! Records come from a log that somebody else may have written: what does not fit the image is an error, never a panic.

use std::fmt;
use std::sync::Arc;

use barnabas_base::{BrokerId, PartitionIndex, ProducerId, TopicId, TopicPartition};
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::{
    ConfigRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, TopicRecord,
};
use barnabas_wire::internal::node_schema::BrokerRegistrationChangeRecord;

use super::node::{BrokerImage, ControllerImage};
use super::partition::PartitionImage;
use super::{BrokerEpoch, ClusterImage, ConfigResource, Delta, ResourceKind, TopicImage, unified_name};
use crate::shared_map::SharedMap;

/// Highest id at which a block of producer ids may begin: one block below the end of the type.
const PRODUCER_ID_MAX: i64 = i64::MAX - 2 * crate::controller::PRODUCER_IDS_PER_BLOCK as i64;

/// A record that does not fit the image it was applied to: the log or its reading is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    /// Kafka's name of the record.
    pub record: &'static str,
    /// What does not fit.
    pub reason: String,
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not fit the image: {}", self.record, self.reason)
    }
}

impl std::error::Error for ApplyError {}

impl ClusterImage {
    /// The image after `records`, and what they changed.
    ///
    /// # Errors
    /// A record does not fit. This image stays as it was.
    pub fn apply(&self, records: &[MetadataRecord]) -> Result<(Self, Delta), ApplyError> {
        let (mut next, mut delta) = (self.clone(), Delta::default());
        for record in records {
            next.apply_one(record, &mut delta).map_err(|reason| ApplyError { record: record.name(), reason })?;
        }
        Ok((next, delta))
    }

    fn apply_one(&mut self, record: &MetadataRecord, delta: &mut Delta) -> Result<(), String> {
        match record {
            MetadataRecord::TopicRecord(record) => self.add_topic(record, delta),
            MetadataRecord::PartitionRecord(record) => self.set_partition(record, delta),
            MetadataRecord::PartitionChangeRecord(record) => self.change_partition(record, delta),
            MetadataRecord::RemoveTopicRecord(record) => self.remove_topic(TopicId(record.topic_id), delta),
            MetadataRecord::ClearElrRecord(record) => self.clear_elr(&record.topic_name, delta),
            MetadataRecord::ConfigRecord(record) => self.set_config(record, delta),
            MetadataRecord::FeatureLevelRecord(record) => {
                self.set_feature(record, delta);
                Ok(())
            }
            MetadataRecord::ProducerIdsRecord(record) => self.set_producer_ids(record, delta),
            MetadataRecord::RegisterBrokerRecord(record) => {
                self.put_broker(BrokerImage::from_record(record), delta);
                Ok(())
            }
            MetadataRecord::UnregisterBrokerRecord(record) => {
                self.known_broker(record.broker_id, record.broker_epoch)?;
                Arc::make_mut(&mut self.brokers).remove(&BrokerId(record.broker_id));
                delta.changed_brokers.insert(BrokerId(record.broker_id));
                Ok(())
            }
            MetadataRecord::BrokerRegistrationChangeRecord(record) => self.change_broker(record, delta),
            MetadataRecord::FenceBrokerRecord(record) => self.fence_broker(record.id, record.epoch, true, delta),
            MetadataRecord::UnfenceBrokerRecord(record) => self.fence_broker(record.id, record.epoch, false, delta),
            MetadataRecord::RegisterControllerRecord(record) => {
                let controller = ControllerImage::from_record(record);
                Arc::make_mut(&mut self.controllers).insert(controller.id, Arc::new(controller));
                Ok(())
            }
            MetadataRecord::ClientQuotaRecord(_)
            | MetadataRecord::UserScramCredentialRecord(_)
            | MetadataRecord::RemoveUserScramCredentialRecord(_)
            | MetadataRecord::DelegationTokenRecord(_)
            | MetadataRecord::RemoveDelegationTokenRecord(_)
            | MetadataRecord::AccessControlEntryRecord(_)
            | MetadataRecord::RemoveAccessControlEntryRecord(_) => {
                let taken = self.retained.apply(record);
                assert!(taken, "every record of a feature that is not built yet is retained");
                Ok(())
            }
            // Transactions of the log itself are the loader's business; the state of a migration from ZooKeeper means
            // nothing once it is over, and Kafka 4 starts only when it is.
            MetadataRecord::NoOpRecord(_)
            | MetadataRecord::ZkMigrationStateRecord(_)
            | MetadataRecord::BeginTransactionRecord(_)
            | MetadataRecord::EndTransactionRecord(_)
            | MetadataRecord::AbortTransactionRecord(_) => Ok(()),
        }
    }

    fn add_topic(&mut self, record: &TopicRecord, delta: &mut Delta) -> Result<(), String> {
        let id = TopicId(record.topic_id);
        if self.topic_ids.contains_key(record.name.as_str()) {
            return Err(format!("there is a topic {} already", record.name));
        }
        if self.topics.contains_key(&id) {
            return Err(format!("there is a topic with id {id} already"));
        }
        let name: Arc<str> = Arc::from(record.name.as_str());
        if let Some(unified) = unified_name(&name)
            && !self.collisions.contains_key(&unified)
        {
            self.collisions.insert(unified, Arc::clone(&name));
        }
        self.topic_ids.insert(Arc::clone(&name), id);
        self.topics.insert(id, Arc::new(TopicImage { id, name, partitions: SharedMap::default() }));
        delta.created_topics.insert(id);
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId, delta: &mut Delta) -> Result<(), String> {
        let topic = self.topics.remove(&id).ok_or_else(|| format!("there is no topic with id {id}"))?;
        self.topic_ids.remove(topic.name.as_ref());
        if let Some(unified) = unified_name(&topic.name)
            && self.collisions.get(&unified).is_some_and(|name| *name == topic.name)
        {
            self.collisions.remove(&unified);
        }
        let resource = ConfigResource::topic(&topic.name);
        if let Some(config) = self.configs.remove(&resource) {
            self.config_bytes -= config.iter().map(|(key, value)| entry_bytes(&resource, key, value)).sum::<usize>();
            delta.changed_configs.insert(resource);
        }
        delta.on_topic_deleted(id, topic);
        Ok(())
    }

    fn set_partition(&mut self, record: &PartitionRecord, delta: &mut Delta) -> Result<(), String> {
        if record.partition_id < 0 {
            return Err(format!("{} is no index of a partition", record.partition_id));
        }
        let partition = PartitionImage::from_record(record);
        self.put_partition(TopicId(record.topic_id), PartitionIndex(record.partition_id), partition, delta)
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord, delta: &mut Delta) -> Result<(), String> {
        let place =
            TopicPartition { topic_id: TopicId(record.topic_id), partition: PartitionIndex(record.partition_id) };
        let old = self.partition(place).ok_or_else(|| format!("there is no partition {place}"))?;
        let changed = old.changed_by(record);
        self.put_partition(place.topic_id, place.partition, changed, delta)
    }

    fn put_partition(
        &mut self,
        topic_id: TopicId,
        index: PartitionIndex,
        partition: PartitionImage,
        delta: &mut Delta,
    ) -> Result<(), String> {
        let topic = self.topics.get_mut(&topic_id).ok_or_else(|| format!("there is no topic with id {topic_id}"))?;
        Arc::make_mut(topic).partitions.insert(index, Arc::new(partition));
        delta.changed_partitions.insert(TopicPartition { topic_id, partition: index });
        Ok(())
    }

    /// KIP-966: a lower min.insync.replicas makes what is known of eligible replicas worthless. No name means all topics.
    fn clear_elr(&mut self, name: &str, delta: &mut Delta) -> Result<(), String> {
        let topics: Vec<Arc<TopicImage>> = if name.is_empty() {
            self.topics.values().cloned().collect()
        } else {
            let topic = self.topic_by_name(name).ok_or_else(|| format!("there is no topic {name}"))?;
            vec![Arc::clone(topic)]
        };
        for topic in topics {
            for (index, partition) in topic.partitions.iter() {
                if partition.eligible_leader_replicas.is_empty() && partition.last_known_elr.is_empty() {
                    continue;
                }
                let mut cleared = PartitionImage::clone(partition);
                cleared.eligible_leader_replicas.clear();
                cleared.last_known_elr.clear();
                self.put_partition(topic.id, *index, cleared, delta)?;
            }
        }
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord, delta: &mut Delta) -> Result<(), String> {
        let kind = ResourceKind::from_code(record.resource_type)
            .ok_or_else(|| format!("{} is no kind of resource", record.resource_type))?;
        let resource = ConfigResource { kind, name: record.resource_name.clone() };
        if !self.configs.contains_key(&resource) {
            self.configs.insert(resource.clone(), Arc::default());
        }
        let config = Arc::make_mut(self.configs.get_mut(&resource).expect("it was put there if it was not there yet"));
        let old = match &record.value {
            Some(value) => config.insert(record.name.clone(), value.clone()),
            None => config.remove(&record.name),
        };
        let bytes = |value: &String| entry_bytes(&resource, &record.name, value);
        self.config_bytes += record.value.as_ref().map_or(0, bytes);
        self.config_bytes -= old.as_ref().map_or(0, bytes);
        if config.is_empty() {
            self.configs.remove(&resource);
        }
        delta.changed_configs.insert(resource);
        Ok(())
    }

    fn set_feature(&mut self, record: &FeatureLevelRecord, delta: &mut Delta) {
        let features = Arc::make_mut(&mut self.features);
        if record.feature_level == 0 {
            features.remove(&record.name);
        } else {
            features.insert(record.name.clone(), record.feature_level);
        }
        delta.features_changed = true;
    }

    fn set_producer_ids(&mut self, record: &ProducerIdsRecord, delta: &mut Delta) -> Result<(), String> {
        let next = ProducerId(record.next_producer_id);
        if !(0..=PRODUCER_ID_MAX).contains(&next.0) {
            return Err(format!("{next} is no producer id from which a block could follow"));
        }
        if next <= self.next_producer_id() && self.next_producer_id.is_some() {
            return Err(format!("next producer id {next} is not above {}", self.next_producer_id()));
        }
        self.next_producer_id = Some(next);
        delta.producer_ids_changed = true;
        Ok(())
    }

    fn known_broker(&self, id: i32, epoch: i64) -> Result<&BrokerImage, String> {
        let broker = self.broker(BrokerId(id)).ok_or_else(|| format!("there is no broker {id}"))?;
        if broker.epoch != BrokerEpoch(epoch) {
            return Err(format!("broker {id} is registered with epoch {}, not {epoch}", broker.epoch.0));
        }
        Ok(broker)
    }

    fn change_broker(&mut self, record: &BrokerRegistrationChangeRecord, delta: &mut Delta) -> Result<(), String> {
        let changed = self.known_broker(record.broker_id, record.broker_epoch)?.changed_by(record);
        self.put_broker(changed, delta);
        Ok(())
    }

    fn fence_broker(&mut self, id: i32, epoch: i64, fenced: bool, delta: &mut Delta) -> Result<(), String> {
        let mut changed = self.known_broker(id, epoch)?.clone();
        changed.fenced = fenced;
        self.put_broker(changed, delta);
        Ok(())
    }

    fn put_broker(&mut self, broker: BrokerImage, delta: &mut Delta) {
        delta.changed_brokers.insert(broker.id);
        Arc::make_mut(&mut self.brokers).insert(broker.id, Arc::new(broker));
    }
}

const fn entry_bytes(resource: &ConfigResource, key: &str, value: &str) -> usize {
    resource.name.len() + key.len() + value.len()
}

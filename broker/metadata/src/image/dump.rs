//! The records from which an image is rebuilt: the content of a snapshot.
//!
//! In Kafka's order (`MetadataImage.write`): features first, so that a reader knows the format before anything else.

use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::{ConfigRecord, FeatureLevelRecord, ProducerIdsRecord, TopicRecord};

use super::{ClusterImage, METADATA_VERSION_FEATURE};

impl ClusterImage {
    /// Records that, applied to an empty image, give this one.
    pub fn records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.feature_records()
            .chain(self.node_records())
            .chain(self.topic_records())
            .chain(self.config_records())
            .chain(self.producer_id_record())
            .chain(self.retained.iter().map(|(_, record)| record.clone()))
    }

    fn feature_records(&self) -> impl Iterator<Item = MetadataRecord> {
        let record = |(name, level): (&String, &i16)| {
            MetadataRecord::from(FeatureLevelRecord { name: name.clone(), feature_level: *level })
        };
        let is_version = |name: &str| name == METADATA_VERSION_FEATURE;
        let version = self.features.iter().filter(move |(name, _)| is_version(name));
        version.chain(self.features.iter().filter(move |(name, _)| !is_version(name))).map(record)
    }

    fn node_records(&self) -> impl Iterator<Item = MetadataRecord> {
        let brokers = self.brokers().map(|broker| broker.to_record().into());
        brokers.chain(self.controllers().map(|controller| controller.to_record().into()))
    }

    fn topic_records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.topics.values().flat_map(|topic| {
            let head = TopicRecord { name: topic.name.to_string(), topic_id: topic.id.0 };
            let partitions = topic.partitions.iter();
            std::iter::once(head.into())
                .chain(partitions.map(|(index, partition)| partition.to_record(topic.id, *index).into()))
        })
    }

    fn config_records(&self) -> impl Iterator<Item = MetadataRecord> {
        self.configs().flat_map(|(resource, config)| {
            config.iter().map(|(name, value)| {
                MetadataRecord::from(ConfigRecord {
                    resource_type: resource.kind.code(),
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                })
            })
        })
    }

    fn producer_id_record(&self) -> impl Iterator<Item = MetadataRecord> {
        self.next_producer_id.into_iter().map(|next| {
            MetadataRecord::from(ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id: next.0 })
        })
    }
}

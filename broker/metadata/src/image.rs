//! The cluster as its metadata log describes it: topics, partitions, brokers, configs, features, producer ids.
//!
//! An image never changes; applying records makes the next one, which shares everything that stayed. It decides
//! nothing: the controller does. The node's controller shard makes images and sends them to the other shards.

mod apply;
mod delta;
mod dump;
mod loader;
mod node;
mod partition;
mod resource;
mod retained;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use barnabas_base::{BrokerId, PartitionIndex, ProducerId, TopicId, TopicPartition};

use crate::config::ConfigMap;
use crate::shared_map::SharedMap;

pub use apply::ApplyError;
pub use delta::Delta;
pub use loader::{ImageLoader, MetadataPosition};
pub use node::{BrokerEpoch, BrokerImage, ControllerImage, Endpoint, SupportedFeature};
pub(crate) use partition::partition_change;
pub use partition::{DIRECTORY_LOST, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, LeaderRecoveryState, PartitionImage};
pub use resource::{ConfigResource, ResourceKind};
pub use retained::{RetainedKey, RetainedRecords};

/// Name of the feature that stands for the format of the metadata log itself.
pub const METADATA_VERSION_FEATURE: &str = "metadata.version";

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions by index.
    pub partitions: SharedMap<PartitionIndex, Arc<PartitionImage>>,
}

impl TopicImage {
    /// One partition.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        self.partitions.get(&index).map(Arc::as_ref)
    }
}

/// The cluster at one offset of its metadata log. Cheap to clone; clones share everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterImage {
    topics: SharedMap<TopicId, Arc<TopicImage>>,
    topic_ids: SharedMap<Arc<str>, TopicId>,
    /// Names with dots turned into underscores, for those that have either: two topics must not meet here, because
    /// their metrics would.
    collisions: SharedMap<String, Arc<str>>,
    configs: SharedMap<ConfigResource, Arc<ConfigMap>>,
    config_bytes: usize,
    brokers: Arc<BTreeMap<BrokerId, Arc<BrokerImage>>>,
    controllers: Arc<BTreeMap<BrokerId, Arc<ControllerImage>>>,
    features: Arc<BTreeMap<String, i16>>,
    next_producer_id: Option<ProducerId>,
    retained: RetainedRecords,
}

impl ClusterImage {
    /// A topic by its id.
    #[must_use]
    pub fn topic(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topic_ids.get(name).and_then(|id| self.topics.get(id))
    }

    /// The id of a topic.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.topic_ids.get(name).copied()
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, partition: TopicPartition) -> Option<&PartitionImage> {
        self.topics.get(&partition.topic_id).and_then(|topic| topic.partition(partition.partition))
    }

    /// All topics in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// All topics whose names do not stand before `first`, in the order of their names.
    pub fn topics_from(&self, first: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topic_ids.iter_from(first).filter_map(|(_, id)| self.topics.get(id))
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    /// The existing topic whose name differs from `name` in nothing but dots and underscores, if there is one.
    #[must_use]
    pub fn colliding_topic(&self, name: &str) -> Option<&str> {
        let unified = unified_name(name)?;
        self.collisions.get(&unified).map(AsRef::as_ref).filter(|existing| *existing != name)
    }

    /// A registered broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&BrokerImage> {
        self.brokers.get(&id).map(Arc::as_ref)
    }

    /// All registered brokers in the order of their ids.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerImage> {
        self.brokers.values().map(Arc::as_ref)
    }

    /// All registered controllers in the order of their ids.
    pub fn controllers(&self) -> impl Iterator<Item = &ControllerImage> {
        self.controllers.values().map(Arc::as_ref)
    }

    /// What is set on a resource; nothing set is an empty map.
    #[must_use]
    pub fn config(&self, resource: &ConfigResource) -> &ConfigMap {
        static EMPTY: ConfigMap = ConfigMap::new();
        self.configs.get(resource).map_or(&EMPTY, Arc::as_ref)
    }

    /// What is set on a topic.
    #[must_use]
    pub fn topic_config(&self, name: &str) -> &ConfigMap {
        self.config(&ConfigResource::topic(name))
    }

    /// All resources on which something is set.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &ConfigMap)> {
        self.configs.iter().map(|(resource, config)| (resource, config.as_ref()))
    }

    /// Bytes of all texts that are set, with the name of the resource beside each, as a snapshot repeats it.
    #[must_use]
    pub const fn config_bytes(&self) -> usize {
        self.config_bytes
    }

    /// Levels of all finalized features. A feature at level 0 is off and not listed.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// Level of `metadata.version`; none in a log that has only just begun.
    #[must_use]
    pub fn metadata_version(&self) -> Option<i16> {
        self.features.get(METADATA_VERSION_FEATURE).copied()
    }

    /// The first producer id of the next block.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id.unwrap_or(ProducerId(0))
    }

    /// Records of features that are not built yet.
    #[must_use]
    pub const fn retained(&self) -> &RetainedRecords {
        &self.retained
    }
}

/// `name` with dots turned into underscores, or `None` when it has neither and collides with nothing.
fn unified_name(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

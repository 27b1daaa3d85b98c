//! What changed between two images, so that shards look at nothing else. Plain data; applying records makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barnabas_base::{BrokerId, TopicId, TopicPartition};

use super::{ConfigResource, TopicImage};

/// What one or more batches of records changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Topics that are new.
    pub created_topics: BTreeSet<TopicId>,
    /// Topics that are gone, as they were.
    pub deleted_topics: BTreeMap<TopicId, Arc<TopicImage>>,
    /// Partitions that are new or changed, of topics that are still there.
    pub changed_partitions: BTreeSet<TopicPartition>,
    /// Resources on which other values are set than before. A deleted topic's is among them.
    pub changed_configs: BTreeSet<ConfigResource>,
    /// Brokers that registered, changed or left.
    pub changed_brokers: BTreeSet<BrokerId>,
    /// Whether the level of a feature changed.
    pub features_changed: bool,
    /// Whether producer ids were handed out.
    pub producer_ids_changed: bool,
}

impl Delta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what a later delta changed.
    pub fn merge(&mut self, later: Self) {
        for (id, topic) in later.deleted_topics {
            self.on_topic_deleted(id, topic);
        }
        self.created_topics.extend(later.created_topics);
        self.changed_partitions.extend(later.changed_partitions);
        self.changed_configs.extend(later.changed_configs);
        self.changed_brokers.extend(later.changed_brokers);
        self.features_changed |= later.features_changed;
        self.producer_ids_changed |= later.producer_ids_changed;
    }

    /// A topic that came and went within the delta leaves no trace in it but its configuration.
    pub(crate) fn on_topic_deleted(&mut self, id: TopicId, topic: Arc<TopicImage>) {
        for index in topic.partitions.keys() {
            self.changed_partitions.remove(&TopicPartition { topic_id: id, partition: *index });
        }
        if !self.created_topics.remove(&id) {
            self.deleted_topics.insert(id, topic);
        }
    }
}

//! Answers that follow from the image alone: Metadata, DescribeTopicPartitions, DescribeCluster, DescribeConfigs,
//! ListConfigResources, and the features part of ApiVersions. Pure look-ups; the shard of a connection calls them.

mod cluster;
mod configs;
mod features;
#[cfg(test)]
mod tests;
mod topics;

use barnabas_base::{BrokerId, ClusterId, TopicPartition};

pub use crate::controller::is_internal_topic as is_internal;
use crate::image::{ClusterImage, PartitionImage, TopicImage};

pub use configs::{Logger, describe_configs, list_config_resources};
pub use features::{finalized_features, supported_features};
pub use topics::{MetadataAnswer, missing_topic};

/// Authorized operations that nobody asked for (`MetadataResponse.AUTHORIZED_OPERATIONS_OMITTED`).
pub(crate) const OPERATIONS_OMITTED: i32 = i32::MIN;
/// Everything a principal may do with a topic when no authorizer says otherwise, as bits of `AclOperation`: read, write,
/// create, delete, alter, describe, describe configs, alter configs.
pub(crate) const TOPIC_OPERATIONS: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// The same for the cluster: create, alter, describe, cluster action, describe configs, alter configs, idempotent write.
pub(crate) const CLUSTER_OPERATIONS: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// The same for a group: read, delete, describe, describe configs, alter configs.
pub const GROUP_OPERATIONS: i32 = bits(&[3, 6, 8, 10, 11]);

const fn bits(operations: &[u32]) -> i32 {
    let mut sum = 0;
    let mut index = 0;
    while index < operations.len() {
        sum |= 1 << operations[index];
        index += 1;
    }
    sum
}

/// The image as the clients of one listener of one broker see it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The cluster.
    pub image: &'a ClusterImage,
    /// Its id.
    pub cluster_id: &'a ClusterId,
    /// Name of the listener the client came through.
    pub listener: &'a str,
    /// This broker.
    pub own_id: BrokerId,
    /// Host and port of this broker, as this client reaches it.
    pub own_endpoint: (&'a str, u16),
}

/// Host and port of a broker.
pub(crate) struct Reached<'a> {
    pub(crate) id: BrokerId,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) rack: Option<&'a str>,
    pub(crate) fenced: bool,
}

impl<'a> View<'a> {
    /// Registered brokers that have this listener, in the order of their ids.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = Reached<'a>> + use<'a> {
        let view = *self;
        view.image.brokers().filter_map(move |broker| {
            let (host, port) = if broker.id == view.own_id {
                view.own_endpoint
            } else {
                broker.endpoint(view.listener).map(|endpoint| (endpoint.host.as_str(), endpoint.port))?
            };
            Some(Reached { id: broker.id, host, port, rack: broker.rack.as_deref(), fenced: broker.fenced })
        })
    }

    /// Whether clients can reach the broker.
    pub(crate) fn is_reachable(&self, id: BrokerId) -> bool {
        self.brokers().any(|broker| broker.id == id && !broker.fenced)
    }

    /// Replicas of a partition that nobody can reach, or whose directory is away.
    pub(crate) fn offline_replicas(&self, partition: &PartitionImage) -> Vec<i32> {
        let has_directory = |id| self.image.broker(id).is_some_and(|broker| broker.has_directory_of(partition));
        let is_offline = |id: &&BrokerId| !self.is_reachable(**id) || !has_directory(**id);
        partition.replicas.iter().filter(is_offline).map(|id| id.0).collect()
    }

    /// The leader of a partition, if clients can reach it.
    pub(crate) fn leader(&self, partition: &PartitionImage) -> Option<BrokerId> {
        Some(partition.leader).filter(|id| self.is_reachable(*id))
    }
}

pub(crate) fn broker_ids(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

/// One partition of `topic` by position.
pub(crate) fn partitions(topic: &TopicImage) -> impl Iterator<Item = (TopicPartition, &PartitionImage)> {
    let topic_id = topic.id;
    let id = move |partition: &barnabas_base::PartitionIndex| TopicPartition { topic_id, partition: *partition };
    topic.partitions.iter().map(move |(index, partition)| (id(index), partition.as_ref()))
}

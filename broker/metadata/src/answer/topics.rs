//! Metadata and DescribeTopicPartitions.

use std::collections::BTreeSet;

use barnabas_base::{PartitionIndex, TopicId, Uuid};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, TopicRequest,
};
use barnabas_wire::message::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use barnabas_wire::message::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse,
};

use super::{CLUSTER_OPERATIONS, OPERATIONS_OMITTED, TOPIC_OPERATIONS, View, broker_ids, is_internal, partitions};
use crate::controller::is_valid_topic_name;
use crate::image::TopicImage;

/// Up to this version an unreachable leader's listener is LEADER_NOT_AVAILABLE.
const LISTENER_ERRORS_SINCE: i16 = 6;

/// An answer to Metadata, and the names that were asked for and do not exist: the shell may create them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataAnswer {
    /// The answer for all topics that exist.
    pub response: MetadataResponse,
    /// Names without a topic, in the order of the request.
    pub missing: Vec<String>,
}

impl View<'_> {
    /// Answers Metadata in `version`. Null asks for all topics from version 1 on, an empty list in version 0.
    #[must_use]
    pub fn metadata(&self, version: i16, request: &MetadataRequest) -> MetadataAnswer {
        let mut missing = Vec::new();
        let asked = request.topics.as_deref();
        let topics = match asked {
            None => self.image.topics().map(|topic| self.topic(version, topic)).collect(),
            Some([]) if version == 0 => self.image.topics().map(|topic| self.topic(version, topic)).collect(),
            Some(asked) => self.named_topics(version, asked, &mut missing),
        };
        let mut response = MetadataResponse {
            brokers: self.live_brokers(),
            cluster_id: Some(self.cluster_id.to_string()),
            // Any live broker may be named (KIP-590): admin requests are handed on to the controller.
            controller_id: self.own_id.0,
            topics,
            cluster_authorized_operations: OPERATIONS_OMITTED,
            ..MetadataResponse::default()
        };
        if request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = CLUSTER_OPERATIONS;
        }
        if request.include_topic_authorized_operations {
            let existing = response.topics.iter_mut().filter(|topic| topic.error_code == ErrorCode::None.code());
            existing.for_each(|topic| topic.topic_authorized_operations = TOPIC_OPERATIONS);
        }
        MetadataAnswer { response, missing }
    }

    fn live_brokers(&self) -> Vec<MetadataResponseBroker> {
        let live = self.brokers().filter(|broker| !broker.fenced);
        live.map(|broker| MetadataResponseBroker {
            node_id: broker.id.0,
            host: broker.host.to_owned(),
            port: i32::from(broker.port),
            rack: broker.rack.map(str::to_owned),
        })
        .collect()
    }

    /// Topics by name or id, each once. Where there is an id, the name beside it says nothing: Java's client sends an
    /// empty one.
    fn named_topics(
        &self,
        version: i16,
        asked: &[MetadataRequestTopic],
        missing: &mut Vec<String>,
    ) -> Vec<MetadataResponseTopic> {
        let mut seen = BTreeSet::new();
        let mut topics = Vec::with_capacity(asked.len());
        for topic in asked {
            match topic.name.as_ref().filter(|_| topic.topic_id.is_zero()) {
                Some(name) if seen.insert((Some(name), Uuid::ZERO)) => match self.image.topic_by_name(name) {
                    Some(found) => topics.push(self.topic(version, found)),
                    None => missing.push(name.clone()),
                },
                None if seen.insert((None, topic.topic_id)) => {
                    let found = self.image.topic(TopicId(topic.topic_id));
                    let answer = found.map(|found| self.topic(version, found));
                    topics.push(answer.unwrap_or_else(|| unknown_id(topic.topic_id)));
                }
                Some(_) | None => {}
            }
        }
        topics
    }

    fn topic(&self, version: i16, topic: &TopicImage) -> MetadataResponseTopic {
        let partitions = partitions(topic).map(|(id, partition)| {
            let leader = self.leader(partition);
            let unreachable = if self.image.broker(partition.leader).is_some() && version >= LISTENER_ERRORS_SINCE {
                ErrorCode::ListenerNotFound
            } else {
                ErrorCode::LeaderNotAvailable
            };
            MetadataResponsePartition {
                error_code: leader.map_or(unreachable, |_| ErrorCode::None).code(),
                partition_index: id.partition.0,
                leader_id: leader.map_or(-1, |leader| leader.0),
                leader_epoch: partition.leader_epoch.0,
                replica_nodes: broker_ids(&partition.replicas),
                isr_nodes: broker_ids(&partition.isr),
                offline_replicas: self.offline_replicas(partition),
            }
        });
        MetadataResponseTopic {
            error_code: ErrorCode::None.code(),
            name: Some(topic.name.to_string()),
            topic_id: topic.id.0,
            is_internal: is_internal(&topic.name),
            partitions: partitions.collect(),
            topic_authorized_operations: OPERATIONS_OMITTED,
        }
    }

    /// Answers DescribeTopicPartitions (KIP-966): topics in the order of their names, from the cursor on, at most as
    /// many partitions as the request and `partitions_max` allow.
    #[must_use]
    pub fn describe_topic_partitions(
        &self,
        request: &DescribeTopicPartitionsRequest,
        partitions_max: i32,
    ) -> DescribeTopicPartitionsResponse {
        let limit = request.response_partition_limit.min(partitions_max).max(1);
        let mut left = usize::try_from(limit).unwrap_or(1);
        let cursor = request.cursor.as_ref();
        let begin = cursor.map_or("", |cursor| cursor.topic_name.as_str());
        let asked: BTreeSet<&str> =
            request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= begin).collect();
        let is_lost = cursor.is_some_and(|cursor| {
            cursor.partition_index < 0 || !(request.topics.is_empty() || asked.contains(cursor.topic_name.as_str()))
        });
        if is_lost {
            return lost_cursor(request);
        }
        let names: Box<dyn Iterator<Item = &str>> = if request.topics.is_empty() {
            Box::new(self.image.topics_from(begin).map(|topic| topic.name.as_ref()))
        } else {
            Box::new(asked.into_iter())
        };
        let mut response = DescribeTopicPartitionsResponse::default();
        for name in names {
            let first = cursor.filter(|cursor| cursor.topic_name == name).map_or(0, |cursor| cursor.partition_index);
            if left == 0 {
                response.next_cursor = Some(Cursor { topic_name: name.to_owned(), partition_index: first });
                break;
            }
            let Some(topic) = self.image.topic_by_name(name) else {
                response.topics.push(unknown_described(name));
                continue;
            };
            let (described, next) = self.described(topic, PartitionIndex(first), left);
            left = left.saturating_sub(described.partitions.len());
            response.topics.push(described);
            if let Some(next) = next {
                response.next_cursor = Some(Cursor { topic_name: name.to_owned(), partition_index: next });
                break;
            }
        }
        response
    }

    /// Up to `limit` partitions from `first` on, and the next one if there are more.
    fn described(
        &self,
        topic: &TopicImage,
        first: PartitionIndex,
        limit: usize,
    ) -> (DescribeTopicPartitionsResponseTopic, Option<i32>) {
        let mut later = partitions(topic).filter(|(id, _)| id.partition >= first);
        let page: Vec<_> = later
            .by_ref()
            .take(limit)
            .map(|(id, partition)| DescribeTopicPartitionsResponsePartition {
                error_code: ErrorCode::None.code(),
                partition_index: id.partition.0,
                leader_id: self.leader(partition).map_or(-1, |leader| leader.0),
                leader_epoch: partition.leader_epoch.0,
                replica_nodes: broker_ids(&partition.replicas),
                isr_nodes: broker_ids(&partition.isr),
                eligible_leader_replicas: Some(broker_ids(&partition.eligible_leader_replicas)),
                last_known_elr: Some(broker_ids(&partition.last_known_elr)),
                offline_replicas: self.offline_replicas(partition),
            })
            .collect();
        let next = later.next().map(|(id, _)| id.partition.0);
        let described = DescribeTopicPartitionsResponseTopic {
            error_code: ErrorCode::None.code(),
            name: Some(topic.name.to_string()),
            topic_id: topic.id.0,
            is_internal: is_internal(&topic.name),
            partitions: page,
            topic_authorized_operations: TOPIC_OPERATIONS,
        };
        (described, next)
    }
}

/// A topic that does not exist, or could not be created, in an answer to Metadata.
#[must_use]
pub fn missing_topic(name: String, code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.code(),
        is_internal: is_internal(&name),
        name: Some(name),
        topic_authorized_operations: OPERATIONS_OMITTED,
        ..MetadataResponseTopic::default()
    }
}

fn unknown_id(topic_id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: ErrorCode::UnknownTopicId.code(),
        name: None,
        topic_id,
        topic_authorized_operations: OPERATIONS_OMITTED,
        ..MetadataResponseTopic::default()
    }
}

/// A cursor that points at nothing that was asked for: every topic is refused, as Kafka does it.
fn lost_cursor(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = |topic: &TopicRequest| refused_described(&topic.name, ErrorCode::InvalidRequest);
    DescribeTopicPartitionsResponse {
        topics: request.topics.iter().map(refused).collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}

fn unknown_described(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let is_valid = is_valid_topic_name(name);
    let code = if is_valid { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
    refused_described(name, code)
}

fn refused_described(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned()),
        topic_authorized_operations: OPERATIONS_OMITTED,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

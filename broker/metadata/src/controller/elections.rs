//! Electing leaders: on request, and for a broker that has just started.
//!
//! Follows Kafka's `ReplicationControlManager.electLeader` and KIP-966 for who may lead.

use barnabas_base::{BrokerId, PartitionIndex, TopicId};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::PartitionChangeRecord;
use barnabas_wire::message::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

use super::partitions::can_lead;
use super::refusal::{Refusal, code_and_message};
use super::{ControllerCore, Decision, Work};
use crate::image::{ClusterImage, PartitionImage, partition_change};

/// `ElectLeadersRequest.election_type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ElectionType {
    Preferred,
    Unclean,
}

impl ControllerCore {
    /// Elects leaders as a client asks.
    pub fn elect_leaders(&mut self, request: &ElectLeadersRequest) -> Decision<ElectLeadersResponse> {
        let kind = match request.election_type {
            0 => ElectionType::Preferred,
            1 => ElectionType::Unclean,
            unknown => {
                let refusal = Refusal::invalid_request(format!("Unknown election type {unknown}"));
                return self.answered(refused_as_a_whole(request, refusal));
            }
        };
        let mut work = self.work();
        let wanted: Vec<(String, Vec<i32>)> = match &request.topic_partitions {
            Some(topics) => topics.iter().map(|topic| (topic.topic.clone(), topic.partitions.clone())).collect(),
            None => all_partitions(&work.image),
        };
        let mut results = Vec::with_capacity(wanted.len());
        for (topic, partitions) in wanted {
            let mut partition_result = Vec::with_capacity(partitions.len());
            for partition_id in partitions {
                let outcome = elect(&topic, PartitionIndex(partition_id), kind, &mut work);
                let is_needless = matches!(&outcome, Err(refusal) if refusal.code == ErrorCode::ElectionNotNeeded);
                // Asked for all partitions, Kafka names only those for which there was something to do.
                if request.topic_partitions.is_none() && is_needless {
                    continue;
                }
                let (error_code, error_message) = code_and_message(&outcome);
                partition_result.push(PartitionResult { partition_id, error_code, error_message });
            }
            results.push(ReplicaElectionResult { topic, partition_result });
        }
        let response = ElectLeadersResponse {
            throttle_time_ms: 0,
            error_code: ErrorCode::None.code(),
            replica_election_results: results,
        };
        self.decided(work, response)
    }
}

/// Refuses every partition that was named as well, because version 0 has no other place for an error.
fn refused_as_a_whole(request: &ElectLeadersRequest, refusal: Refusal) -> ElectLeadersResponse {
    let (error_code, error_message) = code_and_message(&Err(refusal));
    let results = request.topic_partitions.iter().flatten().map(|topic| {
        let refused = topic.partitions.iter().map(|partition_id| PartitionResult {
            partition_id: *partition_id,
            error_code,
            error_message: error_message.clone(),
        });
        ReplicaElectionResult { topic: topic.topic.clone(), partition_result: refused.collect() }
    });
    ElectLeadersResponse { throttle_time_ms: 0, error_code, replica_election_results: results.collect() }
}

/// What makes `broker`, which has just started, lead again what it led, and what lost its last leader with it.
///
/// It names the leader even where it stays the same, so that the leader epoch rises: records of the lost tail of an
/// unclean stop must not share their epoch and offset with new ones (H04). What is in a directory that the broker does not
/// have any more has no leader until it does.
pub(crate) fn leaderships_at_start(image: &ClusterImage, broker: BrokerId) -> Vec<MetadataRecord> {
    let lead = |(id, partition)| lead_at_start(image, broker, id, partition);
    partitions_of(image).filter_map(lead).collect()
}

/// What takes from `broker` the partitions that it can lead no more.
pub(crate) fn leaderships_lost(image: &ClusterImage, broker: BrokerId) -> Vec<MetadataRecord> {
    let is_lost = |(_, partition): &(_, &PartitionImage)| !can_lead(image, partition, broker);
    partitions_of(image).filter(is_lost).filter_map(|(id, partition)| give_up(broker, id, partition)).collect()
}

fn partitions_of(image: &ClusterImage) -> impl Iterator<Item = ((TopicId, PartitionIndex), &PartitionImage)> {
    image
        .topics()
        .flat_map(|topic| topic.partitions.iter().map(|(index, partition)| ((topic.id, *index), partition.as_ref())))
}

fn give_up(
    broker: BrokerId,
    (id, index): (TopicId, PartitionIndex),
    partition: &PartitionImage,
) -> Option<MetadataRecord> {
    let change = PartitionChangeRecord { leader: BrokerId::NONE.0, ..partition_change(id, index) };
    (partition.leader == broker).then(|| change.into())
}

/// The same for one partition.
pub(crate) fn lead_at_start(
    image: &ClusterImage,
    broker: BrokerId,
    (id, index): (TopicId, PartitionIndex),
    partition: &PartitionImage,
) -> Option<MetadataRecord> {
    if !can_lead(image, partition, broker) {
        return give_up(broker, (id, index), partition);
    }
    let change = PartitionChangeRecord { leader: broker.0, ..partition_change(id, index) };
    if partition.leader == broker {
        return Some(change.into());
    }
    if partition.leader != BrokerId::NONE {
        return None;
    }
    if partition.isr.contains(&broker) {
        return Some(change.into());
    }
    partition.eligible_leader_replicas.contains(&broker).then(|| from_eligible(broker, partition, change).into())
}

fn all_partitions(image: &ClusterImage) -> Vec<(String, Vec<i32>)> {
    image
        .topics()
        .map(|topic| (topic.name.to_string(), topic.partitions.keys().map(|index| index.0).collect()))
        .collect()
}

fn elect(topic: &str, index: PartitionIndex, kind: ElectionType, work: &mut Work) -> Result<(), Refusal> {
    let unknown = |message| Refusal::new(ErrorCode::UnknownTopicOrPartition, message);
    let image = &work.image;
    let found = image.topic_by_name(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
    let partition = found.partition(index).ok_or_else(|| unknown(format!("No such partition as {topic}-{index}")))?;
    let is_settled = match kind {
        ElectionType::Preferred => partition.leader == partition.preferred_leader(),
        ElectionType::Unclean => partition.leader != BrokerId::NONE,
    };
    if is_settled {
        let message = "Leader election not needed for topic partition.";
        return Err(Refusal::new(ErrorCode::ElectionNotNeeded, message));
    }
    let change = partition_change(found.id, index);
    let record = match kind {
        ElectionType::Preferred => preferred(image, partition, change).ok_or_else(|| {
            Refusal::new(ErrorCode::PreferredLeaderNotAvailable, "The preferred leader was not available.")
        })?,
        ElectionType::Unclean => unclean(image, partition, change).ok_or_else(|| {
            Refusal::new(ErrorCode::EligibleLeadersNotAvailable, "Eligible topic partition leaders are not available.")
        })?,
    };
    work.add(vec![record.into()])
}

fn preferred(
    image: &ClusterImage,
    partition: &PartitionImage,
    change: PartitionChangeRecord,
) -> Option<PartitionChangeRecord> {
    let leader = partition.preferred_leader();
    let may_lead = can_lead(image, partition, leader) && partition.isr.contains(&leader);
    may_lead.then_some(PartitionChangeRecord { leader: leader.0, ..change })
}

/// The best leader that is there, which is an unclean one only when nobody else is left.
fn unclean(
    image: &ClusterImage,
    partition: &PartitionImage,
    change: PartitionChangeRecord,
) -> Option<PartitionChangeRecord> {
    let first_active = |ids: &[BrokerId]| ids.iter().copied().find(|id| can_lead(image, partition, *id));
    if let Some(leader) = first_active(&partition.isr) {
        return Some(PartitionChangeRecord { leader: leader.0, ..change });
    }
    if let Some(leader) = first_active(&partition.eligible_leader_replicas) {
        return Some(from_eligible(leader, partition, change));
    }
    let leader = first_active(&partition.last_known_elr).or_else(|| first_active(&partition.replicas))?;
    Some(PartitionChangeRecord {
        leader: leader.0,
        isr: Some(vec![leader.0]),
        leader_recovery_state: 1,
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..change
    })
}

/// An eligible replica that leads is in sync with itself and no longer merely eligible.
fn from_eligible(leader: BrokerId, partition: &PartitionImage, change: PartitionChangeRecord) -> PartitionChangeRecord {
    let rest = partition.eligible_leader_replicas.iter().filter(|id| **id != leader).map(|id| id.0).collect();
    PartitionChangeRecord {
        leader: leader.0,
        isr: Some(vec![leader.0]),
        eligible_leader_replicas: Some(rest),
        ..change
    }
}

//! Adding partitions to a topic, and what holds for every new partition.
//!
//! Follows Kafka's `ReplicationControlManager.createPartitions` in what is refused, with which code and message.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{BrokerId, DirectoryId, LeaderEpoch, PartitionIndex, TopicId};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::PartitionChangeRecord;
use barnabas_wire::message::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

use super::elections::lead_at_start;
use super::placement::place;
use super::refusal::{Refusal, code_and_message};
use super::topics::draw_of;
use super::{ControllerCore, Decision, RECORDS_PER_DECISION_MAX, Work};
use crate::image::{ClusterImage, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, PartitionImage, partition_change};

impl ControllerCore {
    /// Adds partitions to topics, to all to which that is possible. `room` is how many more there is room for: what is valid
    /// and passes it is refused.
    pub fn create_partitions(
        &mut self,
        request: &CreatePartitionsRequest,
        room: usize,
    ) -> Decision<CreatePartitionsResponse> {
        let mut work = self.work();
        // Validation alone takes no room.
        let mut room = if request.validate_only { usize::MAX } else { room };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *counts.entry(&topic.name).or_default() += 1;
        }
        let (mut results, mut answered) = (Vec::new(), BTreeSet::new());
        for topic in &request.topics {
            if !answered.insert(topic.name.as_str()) {
                continue;
            }
            let outcome = if counts[topic.name.as_str()] > 1 {
                Err(Refusal::invalid_request("Duplicate topic name."))
            } else {
                add_partitions(topic, &mut room, &mut work)
            };
            let (error_code, error_message) = code_and_message(&outcome);
            results.push(CreatePartitionsTopicResult { name: topic.name.clone(), error_code, error_message });
        }
        let response = CreatePartitionsResponse { throttle_time_ms: 0, results };
        if request.validate_only { self.answered(response) } else { self.decided(work, response) }
    }

    /// Takes note of the log directories in which `broker` holds replicas (KIP-858), and makes it lead what had no leader
    /// because its directory was not there. Replicas that are not there any more are passed over.
    pub fn assign_directories(
        &mut self,
        broker: BrokerId,
        assignments: &[(TopicId, PartitionIndex, DirectoryId)],
    ) -> Decision<()> {
        let mut work = self.work();
        for (topic_id, index, directory) in assignments {
            let place = barnabas_base::TopicPartition { topic_id: *topic_id, partition: *index };
            let Some(partition) = work.image.partition(place) else { continue };
            let Some(position) = partition.replicas.iter().position(|replica| *replica == broker) else { continue };
            if partition.directories.get(position) == Some(directory) {
                continue;
            }
            let mut directories: Vec<_> = partition.directories.iter().map(|directory| directory.0).collect();
            directories[position] = directory.0;
            let change =
                PartitionChangeRecord { directories: Some(directories), ..partition_change(*topic_id, *index) };
            let led = lead_at_start(&work.image, broker, (*topic_id, *index), &partition.changed_by(&change));
            let led = led.filter(|_| partition.leader == BrokerId::NONE);
            work.add_unbounded(std::iter::once(change.into()).chain(led).collect());
        }
        self.decided(work, ())
    }
}

fn add_partitions(topic: &CreatePartitionsTopic, room: &mut usize, work: &mut Work) -> Result<(), Refusal> {
    let image = &work.image;
    let existing = image.topic_by_name(&topic.name).ok_or_else(|| Refusal::bare(ErrorCode::UnknownTopicOrPartition))?;
    let present = i32::try_from(existing.partitions.len()).expect("a topic has at most 2^31 partitions");
    let refuse = |message| Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    if topic.count == present {
        return refuse(format!("Topic already has {present} partition(s)."));
    }
    if topic.count < present {
        return refuse(format!(
            "The topic {} currently has {present} partition(s); {} would not be an increase.",
            topic.name, topic.count
        ));
    }
    let additional = topic.count - present;
    if usize::try_from(additional).is_ok_and(|count| count > RECORDS_PER_DECISION_MAX) {
        return Err(Refusal::too_large());
    }
    let factor = existing.partitions.values().next().map_or(1, |partition| partition.replicas.len());
    let replicas = match &topic.assignments {
        None => {
            let factor = i16::try_from(factor).unwrap_or(i16::MAX);
            place(image, present, additional, factor, draw_of(existing.id))?
        }
        Some(assignments) => {
            if i32::try_from(assignments.len()) != Ok(additional) {
                let message = format!(
                    "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
                    assignments.len()
                );
                return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
            }
            let check = |(index, ids): (i32, &Vec<i32>)| check_assignment(image, index, ids, Some(factor));
            (present..)
                .zip(assignments.iter().map(|assignment| &assignment.broker_ids))
                .map(check)
                .collect::<Result<Vec<_>, _>>()?
        }
    };
    let room_left = room.checked_sub(replicas.len()).ok_or_else(Refusal::no_room)?;
    let mut records: Vec<MetadataRecord> = Vec::with_capacity(replicas.len());
    for (index, replicas) in (present..).map(PartitionIndex).zip(replicas) {
        records.push(new_partition(image, index, replicas)?.to_record(existing.id, index).into());
    }
    work.add(records)?;
    *room = room_left;
    Ok(())
}

/// Checks replicas that a client chose for one partition.
pub(crate) fn check_assignment(
    image: &ClusterImage,
    index: i32,
    broker_ids: &[i32],
    replication_factor: Option<usize>,
) -> Result<Vec<BrokerId>, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    if broker_ids.is_empty() {
        return refuse("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut sorted: Vec<BrokerId> = broker_ids.iter().copied().map(BrokerId).collect();
    sorted.sort_unstable();
    for (position, id) in sorted.iter().enumerate() {
        if image.broker(*id).is_none() {
            return refuse(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if position > 0 && sorted[position - 1] == *id {
            return refuse(format!("The manual partition assignment includes the broker {id} more than once."));
        }
    }
    if let Some(factor) = replication_factor
        && factor != sorted.len()
    {
        return refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
             with previous partitions, which have {factor} replica(s).",
            sorted.len()
        ));
    }
    if !sorted.iter().any(|id| is_active(image, *id)) {
        return refuse(format!(
            "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
             controlled shutdown."
        ));
    }
    Ok(broker_ids.iter().copied().map(BrokerId).collect())
}

/// A partition that begins its life on `replicas`: those of them that are active are in sync and the first one leads.
pub(crate) fn new_partition(
    image: &ClusterImage,
    index: PartitionIndex,
    replicas: Vec<BrokerId>,
) -> Result<PartitionImage, Refusal> {
    let isr: Vec<BrokerId> = replicas.iter().copied().filter(|id| is_active(image, *id)).collect();
    let Some(leader) = isr.first().copied() else {
        let message = format!(
            "Unable to replicate the partition {index} {} time(s): All brokers are currently fenced or in controlled \
             shutdown.",
            replicas.len()
        );
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    };
    let directories = replicas.iter().map(|id| default_directory(image, *id)).collect();
    Ok(PartitionImage {
        replicas,
        directories,
        isr,
        leader,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        ..PartitionImage::default()
    })
}

pub(crate) fn is_active(image: &ClusterImage, id: BrokerId) -> bool {
    image.broker(id).is_some_and(crate::image::BrokerImage::is_active)
}

/// Whether a broker may lead a partition as far as it goes by the broker: it is active and has the replica's directory.
pub(crate) fn can_lead(image: &ClusterImage, partition: &PartitionImage, id: BrokerId) -> bool {
    image.broker(id).is_some_and(|broker| broker.is_active() && broker.has_directory_of(partition))
}

/// The directory of a new replica: the broker's only one, or still to be chosen by the broker among several.
fn default_directory(image: &ClusterImage, id: BrokerId) -> DirectoryId {
    match image.broker(id).map(|broker| broker.directories.as_slice()) {
        Some([only]) => *only,
        Some([]) | None => DIRECTORY_MIGRATING,
        Some(_) => DIRECTORY_UNASSIGNED,
    }
}

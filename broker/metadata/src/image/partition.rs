//! What the cluster knows of one partition: who holds it, who leads it, in which epoch. Plain data and its two records.
//!
//! Follows Kafka's `PartitionRegistration`. The image keeps it; it decides nothing.

use barnabas_base::{BrokerId, DirectoryId, LeaderEpoch, PartitionIndex, TopicId, Uuid};
use barnabas_wire::internal::metadata_schema::{PartitionChangeRecord, PartitionRecord};

/// Directory ids that stand for a state instead of a directory (Kafka's `DirectoryId`).
pub const DIRECTORY_MIGRATING: DirectoryId = DirectoryId(Uuid::ZERO);

/// The broker has not said yet which of its directories holds the replica.
pub const DIRECTORY_UNASSIGNED: DirectoryId = reserved_directory(1);

/// The replica's directory is gone.
pub const DIRECTORY_LOST: DirectoryId = reserved_directory(2);

const fn reserved_directory(number: u8) -> DirectoryId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    DirectoryId(Uuid(bytes))
}

/// `PartitionChangeRecord.leader` that leaves leader and leader epoch as they are.
const NO_LEADER_CHANGE: i32 = -2;

/// Whether the leader still has to find out what an unclean election lost (KIP-704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecoveryState {
    /// The log is whole.
    #[default]
    Recovered,
    /// The leader was elected uncleanly and recovers.
    Recovering,
}

impl LeaderRecoveryState {
    const fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Recovering,
            _ => Self::Recovered,
        }
    }

    const fn code(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionImage {
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// For each replica the directory that holds it.
    pub directories: Vec<DirectoryId>,
    /// In-sync replicas.
    pub isr: Vec<BrokerId>,
    /// Replicas on their way out.
    pub removing_replicas: Vec<BrokerId>,
    /// Replicas on their way in.
    pub adding_replicas: Vec<BrokerId>,
    /// Eligible leader replicas: out of sync, yet known to hold everything committed (KIP-966).
    pub eligible_leader_replicas: Vec<BrokerId>,
    /// The last eligible replicas known when none was left.
    pub last_known_elr: Vec<BrokerId>,
    /// The leader; −1 when there is none.
    pub leader: BrokerId,
    /// Whether the leader recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Rises with every election.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change.
    pub partition_epoch: i32,
}

impl PartitionImage {
    /// A partition as its first record describes it.
    #[must_use]
    pub fn from_record(record: &PartitionRecord) -> Self {
        let mut directories: Vec<DirectoryId> = record.directories.iter().copied().map(DirectoryId).collect();
        // Records from before directory ids (metadata.version 3.7-IV2) name none.
        directories.resize(record.replicas.len(), DIRECTORY_MIGRATING);
        Self {
            replicas: brokers(&record.replicas),
            directories,
            isr: brokers(&record.isr),
            removing_replicas: brokers(&record.removing_replicas),
            adding_replicas: brokers(&record.adding_replicas),
            eligible_leader_replicas: brokers(record.eligible_leader_replicas.as_deref().unwrap_or_default()),
            last_known_elr: brokers(record.last_known_elr.as_deref().unwrap_or_default()),
            leader: BrokerId(record.leader),
            leader_recovery_state: LeaderRecoveryState::from_code(record.leader_recovery_state),
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
        }
    }

    /// The record from which this state is rebuilt.
    #[must_use]
    pub fn to_record(&self, topic_id: TopicId, partition: PartitionIndex) -> PartitionRecord {
        let unless_empty = |list: &[BrokerId]| (!list.is_empty()).then(|| numbers(list));
        PartitionRecord {
            partition_id: partition.0,
            topic_id: topic_id.0,
            replicas: numbers(&self.replicas),
            isr: numbers(&self.isr),
            removing_replicas: numbers(&self.removing_replicas),
            adding_replicas: numbers(&self.adding_replicas),
            leader: self.leader.0,
            leader_recovery_state: self.leader_recovery_state.code(),
            leader_epoch: self.leader_epoch.0,
            partition_epoch: self.partition_epoch,
            directories: self.directories.iter().map(|directory| directory.0).collect(),
            eligible_leader_replicas: unless_empty(&self.eligible_leader_replicas),
            last_known_elr: unless_empty(&self.last_known_elr),
        }
    }

    /// This partition after a change. Naming a leader is an election even when the leader stays the same, so the
    /// leader epoch rises.
    #[must_use]
    pub fn changed_by(&self, change: &PartitionChangeRecord) -> Self {
        let or = |list: &Option<Vec<i32>>, old: &Vec<BrokerId>| list.as_deref().map_or_else(|| old.clone(), brokers);
        let replicas = or(&change.replicas, &self.replicas);
        let mut directories = match &change.directories {
            Some(directories) => directories.iter().copied().map(DirectoryId).collect(),
            None => self.directories.clone(),
        };
        directories.resize(replicas.len(), DIRECTORY_UNASSIGNED);
        let elects = change.leader != NO_LEADER_CHANGE;
        Self {
            replicas,
            directories,
            isr: or(&change.isr, &self.isr),
            removing_replicas: or(&change.removing_replicas, &self.removing_replicas),
            adding_replicas: or(&change.adding_replicas, &self.adding_replicas),
            eligible_leader_replicas: or(&change.eligible_leader_replicas, &self.eligible_leader_replicas),
            last_known_elr: or(&change.last_known_elr, &self.last_known_elr),
            leader: if elects { BrokerId(change.leader) } else { self.leader },
            leader_recovery_state: match change.leader_recovery_state {
                -1 => self.leader_recovery_state,
                code => LeaderRecoveryState::from_code(code),
            },
            leader_epoch: if elects { LeaderEpoch(self.leader_epoch.0.saturating_add(1)) } else { self.leader_epoch },
            partition_epoch: self.partition_epoch.saturating_add(1),
        }
    }

    /// The replica that should lead while it can.
    #[must_use]
    pub fn preferred_leader(&self) -> BrokerId {
        self.replicas.first().copied().unwrap_or(BrokerId::NONE)
    }

    /// The directory in which `broker` holds the partition, once that is known. A lost one has an id that no broker has.
    #[must_use]
    pub fn directory(&self, broker: BrokerId) -> Option<DirectoryId> {
        let position = self.replicas.iter().position(|replica| *replica == broker)?;
        let directory = self.directories.get(position).copied()?;
        (![DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED].contains(&directory)).then_some(directory)
    }
}

/// An empty change of one partition.
pub(crate) fn partition_change(topic_id: TopicId, partition: PartitionIndex) -> PartitionChangeRecord {
    PartitionChangeRecord { partition_id: partition.0, topic_id: topic_id.0, ..PartitionChangeRecord::default() }
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn numbers(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

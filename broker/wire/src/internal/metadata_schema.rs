//! Records of `__cluster_metadata` about topics, partitions, configs, features and the log itself.
//!
//! Structs only; `metadata` frames them and knows their keys.

use barnabas_base::Uuid;

use crate::{Message, ToJson};

/// A topic exists.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct TopicRecord {
    /// The topic's name.
    pub name: String,
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
}

/// A topic and all that belongs to it is gone.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveTopicRecord {
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
}

/// A partition exists.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-2", flexible = "0+")]
pub struct PartitionRecord {
    /// The partition.
    #[field(default = -1)]
    pub partition_id: i32,
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
    /// All replicas in order of preference.
    pub replicas: Vec<i32>,
    /// The in-sync replicas.
    pub isr: Vec<i32>,
    /// Brokers that a reassignment removes.
    pub removing_replicas: Vec<i32>,
    /// Brokers that a reassignment adds.
    pub adding_replicas: Vec<i32>,
    /// The leader; -1 for none.
    #[field(default = -1)]
    pub leader: i32,
    /// 0 recovered, 1 recovering from an unclean election.
    #[field(tag = 0, tagged = "0+")]
    pub leader_recovery_state: i8,
    /// The leader epoch; -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// Rises with each change of the partition.
    #[field(default = -1)]
    pub partition_epoch: i32,
    /// The log directory of each replica, in the order of the replicas.
    #[field(versions = "1+")]
    pub directories: Vec<Uuid>,
    /// Replicas outside the ISR that hold everything committed (KIP-966); null for none.
    #[field(versions = "2+", nullable = "0+", tag = 1, tagged = "2+")]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The last eligible leader replicas before their set became empty; null for none.
    #[field(versions = "2+", nullable = "0+", tag = 2, tagged = "2+")]
    pub last_known_elr: Option<Vec<i32>>,
}

/// What changed in a partition.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-2", flexible = "0+")]
pub struct PartitionChangeRecord {
    /// The partition.
    #[field(default = -1)]
    pub partition_id: i32,
    /// The topic's id; zero if unknown.
    pub topic_id: Uuid,
    /// The in-sync replicas; null for no change.
    #[field(nullable = "0+", tag = 0, tagged = "0+")]
    pub isr: Option<Vec<i32>>,
    /// The leader; -1 for none, -2 for no change.
    #[field(tag = 1, tagged = "0+", default = -2)]
    pub leader: i32,
    /// All replicas; null for no change.
    #[field(nullable = "0+", tag = 2, tagged = "0+")]
    pub replicas: Option<Vec<i32>>,
    /// Brokers that a reassignment removes; null for no change.
    #[field(nullable = "0+", tag = 3, tagged = "0+")]
    pub removing_replicas: Option<Vec<i32>>,
    /// Brokers that a reassignment adds; null for no change.
    #[field(nullable = "0+", tag = 4, tagged = "0+")]
    pub adding_replicas: Option<Vec<i32>>,
    /// 0 recovered, 1 recovering from an unclean election, -1 no change.
    #[field(tag = 5, tagged = "0+", default = -1)]
    pub leader_recovery_state: i8,
    /// The log directory of each replica; null for no change.
    #[field(versions = "1+", nullable = "0+", tag = 8, tagged = "1+")]
    pub directories: Option<Vec<Uuid>>,
    /// Replicas outside the ISR that hold everything committed (KIP-966); null for no change.
    #[field(versions = "2+", nullable = "0+", tag = 6, tagged = "2+")]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The last eligible leader replicas before their set became empty; null for no change.
    #[field(versions = "2+", nullable = "0+", tag = 7, tagged = "2+")]
    pub last_known_elr: Option<Vec<i32>>,
}

/// The eligible leader replicas of a topic, or of all, are forgotten (KIP-966).
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ClearElrRecord {
    /// The topic; empty for all.
    pub topic_name: String,
}

/// A configuration key is set or removed.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ConfigRecord {
    /// 2 topic, 4 broker, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name; empty for the default of all brokers.
    pub resource_name: String,
    /// The key.
    pub name: String,
    /// The value; null removes the key.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub value: Option<String>,
}

/// A feature is finalized at a level.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct FeatureLevelRecord {
    /// The feature, such as `metadata.version`.
    pub name: String,
    /// The finalized level; 0 removes the feature.
    pub feature_level: i16,
}

/// A block of producer ids was given away.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ProducerIdsRecord {
    /// The broker that asked for the block.
    pub broker_id: i32,
    /// The epoch of the broker that asked for the block.
    #[field(default = -1)]
    pub broker_epoch: i64,
    /// The first producer id that no block holds yet.
    pub next_producer_id: i64,
}

/// Says nothing; an idle leader writes it so that the log moves.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct NoOpRecord {}

/// Records from here on count together or not at all (KIP-868).
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct BeginTransactionRecord {
    /// What the transaction is for; null if untold.
    #[field(nullable = "0+", tag = 0, tagged = "0+")]
    pub name: Option<String>,
}

/// The records since the last BeginTransactionRecord count (KIP-868).
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct EndTransactionRecord {}

/// The records since the last BeginTransactionRecord do not count (KIP-868).
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct AbortTransactionRecord {
    /// Why, for the log of whoever reads it; null if untold.
    #[field(nullable = "0+", tag = 0, tagged = "0+")]
    pub reason: Option<String>,
}

/// How far a migration from ZooKeeper is; snapshots of migrated clusters have it.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ZkMigrationStateRecord {
    /// 0 none, 1 pre-migration, 2 migration, 3 post-migration, 4 post-migration of a combined cluster.
    pub zk_migration_state: i8,
}

//! What the cluster knows of its brokers and controllers. Plain data and its records; it decides nothing.
//!
//! Follows Kafka's `BrokerRegistration` and `ControllerRegistration`.

use barnabas_base::{BrokerId, DirectoryId, Uuid};
use barnabas_wire::internal::node_schema::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ControllerEndpoint, ControllerFeature,
    RegisterBrokerRecord, RegisterControllerRecord,
};

use super::partition::PartitionImage;

/// Epoch of a broker's registration: the offset of the record that registered it (KIP-631). −1 means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerEpoch(pub i64);

/// An address of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener.
    pub name: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// Levels of one feature that a node supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Name of the feature.
    pub name: String,
    /// Lowest level.
    pub min_level: i16,
    /// Highest level.
    pub max_level: i16,
}

/// One registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    /// Its id.
    pub id: BrokerId,
    /// Epoch of this registration.
    pub epoch: BrokerEpoch,
    /// Differs between any two starts of the broker.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub features: Vec<SupportedFeature>,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it may not lead or be in sync.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// Its log directories.
    pub directories: Vec<DirectoryId>,
    /// Log directories that take no new replicas (KIP-1066).
    pub cordoned_directories: Vec<DirectoryId>,
}

impl BrokerImage {
    /// Whether the directory that holds this broker's replica of a partition is there, as far as it has told which that is
    /// (Kafka's `BrokerRegistration.hasOnlineDir`).
    #[must_use]
    pub fn has_directory_of(&self, partition: &PartitionImage) -> bool {
        partition.directory(self.id).is_none_or(|id| self.directories.contains(&id))
    }

    pub(crate) fn from_record(record: &RegisterBrokerRecord) -> Self {
        let endpoint = |one: &BrokerEndpoint| Endpoint {
            name: one.name.clone(),
            host: one.host.clone(),
            port: one.port,
            security_protocol: one.security_protocol,
        };
        let feature = |one: &BrokerFeature| SupportedFeature {
            name: one.name.clone(),
            min_level: one.min_supported_version,
            max_level: one.max_supported_version,
        };
        Self {
            id: BrokerId(record.broker_id),
            epoch: BrokerEpoch(record.broker_epoch),
            incarnation_id: record.incarnation_id,
            endpoints: record.end_points.iter().map(endpoint).collect(),
            features: record.features.iter().map(feature).collect(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            directories: directories(&record.log_dirs),
            cordoned_directories: directories(record.cordoned_log_dirs.as_deref().unwrap_or_default()),
        }
    }

    /// The record from which this registration is rebuilt.
    #[must_use]
    pub fn to_record(&self) -> RegisterBrokerRecord {
        let endpoint = |one: &Endpoint| BrokerEndpoint {
            name: one.name.clone(),
            host: one.host.clone(),
            port: one.port,
            security_protocol: one.security_protocol,
        };
        let feature = |one: &SupportedFeature| BrokerFeature {
            name: one.name.clone(),
            min_supported_version: one.min_level,
            max_supported_version: one.max_level,
        };
        let cordoned = &self.cordoned_directories;
        RegisterBrokerRecord {
            broker_id: self.id.0,
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch.0,
            end_points: self.endpoints.iter().map(endpoint).collect(),
            features: self.features.iter().map(feature).collect(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.directories.iter().map(|directory| directory.0).collect(),
            cordoned_log_dirs: (!cordoned.is_empty()).then(|| cordoned.iter().map(|directory| directory.0).collect()),
        }
    }

    pub(crate) fn changed_by(&self, change: &BrokerRegistrationChangeRecord) -> Self {
        let mut changed = self.clone();
        changed.fenced = changed_flag(self.fenced, change.fenced);
        // Controlled shutdown ends only with the registration.
        changed.in_controlled_shutdown |= change.in_controlled_shutdown == 1;
        if !change.log_dirs.is_empty() {
            changed.directories = directories(&change.log_dirs);
        }
        if let Some(cordoned) = &change.cordoned_log_dirs {
            changed.cordoned_directories = directories(cordoned);
        }
        changed
    }

    /// The address of one listener.
    #[must_use]
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == listener)
    }

    /// Whether it may hold and lead partitions at this moment.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }
}

/// `BrokerRegistrationChangeRecord` says 1 for "becomes true", −1 for "becomes false", 0 for "stays".
const fn changed_flag(old: bool, change: i8) -> bool {
    match change {
        1 => true,
        -1 => false,
        _ => old,
    }
}

/// One registered controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerImage {
    /// Its id.
    pub id: BrokerId,
    /// Differs between any two starts of the controller.
    pub incarnation_id: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub features: Vec<SupportedFeature>,
}

impl ControllerImage {
    pub(crate) fn from_record(record: &RegisterControllerRecord) -> Self {
        let endpoint = |one: &ControllerEndpoint| Endpoint {
            name: one.name.clone(),
            host: one.host.clone(),
            port: one.port,
            security_protocol: one.security_protocol,
        };
        let feature = |one: &ControllerFeature| SupportedFeature {
            name: one.name.clone(),
            min_level: one.min_supported_version,
            max_level: one.max_supported_version,
        };
        Self {
            id: BrokerId(record.controller_id),
            incarnation_id: record.incarnation_id,
            endpoints: record.end_points.iter().map(endpoint).collect(),
            features: record.features.iter().map(feature).collect(),
        }
    }

    /// The record from which this registration is rebuilt.
    #[must_use]
    pub fn to_record(&self) -> RegisterControllerRecord {
        let endpoint = |one: &Endpoint| ControllerEndpoint {
            name: one.name.clone(),
            host: one.host.clone(),
            port: one.port,
            security_protocol: one.security_protocol,
        };
        let feature = |one: &SupportedFeature| ControllerFeature {
            name: one.name.clone(),
            min_supported_version: one.min_level,
            max_supported_version: one.max_level,
        };
        RegisterControllerRecord {
            controller_id: self.id.0,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: false,
            end_points: self.endpoints.iter().map(endpoint).collect(),
            features: self.features.iter().map(feature).collect(),
        }
    }
}

fn directories(ids: &[Uuid]) -> Vec<DirectoryId> {
    ids.iter().copied().map(DirectoryId).collect()
}

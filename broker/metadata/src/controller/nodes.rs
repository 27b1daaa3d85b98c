//! The life of this node in the cluster: bootstrap of an empty log, registration, unfencing.
//!
//! A quorum of one registers itself. Records are those of Kafka's `ClusterControlManager` and `BootstrapMetadata`.

use std::collections::BTreeSet;

use barnabas_base::{BrokerId, DirectoryId, Offset, Uuid};
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::metadata_schema::FeatureLevelRecord;
use barnabas_wire::internal::node_schema::BrokerRegistrationChangeRecord;

use super::elections::{leaderships_at_start, leaderships_lost};
use super::refusal::Refusal;
use super::{ControllerCore, Decision};
use crate::image::{
    BrokerEpoch, BrokerImage, ClusterImage, ControllerImage, DIRECTORY_LOST, DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED,
    Endpoint, METADATA_VERSION_FEATURE, SupportedFeature,
};

/// Level of `metadata.version` that is written: 4.3-IV0.
pub const METADATA_VERSION: i16 = 30;

/// Lowest level of `metadata.version` that is read: 3.3-IV3, the oldest from which Kafka 4 upgrades.
pub const METADATA_VERSION_MIN: i16 = 7;

/// Highest level of `kraft.version`: dynamic voters (KIP-853).
pub const KRAFT_VERSION: i16 = 1;

/// Features and levels this node supports.
#[must_use]
pub fn supported_features() -> Vec<SupportedFeature> {
    let feature = |name: &str, min_level, max_level| SupportedFeature { name: name.to_owned(), min_level, max_level };
    vec![
        feature("kraft.version", 0, KRAFT_VERSION),
        feature(METADATA_VERSION_FEATURE, METADATA_VERSION_MIN, METADATA_VERSION),
    ]
}

/// What a node says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Differs between any two starts.
    pub incarnation_id: Uuid,
    /// Where clients and brokers reach it.
    pub endpoints: Vec<Endpoint>,
    /// Where controllers reach it.
    pub controller_endpoints: Vec<Endpoint>,
    /// Its log directories.
    pub directories: Vec<DirectoryId>,
}

impl ControllerCore {
    /// What an empty log begins with: the level of its own format. Nothing once there is one.
    pub fn bootstrap(&mut self) -> Decision<()> {
        let mut work = self.work();
        if self.pending.metadata_version().is_none() {
            let level =
                FeatureLevelRecord { name: METADATA_VERSION_FEATURE.to_owned(), feature_level: METADATA_VERSION };
            work.add_unbounded(vec![level.into()]);
        }
        self.decided(work, ())
    }

    /// Whether the log is of a format that is understood.
    ///
    /// # Errors
    /// It is of a newer or much older Kafka.
    pub fn check_metadata_version(&self) -> Result<(), String> {
        check_metadata_version(&self.pending)
    }

    /// Registers this node as controller and broker, unfenced, and makes the broker lead again what it led, each with a
    /// higher leader epoch. To be called once its logs are recovered.
    ///
    /// `next_offset` is the offset that the first record gets; the epoch of the registration is made of it, as in Kafka.
    /// There may be as many records as partitions.
    pub fn start_broker(
        &mut self,
        registration: &BrokerRegistration,
        next_offset: Offset,
    ) -> Decision<Result<BrokerEpoch, Refusal>> {
        if let Err(refusal) = check_directories(&self.pending, self.node_id(), &registration.directories) {
            return self.answered(Err(refusal));
        }
        let epoch = BrokerEpoch(next_offset.0);
        let broker = BrokerImage {
            id: self.node_id(),
            epoch,
            incarnation_id: registration.incarnation_id,
            endpoints: registration.endpoints.clone(),
            features: supported_features(),
            rack: self.config.rack.clone(),
            fenced: true,
            in_controlled_shutdown: false,
            directories: registration.directories.clone(),
            cordoned_directories: Vec::new(),
        };
        let controller = ControllerImage {
            id: self.node_id(),
            incarnation_id: registration.incarnation_id,
            endpoints: registration.controller_endpoints.clone(),
            features: supported_features(),
        };
        // Registered fenced and unfenced at once: that is the sequence which readers of the log know.
        let unfenced = BrokerRegistrationChangeRecord {
            broker_id: self.node_id().0,
            broker_epoch: epoch.0,
            fenced: -1,
            ..BrokerRegistrationChangeRecord::default()
        };
        let mut work = self.work();
        work.add_unbounded(vec![broker.to_record().into(), controller.to_record().into(), unfenced.into()]);
        let leaderships = leaderships_at_start(&work.image, self.node_id());
        work.add_unbounded(leaderships);
        self.decided(work, Ok(epoch))
    }

    /// Takes note that log directories of `broker` have failed: what they hold has no leader until it starts with them again
    /// (KIP-858). Nothing when it has no other ones.
    pub fn fail_directories(&mut self, broker: BrokerId, failed: &[DirectoryId]) -> Decision<()> {
        let mut work = self.work();
        let Some(registered) = work.image.broker(broker) else { return self.answered(()) };
        let left: Vec<Uuid> =
            registered.directories.iter().filter(|id| !failed.contains(id)).map(|directory| directory.0).collect();
        if left.is_empty() || left.len() == registered.directories.len() {
            return self.answered(());
        }
        let change = BrokerRegistrationChangeRecord {
            broker_id: broker.0,
            broker_epoch: registered.epoch.0,
            log_dirs: left,
            ..BrokerRegistrationChangeRecord::default()
        };
        work.add_unbounded(vec![change.into()]);
        let lost = leaderships_lost(&work.image, broker);
        work.add_unbounded(lost);
        self.decided(work, ())
    }
}

fn check_metadata_version(image: &ClusterImage) -> Result<(), String> {
    match image.metadata_version() {
        None | Some(METADATA_VERSION_MIN..=METADATA_VERSION) => Ok(()),
        Some(level) => Err(format!(
            "the metadata log is of metadata.version {level}; {METADATA_VERSION_MIN} to {METADATA_VERSION} are supported"
        )),
    }
}

fn check_directories(image: &ClusterImage, id: BrokerId, directories: &[DirectoryId]) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidRegistration, message));
    if directories.is_empty() {
        return refuse("No directories specified in request".to_owned());
    }
    let mut seen = BTreeSet::new();
    for directory in directories {
        if [DIRECTORY_MIGRATING, DIRECTORY_UNASSIGNED, DIRECTORY_LOST].contains(directory) {
            return refuse(format!("Reserved directory ID in request: {directory}"));
        }
        if !seen.insert(directory) {
            return refuse("Duplicate directory ID in request".to_owned());
        }
        if let Some(other) = image.brokers().find(|one| one.id != id && one.directories.contains(directory)) {
            return refuse(format!("Broker {} is already registered with directory {directory}", other.id));
        }
    }
    Ok(())
}

//! Records of `__cluster_metadata` about brokers and controllers.
//!
//! Structs only; `metadata` frames them and knows their keys.

use barnabas_base::Uuid;

use crate::{Message, ToJson};

/// A broker registered.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-4", flexible = "0+")]
pub struct RegisterBrokerRecord {
    /// The broker.
    pub broker_id: i32,
    /// Whether a ZooKeeper broker registers; never in this version of the cluster.
    #[field(versions = "2+")]
    pub is_migrating_zk_broker: bool,
    /// A fresh id of each start of the process.
    pub incarnation_id: Uuid,
    /// The broker's epoch: the offset of its registration in the metadata log.
    pub broker_epoch: i64,
    /// The listeners.
    pub end_points: Vec<BrokerEndpoint>,
    /// The features and the levels that are supported.
    pub features: Vec<BrokerFeature>,
    /// The rack; null if unknown.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub rack: Option<String>,
    /// Whether the broker is fenced: it leads nothing and takes no clients.
    #[field(default = true)]
    pub fenced: bool,
    /// Whether the broker asked to shut down.
    #[field(versions = "1+")]
    pub in_controlled_shutdown: bool,
    /// The ids of the broker's log directories.
    #[field(versions = "3+", tag = 0, tagged = "3+")]
    pub log_dirs: Vec<Uuid>,
    /// Log directories that take no new partitions (KIP-1066); null when the broker does not say.
    #[field(versions = "4+", nullable = "0+", tag = 1, tagged = "4+")]
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

/// A listener of a broker.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct BrokerEndpoint {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A feature and the levels that the broker supports.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct BrokerFeature {
    /// The feature.
    pub name: String,
    /// The lowest level supported.
    pub min_supported_version: i16,
    /// The highest level supported.
    pub max_supported_version: i16,
}

/// A broker is no longer of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerRecord {
    /// The broker.
    pub broker_id: i32,
    /// The broker's epoch: the offset of its registration in the metadata log.
    pub broker_epoch: i64,
}

/// A registered broker was fenced, unfenced, begins to shut down or changed its directories.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-3", flexible = "0+")]
pub struct BrokerRegistrationChangeRecord {
    /// The broker.
    pub broker_id: i32,
    /// The broker's epoch: the offset of its registration in the metadata log.
    pub broker_epoch: i64,
    /// -1 unfenced, 0 no change, 1 fenced.
    #[field(tag = 0, tagged = "0+")]
    pub fenced: i8,
    /// 0 no change, 1 the broker asked to shut down.
    #[field(versions = "1+", tag = 1, tagged = "1+")]
    pub in_controlled_shutdown: i8,
    /// The ids of the broker's log directories; empty for no change.
    #[field(versions = "2+", tag = 2, tagged = "2+")]
    pub log_dirs: Vec<Uuid>,
    /// Log directories that take no new partitions (KIP-1066); null for no change.
    #[field(versions = "3+", nullable = "0+", tag = 3, tagged = "3+")]
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

/// A broker is fenced; replaced by BrokerRegistrationChangeRecord.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct FenceBrokerRecord {
    /// The broker.
    pub id: i32,
    /// The broker's epoch.
    pub epoch: i64,
}

/// A broker is unfenced; replaced by BrokerRegistrationChangeRecord.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct UnfenceBrokerRecord {
    /// The broker.
    pub id: i32,
    /// The broker's epoch.
    pub epoch: i64,
}

/// A controller registered.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct RegisterControllerRecord {
    /// The controller, or the broker to send controller requests to; -1 if unknown.
    pub controller_id: i32,
    /// A fresh id of each start of the process.
    pub incarnation_id: Uuid,
    /// Whether a migration from ZooKeeper may go on; false in a cluster that never had one.
    pub zk_migration_ready: bool,
    /// The listeners.
    pub end_points: Vec<ControllerEndpoint>,
    /// The features and the levels that are supported.
    pub features: Vec<ControllerFeature>,
}

/// A listener of a controller.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct ControllerEndpoint {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A feature and the levels that the controller supports.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct ControllerFeature {
    /// The feature.
    pub name: String,
    /// The lowest level supported.
    pub min_supported_version: i16,
    /// The highest level supported.
    pub max_supported_version: i16,
}

//! Configuration: the table of Kafka's keys, reading a broker's sources, and which value is in force where.
//!
//! Pure: texts come in as data, typed values go out. Nothing here reads a file or the environment.

mod broker;
mod broker_keys;
mod describe;
mod environment;
mod group_keys;
mod key;
mod listener;
mod load;
mod lookup;
mod properties;
mod reasons;
mod suggest;
#[cfg(test)]
mod tests;
mod topic;
mod topic_keys;
mod validate;
mod value;

pub use broker::{
    BrokerConfig, CleanerConfig, FlushPolicy, GroupsConfig, LogsConfig, MetadataLogConfig, NetworkConfig,
    StorageConfig, TopicsConfig,
};
pub use broker_keys::{broker_key, broker_key_synonyms, broker_keys, listener_override, removed_key};
pub use describe::{
    ConfigEntry, ConfigSynonym, describe_broker, describe_broker_default, describe_group, describe_new_topic,
    describe_topic,
};
pub use group_keys::{group_key, validate_group};
pub use key::{ConfigKey, ConfigKind, InvalidValue, Support, UpdateMode, Validator};
pub use listener::Listener;
pub use load::{ConfigProblem, ConfigSources, Origin, StaticConfig, StaticValue};
pub use lookup::{BrokerLayers, ConfigMap, ConfigSource};
pub use properties::{MalformedEscape, Property, parse_properties};
pub use topic::{CompressionType, TimestampType, TopicConfig};
pub use topic_keys::{topic_key, topic_keys};
pub use validate::{validate_broker, validate_topic};
pub use value::Value;

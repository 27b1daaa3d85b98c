//! Settings as DescribeConfigs shows them: value, source, synonyms, type, documentation.
//!
//! Follows Kafka's `ConfigHelper`, quirks included, because tools compare its output. Pure look-up over the layers.

use super::broker_keys::{broker_key, broker_key_synonyms, shown_broker_keys};
use super::group_keys::{broker_synonym, effective_group_value, group_keys};
use super::key::{ConfigKey, UpdateMode};
use super::lookup::{BrokerLayers, ConfigMap, ConfigSource};
use super::topic::effective_topic_value;
use super::topic_keys::{broker_synonyms, topic_keys};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Name of the key.
    pub name: String,
    /// The value in force as text; `None` for null and for secrets.
    pub value: Option<String>,
    /// Whether only a restart changes it.
    pub read_only: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// All places where a value is set, the one in force first.
    pub synonyms: Vec<ConfigSynonym>,
    /// Number of the value's type.
    pub kind_code: i8,
    /// One line for people.
    pub documentation: &'static str,
}

/// One place where a value is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Name of the key there.
    pub name: String,
    /// The text there; `None` for secrets.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// All settings of a topic whose own values are `overrides`.
#[must_use]
pub fn describe_topic(layers: &BrokerLayers<'_>, overrides: &ConfigMap) -> Vec<ConfigEntry> {
    topic_keys()
        .iter()
        .filter(|key| key.update != UpdateMode::Internal)
        .map(|key| {
            let value = effective_topic_value(key, layers, overrides).map(|(value, _)| value.to_text());
            let mut synonyms = broker_synonyms(key.name)
                .next()
                .map(|(broker_name, _)| synonyms_of(layers, broker_name, ConfigScope::Broker))
                .unwrap_or_default();
            if overrides.contains_key(key.name) {
                let own = ConfigSynonym {
                    name: key.name.to_owned(),
                    value: value.clone(),
                    source: ConfigSource::DynamicTopic,
                };
                synonyms.insert(0, own);
            }
            entry(key, key.name, value, false, synonyms)
        })
        .collect()
}

/// All settings a new topic with `overrides` gets, as CreateTopics answers them (`KafkaConfigSchema`).
#[must_use]
pub fn describe_new_topic(layers: &BrokerLayers<'_>, overrides: &ConfigMap) -> Vec<ConfigEntry> {
    topic_keys()
        .iter()
        .map(|key| {
            let found = effective_topic_value(key, layers, overrides);
            let source = found.as_ref().map_or(ConfigSource::Default, |(_, source)| *source);
            let value = found.map(|(value, _)| value.to_text());
            ConfigEntry { source, ..entry(key, key.name, value, false, Vec::new()) }
        })
        .collect()
}

/// All settings of a group whose own values are `overrides`, whether it exists or not, as in Kafka.
#[must_use]
pub fn describe_group(layers: &BrokerLayers<'_>, overrides: &ConfigMap) -> Vec<ConfigEntry> {
    group_keys()
        .iter()
        .map(|key| {
            let value = effective_group_value(key, layers, overrides).to_text();
            let mut synonyms = match broker_synonym(key) {
                Some(broker_name) => synonyms_of(layers, &broker_name, ConfigScope::Broker),
                None => vec![ConfigSynonym {
                    name: key.name.to_owned(),
                    value: key.default.map(str::to_owned),
                    source: ConfigSource::Default,
                }],
            };
            if overrides.contains_key(key.name) {
                let (name, value) = (key.name.to_owned(), Some(value.clone()));
                synonyms.insert(0, ConfigSynonym { name, value, source: ConfigSource::DynamicGroup });
            }
            entry(key, key.name, Some(value), false, synonyms)
        })
        .collect()
}

/// All settings of this broker.
#[must_use]
pub fn describe_broker(layers: &BrokerLayers<'_>) -> Vec<ConfigEntry> {
    shown_broker_keys()
        .filter(|key| key.update != UpdateMode::Internal)
        .map(|key| {
            let value = own_value(layers, key);
            let synonyms = synonyms_of(layers, key.name, ConfigScope::Broker);
            entry(key, key.name, value, !key.is_dynamic(), synonyms)
        })
        .collect()
}

/// What is set for all brokers while they run.
#[must_use]
pub fn describe_broker_default(layers: &BrokerLayers<'_>) -> Vec<ConfigEntry> {
    let known = |name: &String| broker_key(name).is_some();
    layers
        .dynamic_default
        .iter()
        .filter(|(name, _)| known(name))
        .map(|(name, text)| {
            let key = broker_key(name).expect("filtered for known keys");
            let synonyms = synonyms_of(layers, name, ConfigScope::AllBrokers);
            entry(key, name, Some(text.clone()), !key.is_dynamic(), synonyms)
        })
        .collect()
}

/// Whether values of single brokers count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConfigScope {
    Broker,
    AllBrokers,
}

/// The value that stands under exactly this name, which for a name with synonyms need not be the setting in force.
fn own_value(layers: &BrokerLayers<'_>, key: &ConfigKey) -> Option<String> {
    [ConfigSource::DynamicBroker, ConfigSource::DynamicDefaultBroker, ConfigSource::StaticBroker, ConfigSource::Default]
        .into_iter()
        .find_map(|source| layers.text(source, key.name))
        .and_then(|text| key.parse(text).ok())
        .map(|value| value.to_text())
}

/// All places where `name` or a synonym is set, by layer. Places before the first that bears the name itself are left
/// out, as `ConfigHelper` does: a topic whose broker sets only `log.retention.hours` shows no synonyms for it.
fn synonyms_of(layers: &BrokerLayers<'_>, name: &str, scope: ConfigScope) -> Vec<ConfigSynonym> {
    let sources: &[ConfigSource] = match scope {
        ConfigScope::AllBrokers => &[ConfigSource::DynamicDefaultBroker],
        ConfigScope::Broker => &[
            ConfigSource::DynamicBroker,
            ConfigSource::DynamicDefaultBroker,
            ConfigSource::StaticBroker,
            ConfigSource::Default,
        ],
    };
    let is_sensitive = broker_key(name).is_none_or(ConfigKey::is_sensitive);
    let mut found = Vec::new();
    for source in sources {
        for synonym in broker_key_synonyms(name) {
            if let Some(text) = layers.text(*source, synonym) {
                let value = (!is_sensitive).then(|| text.to_owned());
                found.push(ConfigSynonym { name: synonym.to_owned(), value, source: *source });
            }
        }
    }
    found.into_iter().skip_while(|synonym| synonym.name != name).collect()
}

fn entry(
    key: &ConfigKey,
    name: &str,
    value: Option<String>,
    read_only: bool,
    synonyms: Vec<ConfigSynonym>,
) -> ConfigEntry {
    let is_sensitive = key.is_sensitive();
    ConfigEntry {
        name: name.to_owned(),
        value: value.filter(|_| !is_sensitive),
        read_only,
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        is_sensitive,
        synonyms,
        kind_code: key.kind.code(),
        documentation: key.doc,
    }
}

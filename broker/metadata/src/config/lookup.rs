//! The layers in which a broker's value may stand, and which of them wins.
//!
//! Order of KIP-226: dynamic for this broker, dynamic for all, static, default. Reads texts, gives typed values; it
//! changes nothing.

use std::collections::BTreeMap;

use super::broker_keys::{broker_key, broker_key_synonyms};
use super::key::ConfigKey;
use super::load::StaticConfig;
use super::value::Value;

/// Explicitly set values of one resource: key to text.
pub type ConfigMap = BTreeMap<String, String>;

/// Where the value of a setting comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on this broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// Given to the broker when it started.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// The level of a logger.
    DynamicBrokerLogger,
    /// Set on the group.
    DynamicGroup,
}

impl ConfigSource {
    /// Its number in DescribeConfigs and CreateTopics.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::DynamicTopic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::DynamicBrokerLogger => 6,
            Self::DynamicGroup => 8,
        }
    }
}

/// The layers of one broker's configuration.
#[derive(Clone, Copy, Debug)]
pub struct BrokerLayers<'a> {
    /// Set on this broker while it runs.
    pub dynamic_broker: &'a ConfigMap,
    /// Set for all brokers while they run.
    pub dynamic_default: &'a ConfigMap,
    /// What the broker was started with.
    pub statics: &'a StaticConfig,
}

impl<'a> BrokerLayers<'a> {
    const SET: [ConfigSource; 3] =
        [ConfigSource::DynamicBroker, ConfigSource::DynamicDefaultBroker, ConfigSource::StaticBroker];

    /// The text of `key` in one layer.
    #[must_use]
    pub fn text(&self, source: ConfigSource, key: &str) -> Option<&'a str> {
        match source {
            ConfigSource::DynamicTopic | ConfigSource::DynamicBrokerLogger | ConfigSource::DynamicGroup => None,
            ConfigSource::DynamicBroker => self.dynamic_broker.get(key).map(String::as_str),
            ConfigSource::DynamicDefaultBroker => self.dynamic_default.get(key).map(String::as_str),
            ConfigSource::StaticBroker => self.statics.get(key).map(|value| value.text.as_str()),
            ConfigSource::Default => broker_key(key).and_then(|key| key.default),
        }
    }

    /// The value in force for `name`, or for one of its synonyms, with the name under which it stands and its layer.
    /// `None` where Kafka has null. A value that does not parse, which only another program can have written to the
    /// metadata log, is passed over.
    #[must_use]
    pub fn effective(&self, name: &str) -> Option<(&'static ConfigKey, Value, ConfigSource)> {
        for source in Self::SET.into_iter().chain([ConfigSource::Default]) {
            for synonym in broker_key_synonyms(name) {
                let key = broker_key(synonym).expect("settings are read under names that stand in the key tables");
                let value = self.text(source, synonym).and_then(|text| key.parse(text).ok());
                if let Some(value) = value {
                    return Some((key, value, source));
                }
            }
        }
        None
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        self.optional_integer(name).expect("settings read as integers are integers with a default")
    }

    pub(crate) fn optional_integer(&self, name: &str) -> Option<i64> {
        self.effective(name).and_then(|(_, value, _)| value.as_i64())
    }

    pub(crate) fn int(&self, name: &str) -> i32 {
        i32::try_from(self.integer(name)).expect("settings read as 32-bit integers are of that type")
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.effective(name), Some((_, Value::Bool(true), _)))
    }

    pub(crate) fn string(&self, name: &str) -> Option<String> {
        self.effective(name).map(|(_, value, _)| value.to_text()).filter(|text| !text.is_empty())
    }

    pub(crate) fn list(&self, name: &str) -> Option<Vec<String>> {
        match self.effective(name) {
            Some((_, Value::List(entries), _)) => Some(entries),
            Some(_) | None => None,
        }
    }

    /// A setting in milliseconds that may also be given in minutes or hours, whichever name it stands under.
    pub(crate) fn duration_ms(&self, name: &str) -> i64 {
        let (key, value, _) = self.effective(name).expect("durations have a default under one of their names");
        let number = value.as_i64().expect("durations are integers");
        to_milliseconds(key.name, number)
    }
}

/// Milliseconds of a duration that stands under `key`, which names its unit. Negative durations stand for "unlimited"
/// in every unit.
pub(crate) fn to_milliseconds(key: &str, number: i64) -> i64 {
    let unit_ms = match key.rsplit('.').next() {
        Some("hours") => 60 * 60 * 1_000,
        Some("minutes") => 60 * 1_000,
        Some(_) | None => 1,
    };
    number.saturating_mul(unit_ms)
}

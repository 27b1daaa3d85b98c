//! All broker keys of Apache Kafka 4.3, Barnabas' own, and those of older Kafkas with the name of their successor.
//!
//! Look-up only. Loading a broker's configuration and altering it dynamically drive it.

mod group;
mod log;
mod node;
mod other;
mod own;
mod security;

use super::key::ConfigKey;

/// Prefix of keys that override another key for one listener.
const LISTENER_PREFIX: &str = "listener.name.";

/// All broker keys, table by table.
pub fn broker_keys() -> impl Iterator<Item = &'static ConfigKey> {
    shown_broker_keys().chain(own::UNSHOWN)
}

/// Broker keys that DescribeConfigs lists, but for internal ones.
pub(crate) fn shown_broker_keys() -> impl Iterator<Item = &'static ConfigKey> {
    [node::NODE, log::LOG, group::GROUP, security::SECURITY, other::OTHER, own::OWN].into_iter().flatten()
}

/// Looks up a broker key by its exact name.
#[must_use]
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    broker_keys().find(|key| key.name == name)
}

/// The key that `name` overrides for one listener: `listener.name.internal.ssl.keystore.location` gives
/// `ssl.keystore.location`. SASL keys may name a mechanism in between.
#[must_use]
pub fn listener_override(name: &str) -> Option<&'static ConfigKey> {
    let (_, rest) = name.strip_prefix(LISTENER_PREFIX)?.split_once('.')?;
    broker_key(rest).or_else(|| rest.split_once('.').and_then(|(_, base)| broker_key(base)))
}

/// Names under which the same setting may stand in a broker's configuration, the one that wins first
/// (`DynamicBrokerConfig.brokerConfigSynonyms`).
#[must_use]
pub fn broker_key_synonyms(name: &str) -> Vec<&str> {
    match name {
        "log.roll.ms" | "log.roll.hours" => vec!["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => vec!["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => vec!["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            vec!["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        other => vec![other],
    }
}

/// Keys that Kafka 4 has not any more, each with what to do instead. A trailing dot stands for a whole family.
const REMOVED: &[(&str, &str)] = &[
    ("advertised.host.name", "use advertised.listeners"),
    ("advertised.port", "use advertised.listeners"),
    ("auto.include.jmx.reporter", "remove it"),
    ("broker.id.generation.enable", "use node.id"),
    ("control.plane.listener.name", "use controller.listener.names"),
    ("controlled.shutdown.max.retries", "remove it"),
    ("controlled.shutdown.retry.backoff.ms", "remove it"),
    ("delegation.token.master.key", "use delegation.token.secret.key"),
    ("eligible.leader.replicas.enable", "use the feature eligible.leader.replicas.version"),
    ("group.coordinator.new.enable", "remove it"),
    ("host.name", "use listeners"),
    ("inter.broker.protocol.version", "use the feature metadata.version"),
    ("log.message.downconversion.enable", "remove it, old record formats are gone"),
    ("log.message.format.version", "remove it, old record formats are gone"),
    (
        "log.message.timestamp.difference.max.ms",
        "use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms",
    ),
    ("offsets.commit.required.acks", "remove it, commits always use acks=all"),
    ("password.encoder.", "remove it, it belonged to ZooKeeper"),
    ("port", "use listeners"),
    ("remote.log.storage.manager.task.interval.ms", "use remote.log.manager.task.interval.ms"),
    ("reserved.broker.max.id", "use node.id"),
    ("zookeeper.", "use process.roles and controller.quorum.bootstrap.servers (KRaft)"),
];

/// What to do instead of a key of an older Kafka.
#[must_use]
pub fn removed_key(name: &str) -> Option<&'static str> {
    let matches = |known: &str| if known.ends_with('.') { name.starts_with(known) } else { name == known };
    REMOVED.iter().find(|(known, _)| matches(known)).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{ConfigKind, Support, Validator, topic_keys};

    #[test]
    fn every_key_of_kafka_stands_in_the_tables_once() {
        let names: BTreeSet<_> = broker_keys().map(|key| key.name).collect();
        assert_eq!(names.len(), broker_keys().count(), "no key stands twice");
        assert_eq!(broker_keys().count() - own::OWN.len() - own::UNSHOWN.len(), KAFKA_BROKER_KEYS);
        assert_eq!(topic_keys().len(), KAFKA_TOPIC_KEYS);
    }

    /// `KafkaConfig.configDef` of 4.3.1.
    const KAFKA_BROKER_KEYS: usize = 360;
    /// `LogConfig.configDefCopy` of 4.3.1.
    const KAFKA_TOPIC_KEYS: usize = 34;

    #[test]
    fn defaults_pass_their_own_checks() {
        for key in broker_keys().chain(topic_keys()) {
            let Some(default) = key.default else { continue };
            let value = key.parse(default).unwrap_or_else(|error| panic!("{}: {error}", key.name));
            assert_eq!(value.to_text(), default, "{}", key.name);
            assert_eq!(key.refusal(default), None, "{}", key.name);
        }
    }

    #[test]
    fn the_tables_are_consistent() {
        for key in broker_keys().chain(topic_keys()) {
            assert!(key.doc.ends_with('.'), "{}: a line for people is a sentence", key.name);
            assert!(removed_key(key.name).is_none(), "{}: a key is there or gone", key.name);
            let numeric = matches!(key.validator, Validator::AtLeast(_) | Validator::Between(..));
            let number =
                matches!(key.kind, ConfigKind::Int | ConfigKind::Short | ConfigKind::Long | ConfigKind::Double);
            assert!(!numeric || number, "{}: only numbers have ranges", key.name);
        }
    }

    #[test]
    fn secrets_never_work_in_silence() {
        for key in broker_keys().filter(|key| key.is_sensitive()) {
            assert!(matches!(key.support, Support::Refused(_)), "{}", key.name);
        }
    }

    #[test]
    fn listener_overrides_name_their_base() {
        let base = |name| listener_override(name).map(|key| key.name);
        assert_eq!(base("listener.name.internal.ssl.keystore.location"), Some("ssl.keystore.location"));
        assert_eq!(base("listener.name.sasl_ssl.plain.sasl.jaas.config"), Some("sasl.jaas.config"));
        assert_eq!(base("listener.name.internal.nonsense"), None);
        assert_eq!(base("log.dirs"), None);
    }
}

//! Group keys: what can be set on one group, and the broker keys from which a group without its own value inherits.
//!
//! Names, types, defaults, bounds and messages are those of Apache Kafka 4.3 (`GroupConfig`); the other words are ours.
//! All of them are settings of the consumer, share and streams protocols. Kafka lists and stores them for every group id,
//! also for that of a classic group, on which they have no effect; so does this broker, which has only those.

use crate::config::ConfigKey;
use crate::config::key::{InvalidValue, keys};
use crate::config::lookup::{BrokerLayers, ConfigMap};
use crate::config::reasons::{NO_CONSUMER, NO_SHARE, NO_STREAMS};
use crate::config::value::Value;

keys! { GROUP_KEYS

    "consumer.assignment.interval.ms": Int = "1000", AtLeast(0), Group, Ignored(NO_CONSUMER),
        "Shortest time between two assignments of a consumer group.";
    "consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), Group, Ignored(NO_CONSUMER),
        "How often members of a consumer group send heartbeats.";
    "consumer.session.timeout.ms": Int = "45000", AtLeast(1), Group, Ignored(NO_CONSUMER),
        "Silence after which a member of a consumer group is taken for gone.";
    "share.assignment.interval.ms": Int = "1000", AtLeast(0), Group, Ignored(NO_SHARE),
        "Shortest time between two assignments of a share group.";
    "share.auto.offset.reset": Str = "latest", OffsetReset, Group, Ignored(NO_SHARE),
        "Where a share group begins: earliest, latest, or by_duration: and how long ago, as in PT1H.";
    "share.delivery.count.limit": Int = "5", AtLeast(2), Group, Ignored(NO_SHARE),
        "How often a record is delivered to a share group at most.";
    "share.heartbeat.interval.ms": Int = "5000", AtLeast(1), Group, Ignored(NO_SHARE),
        "How often members of a share group send heartbeats.";
    "share.isolation.level": Str =
        "read_uncommitted", OneOf(&["read_committed", "read_uncommitted"]), Group, Ignored(NO_SHARE),
        "Whether a share group is given records of transactions that are not committed.";
    "share.partition.max.record.locks": Int = "2000", AtLeast(100), Group, Ignored(NO_SHARE),
        "Most records of one partition that a share group has under way.";
    "share.record.lock.duration.ms": Int = "30000", AtLeast(1000), Group, Ignored(NO_SHARE),
        "How long a member of a share group has a record to itself.";
    "share.renew.acknowledge.enable": Bool = "true", Any, Group, Ignored(NO_SHARE),
        "Whether a member of a share group may ask for more time.";
    "share.session.timeout.ms": Int = "45000", AtLeast(1), Group, Ignored(NO_SHARE),
        "Silence after which a member of a share group is taken for gone.";
    "streams.assignment.interval.ms": Int = "1000", AtLeast(0), Group, Ignored(NO_STREAMS),
        "Shortest time between two assignments of a streams group.";
    "streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), Group, Ignored(NO_STREAMS),
        "How often members of a streams group send heartbeats.";
    "streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), Group, Ignored(NO_STREAMS),
        "How long the first assignment of a streams group waits for more members.";
    "streams.num.standby.replicas": Int = "0", AtLeast(0), Group, Ignored(NO_STREAMS),
        "Standby copies of each task of a streams group.";
    "streams.session.timeout.ms": Int = "45000", AtLeast(1), Group, Ignored(NO_STREAMS),
        "Silence after which a member of a streams group is taken for gone.";
}

/// Keys without a broker key behind them.
const OWN_ONLY: [&str; 3] = ["share.auto.offset.reset", "share.isolation.level", "share.renew.acknowledge.enable"];

/// Which bound a broker sets for a group's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Min,
    Max,
}

/// (group key, bound, broker key), in the order in which Kafka checks them.
const BOUNDS: &[(&str, Bound, &str)] = &[
    ("consumer.heartbeat.interval.ms", Bound::Min, "group.consumer.min.heartbeat.interval.ms"),
    ("consumer.heartbeat.interval.ms", Bound::Max, "group.consumer.max.heartbeat.interval.ms"),
    ("consumer.session.timeout.ms", Bound::Min, "group.consumer.min.session.timeout.ms"),
    ("consumer.session.timeout.ms", Bound::Max, "group.consumer.max.session.timeout.ms"),
    ("consumer.assignment.interval.ms", Bound::Min, "group.consumer.min.assignment.interval.ms"),
    ("consumer.assignment.interval.ms", Bound::Max, "group.consumer.max.assignment.interval.ms"),
    ("share.heartbeat.interval.ms", Bound::Min, "group.share.min.heartbeat.interval.ms"),
    ("share.heartbeat.interval.ms", Bound::Max, "group.share.max.heartbeat.interval.ms"),
    ("share.session.timeout.ms", Bound::Min, "group.share.min.session.timeout.ms"),
    ("share.session.timeout.ms", Bound::Max, "group.share.max.session.timeout.ms"),
    ("share.record.lock.duration.ms", Bound::Min, "group.share.min.record.lock.duration.ms"),
    ("share.record.lock.duration.ms", Bound::Max, "group.share.max.record.lock.duration.ms"),
    ("share.delivery.count.limit", Bound::Min, "group.share.min.delivery.count.limit"),
    ("share.delivery.count.limit", Bound::Max, "group.share.max.delivery.count.limit"),
    ("share.partition.max.record.locks", Bound::Min, "group.share.min.partition.max.record.locks"),
    ("share.partition.max.record.locks", Bound::Max, "group.share.max.partition.max.record.locks"),
    ("share.assignment.interval.ms", Bound::Min, "group.share.min.assignment.interval.ms"),
    ("share.assignment.interval.ms", Bound::Max, "group.share.max.assignment.interval.ms"),
    ("streams.heartbeat.interval.ms", Bound::Min, "group.streams.min.heartbeat.interval.ms"),
    ("streams.heartbeat.interval.ms", Bound::Max, "group.streams.max.heartbeat.interval.ms"),
    ("streams.session.timeout.ms", Bound::Min, "group.streams.min.session.timeout.ms"),
    ("streams.session.timeout.ms", Bound::Max, "group.streams.max.session.timeout.ms"),
    ("streams.num.standby.replicas", Bound::Max, "group.streams.max.standby.replicas"),
    ("streams.assignment.interval.ms", Bound::Min, "group.streams.min.assignment.interval.ms"),
    ("streams.assignment.interval.ms", Bound::Max, "group.streams.max.assignment.interval.ms"),
];

const PROTOCOLS: [&str; 3] = ["consumer", "share", "streams"];

/// All group keys, by name.
pub(crate) const fn group_keys() -> &'static [ConfigKey] {
    GROUP_KEYS
}

/// The group key of this name.
#[must_use]
pub fn group_key(name: &str) -> Option<&'static ConfigKey> {
    GROUP_KEYS.iter().find(|key| key.name == name)
}

/// The broker key that gives a group its value when it has none of its own.
pub(crate) fn broker_synonym(key: &ConfigKey) -> Option<String> {
    (!OWN_ONLY.contains(&key.name)).then(|| format!("group.{}", key.name))
}

/// The value of a group whose own values are `overrides`.
pub(crate) fn effective_group_value(key: &ConfigKey, layers: &BrokerLayers<'_>, overrides: &ConfigMap) -> Value {
    let own = overrides.get(key.name).and_then(|text| key.parse(text).ok());
    let inherited = || broker_synonym(key).and_then(|name| layers.effective(&name)).map(|(_, value, _)| value);
    let default = || key.default.and_then(|text| key.parse(text).ok()).expect("group keys have defaults that parse");
    own.or_else(inherited).unwrap_or_else(default)
}

/// Checks all values of one group together (`GroupConfig.validate`).
///
/// # Errors
/// The first value that may not be stored.
pub fn validate_group(configs: &ConfigMap, layers: &BrokerLayers<'_>) -> Result<(), InvalidValue> {
    if let Some(name) = configs.keys().find(|name| group_key(name).is_none()) {
        return Err(InvalidValue(format!("Unknown group config name: {name}")));
    }
    for (name, text) in configs {
        group_key(name).expect("all names were looked up before").parse(text)?;
    }
    let number = |name: &str| {
        let key = group_key(name).expect("bounds are of group keys");
        effective_group_value(key, layers, configs).as_i64().expect("bounds are of numbers")
    };
    for (name, bound, broker_name) in BOUNDS {
        // What brokers say of assignment intervals is checked at the brokers.
        if name.ends_with(".assignment.interval.ms") && !configs.contains_key(*name) {
            continue;
        }
        let (value, limit) = (number(name), layers.integer(broker_name));
        let (is_past, words) = match bound {
            Bound::Min => (value < limit, "greater"),
            Bound::Max => (value > limit, "less"),
        };
        if is_past {
            return Err(InvalidValue(format!("{name} must be {words} than or equal to {broker_name}")));
        }
    }
    for protocol in PROTOCOLS {
        let (session, heartbeat) =
            (format!("{protocol}.session.timeout.ms"), format!("{protocol}.heartbeat.interval.ms"));
        if number(&session) <= number(&heartbeat) {
            return Err(InvalidValue(format!("{session} must be greater than {heartbeat}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{StaticConfig, describe_group};

    fn validated(configs: &[(&str, &str)]) -> Result<(), String> {
        let (empty, statics) = (ConfigMap::new(), StaticConfig::default());
        let layers = BrokerLayers { dynamic_broker: &empty, dynamic_default: &empty, statics: &statics };
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        validate_group(&configs, &layers).map_err(|invalid| invalid.0)
    }

    /// What Apache Kafka 4.3.1 answered to the same values.
    #[test]
    fn refusals_are_kafkas() {
        let session = "consumer.session.timeout.ms";
        let refused = [
            (
                session,
                "1000",
                format!("{session} must be greater than or equal to group.consumer.min.session.timeout.ms"),
            ),
            (session, "0", format!("Invalid value 0 for configuration {session}: Value must be at least 1")),
            (session, "x", format!("Invalid value x for configuration {session}: Not a number of type INT")),
            ("no.such", "1", "Unknown group config name: no.such".to_owned()),
            (
                "streams.num.standby.replicas",
                "3",
                "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"
                    .to_owned(),
            ),
            (
                "consumer.heartbeat.interval.ms",
                "50000",
                "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms"
                    .to_owned(),
            ),
            (
                "share.auto.offset.reset",
                "sometimes",
                "Invalid value sometimes for configuration share.auto.offset.reset: Invalid value `sometimes` for \
                 configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format \
                 'by_duration:<PnDTnHnMn.nS>'."
                    .to_owned(),
            ),
        ];
        for (name, value, message) in refused {
            assert_eq!(validated(&[(name, value)]), Err(message));
        }
        let accepted = [
            (session, "46000"),
            ("share.auto.offset.reset", "by_duration:PT1H"),
            ("consumer.heartbeat.interval.ms", "15000"),
        ];
        assert_eq!(validated(&accepted), Ok(()));
    }

    /// Lines of what Apache Kafka 4.3.1 showed.
    #[test]
    fn a_group_shows_its_own_value_before_the_brokers() {
        let (empty, statics) = (ConfigMap::new(), StaticConfig::default());
        let layers = BrokerLayers { dynamic_broker: &empty, dynamic_default: &empty, statics: &statics };
        let own = [("consumer.session.timeout.ms", "46000"), ("share.auto.offset.reset", "by_duration:PT1H")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let shown: Vec<String> = describe_group(&layers, &own)
            .into_iter()
            .map(|entry| {
                let synonyms = entry.synonyms.iter().map(|synonym| {
                    format!(" {}={}/{}", synonym.name, synonym.value.as_deref().unwrap_or("-"), synonym.source.code())
                });
                let (value, source) = (entry.value.unwrap_or_default(), entry.source.code());
                format!("{}={value}/{source}{}", entry.name, synonyms.collect::<String>())
            })
            .collect();
        assert_eq!(shown.len(), 17);
        for line in [
            "consumer.session.timeout.ms=46000/8 consumer.session.timeout.ms=46000/8 group.consumer.session.timeout.ms=45000/5",
            "share.auto.offset.reset=by_duration:PT1H/8 share.auto.offset.reset=by_duration:PT1H/8 share.auto.offset.reset=latest/5",
            "streams.initial.rebalance.delay.ms=3000/5 group.streams.initial.rebalance.delay.ms=3000/5",
            "share.renew.acknowledge.enable=true/5 share.renew.acknowledge.enable=true/5",
        ] {
            assert!(shown.iter().any(|one| one == line), "{line} is not among {shown:#?}");
        }
    }
}

//! Whether a set of dynamic values may be stored: for a topic, for a broker, for all brokers.
//!
//! Messages are Kafka's (`LogConfig.validate`, `DynamicBrokerConfig.validateConfigs`) where Kafka refuses too; keys
//! that do not work here are refused with their reason. The controller drives it.

use super::broker_keys::{broker_key, listener_override};
use super::key::{ConfigKey, InvalidValue, UpdateMode};
use super::lookup::{BrokerLayers, ConfigMap};
use super::topic::effective_topic_value;
use super::topic_keys::topic_key;

/// Checks all values of one topic together.
///
/// # Errors
/// The first value that may not be stored.
pub fn validate_topic(configs: &ConfigMap, layers: &BrokerLayers<'_>) -> Result<(), InvalidValue> {
    if let Some(name) = configs.keys().find(|name| topic_key(name).is_none()) {
        return Err(InvalidValue(format!("Unknown topic config name: {name}")));
    }
    for (name, text) in configs {
        let key = topic_key(name).expect("all names were looked up before");
        key.parse(text)?;
        refuse_unsupported(key, text)?;
    }
    let lag = |name| {
        let key = topic_key(name).expect("compaction lags are topic keys");
        effective_topic_value(key, layers, configs).and_then(|(value, _)| value.as_i64()).unwrap_or(0)
    };
    let (min_lag, max_lag) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    if min_lag > max_lag {
        return Err(InvalidValue(format!(
            "conflict topic config setting min.compaction.lag.ms ({min_lag}) > max.compaction.lag.ms ({max_lag})"
        )));
    }
    Ok(())
}

/// Checks all dynamic values of one broker, or of all brokers, together.
///
/// # Errors
/// The first kind of refusal that applies, with all keys concerned.
pub fn validate_broker(configs: &ConfigMap, for_all_brokers: bool) -> Result<(), InvalidValue> {
    let refuse_all = |message: &str, refused: &dyn Fn(&str) -> bool| {
        let names: Vec<&str> = configs.keys().map(String::as_str).filter(|name| refused(name)).collect();
        if names.is_empty() { Ok(()) } else { Err(InvalidValue(format!("{message}: [{}]", names.join(", ")))) }
    };
    let is_static = |name: &str| broker_key(name).is_some_and(|key| !key.is_dynamic());
    refuse_all("Cannot update these configs dynamically", &is_static)?;
    // Security settings have no listener named here, so they would apply to all listeners at once (KIP-226).
    let is_bare_tls = |name: &str| name.starts_with("ssl.") && broker_key(name).is_some();
    refuse_all(
        "These security configs can be dynamically updated only per-listener using the listener prefix",
        &is_bare_tls,
    )?;
    for (name, text) in configs {
        if let Some(key) = broker_key(name).or_else(|| listener_override(name)) {
            key.parse(text)?;
        }
    }
    if for_all_brokers {
        let is_single = |name: &str| {
            listener_override(name).is_some() || broker_key(name).is_some_and(|key| key.update == UpdateMode::PerBroker)
        };
        refuse_all("Cannot update these configs at default cluster level, broker id must be specified", &is_single)?;
    }
    refuse_all("Settings of single listeners do not work yet", &|name| listener_override(name).is_some())?;
    for (name, text) in configs {
        if let Some(key) = broker_key(name) {
            refuse_unsupported(key, text)?;
            refuse_running_listeners(key)?;
        }
    }
    Ok(())
}

fn refuse_unsupported(key: &ConfigKey, text: &str) -> Result<(), InvalidValue> {
    match key.refusal(text) {
        None => Ok(()),
        Some(reason) => Err(key.invalid(text, format!("not accepted: {reason}"))),
    }
}

/// Listeners of a running broker stay as they are; accepting a change without effect would be worse.
fn refuse_running_listeners(key: &ConfigKey) -> Result<(), InvalidValue> {
    if matches!(key.name, "listeners" | "listener.security.protocol.map") {
        return Err(InvalidValue(format!("Changing {} of a running broker does not work yet", key.name)));
    }
    Ok(())
}

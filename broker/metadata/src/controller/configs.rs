//! Changing dynamic configuration of topics and brokers, step by step (KIP-339) or as a whole.
//!
//! Follows Kafka's `ConfigAdminManager` and `ConfigurationControlManager` in what is refused, with which code and
//! message. A resource changes as a whole or not at all.

use std::collections::BTreeSet;

use barnabas_base::BrokerId;
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::MetadataRecord;
use barnabas_wire::internal::metadata_schema::ConfigRecord;
use barnabas_wire::limits::STRING_BYTES_MAX;
use barnabas_wire::message::alter_configs::{
    self as legacy, AlterConfigsRequest, AlterConfigsResourceResponse as LegacyResponse, AlterConfigsResponse,
};
use barnabas_wire::message::incremental_alter_configs::{
    self as incremental, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::names::invalid_topic_name;
use super::refusal::{Refusal, code_and_message};
use super::{CONFIG_ENTRIES_MAX, ControllerCore, Decision, Work};
use crate::config::{
    ConfigKey, ConfigKind, ConfigMap, broker_key, group_key, topic_key, validate_broker, validate_group, validate_topic,
};
use crate::image::{ConfigResource, ResourceKind};

/// What to do with one key (`AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Delete => "DELETE",
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        }
    }
}

/// The change of one key.
struct Change<'a> {
    name: &'a str,
    operation: Operation,
    value: Option<&'a str>,
}

impl ControllerCore {
    /// Changes single keys of resources.
    pub fn incremental_alter_configs(
        &mut self,
        request: &IncrementalAlterConfigsRequest,
    ) -> Decision<IncrementalAlterConfigsResponse> {
        let mut work = self.work();
        let repeated = repeated(request.resources.iter().map(|one| (one.resource_type, one.resource_name.as_str())));
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let is_repeated = repeated.contains(&(resource.resource_type, resource.resource_name.as_str()));
            let outcome = self.alter_incrementally(resource, is_repeated, &mut work);
            let (error_code, error_message) = code_and_message(&outcome);
            responses.push(AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
            });
        }
        let response = IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses };
        if request.validate_only { self.answered(response) } else { self.decided(work, response) }
    }

    /// Replaces everything that is set on resources.
    pub fn alter_configs(&mut self, request: &AlterConfigsRequest) -> Decision<AlterConfigsResponse> {
        let mut work = self.work();
        let repeated = repeated(request.resources.iter().map(|one| (one.resource_type, one.resource_name.as_str())));
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let is_repeated = repeated.contains(&(resource.resource_type, resource.resource_name.as_str()));
            let outcome = self.replace_all(resource, is_repeated, &mut work);
            let (error_code, error_message) = code_and_message(&outcome);
            responses.push(LegacyResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
            });
        }
        let response = AlterConfigsResponse { throttle_time_ms: 0, responses };
        if request.validate_only { self.answered(response) } else { self.decided(work, response) }
    }

    fn alter_incrementally(
        &self,
        request: &incremental::AlterConfigsResource,
        is_repeated: bool,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let mut changes = Vec::with_capacity(request.configs.len());
        for config in &request.configs {
            let operation = Operation::from_code(config.config_operation).ok_or_else(|| {
                Refusal::invalid_request(format!("Unknown operations type {}", config.config_operation))
            })?;
            changes.push(Change { name: &config.name, operation, value: config.value.as_deref() });
        }
        check_changes(&changes, is_repeated)?;
        let resource = self.resource(request.resource_type, &request.resource_name)?;
        let old = work.image.config(&resource).clone();
        let mut new = old.clone();
        for change in &changes {
            apply_change(&resource, change, &mut new)?;
        }
        let named: BTreeSet<&str> = changes.iter().map(|change| change.name).collect();
        self.store(&resource, &old, &new, &named, work)
    }

    fn replace_all(
        &self,
        request: &legacy::AlterConfigsResource,
        is_repeated: bool,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        let mut changes = Vec::with_capacity(request.configs.len());
        for legacy::AlterableConfig { name, value } in &request.configs {
            changes.push(Change { name, operation: Operation::Set, value: value.as_deref() });
        }
        check_changes(&changes, is_repeated)?;
        let resource = self.resource(request.resource_type, &request.resource_name)?;
        let old = work.image.config(&resource).clone();
        let new = changes.iter().filter_map(|one| Some((one.name.to_owned(), one.value?.to_owned()))).collect();
        let named: BTreeSet<&str> = changes.iter().map(|change| change.name).collect();
        self.store(&resource, &old, &new, &named, work)
    }

    /// Which resource is meant, if its configuration can be changed.
    fn resource(&self, code: i8, name: &str) -> Result<ConfigResource, Refusal> {
        let unknown = || Refusal::invalid_request(format!("Unknown resource type {code}"));
        let kind = ResourceKind::from_code(code).ok_or_else(unknown)?;
        match kind {
            ResourceKind::Topic | ResourceKind::Group => {}
            ResourceKind::Broker => {
                if !name.is_empty() {
                    check_broker_name(name, self.node_id())?;
                }
            }
            ResourceKind::BrokerLogger => {
                return Err(Refusal::invalid_request("Changing log levels of a running broker does not work yet."));
            }
            ResourceKind::ClientMetrics => {
                return Err(Refusal::invalid_request("Client metrics are not collected."));
            }
        }
        Ok(ConfigResource { kind, name: name.to_owned() })
    }

    /// Checks the new values and adds the records that lead to them.
    fn store(
        &self,
        resource: &ConfigResource,
        old: &ConfigMap,
        new: &ConfigMap,
        named: &BTreeSet<&str>,
        work: &mut Work,
    ) -> Result<(), Refusal> {
        check_sizes(new, named)?;
        if new.len() > old.len().max(CONFIG_ENTRIES_MAX) {
            return Err(Refusal::too_many_settings());
        }
        match resource.kind {
            ResourceKind::Topic => self.check_topic(&resource.name, new, work)?,
            ResourceKind::Group => self.check_group(&resource.name, new, work)?,
            ResourceKind::Broker | ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => {
                self.check_broker(&resource.name, new, work)?;
            }
        }
        let keys: BTreeSet<&str> = old.keys().map(String::as_str).chain(named.iter().copied()).collect();
        let records = keys.into_iter().filter_map(|key| {
            let (before, after) = (old.get(key), new.get(key));
            // KAFKA-14136: a broker's key that is set again makes it reload what the value names, such as a key store.
            let is_reload = resource.kind == ResourceKind::Broker && named.contains(key);
            (before != after || is_reload).then(|| config_record(resource, key, after.cloned()))
        });
        work.add(records.collect())
    }

    /// Each value alone, then the whole configuration that the broker would have with them
    /// (`DynamicBrokerConfig.processReconfiguration`). INVALID_REQUEST, not INVALID_CONFIG, is what Kafka answers for
    /// brokers (KAFKA-13609).
    fn check_broker(&self, name: &str, new: &ConfigMap, work: &Work) -> Result<(), Refusal> {
        validate_broker(new, name.is_empty()).map_err(|invalid| Refusal::invalid_request(invalid.0))?;
        let own = self.own_resource();
        let layers = work.layers(&self.config, &own);
        let candidate = match name.is_empty() {
            true => self.config.with_dynamic(new, layers.dynamic_broker),
            false => self.config.with_dynamic(layers.dynamic_default, new),
        };
        candidate.map(drop).map_err(|problems| {
            let messages: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            Refusal::invalid_request(messages.join("; "))
        })
    }

    /// A group need not exist: what is set waits for it.
    fn check_group(&self, name: &str, new: &ConfigMap, work: &Work) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::invalid_request("Default group resources are not allowed."));
        }
        let own = self.own_resource();
        validate_group(new, &work.layers(&self.config, &own)).map_err(|invalid| Refusal::invalid_config(invalid.0))
    }

    fn check_topic(&self, name: &str, new: &ConfigMap, work: &Work) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::invalid_request("Default topic resources are not allowed."));
        }
        if let Some(message) = invalid_topic_name(name) {
            return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
        }
        let own = self.own_resource();
        validate_topic(new, &work.layers(&self.config, &own)).map_err(|invalid| Refusal::invalid_config(invalid.0))?;
        if work.image.topic_id(name).is_none() {
            let message = format!("The topic '{name}' does not exist.");
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, message));
        }
        Ok(())
    }
}

/// The resources that a request names more than once. A request may name a million of them.
fn repeated<'a>(places: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, &'a str)> {
    let mut seen = BTreeSet::new();
    places.filter(|place| !seen.insert(*place)).collect()
}

fn check_changes(changes: &[Change<'_>], is_repeated: bool) -> Result<(), Refusal> {
    if is_repeated {
        return Err(Refusal::invalid_request("Each resource must appear at most once."));
    }
    let names: BTreeSet<&str> = changes.iter().map(|change| change.name).collect();
    if names.len() < changes.len() {
        return Err(Refusal::invalid_request("Error due to duplicate config keys"));
    }
    let is_null = |change: &&Change<'_>| change.operation != Operation::Delete && change.value.is_none();
    let nulls: Vec<&str> = changes.iter().filter(is_null).map(|change| change.name).collect();
    if nulls.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid_request(format!("Null value not supported for : {}", nulls.join(", "))))
}

/// A request brings no value that long, but an APPEND makes one of two (KAFKA-18020).
fn check_sizes(configs: &ConfigMap, named: &BTreeSet<&str>) -> Result<(), Refusal> {
    let altered = named.iter().filter_map(|name| configs.get(*name));
    if altered.into_iter().all(|value| value.len() <= STRING_BYTES_MAX) {
        return Ok(());
    }
    Err(Refusal::invalid_config(format!(
        "The configuration value cannot be added because it exceeds the maximum value size of {STRING_BYTES_MAX} bytes."
    )))
}

fn check_broker_name(name: &str, node_id: BrokerId) -> Result<(), Refusal> {
    let id: i32 =
        name.parse().map_err(|_| Refusal::invalid_request(format!("Node id must be an integer, but it is: {name}")))?;
    if BrokerId(id) == node_id {
        return Ok(());
    }
    Err(Refusal::invalid_request(format!("Unexpected broker id, expected {node_id}, but received {name}")))
}

fn apply_change(resource: &ConfigResource, change: &Change<'_>, configs: &mut ConfigMap) -> Result<(), Refusal> {
    let value = change.value.unwrap_or_default();
    match change.operation {
        Operation::Set => drop(configs.insert(change.name.to_owned(), value.to_owned())),
        Operation::Delete => drop(configs.remove(change.name)),
        Operation::Append | Operation::Subtract => {
            let key = key_of(resource, change.name).filter(|key| key.kind == ConfigKind::List).ok_or_else(|| {
                Refusal::invalid_config(format!(
                    "Can't {} to key {} because its type is not LIST.",
                    change.operation.name(),
                    change.name
                ))
            })?;
            let current = configs.get(change.name).map(String::as_str).or(key.default).unwrap_or_default();
            let mut entries: Vec<&str> = current.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
            for entry in value.split(',').map(str::trim) {
                let position = entries.iter().position(|known| *known == entry);
                match (change.operation, position) {
                    (Operation::Append, None) => entries.push(entry),
                    (Operation::Subtract, Some(position)) => drop(entries.remove(position)),
                    (Operation::Set | Operation::Delete | Operation::Append | Operation::Subtract, _) => {}
                }
            }
            let joined = entries.join(",");
            configs.insert(change.name.to_owned(), joined);
        }
    }
    Ok(())
}

fn key_of(resource: &ConfigResource, name: &str) -> Option<&'static ConfigKey> {
    match resource.kind {
        ResourceKind::Topic => topic_key(name),
        ResourceKind::Broker => broker_key(name),
        ResourceKind::Group => group_key(name),
        ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => None,
    }
}

fn config_record(resource: &ConfigResource, key: &str, value: Option<String>) -> MetadataRecord {
    ConfigRecord {
        resource_type: resource.kind.code(),
        resource_name: resource.name.clone(),
        name: key.to_owned(),
        value,
    }
    .into()
}

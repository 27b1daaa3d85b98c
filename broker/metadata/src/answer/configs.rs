//! DescribeConfigs and ListConfigResources.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::BrokerId;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use barnabas_wire::message::list_config_resources::ConfigResource as ListedResource;
use barnabas_wire::message::{
    DescribeConfigsRequest, DescribeConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use crate::config::{
    BrokerConfig, BrokerLayers, ConfigEntry, ConfigSource, describe_broker, describe_broker_default, describe_group,
    describe_topic,
};
use crate::controller::invalid_topic_name;
use crate::image::{ClusterImage, ConfigResource, ResourceKind};

/// First version of ListConfigResources that names kinds; before it, only subscriptions to client metrics are listed.
const KINDS_SINCE: i16 = 1;

/// `ConfigType.UNKNOWN`, which Kafka answers for log levels.
const UNKNOWN_TYPE: i8 = 0;

/// A source of log lines and the lowest level that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logger {
    /// Its name; `root` stands for all that are not listed.
    pub name: &'static str,
    /// Kafka's name of the level.
    pub level: &'static str,
}

/// A refusal with Kafka's words.
type Refused = (ErrorCode, String);

/// Answers DescribeConfigs.
#[must_use]
pub fn describe_configs(
    image: &ClusterImage,
    broker: &BrokerConfig,
    loggers: &[Logger],
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = asked(request).into_iter().map(|Asked { resource, keys }| {
        let described = describe_resource(image, broker, loggers, resource);
        let (code, message, entries) = match described {
            Ok(entries) => (ErrorCode::None, None, entries),
            Err((code, message)) => (code, Some(message), Vec::new()),
        };
        let wanted = |entry: &ConfigEntry| keys.as_ref().is_none_or(|keys| keys.contains(entry.name.as_str()));
        DescribeConfigsResult {
            error_code: code.code(),
            error_message: message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: entries.into_iter().filter(wanted).map(|entry| to_wire(entry, request)).collect(),
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() }
}

/// One resource with the keys that are asked of it; `None` asks for all.
struct Asked<'a> {
    resource: &'a DescribeConfigsResource,
    keys: Option<BTreeSet<&'a str>>,
}

/// Each resource once, in the order of first mention: a few bytes of a request name a resource again, and its entries
/// are thousands of times as many.
fn asked(request: &DescribeConfigsRequest) -> Vec<Asked<'_>> {
    let mut all: Vec<Asked<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for resource in &request.resources {
        let keys = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
        let keys: Option<BTreeSet<&str>> = keys.map(|keys| keys.iter().map(String::as_str).collect());
        let place = *places.entry((resource.resource_type, identity(resource))).or_insert(all.len());
        match all.get_mut(place) {
            None => all.push(Asked { resource, keys }),
            Some(known) => {
                known.keys = known.keys.take().zip(keys).map(|(mut known, more)| {
                    known.extend(more);
                    known
                });
            }
        }
    }
    all
}

/// What names the same resource: ids of brokers read as numbers, so that `1` and `01` are one.
fn identity(resource: &DescribeConfigsResource) -> Cow<'_, str> {
    let name = resource.resource_name.as_str();
    let id = match ResourceKind::from_code(resource.resource_type) {
        Some(ResourceKind::Broker | ResourceKind::BrokerLogger) => name.parse::<i32>().ok(),
        Some(ResourceKind::Topic | ResourceKind::ClientMetrics | ResourceKind::Group) | None => None,
    };
    id.map_or(Cow::Borrowed(name), |id| Cow::Owned(id.to_string()))
}

fn describe_resource(
    image: &ClusterImage,
    broker: &BrokerConfig,
    loggers: &[Logger],
    resource: &DescribeConfigsResource,
) -> Result<Vec<ConfigEntry>, Refused> {
    let own = ConfigResource::broker(broker.node_id);
    let layers = BrokerLayers {
        dynamic_broker: image.config(&own),
        dynamic_default: image.config(&ConfigResource::all_brokers()),
        statics: &broker.statics,
    };
    let name = &resource.resource_name;
    match ResourceKind::from_code(resource.resource_type) {
        Some(ResourceKind::Topic) => describe_one_topic(image, &layers, name),
        Some(ResourceKind::Broker) if name.is_empty() => Ok(describe_broker_default(&layers)),
        Some(ResourceKind::Broker) => check_broker(broker.node_id, name).map(|()| describe_own(broker, &layers)),
        Some(ResourceKind::BrokerLogger) => {
            check_logger_broker(broker.node_id, name).map(|()| loggers.iter().map(logger_entry).collect())
        }
        // Subscriptions to client metrics do not exist here; that is an empty answer in Kafka.
        Some(ResourceKind::ClientMetrics) if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Client metrics subscription name must not be empty".to_owned()))
        }
        Some(ResourceKind::Group) if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Group name must not be empty".to_owned()))
        }
        Some(ResourceKind::Group) => Ok(describe_group(&layers, image.config(&ConfigResource::group(name)))),
        Some(ResourceKind::ClientMetrics) => Ok(Vec::new()),
        None => Err((ErrorCode::InvalidRequest, format!("Unsupported resource type: {}", resource.resource_type))),
    }
}

fn describe_one_topic(
    image: &ClusterImage,
    layers: &BrokerLayers<'_>,
    name: &str,
) -> Result<Vec<ConfigEntry>, Refused> {
    if let Some(message) = invalid_topic_name(name) {
        return Err((ErrorCode::InvalidTopicException, message));
    }
    match image.topic_by_name(name) {
        Some(_) => Ok(describe_topic(layers, image.topic_config(name))),
        None => Err((ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned())),
    }
}

/// The broker's own entries. Kafka fills in each of the two names of its id from the other (`KafkaConfig.populateSynonyms`).
fn describe_own(broker: &BrokerConfig, layers: &BrokerLayers<'_>) -> Vec<ConfigEntry> {
    let mut entries = describe_broker(layers);
    for entry in entries.iter_mut().filter(|entry| matches!(entry.name.as_str(), "node.id" | "broker.id")) {
        entry.value = Some(broker.node_id.to_string());
    }
    entries
}

fn check_broker(own: BrokerId, name: &str) -> Result<(), Refused> {
    match name.parse::<i32>() {
        Ok(id) if id == own.0 => Ok(()),
        Ok(_) => Err((
            ErrorCode::InvalidRequest,
            format!("Unexpected broker id, expected {own} or empty string, but received {name}"),
        )),
        Err(_) => Err((ErrorCode::InvalidRequest, format!("Broker id must be an integer, but it is: {name}"))),
    }
}

/// Unlike for the settings of a broker, no name does not stand for all brokers.
fn check_logger_broker(own: BrokerId, name: &str) -> Result<(), Refused> {
    let refused = |message: String| Err((ErrorCode::InvalidRequest, message));
    match name.parse::<i32>() {
        _ if name.is_empty() => refused("Broker id must not be empty".to_owned()),
        Ok(id) if id == own.0 => Ok(()),
        Ok(_) => refused(format!("Unexpected broker id, expected {own} but received {name}")),
        Err(_) => refused(format!("Broker id must be an integer, but it is: {name}")),
    }
}

fn logger_entry(logger: &Logger) -> ConfigEntry {
    ConfigEntry {
        name: logger.name.to_owned(),
        value: Some(logger.level.to_owned()),
        // In Kafka they change at run time; here they are given when the process starts.
        read_only: true,
        source: ConfigSource::DynamicBrokerLogger,
        is_sensitive: false,
        synonyms: Vec::new(),
        kind_code: UNKNOWN_TYPE,
        documentation: "",
    }
}

fn to_wire(entry: ConfigEntry, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: synonym.name,
        value: synonym.value,
        source: synonym.source.code(),
    });
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.is_sensitive,
        synonyms: if request.include_synonyms { synonyms.collect() } else { Vec::new() },
        config_type: entry.kind_code,
        documentation: request.include_documentation.then(|| entry.documentation.to_owned()),
    }
}

/// Answers ListConfigResources (KIP-1142).
#[must_use]
pub fn list_config_resources(
    image: &ClusterImage,
    version: i16,
    request: &ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let kinds: Vec<i8> = if version < KINDS_SINCE {
        vec![ResourceKind::ClientMetrics.code()]
    } else if request.resource_types.is_empty() {
        let all = [ResourceKind::Group, ResourceKind::BrokerLogger, ResourceKind::Broker, ResourceKind::Topic];
        all.map(ResourceKind::code).to_vec()
    } else {
        let mut seen = BTreeSet::new();
        request.resource_types.iter().copied().filter(|kind| seen.insert(*kind)).collect()
    };
    let mut listed = Vec::new();
    for kind in kinds {
        let names: Vec<String> = match ResourceKind::from_code(kind) {
            Some(ResourceKind::Topic) => image.topics().map(|topic| topic.name.to_string()).collect(),
            Some(ResourceKind::Broker | ResourceKind::BrokerLogger) => {
                image.brokers().map(|broker| broker.id.to_string()).collect()
            }
            // Groups are those with settings of their own, as in Kafka's `GroupConfigManager`.
            Some(ResourceKind::Group) => {
                let configs =
                    image.configs().filter(|(resource, own)| resource.kind == ResourceKind::Group && !own.is_empty());
                configs.map(|(resource, _)| resource.name.clone()).collect()
            }
            Some(ResourceKind::ClientMetrics) => Vec::new(),
            None => {
                let error_code = ErrorCode::UnsupportedVersion.code();
                return ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() };
            }
        };
        let resources = names.into_iter().map(|resource_name| ListedResource { resource_name, resource_type: kind });
        listed.extend(resources);
    }
    ListConfigResourcesResponse { config_resources: listed, ..ListConfigResourcesResponse::default() }
}

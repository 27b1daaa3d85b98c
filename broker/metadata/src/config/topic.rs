//! The typed configuration of one topic: its own values above those of the broker.
//!
//! Plain data. A partition's log and its leader read it; a change of configuration makes a new one.

use super::key::ConfigKey;
use super::lookup::{BrokerLayers, ConfigMap, ConfigSource, to_milliseconds};
use super::topic_keys::{Unit, broker_synonyms, topic_key};
use super::value::Value;

/// Which codec stored batches have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// The producer's.
    Producer,
    /// None.
    Uncompressed,
    /// gzip at a level; −1 is the codec's own.
    Gzip {
        /// The level.
        level: i32,
    },
    /// snappy.
    Snappy,
    /// lz4 at a level.
    Lz4 {
        /// The level.
        level: i32,
    },
    /// zstd at a level.
    Zstd {
        /// The level.
        level: i32,
    },
}

/// Whose time records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// That of the append.
    LogAppendTime,
}

/// The configuration of one topic. Fields are named after the keys.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy` names delete.
    pub cleanup_delete: bool,
    /// `cleanup.policy` names compact.
    pub cleanup_compact: bool,
    /// `compression.type` with its level.
    pub compression: CompressionType,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: i32,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `max.message.bytes`.
    pub max_message_bytes: i32,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `preallocate`.
    pub preallocate: bool,
    /// `retention.bytes`; `None` is unlimited.
    pub retention_bytes: Option<i64>,
    /// `retention.ms`; `None` is unlimited.
    pub retention_ms: Option<i64>,
    /// `segment.bytes`.
    pub segment_bytes: i32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: i32,
    /// `segment.jitter.ms`.
    pub segment_jitter_ms: i64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
}

impl TopicConfig {
    /// The configuration of a topic whose own values are `overrides`, on a broker with `layers`.
    #[must_use]
    pub fn resolve(layers: &BrokerLayers<'_>, overrides: &ConfigMap) -> Self {
        let topic = TopicLayers { layers, overrides };
        let policies = match topic.value("cleanup.policy") {
            Value::List(policies) => policies,
            other => vec![other.to_text()],
        };
        let has = |policy: &str| policies.iter().any(|one| one == policy);
        let unlimited = |number: i64| (number >= 0).then_some(number);
        Self {
            cleanup_delete: has("delete"),
            cleanup_compact: has("compact"),
            compression: topic.compression(),
            delete_retention_ms: topic.long("delete.retention.ms"),
            file_delete_delay_ms: topic.long("file.delete.delay.ms"),
            index_interval_bytes: topic.int("index.interval.bytes"),
            max_compaction_lag_ms: topic.long("max.compaction.lag.ms"),
            max_message_bytes: topic.int("max.message.bytes"),
            timestamp_after_max_ms: topic.long("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: topic.long("message.timestamp.before.max.ms"),
            timestamp_type: match topic.value("message.timestamp.type").to_text().as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: topic.double("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: topic.long("min.compaction.lag.ms"),
            min_insync_replicas: topic.int("min.insync.replicas"),
            preallocate: topic.flag("preallocate"),
            retention_bytes: unlimited(topic.long("retention.bytes")),
            retention_ms: unlimited(topic.long("retention.ms")),
            segment_bytes: topic.segment_bytes(),
            segment_index_bytes: topic.int("segment.index.bytes"),
            segment_jitter_ms: topic.long("segment.jitter.ms"),
            segment_ms: topic.long("segment.ms"),
            unclean_leader_election: topic.flag("unclean.leader.election.enable"),
        }
    }
}

/// The value in force for a topic key, with where it comes from; `None` where Kafka has null.
///
/// A broker key in hours gives its milliseconds. A value that does not parse, which only another program can have
/// written to the metadata log, is passed over.
pub(crate) fn effective_topic_value(
    key: &ConfigKey,
    layers: &BrokerLayers<'_>,
    overrides: &ConfigMap,
) -> Option<(Value, ConfigSource)> {
    if let Some(value) = overrides.get(key.name).and_then(|text| key.parse(text).ok()) {
        return Some((value, ConfigSource::DynamicTopic));
    }
    for source in [ConfigSource::DynamicBroker, ConfigSource::DynamicDefaultBroker, ConfigSource::StaticBroker] {
        for (broker_key, unit) in broker_synonyms(key.name) {
            let Some(text) = layers.text(source, broker_key) else { continue };
            let converted = match unit {
                Unit::Same => text.to_owned(),
                Unit::Minutes | Unit::Hours => {
                    let Ok(number) = text.trim().parse() else { continue };
                    to_milliseconds(broker_key, number).to_string()
                }
            };
            if let Ok(value) = key.parse(unlimited_retention(key.name, &converted)) {
                return Some((value, source));
            }
        }
    }
    let default = key.default?;
    Some((key.parse(default).expect("defaults pass their own checks"), ConfigSource::Default))
}

/// Any negative retention of a broker is the topic's −1 (`KafkaConfig.logRetentionTimeMillis`).
fn unlimited_retention<'a>(topic_key: &str, text: &'a str) -> &'a str {
    let is_negative = topic_key == "retention.ms" && text.trim().starts_with('-');
    if is_negative { "-1" } else { text }
}

struct TopicLayers<'a> {
    layers: &'a BrokerLayers<'a>,
    overrides: &'a ConfigMap,
}

impl TopicLayers<'_> {
    fn value(&self, name: &str) -> Value {
        let key = topic_key(name).expect("settings are read under names that stand in the key tables");
        let (value, _) =
            effective_topic_value(key, self.layers, self.overrides).expect("topic keys read here have defaults");
        value
    }

    fn long(&self, name: &str) -> i64 {
        self.value(name).as_i64().expect("settings read as integers are integers")
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).expect("settings read as 32-bit integers are of that type")
    }

    /// `internal.segment.bytes` wins where it is set (`LogConfig.segmentSize`).
    fn segment_bytes(&self) -> i32 {
        let internal = self.overrides.get("internal.segment.bytes").and_then(|text| text.trim().parse().ok());
        internal.filter(|bytes| *bytes > 0).unwrap_or_else(|| self.int("segment.bytes"))
    }

    fn flag(&self, name: &str) -> bool {
        self.value(name) == Value::Bool(true)
    }

    fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Double(number) => number,
            _ => panic!("settings read as floating-point numbers are such"),
        }
    }

    fn compression(&self) -> CompressionType {
        match self.value("compression.type").to_text().as_str() {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip { level: self.int("compression.gzip.level") },
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4 { level: self.int("compression.lz4.level") },
            "zstd" => CompressionType::Zstd { level: self.int("compression.zstd.level") },
            _ => CompressionType::Producer,
        }
    }
}

//! What a topic's configuration means to its logs, and which topic is the coordinators'. Pure translation for the shell.

use std::borrow::Cow;

use barnabas_commitlog::{CleanupPolicy, FlushPolicy, LogConfig};
use barnabas_metadata::config::{
    BrokerConfig, BrokerLayers, CompressionType, FlushPolicy as ConfiguredFlush, TimestampType as ConfiguredTimestamp,
    TopicConfig,
};
use barnabas_metadata::controller::CONSUMER_OFFSETS_TOPIC;
use barnabas_metadata::image::{ClusterImage, ConfigResource};
use barnabas_wire::record::{Compression, TimestampType};

/// Whether the topic holds committed offsets.
pub(crate) fn is_offsets_topic(name: &str) -> bool {
    name == CONSUMER_OFFSETS_TOPIC
}

static ALL_BROKERS: ConfigResource = ConfigResource::all_brokers();

/// The configuration of this broker under `image`: what it was started with, and dynamic values above that. Without
/// these where they do not hold together with what this start was given, as in Kafka; [`tell_of_misfits`] says so.
pub(crate) fn broker_config<'a>(broker: &'a BrokerConfig, image: &ClusterImage) -> Cow<'a, BrokerConfig> {
    let own = ConfigResource::broker(broker.node_id);
    let (for_all, for_this) = (image.config(&ALL_BROKERS), image.config(&own));
    // Thousands of partitions ask at a start.
    if for_all.is_empty() && for_this.is_empty() {
        return Cow::Borrowed(broker);
    }
    broker.with_dynamic(for_all, for_this).map_or(Cow::Borrowed(broker), Cow::Owned)
}

/// Tells people of dynamic values that [`broker_config`] passes over.
pub(crate) fn tell_of_misfits(broker: &BrokerConfig, image: &ClusterImage) {
    let own = ConfigResource::broker(broker.node_id);
    for problem in broker.with_dynamic(image.config(&ALL_BROKERS), image.config(&own)).err().unwrap_or_default() {
        tracing::error!(target: "KafkaConfig", "no dynamic configuration of brokers is in force: {problem}");
    }
}

/// The layers of this broker's configuration under `image`.
pub(crate) fn layers<'a>(
    broker: &'a BrokerConfig,
    image: &'a ClusterImage,
    own: &'a ConfigResource,
) -> BrokerLayers<'a> {
    BrokerLayers {
        dynamic_broker: image.config(own),
        dynamic_default: image.config(&ALL_BROKERS),
        statics: &broker.statics,
    }
}

/// The configuration of the topic `name` on this broker.
pub(crate) fn topic_config(broker: &BrokerConfig, image: &ClusterImage, name: &str) -> TopicConfig {
    let own = ConfigResource::broker(broker.node_id);
    TopicConfig::resolve(&layers(broker, image, &own), image.topic_config(name))
}

/// What `config` means to a log.
pub(crate) fn log_config(broker: &BrokerConfig, config: &TopicConfig) -> LogConfig {
    let bytes = |value: i32| u32::try_from(value).unwrap_or(0);
    let (compression, compression_level) = compression(config.compression);
    LogConfig {
        segment_bytes: bytes(config.segment_bytes),
        segment_ms: config.segment_ms,
        segment_jitter_ms: config.segment_jitter_ms,
        index_bytes_max: bytes(config.segment_index_bytes),
        index_interval_bytes: bytes(config.index_interval_bytes),
        retention_ms: config.retention_ms.unwrap_or(-1),
        retention_bytes: config.retention_bytes.unwrap_or(-1),
        max_message_bytes: bytes(config.max_message_bytes),
        cleanup: CleanupPolicy { delete: config.cleanup_delete, compact: config.cleanup_compact },
        min_cleanable_ratio: config.min_cleanable_dirty_ratio,
        delete_retention_ms: config.delete_retention_ms,
        min_compaction_lag_ms: config.min_compaction_lag_ms,
        max_compaction_lag_ms: config.max_compaction_lag_ms,
        file_delete_delay_ms: config.file_delete_delay_ms,
        timestamp_type: match config.timestamp_type {
            ConfiguredTimestamp::CreateTime => TimestampType::CreateTime,
            ConfiguredTimestamp::LogAppendTime => TimestampType::LogAppendTime,
        },
        before_max_ms: config.timestamp_before_max_ms,
        after_max_ms: config.timestamp_after_max_ms,
        compression,
        compression_level,
        flush_policy: match broker.flush_policy {
            ConfiguredFlush::Ack => FlushPolicy::Ack,
            ConfiguredFlush::Os => FlushPolicy::Os,
        },
        producer_id_expiration_ms: broker.logs.producer_id_expiration_ms,
        preallocate: config.preallocate,
        headroom_bytes: 0,
    }
}

/// Codec and level of stored batches; no codec keeps the producer's.
fn compression(configured: CompressionType) -> (Option<Compression>, Option<i32>) {
    match configured {
        CompressionType::Producer => (None, None),
        CompressionType::Uncompressed => (Some(Compression::None), None),
        CompressionType::Gzip { level } => (Some(Compression::Gzip), Some(level)),
        CompressionType::Snappy => (Some(Compression::Snappy), None),
        CompressionType::Lz4 { level } => (Some(Compression::Lz4), Some(level)),
        CompressionType::Zstd { level } => (Some(Compression::Zstd), Some(level)),
    }
}

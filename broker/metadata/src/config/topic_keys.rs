//! Topic keys, and the broker keys from which a topic without its own value inherits.
//!
//! Names, types, defaults and bounds are those of Apache Kafka 4.3 (`LogConfig`, `ServerTopicConfigSynonyms`); the words
//! are ours. A table, not code: `config::resolve` and the controller look keys up in it.

use crate::config::ConfigKey;
use crate::config::key::keys;
use crate::config::reasons::{FLUSH, LONE, NO_TIER, TIER};

keys! { TOPIC_KEYS

    "cleanup.policy": List = "delete", OneOf(&["compact", "delete"]), Topic, Works,
        "What happens to old segments: delete, compact or both; empty keeps everything.";
    "compression.gzip.level": Int = "-1", GzipLevel, Topic, Works,
        "Level used when the broker compresses with gzip; -1 is the codec's own.";
    "compression.lz4.level": Int = "9", Between(1, 17), Topic, Works,
        "Level used when the broker compresses with lz4.";
    "compression.type": Str =
        "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Topic, Works,
        "Codec in which batches are stored: that of the producer, none, or the named one.";
    "compression.zstd.level": Int = "3", Between(-131_072, 22), Topic, Works,
        "Level used when the broker compresses with zstd.";
    "delete.retention.ms": Long = "86400000", AtLeast(0), Topic, Works,
        "How long tombstones stay readable after they were cleaned.";
    "file.delete.delay.ms": Long = "60000", AtLeast(0), Topic, Works,
        "Delay between marking a file as deleted and removing it.";
    "flush.messages": Long = "9223372036854775807", AtLeast(1), Topic, Ignored(FLUSH),
        "Records after which Kafka flushes the log. Here every acknowledged record is synced: see flush.policy.";
    "flush.ms": Long = "9223372036854775807", AtLeast(0), Topic, Ignored(FLUSH),
        "Time after which Kafka flushes the log. Here every acknowledged record is synced: see flush.policy.";
    "follower.replication.throttled.replicas": List = "", ThrottledReplicas, Topic, Ignored(LONE),
        "Replicas whose fetching counts against the replication quota.";
    "index.interval.bytes": Int = "4096", AtLeast(0), Topic, Works,
        "Bytes of log between two entries of the offset index.";
    "internal.segment.bytes": Int = null, Any, Internal, Works,
        "Segment size below the bound of segment.bytes, for tests.";
    "leader.replication.throttled.replicas": List = "", ThrottledReplicas, Topic, Ignored(LONE),
        "Replicas whose serving counts against the replication quota.";
    "local.retention.bytes": Long = "-2", AtLeast(-2), Topic, Ignored(NO_TIER),
        "Size kept on local disks when tiered storage is on; -2 follows retention.bytes.";
    "local.retention.ms": Long = "-2", AtLeast(-2), Topic, Ignored(NO_TIER),
        "Age kept on local disks when tiered storage is on; -2 follows retention.ms.";
    "max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), Topic, Works,
        "How long a record stays uncompacted at most.";
    "max.message.bytes": Int = "1048588", AtLeast(0), Topic, Works,
        "Largest record batch, as compressed, that is accepted.";
    "message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), Topic, Works,
        "How far a timestamp may lie in the future.";
    "message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), Topic, Works,
        "How far a timestamp may lie in the past.";
    "message.timestamp.type": Str = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), Topic, Works,
        "Whether records carry the time of the producer or that of the append.";
    "min.cleanable.dirty.ratio": Double = "0.5", Between(0, 1), Topic, Works,
        "Share of uncleaned log from which a partition is cleaned.";
    "min.compaction.lag.ms": Long = "0", AtLeast(0), Topic, Works,
        "How long a record stays uncompacted at least.";
    "min.insync.replicas": Int = "1", AtLeast(1), Topic, Works,
        "Replicas, the leader included, that must be in sync for acks=all to be accepted.";
    "preallocate": Bool = "false", Any, Topic, Works,
        "Whether new segments take their whole space at once.";
    "remote.log.copy.disable": Bool = "false", Any, Topic, Refused(TIER),
        "Whether no more segments are copied to tiered storage.";
    "remote.log.delete.on.disable": Bool = "false", Any, Topic, Refused(TIER),
        "Whether tiered segments go when tiering is turned off.";
    "remote.storage.enable": Bool = "false", Any, Topic, Refused(TIER),
        "Whether segments are tiered to remote storage.";
    "retention.bytes": Long = "-1", Any, Topic, Works,
        "Size to which each partition is held by removing its oldest segments; -1 for no bound.";
    "retention.ms": Long = "604800000", AtLeast(-1), Topic, Works,
        "Age at which records are removed, -1 for never.";
    "segment.bytes": Int = "1073741824", AtLeast(1_048_576), Topic, Works,
        "Bytes after which the active segment is closed and a new one begun.";
    "segment.index.bytes": Int = "10485760", AtLeast(4), Topic, Works,
        "Largest size of an index file; a full index closes its segment.";
    "segment.jitter.ms": Long = "0", AtLeast(0), Topic, Works,
        "Random part taken from the age, so that segments do not close all at once.";
    "segment.ms": Long = "604800000", AtLeast(1), Topic, Works,
        "Age at which a segment is closed.";
    "unclean.leader.election.enable": Bool = "false", Any, Topic, Works,
        "Whether a replica outside the in-sync set may lead, which loses records, when no other is left.";
}

/// Looks up a topic key.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

/// All topic keys in alphabetical order.
#[must_use]
pub fn topic_keys() -> &'static [ConfigKey] {
    TOPIC_KEYS
}

/// Unit of a broker key relative to the topic key it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The same unit.
    Same,
    /// Minutes for milliseconds.
    Minutes,
    /// Hours for milliseconds.
    Hours,
}

/// (topic key, broker key, unit), for each topic key in the order in which its broker keys are consulted.
const SYNONYMS: &[(&str, &str, Unit)] = &[
    ("cleanup.policy", "log.cleanup.policy", Unit::Same),
    ("compression.gzip.level", "compression.gzip.level", Unit::Same),
    ("compression.lz4.level", "compression.lz4.level", Unit::Same),
    ("compression.type", "compression.type", Unit::Same),
    ("compression.zstd.level", "compression.zstd.level", Unit::Same),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms", Unit::Same),
    ("file.delete.delay.ms", "log.segment.delete.delay.ms", Unit::Same),
    ("flush.messages", "log.flush.interval.messages", Unit::Same),
    ("flush.ms", "log.flush.interval.ms", Unit::Same),
    ("flush.ms", "log.flush.scheduler.interval.ms", Unit::Same),
    ("index.interval.bytes", "log.index.interval.bytes", Unit::Same),
    ("local.retention.bytes", "log.local.retention.bytes", Unit::Same),
    ("local.retention.ms", "log.local.retention.ms", Unit::Same),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", Unit::Same),
    ("max.message.bytes", "message.max.bytes", Unit::Same),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", Unit::Same),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", Unit::Same),
    ("message.timestamp.type", "log.message.timestamp.type", Unit::Same),
    ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", Unit::Same),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", Unit::Same),
    ("min.insync.replicas", "min.insync.replicas", Unit::Same),
    ("preallocate", "log.preallocate", Unit::Same),
    ("retention.bytes", "log.retention.bytes", Unit::Same),
    ("retention.ms", "log.retention.ms", Unit::Same),
    ("retention.ms", "log.retention.minutes", Unit::Minutes),
    ("retention.ms", "log.retention.hours", Unit::Hours),
    ("segment.bytes", "log.segment.bytes", Unit::Same),
    ("segment.index.bytes", "log.index.size.max.bytes", Unit::Same),
    ("segment.jitter.ms", "log.roll.jitter.ms", Unit::Same),
    ("segment.jitter.ms", "log.roll.jitter.hours", Unit::Hours),
    ("segment.ms", "log.roll.ms", Unit::Same),
    ("segment.ms", "log.roll.hours", Unit::Hours),
    ("unclean.leader.election.enable", "unclean.leader.election.enable", Unit::Same),
];

/// Broker keys that give `topic_key` its value when the topic has none, first one first.
pub(crate) fn broker_synonyms(topic_key: &str) -> impl Iterator<Item = (&'static str, Unit)> {
    SYNONYMS.iter().filter(move |(topic, ..)| *topic == topic_key).map(|(_, broker, unit)| (*broker, *unit))
}

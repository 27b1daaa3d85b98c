//! Broker keys. Topics, logs, cleaning, replication, as the broker is configured for them.
//!
//! Names, types, defaults, bounds and update modes are those of Apache Kafka 4.3 (`KafkaConfig`); the words are ours.
//! A table, not code: `config::broker_keys` looks keys up in it.

use crate::config::key::keys;
use crate::config::reasons::{CORDON, FLUSH, INTERNALS, LONE, NO_PLUGINS, NO_TIER, SNAPSHOTS, THREADS, UNTHROTTLED};

keys! { LOG

    // Topics.
    "num.partitions": Int = "1", AtLeast(1), ReadOnly, Works,
        "Partitions of a topic that is created without a count.";
    "default.replication.factor": Int = "1", AtLeast(1), ReadOnly, Works,
        "Replicas of a topic that is created without a factor.";
    "min.insync.replicas": Int = "1", AtLeast(1), ClusterWide, Works,
        "Replicas, the leader included, that must be in sync for acks=all to be accepted.";
    "auto.create.topics.enable": Bool = "true", Any, ReadOnly, Works,
        "Whether asking for a missing topic creates it.";
    "delete.topic.enable": Bool = "true", Any, ReadOnly, Works,
        "Whether topics can be deleted.";
    "create.topic.policy.class.name": Class = null, Any, ReadOnly, Refused(NO_PLUGINS),
        "Class that may refuse the creation of a topic.";
    "alter.config.policy.class.name": Class = null, Any, ReadOnly, Refused(NO_PLUGINS),
        "Class that may refuse a change of configuration.";
    "compression.type": Str =
        "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide, Works,
        "Codec in which batches are stored: that of the producer, none, or the named one.";
    "compression.gzip.level": Int = "-1", GzipLevel, ClusterWide, Works,
        "Level used when the broker compresses with gzip; -1 is the codec's own.";
    "compression.lz4.level": Int = "9", Between(1, 17), ClusterWide, Works,
        "Level used when the broker compresses with lz4.";
    "compression.zstd.level": Int = "3", Between(-131_072, 22), ClusterWide, Works,
        "Level used when the broker compresses with zstd.";
    "message.max.bytes": Int = "1048588", AtLeast(0), ClusterWide, Works,
        "Largest record batch, as compressed, that is accepted.";

    // Log.
    "log.dir": List = "/tmp/kafka-logs", NonEmpty, ReadOnly, Works,
        "Directory of the logs, when log.dirs is not given.";
    "log.dirs": List = null, NonEmpty, ReadOnly, Works,
        "Directories of the logs, separated by commas.";
    "cordoned.log.dirs": List = "", Any, PerBroker, Refused(CORDON),
        "Directories that take no new replicas.";
    "log.dir.failure.timeout.ms": Long = "30000", AtLeast(1), ReadOnly, Ignored(LONE),
        "How long a broker that cannot report a failed directory goes on.";
    "metadata.log.dir": Str = null, Any, ReadOnly, Works,
        "Directory of the metadata log; unset: the first of log.dirs.";
    "metadata.log.segment.bytes": Int = "1073741824", AtLeast(8_388_608), ReadOnly, Works,
        "Bytes after which a segment of the metadata log is closed.";
    "metadata.log.segment.ms": Long = "604800000", Any, ReadOnly, Works,
        "Age at which a segment of the metadata log is closed.";
    "metadata.log.max.record.bytes.between.snapshots": Long = "20971520", AtLeast(1), ReadOnly, Works,
        "Bytes of metadata log after which a snapshot is written.";
    "metadata.log.max.snapshot.interval.ms": Long = "3600000", AtLeast(0), ReadOnly, Ignored(SNAPSHOTS),
        "Longest time between snapshots of changed metadata; 0 turns the timer off.";
    "metadata.max.idle.interval.ms": Int = "500", AtLeast(0), ReadOnly, Ignored(LONE),
        "How often an idle controller writes a no-op record; 0 turns it off.";
    "metadata.max.retention.bytes": Long = "104857600", Any, ReadOnly, Ignored(SNAPSHOTS),
        "Bytes of metadata log and snapshots kept.";
    "metadata.max.retention.ms": Long = "604800000", Any, ReadOnly, Ignored(SNAPSHOTS),
        "Age of metadata log and snapshots kept.";
    "internal.metadata.delete.delay.millis": Long = "60000", Any, Internal, Ignored(INTERNALS),
        "Delay before files of the metadata log are removed.";
    "internal.metadata.log.segment.bytes": Int = null, AtLeast(4_096), Internal, Works,
        "Segment size of the metadata log in tests, where it wins over metadata.log.segment.bytes.";
    "internal.metadata.max.batch.size.in.bytes": Int = "8388608", Any, Internal, Ignored(INTERNALS),
        "Largest batch of metadata records in Kafka's own tests.";
    "log.segment.bytes": Int = "1073741824", AtLeast(1_048_576), ClusterWide, Works,
        "Bytes after which the active segment is closed and a new one begun.";
    "log.segment.delete.delay.ms": Long = "60000", AtLeast(0), ClusterWide, Works,
        "Delay between marking a file as deleted and removing it.";
    "log.roll.ms": Long = null, Any, ClusterWide, Works,
        "Age at which a segment is closed; stands above log.roll.hours.";
    "log.roll.hours": Int = "168", AtLeast(1), ReadOnly, Works,
        "Age in hours at which a segment is closed.";
    "log.roll.jitter.ms": Long = null, Any, ClusterWide, Works,
        "Random part taken from the age, so that segments do not close all at once.";
    "log.roll.jitter.hours": Int = "0", AtLeast(0), ReadOnly, Works,
        "The same random part in hours.";
    "log.retention.ms": Long = null, Any, ClusterWide, Works,
        "Age at which records are removed, -1 for never; stands above minutes and hours.";
    "log.retention.minutes": Int = null, Any, ReadOnly, Works,
        "The same age in minutes; stands above hours.";
    "log.retention.hours": Int = "168", Any, ReadOnly, Works,
        "The same age in hours.";
    "log.retention.bytes": Long = "-1", Any, ClusterWide, Works,
        "Size to which each partition is held by removing its oldest segments; -1 for no bound.";
    "log.retention.check.interval.ms": Long = "300000", AtLeast(1), ReadOnly, Works,
        "How often the logs are checked for segments to remove.";
    "log.cleanup.policy": List = "delete", OneOf(&["compact", "delete"]), ClusterWide, Works,
        "What happens to old segments: delete, compact or both.";
    "log.index.size.max.bytes": Int = "10485760", AtLeast(4), ClusterWide, Works,
        "Largest size of an index file; a full index closes its segment.";
    "log.index.interval.bytes": Int = "4096", AtLeast(0), ClusterWide, Works,
        "Bytes of log between two entries of the offset index.";
    "log.preallocate": Bool = "false", Any, ClusterWide, Works,
        "Whether new segments take their whole space at once.";
    "log.initial.task.delay.ms": Long = "30000", AtLeast(0), Internal, Ignored(INTERNALS),
        "Delay before retention, cleaning and checkpoints first run after a start.";
    "log.message.timestamp.type": Str = "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide, Works,
        "Whether records carry the time of the producer or that of the append.";
    "log.message.timestamp.before.max.ms": Long = "9223372036854775807", AtLeast(0), ClusterWide, Works,
        "How far a timestamp may lie in the past.";
    "log.message.timestamp.after.max.ms": Long = "3600000", AtLeast(0), ClusterWide, Works,
        "How far a timestamp may lie in the future.";
    "log.flush.interval.messages": Long = "9223372036854775807", AtLeast(1), ClusterWide, Ignored(FLUSH),
        "Records after which Kafka flushes a log. Here every acknowledged record is synced: see flush.policy.";
    "log.flush.interval.ms": Long = null, Any, ClusterWide, Ignored(FLUSH),
        "Time after which Kafka flushes a log. Here every acknowledged record is synced: see flush.policy.";
    "log.flush.scheduler.interval.ms": Long = "9223372036854775807", Any, ReadOnly, Ignored(FLUSH),
        "How often Kafka looks for logs to flush. Here every acknowledged record is synced: see flush.policy.";
    "log.flush.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), ReadOnly, Works,
        "How often the recovery points are written.";
    "log.flush.start.offset.checkpoint.interval.ms": Int = "60000", AtLeast(0), ReadOnly, Works,
        "How often the log start offsets are written.";
    "log.local.retention.ms": Long = "-2", AtLeast(-2), ClusterWide, Ignored(NO_TIER),
        "Age kept on local disks when tiered storage is on; -2 follows log.retention.ms.";
    "log.local.retention.bytes": Long = "-2", AtLeast(-2), ClusterWide, Ignored(NO_TIER),
        "Size kept on local disks when tiered storage is on; -2 follows log.retention.bytes.";

    // Cleaner.
    "log.cleaner.enable": Bool = "true", Any, ReadOnly, Works,
        "Whether compacted topics are cleaned. Kafka is about to drop the choice.";
    "log.cleaner.threads": Int = "1", AtLeast(0), ClusterWide, Ignored(THREADS),
        "Kafka's cleaner threads. Here one cleaning runs at a time per shard.";
    "log.cleaner.backoff.ms": Long = "15000", AtLeast(0), ClusterWide, Works,
        "Pause of the cleaner when there is nothing to clean.";
    "log.cleaner.dedupe.buffer.size": Long = "134217728", Any, ClusterWide, Works,
        "Bytes for the cleaner's map of keys.";
    "log.cleaner.io.buffer.load.factor": Double = "0.9", Any, ClusterWide, Ignored(INTERNALS),
        "How full the cleaner's map of keys may get.";
    "log.cleaner.io.buffer.size": Int = "524288", AtLeast(0), ClusterWide, Ignored(INTERNALS),
        "Bytes the cleaner reads and writes at a time.";
    "log.cleaner.io.max.bytes.per.second": Double = "1.7976931348623157E308", Any, ClusterWide, Ignored(UNTHROTTLED),
        "Bytes a second the cleaner may read and write.";
    "log.cleaner.delete.retention.ms": Long = "86400000", AtLeast(0), ClusterWide, Works,
        "How long tombstones stay readable after they were cleaned.";
    "log.cleaner.min.cleanable.ratio": Double = "0.5", Between(0, 1), ClusterWide, Works,
        "Share of uncleaned log from which a partition is cleaned.";
    "log.cleaner.min.compaction.lag.ms": Long = "0", AtLeast(0), ClusterWide, Works,
        "How long a record stays uncompacted at least.";
    "log.cleaner.max.compaction.lag.ms": Long = "9223372036854775807", AtLeast(1), ClusterWide, Works,
        "How long a record stays uncompacted at most.";

    // Replica.
    "replica.fetch.backoff.ms": Int = "1000", AtLeast(0), ReadOnly, Ignored(LONE),
        "Pause of a follower after a failed fetch.";
    "replica.fetch.max.bytes": Int = "1048576", AtLeast(0), ReadOnly, Ignored(LONE),
        "Bytes a follower asks for per partition.";
    "replica.fetch.min.bytes": Int = "1", Any, ReadOnly, Ignored(LONE),
        "Bytes the leader waits for before it answers a follower.";
    "replica.fetch.response.max.bytes": Int = "10485760", AtLeast(0), ReadOnly, Ignored(LONE),
        "Bytes in one answer to a follower.";
    "replica.fetch.wait.max.ms": Int = "500", Any, ReadOnly, Ignored(LONE),
        "How long the leader holds back a follower's fetch.";
    "replica.high.watermark.checkpoint.interval.ms": Long = "5000", Any, ReadOnly, Works,
        "How often the high watermarks are written.";
    "replica.lag.time.max.ms": Long = "30000", Any, ReadOnly, Ignored(LONE),
        "How long a follower may lag before it leaves the in-sync set.";
    "replica.selector.class": Str = null, Any, ReadOnly, Refused(NO_PLUGINS),
        "Class that chooses the replica a consumer reads from.";
    "replica.socket.receive.buffer.bytes": Int = "65536", Any, ReadOnly, Ignored(LONE),
        "Receive buffer of a follower's connection.";
    "replica.socket.timeout.ms": Int = "30000", Any, ReadOnly, Ignored(LONE),
        "How long a follower's request may take.";
    "follower.fetch.last.tiered.offset.enable": Bool = "false", Any, ClusterWide, Ignored(NO_TIER),
        "Whether a new follower starts at the first offset that is not tiered.";
    "producer.id.expiration.ms": Int = "86400000", AtLeast(1), ClusterWide, Works,
        "Silence after which a producer's sequence numbers are forgotten.";
    "producer.id.expiration.check.interval.ms": Int = "600000", AtLeast(1), Internal, Works,
        "How often silent producers are looked for.";
}

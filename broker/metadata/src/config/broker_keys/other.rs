//! Broker keys. Quotas, metrics and tiered storage.
//!
//! Names, types, defaults, bounds and update modes are those of Apache Kafka 4.3 (`KafkaConfig`); the words are ours.
//! A table, not code: `config::broker_keys` looks keys up in it.

use crate::config::key::keys;
use crate::config::reasons::{METRICS, NO_PLUGINS, NO_QUOTA, NO_TIER, TIER};

keys! { OTHER

    // Quotas.
    "alter.log.dirs.replication.quota.window.num": Int = "11", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Samples kept for the quota of moves between directories.";
    "alter.log.dirs.replication.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Length of such a sample.";
    "client.quota.callback.class": Class = null, Any, ReadOnly, Refused(NO_PLUGINS),
        "Class that decides about client quotas.";
    "controller.quota.window.num": Int = "11", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Samples kept for the quota of controller requests.";
    "controller.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Length of such a sample.";
    "quota.window.num": Int = "11", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Samples kept for client quotas.";
    "quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Length of such a sample.";
    "replication.quota.window.num": Int = "11", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Samples kept for replication quotas.";
    "replication.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Ignored(NO_QUOTA),
        "Length of such a sample.";

    // Metrics.
    "kafka.metrics.polling.interval.secs": Int = "10", AtLeast(1), ReadOnly, Ignored(METRICS),
        "How often Kafka's metric reporters are asked.";
    "kafka.metrics.reporters": List = "", Any, ReadOnly, Ignored(METRICS),
        "Kafka's reporters for its older metrics.";
    "metric.reporters": List = "org.apache.kafka.common.metrics.JmxReporter", Any, ClusterWide, Ignored(METRICS),
        "Kafka's reporters for its metrics.";
    "metrics.num.samples": Int = "2", AtLeast(1), ReadOnly, Ignored(METRICS),
        "Samples kept per metric.";
    "metrics.recording.level": Str = "INFO", Any, ReadOnly, Ignored(METRICS),
        "Which metrics Kafka records.";
    "metrics.sample.window.ms": Long = "30000", AtLeast(1), ReadOnly, Ignored(METRICS),
        "Length of a sample.";
    "telemetry.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, Ignored(METRICS),
        "Largest metrics push of a client; pushes are not offered.";

    // Tiered storage.
    "remote.fetch.max.wait.ms": Int = "500", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "How long a fetch waits for tiered records.";
    "remote.list.offsets.request.timeout.ms": Long = "30000", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "How long a lookup in tiered storage may take.";
    "remote.log.index.file.cache.total.size.bytes": Long = "1073741824", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "Bytes of tiered indexes cached on local disk.";
    "remote.log.index.file.cache.ttl.ms": Long = "900000", AtLeast(-1), Internal, Ignored(NO_TIER),
        "How long an unused tiered index stays cached.";
    "remote.log.manager.copier.thread.pool.size": Int = "10", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "Kafka's threads that copy segments to tiered storage.";
    "remote.log.manager.copy.max.bytes.per.second": Long =
        "9223372036854775807", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "Bytes a second copied to tiered storage.";
    "remote.log.manager.copy.quota.window.num": Int = "11", AtLeast(1), ReadOnly, Ignored(NO_TIER),
        "Samples kept for the quota of copies.";
    "remote.log.manager.copy.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Ignored(NO_TIER),
        "Length of such a sample.";
    "remote.log.manager.expiration.thread.pool.size": Int = "10", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "Kafka's threads that remove expired tiered segments.";
    "remote.log.manager.fetch.max.bytes.per.second": Long =
        "9223372036854775807", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "Bytes a second read from tiered storage.";
    "remote.log.manager.fetch.quota.window.num": Int = "11", AtLeast(1), ReadOnly, Ignored(NO_TIER),
        "Samples kept for the quota of reads.";
    "remote.log.manager.fetch.quota.window.size.seconds": Int = "1", AtLeast(1), ReadOnly, Ignored(NO_TIER),
        "Length of such a sample.";
    "remote.log.manager.follower.thread.pool.size": Int = "2", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "Kafka's threads for tiered partitions this broker follows.";
    "remote.log.manager.task.interval.ms": Long = "30000", AtLeast(1), ReadOnly, Ignored(NO_TIER),
        "How often tiering work is looked for.";
    "remote.log.manager.task.retry.backoff.max.ms": Long = "30000", AtLeast(1), Internal, Ignored(NO_TIER),
        "Longest pause before tiering work is repeated.";
    "remote.log.manager.task.retry.backoff.ms": Long = "500", AtLeast(1), Internal, Ignored(NO_TIER),
        "First pause before tiering work is repeated.";
    "remote.log.manager.task.retry.jitter": Double = "0.2", Fraction(0.5), Internal, Ignored(NO_TIER),
        "Random part of that pause.";
    "remote.log.manager.thread.pool.size": Int = "2", AtLeast(1), ReadOnly, Ignored(NO_TIER),
        "Kafka's threads for tiering work.";
    "remote.log.metadata.custom.metadata.max.bytes": Int = "128", AtLeast(0), ReadOnly, Ignored(NO_TIER),
        "Largest note a storage plugin may attach to a segment.";
    "remote.log.metadata.manager.class.name": Str =
        "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", NonEmpty, ReadOnly, Refused(TIER),
        "Class that stores what is known of tiered segments.";
    "remote.log.metadata.manager.class.path": Str = null, Any, ReadOnly, Refused(TIER),
        "Where that class is found.";
    "remote.log.metadata.manager.impl.prefix": Str = "rlmm.config.", NonEmpty, ReadOnly, Ignored(NO_TIER),
        "Prefix of that class's own keys.";
    "remote.log.metadata.manager.listener.name": Str = null, NonEmpty, ReadOnly, Refused(TIER),
        "Listener that class connects to.";
    "remote.log.reader.max.pending.tasks": Int = "100", AtLeast(1), ReadOnly, Ignored(NO_TIER),
        "Tiered reads that may wait.";
    "remote.log.reader.threads": Int = "10", AtLeast(1), ClusterWide, Ignored(NO_TIER),
        "Kafka's threads for tiered reads.";
    "remote.log.storage.manager.class.name": Str = null, NonEmpty, ReadOnly, Refused(TIER),
        "Class that stores tiered segments.";
    "remote.log.storage.manager.class.path": Str = null, Any, ReadOnly, Refused(TIER),
        "Where that class is found.";
    "remote.log.storage.manager.impl.prefix": Str = "rsm.config.", NonEmpty, ReadOnly, Ignored(NO_TIER),
        "Prefix of that class's own keys.";
    "remote.log.storage.system.enable": Bool = "false", Any, ReadOnly, Refused(TIER),
        "Whether segments may be tiered to remote storage.";
}

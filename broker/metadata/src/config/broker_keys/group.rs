//! Broker keys. Committed offsets, groups of all kinds, transactions.
//!
//! Names, types, defaults, bounds and update modes are those of Apache Kafka 4.3 (`KafkaConfig`); the words are ours.
//! A table, not code: `config::broker_keys` looks keys up in it.

use crate::config::key::keys;
use crate::config::reasons::{
    INTERNALS, LONE, NO_CONSUMER, NO_SHARE, NO_STREAMS, NO_TXN, PROTOCOLS, THREADS, TWO_PHASE, UNCOMPRESSED,
};

keys! { GROUP

    // Offsets.
    "offset.metadata.max.bytes": Int = "4096", Any, ReadOnly, Works,
        "Largest note a client may attach to a committed offset.";
    "offsets.commit.timeout.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(LONE),
        "How long a commit may wait for the replicas of the offsets topic.";
    "offsets.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, Ignored(INTERNALS),
        "Bytes read at a time when a coordinator loads its partition.";
    "offsets.retention.check.interval.ms": Long = "600000", AtLeast(1), ReadOnly, Works,
        "How often expired offsets are looked for.";
    "offsets.retention.minutes": Int = "10080", AtLeast(1), ReadOnly, Works,
        "How long offsets outlive the last member of their group.";
    "offsets.topic.compression.codec": Int = "0", Any, ReadOnly, Ignored(UNCOMPRESSED),
        "Codec of batches in the offsets topic, by its number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.";
    "offsets.topic.num.partitions": Int = "50", AtLeast(1), ReadOnly, Works,
        "Partitions of the offsets topic; not to be changed once it exists.";
    "offsets.topic.replication.factor": Short = "3", AtLeast(1), ReadOnly, Works,
        "Replicas of the offsets topic. Unset: 3, or as many as there are brokers.";
    "offsets.topic.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, Works,
        "Segment size of the offsets topic.";

    // Classic groups.
    "group.initial.rebalance.delay.ms": Int = "3000", Any, ReadOnly, Works,
        "How long the first rebalance of an empty group waits for more members.";
    "group.min.session.timeout.ms": Int = "6000", Any, ReadOnly, Works,
        "Shortest session timeout a member may ask for.";
    "group.max.session.timeout.ms": Int = "1800000", Any, ReadOnly, Works,
        "Longest session timeout a member may ask for.";
    "group.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Works,
        "Most members of a group.";
    "group.coordinator.rebalance.protocols": List =
        "classic,consumer,streams", SomeOf(&["consumer", "classic", "share", "streams"]), ReadOnly, Ignored(PROTOCOLS),
        "Group protocols that are offered. Classic works so far; others stay off whatever stands here.";
    "group.coordinator.threads": Int = "4", AtLeast(1), ReadOnly, Ignored(THREADS),
        "Kafka's coordinator threads.";
    "group.coordinator.background.threads": Int = "2", AtLeast(1), ReadOnly, Ignored(THREADS),
        "Kafka's coordinator threads for background work.";
    "group.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), ReadOnly, Ignored(INTERNALS),
        "How long a coordinator gathers records before it writes them; -1 adapts.";
    "group.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), ClusterWide, Ignored(INTERNALS),
        "Largest write buffer a coordinator keeps for reuse.";

    // Consumer groups.
    "group.consumer.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Ignored(NO_CONSUMER),
        "Shortest time between two assignments of a consumer group.";
    "group.consumer.assignors": List = "uniform,range", NonEmpty, ReadOnly, Ignored(NO_CONSUMER),
        "Server-side assignors for consumer groups; the first is the default.";
    "group.consumer.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(NO_CONSUMER),
        "Heartbeat interval given to members of consumer groups.";
    "group.consumer.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, Ignored(NO_CONSUMER),
        "Upper bound of a group's own assignment interval.";
    "group.consumer.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, Ignored(NO_CONSUMER),
        "Upper bound of a group's own heartbeat interval.";
    "group.consumer.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, Ignored(NO_CONSUMER),
        "Upper bound of a group's own session timeout.";
    "group.consumer.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Ignored(NO_CONSUMER),
        "Most members of a consumer group.";
    "group.consumer.migration.policy": Str =
        "bidirectional", OneOfIgnoreCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"]), ReadOnly, Ignored(NO_CONSUMER),
        "Whether groups may change between the classic and the consumer protocol while they run.";
    "group.consumer.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, Ignored(NO_CONSUMER),
        "Lower bound of a group's own assignment interval.";
    "group.consumer.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(NO_CONSUMER),
        "Lower bound of a group's own heartbeat interval.";
    "group.consumer.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Ignored(NO_CONSUMER),
        "Lower bound of a group's own session timeout.";
    "group.consumer.regex.refresh.interval.ms": Int = "600000", AtLeast(10_000), Internal, Ignored(NO_CONSUMER),
        "How often subscriptions by pattern are matched against the topics.";
    "group.consumer.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Ignored(NO_CONSUMER),
        "Session timeout of consumer groups.";

    // Streams groups.
    "group.streams.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Ignored(NO_STREAMS),
        "Shortest time between two assignments of a streams group.";
    "group.streams.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(NO_STREAMS),
        "Heartbeat interval given to members of streams groups.";
    "group.streams.initial.rebalance.delay.ms": Int = "3000", AtLeast(0), ReadOnly, Ignored(NO_STREAMS),
        "How long the first assignment of a streams group waits for more members.";
    "group.streams.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, Ignored(NO_STREAMS),
        "Upper bound of a group's own assignment interval.";
    "group.streams.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, Ignored(NO_STREAMS),
        "Upper bound of a group's own heartbeat interval.";
    "group.streams.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, Ignored(NO_STREAMS),
        "Upper bound of a group's own session timeout.";
    "group.streams.max.size": Int = "2147483647", AtLeast(1), ReadOnly, Ignored(NO_STREAMS),
        "Most members of a streams group.";
    "group.streams.max.standby.replicas": Int = "2", AtLeast(0), ReadOnly, Ignored(NO_STREAMS),
        "Upper bound of a group's own count of standby tasks.";
    "group.streams.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, Ignored(NO_STREAMS),
        "Lower bound of a group's own assignment interval.";
    "group.streams.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(NO_STREAMS),
        "Lower bound of a group's own heartbeat interval.";
    "group.streams.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Ignored(NO_STREAMS),
        "Lower bound of a group's own session timeout.";
    "group.streams.num.standby.replicas": Int = "0", AtLeast(0), ReadOnly, Ignored(NO_STREAMS),
        "Standby tasks of each stateful task.";
    "group.streams.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Ignored(NO_STREAMS),
        "Session timeout of streams groups.";

    // Share groups.
    "group.share.assignment.interval.ms": Int = "1000", AtLeast(0), ClusterWide, Ignored(NO_SHARE),
        "Shortest time between two assignments of a share group.";
    "group.share.assignors": List = "simple", NonEmpty, ReadOnly, Ignored(NO_SHARE),
        "Server-side assignors for share groups.";
    "group.share.delivery.count.limit": Int = "5", Between(2, 10), ReadOnly, Ignored(NO_SHARE),
        "How often a record is delivered before it is given up.";
    "group.share.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Heartbeat interval given to members of share groups.";
    "group.share.initialize.retry.interval.ms": Int = "30000", AtLeast(1), Internal, Ignored(NO_SHARE),
        "Pause before the state of a share partition is again initialised.";
    "group.share.max.assignment.interval.ms": Int = "15000", AtLeast(0), ReadOnly, Ignored(NO_SHARE),
        "Upper bound of a group's own assignment interval.";
    "group.share.max.delivery.count.limit": Int = "10", Between(5, 25), ReadOnly, Ignored(NO_SHARE),
        "Upper bound of a group's own delivery count limit.";
    "group.share.max.heartbeat.interval.ms": Int = "15000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Upper bound of a group's own heartbeat interval.";
    "group.share.max.partition.max.record.locks": Int = "4000", Between(2000, 10_000), ReadOnly, Ignored(NO_SHARE),
        "Upper bound of a group's own count of locked records.";
    "group.share.max.record.lock.duration.ms": Int = "60000", Between(30_000, 3_600_000), ReadOnly, Ignored(NO_SHARE),
        "Upper bound of a group's own lock duration.";
    "group.share.max.session.timeout.ms": Int = "60000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Upper bound of a group's own session timeout.";
    "group.share.max.share.sessions": Int = "2000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Share sessions kept at once.";
    "group.share.max.size": Int = "200", Between(1, 1000), ReadOnly, Ignored(NO_SHARE),
        "Most members of a share group.";
    "group.share.min.assignment.interval.ms": Int = "0", AtLeast(0), ReadOnly, Ignored(NO_SHARE),
        "Lower bound of a group's own assignment interval.";
    "group.share.min.delivery.count.limit": Int = "2", Between(2, 5), ReadOnly, Ignored(NO_SHARE),
        "Lower bound of a group's own delivery count limit.";
    "group.share.min.heartbeat.interval.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Lower bound of a group's own heartbeat interval.";
    "group.share.min.partition.max.record.locks": Int = "100", Between(100, 2000), ReadOnly, Ignored(NO_SHARE),
        "Lower bound of a group's own count of locked records.";
    "group.share.min.record.lock.duration.ms": Int = "15000", Between(1000, 30_000), ReadOnly, Ignored(NO_SHARE),
        "Lower bound of a group's own lock duration.";
    "group.share.min.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Lower bound of a group's own session timeout.";
    "group.share.partition.max.record.locks": Int = "2000", Between(100, 10_000), ReadOnly, Ignored(NO_SHARE),
        "Most records of a partition that are locked at once.";
    "group.share.persister.class.name": Str =
        "org.apache.kafka.server.share.persister.DefaultStatePersister", Any, Internal, Ignored(NO_SHARE),
        "Class that stores the state of share groups.";
    "group.share.record.lock.duration.ms": Int = "30000", Between(1000, 3_600_000), ReadOnly, Ignored(NO_SHARE),
        "How long a record stays locked for the consumer that acquired it.";
    "group.share.session.timeout.ms": Int = "45000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Session timeout of share groups.";
    "share.coordinator.append.linger.ms": Int = "-1", AtLeast(-1), ReadOnly, Ignored(NO_SHARE),
        "How long the share coordinator gathers records before it writes them; -1 adapts.";
    "share.coordinator.cached.buffer.max.bytes": Int = "1048588", AtLeast(524_288), ClusterWide, Ignored(NO_SHARE),
        "Largest write buffer the share coordinator keeps for reuse.";
    "share.coordinator.cold.partition.snapshot.interval.ms": Int = "300000", AtLeast(1), Internal, Ignored(NO_SHARE),
        "How often the state of idle share partitions is written again.";
    "share.coordinator.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Bytes read at a time when the share coordinator loads its partition.";
    "share.coordinator.snapshot.update.records.per.snapshot": Int =
        "500", Between(0, 500), ReadOnly, Ignored(NO_SHARE),
        "Updates after which the share coordinator writes a whole snapshot.";
    "share.coordinator.state.topic.compression.codec": Int = "0", Any, ReadOnly, Ignored(NO_SHARE),
        "Codec of the share state topic, by its number.";
    "share.coordinator.state.topic.min.isr": Short = "2", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "min.insync.replicas of the share state topic.";
    "share.coordinator.state.topic.num.partitions": Int = "50", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Partitions of the share state topic.";
    "share.coordinator.state.topic.prune.interval.ms": Int = "300000", AtLeast(1), Internal, Ignored(NO_SHARE),
        "How often the share state topic is pruned.";
    "share.coordinator.state.topic.replication.factor": Short = "3", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Replicas of the share state topic.";
    "share.coordinator.state.topic.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Segment size of the share state topic.";
    "share.coordinator.threads": Int = "1", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "Kafka's share coordinator threads.";
    "share.coordinator.write.timeout.ms": Int = "5000", AtLeast(1), ReadOnly, Ignored(NO_SHARE),
        "How long a write of the share coordinator may take.";

    // Transactions.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int =
        "10000", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "How often transactions past their timeout are looked for.";
    "transaction.max.timeout.ms": Int = "900000", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "Longest transaction timeout a producer may ask for.";
    "transaction.partition.verification.enable": Bool = "true", Any, ClusterWide, Ignored(NO_TXN),
        "Whether a transactional write is checked with the coordinator first.";
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int =
        "3600000", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "How often unused transactional ids are looked for.";
    "transaction.state.log.load.buffer.size": Int = "5242880", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "Bytes read at a time when the transaction coordinator loads its partition.";
    "transaction.state.log.min.isr": Int = "2", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "min.insync.replicas of the transaction topic.";
    "transaction.state.log.num.partitions": Int = "50", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "Partitions of the transaction topic.";
    "transaction.state.log.replication.factor": Short = "3", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "Replicas of the transaction topic.";
    "transaction.state.log.segment.bytes": Int = "104857600", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "Segment size of the transaction topic.";
    "transaction.two.phase.commit.enable": Bool = "false", Any, ReadOnly, Refused(TWO_PHASE),
        "Whether transactions may take part in a two-phase commit.";
    "transactional.id.expiration.ms": Int = "604800000", AtLeast(1), ReadOnly, Ignored(NO_TXN),
        "Silence after which a transactional id is forgotten.";
}

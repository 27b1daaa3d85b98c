//! Broker keys that Kafka has not: Barnabas' own, and those which Kafka's controller knows as dynamic only.
//!
//! Tables, not code: `config::broker_keys` looks keys up in them. Kafka does not list the second one in DescribeConfigs.

use crate::config::key::keys;
use crate::config::reasons::{LONE, NO_ACL};

keys! { OWN

    // Barnabas.
    "flush.policy": Str = "ack", OneOf(&["ack", "os"]), ReadOnly, Works,
        "What an acknowledgement stands for: ack syncs to the device first, os trusts the page cache as Kafka does.";
    "barnabas.shards": Int = "0", Between(0, 1_024), ReadOnly, Works,
        "Shards, each one thread that owns its partitions; 0 takes one for every two cores.";
    "barnabas.tail.cache.bytes": Long = "33554432", AtLeast(0), ReadOnly, Works,
        "Bytes of recent batches each shard keeps in memory for readers near the end of a log.";
    "log.scrub.interval.ms": Long = "604800000", AtLeast(-1), ReadOnly, Works,
        "How often every byte on disk is compared with its checksums; -1 or 0 for never.";
    "log.scrub.io.max.bytes.per.second": Long = "10485760", AtLeast(1), ClusterWide, Works,
        "Bytes a second that each shard reads for that at most.";
    "barnabas.memory.bytes": Long = "67108864", AtLeast(1_048_576), ReadOnly, Works,
        "Bytes each shard may hold for requests and responses, and as many for groups and producers.";
    "internal.barnabas.journal.file.bytes": Long = "33554432", Between(65_536, 1_073_741_824), Internal, Works,
        "Size at which a journal file is left for the other one.";
    "internal.barnabas.unsettled.bytes": Long = "536870912", AtLeast(4_096), Internal, Works,
        "Bytes of a shard that a start after a crash has to walk through, at most.";
    "internal.barnabas.dedupe.buffer.bytes": Long = null, AtLeast(1), Internal, Works,
        "Bytes for the cleaner's map of keys in tests, where it wins over log.cleaner.dedupe.buffer.size.";
    "internal.barnabas.sync.files": Int = "64", Between(1, 1_024), Internal, Works,
        "Files that a commit syncs one by one at most; more are synced with their file system.";
    "internal.barnabas.scan.bytes": Int = "1048576", Between(1_024, 16_777_216), Internal, Works,
        "Bytes of a segment that recovery, scrubbing and cleaning read at once.";
    "internal.barnabas.check.range.bytes": Int = "1048576", Between(1_024, 16_777_216), Internal, Works,
        "Bytes of a segment that one checksum of its check file covers.";
    "internal.barnabas.index.cache.bytes": Long = "8388608", AtLeast(0), Internal, Works,
        "Bytes of the indexes of sealed segments that each shard keeps in memory.";
    "internal.barnabas.open.files": Int = "4096", AtLeast(1), Internal, Works,
        "Segment files that each shard keeps open in each log directory.";
}

keys! { UNSHOWN

    // Replication quotas, which exist only as dynamic configuration (`DynamicConfig.Broker`).
    "leader.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), ClusterWide, Ignored(LONE),
        "Bytes a second this broker serves to throttled followers.";
    "follower.replication.throttled.rate": Long = "9223372036854775807", AtLeast(0), ClusterWide, Ignored(LONE),
        "Bytes a second this broker fetches for throttled replicas.";
    "replica.alter.log.dirs.io.max.bytes.per.second":
        Long = "9223372036854775807", AtLeast(0), ClusterWide, Ignored(LONE),
        "Bytes a second of moves between log directories.";

    // Keys of Kafka's authorizer, which reads the same file.
    "super.users": Str = null, Any, ReadOnly, Refused(NO_ACL),
        "Principals to whom no access control applies.";
    "allow.everyone.if.no.acl.found": Bool = "false", Any, ReadOnly, Refused(NO_ACL),
        "Whether a resource without access control entries is open to all.";
}

//! What clients are told to do: the operation alphabet of all workloads. `nemesis` draws operations, `workloads` carries
//! them out.

use crate::alphabet::{alphabet, words};
use crate::{ClientName, GroupName, TopicName};

words! {
    /// Which offset a query asks for.
    pub enum OffsetSpec {
        /// The log start offset (−2).
        Earliest = "earliest",
        /// The high watermark (−1).
        Latest = "latest",
        /// The offset of the record with the largest timestamp (−3).
        MaxTimestamp = "max-timestamp",
        /// The first record at or after the middle of what the client has sent.
        Timestamp = "timestamp",
    }
}

words! {
    /// What a raw client does to the broker, from a connection without manners.
    pub enum RawTrick {
        /// Random bytes where a frame should be.
        Garbage = "garbage",
        /// A frame whose size is never delivered in full.
        HalfFrame = "half-frame",
        /// A size of 2 GiB.
        HugeFrame = "huge-frame",
        /// A known request with bytes flipped in its body.
        FlippedRequest = "flipped-request",
        /// A Produce whose batch has a wrong CRC.
        WrongCrc = "wrong-crc",
        /// A Produce with acks=0, then the connection is dropped.
        SendAndVanish = "send-and-vanish",
        /// The same idempotent batch on two connections while the first is in flight.
        TwiceAtOnce = "twice-at-once",
        /// An old idempotent batch again, long after its answer.
        ReplayOld = "replay-old",
        /// A batch of a fenced producer epoch.
        ZombieEpoch = "zombie-epoch",
        /// A batch whose sequence leaves a gap.
        SequenceGap = "sequence-gap",
        /// Batches whose sequences run over 2^31 − 1.
        SequenceWrap = "sequence-wrap",
        /// Batches of unlike sizes on one connection, none waiting for the answer before it.
        Pipelined = "pipelined",
        /// A Fetch that holds a long poll while pipelined requests wait behind it.
        ParkedFetch = "parked-fetch",
        /// Many fetches at once, of which no answer is read for a while.
        DeafReader = "deaf-reader",
        /// A fetch session whose last answer is thrown away, and whose next fetch says nothing of having it.
        LostFetchAnswer = "lost-fetch-answer",
        /// An OffsetCommit and a Heartbeat of a generation that has passed.
        StaleCommit = "stale-commit",
        /// A JoinGroup with the instance id of a living member.
        StaticTwin = "static-twin",
        /// Many connections at once, most of which say nothing.
        ConnectionFlood = "connection-flood",
        /// Every advertised API in its oldest version.
        OldVersions = "old-versions",
        /// A fetch session that goes on from where it is not, and is closed.
        StaleSession = "stale-session",
        /// A group with a member that is deleted, and the offsets of what it reads.
        BusyGroup = "busy-group",
        /// A leader's assignment that is larger than a record of its coordinator may be.
        HugeAssignment = "huge-assignment",
        /// A leader that sends its assignment twice at once.
        SyncTwice = "sync-twice",
        /// A member that asks for its assignment long after everybody else may have it.
        LateSync = "late-sync",
        /// A topic that goes and comes again while a group has offsets in it.
        CommitThenDrop = "commit-then-drop",
        /// A request in a version that nobody has.
        NoSuchVersion = "no-such-version",
        /// A frame whose rest never comes, on a connection that stays.
        StalledFrame = "stalled-frame",
        /// A topic and a group that nobody else configures, described after each change.
        Configured = "configured",
        /// Settings of a topic that nobody else names, each followed by a record.
        ObeyedSettings = "obeyed-settings",
        /// A topic that nobody else names, from its creation to its end.
        ManagedTopic = "managed-topic",
        /// Where each leader epoch ends, held against the batches of the log.
        EpochEnds = "epoch-ends",
        /// A log that nobody else writes to, asked for all that is told of logs.
        KnownLog = "known-log",
        /// A group of one member, from its first word to its deletion.
        LoneMember = "lone-member",
        /// A group that a second member joins and leaves.
        TwoMembers = "two-members",
        /// A member that does not come when its group changes, dynamic or static.
        AbsentMember = "absent-member",
        /// A group of one member that heartbeats through restarts, described and asked for its offsets each time.
        LastingMember = "lasting-member",
    }
}

words! {
    /// A request that nobody can carry out, so that it has to be refused.
    pub enum WrongRequest {
        /// Produce with acks=2.
        ProduceAcksTwo = "produce-acks-two",
        /// Produce with two batches for one partition.
        ProduceTwoBatches = "produce-two-batches",
        /// Produce of a record larger than `max.message.bytes`.
        ProduceTooLarge = "produce-too-large",
        /// Produce of a zstd batch in a version that has none.
        ProduceOldZstd = "produce-old-zstd",
        /// Produce of a transactional batch without a transactional id.
        ProduceUnnamedTransaction = "produce-unnamed-transaction",
        /// Produce of a transactional batch with a transactional id that nobody initialised.
        ProduceUnknownTransaction = "produce-unknown-transaction",
        /// Produce to `__consumer_offsets`.
        ProduceInternal = "produce-internal",
        /// CreateTopics with a name that is none.
        CreateBadName = "create-bad-name",
        /// CreateTopics with no partitions.
        CreateNoPartitions = "create-no-partitions",
        /// CreateTopics with more replicas than brokers.
        CreateManyReplicas = "create-many-replicas",
        /// CreateTopics on brokers that do not exist.
        CreateOnStrangers = "create-on-strangers",
        /// CreateTopics with a configuration key that nobody knows.
        CreateUnknownConfig = "create-unknown-config",
        /// CreateTopics with more partitions than one decision can hold.
        CreateTooMany = "create-too-many",
        /// CreatePartitions to fewer than there are, or as many.
        GrowToOne = "grow-to-one",
        /// DeleteTopics that names nothing.
        DeleteNothing = "delete-nothing",
        /// IncrementalAlterConfigs of a key that nobody knows.
        AlterUnknownConfig = "alter-unknown-config",
        /// IncrementalAlterConfigs with a value that does not read.
        AlterBadValue = "alter-bad-value",
        /// DescribeConfigs of a kind of resource that nobody knows.
        DescribeUnknownResource = "describe-unknown-resource",
        /// DescribeCluster for controllers, asked of a broker.
        DescribeControllers = "describe-controllers",
        /// DescribeCluster for endpoints of a kind that nobody knows.
        DescribeUnknownEndpoint = "describe-unknown-endpoint",
        /// ElectLeaders where the preferred replica leads.
        ElectPreferred = "elect-preferred",
        /// DeleteRecords of `__consumer_offsets`.
        TrimInternal = "trim-internal",
        /// Metadata by topic id in a version that has none.
        MetadataOldId = "metadata-old-id",
        /// DescribeAcls without an authorizer.
        DescribeAcls = "describe-acls",
        /// JoinGroup without a group.
        JoinNoGroup = "join-no-group",
        /// JoinGroup with a session of a millisecond.
        JoinShortSession = "join-short-session",
        /// JoinGroup without a protocol.
        JoinNoProtocol = "join-no-protocol",
        /// OffsetCommit with more metadata than `offset.metadata.max.bytes`.
        CommitLongMetadata = "commit-long-metadata",
        /// DeleteGroups of a group that does not exist.
        DeleteNoGroup = "delete-no-group",
        /// FindCoordinator for a kind of key that nobody knows.
        FindUnknownKind = "find-unknown-kind",
        /// InitProducerId with an empty transactional id.
        InitUnnamedTransaction = "init-unnamed-transaction",
    }
}

alphabet! {
    /// One operation of one client.
    pub enum Action {
        /// Sends records without keys.
        Send = "send" {
            /// Where to.
            topic: TopicName,
            /// Its partition.
            partition: u32,
            /// Records, each a value of its own.
            records: u32,
            /// Bytes of each payload.
            bytes: u32,
        },
        /// Sends one record with a key.
        Put = "put" {
            /// Where to.
            topic: TopicName,
            /// Its partition.
            partition: u32,
            /// The key.
            key: u32,
            /// Bytes of the payload.
            bytes: u32,
        },
        /// Sends a tombstone.
        Delete = "delete" {
            /// Where to.
            topic: TopicName,
            /// Its partition.
            partition: u32,
            /// The key.
            key: u32,
        },
        /// Replaces what the client reads by one topic, all partitions.
        Assign = "assign" {
            /// The topic.
            topic: TopicName,
            /// Whether it goes back to the start; otherwise it goes on where it was.
            from_start: bool,
        },
        /// Takes what the consumer has.
        Poll = "poll" {
            /// Longest wait for a first record.
            wait_ms: u64,
        },
        /// Joins a group as a dynamic or static member, and keeps heartbeating.
        Join = "join" {
            /// The group.
            group: GroupName,
            /// What it reads.
            topic: TopicName,
            /// Number of the instance id; 0 for a dynamic member.
            instance: u32,
        },
        /// Commits the positions of what was polled as a member.
        Commit = "commit" {},
        /// Leaves the group.
        Leave = "leave" {},
        /// Asks for the committed offsets of a group.
        Committed = "committed" {
            /// The group.
            group: GroupName,
            /// The topic.
            topic: TopicName,
        },
        /// ListOffsets.
        Offsets = "offsets" {
            /// The topic.
            topic: TopicName,
            /// Its partition.
            partition: u32,
            /// Which offset.
            spec: OffsetSpec,
        },
        /// DeleteRecords up to a share of what the client knows to be there.
        Trim = "trim" {
            /// The topic.
            topic: TopicName,
            /// Its partition.
            partition: u32,
            /// How much of the known log, in percent.
            percent: u32,
        },
        /// CreateTopics.
        Create = "create" {
            /// The topic.
            topic: TopicName,
            /// Its partitions.
            partitions: u32,
        },
        /// DeleteTopics.
        Drop = "drop" {
            /// The topic.
            topic: TopicName,
        },
        /// CreatePartitions.
        Grow = "grow" {
            /// The topic.
            topic: TopicName,
            /// Partitions afterwards.
            partitions: u32,
        },
        /// IncrementalAlterConfigs of one key.
        Configure = "configure" {
            /// The topic.
            topic: TopicName,
            /// The key.
            key: String,
            /// The value.
            value: String,
        },
        /// A raw trick.
        Raw = "raw" {
            /// Which.
            trick: RawTrick,
            /// The topic it is played on.
            topic: TopicName,
            /// Its partition.
            partition: u32,
        },
        /// A request that has to be refused.
        Wrong = "wrong" {
            /// Which.
            request: WrongRequest,
            /// The topic it is about, where it is about one.
            topic: TopicName,
            /// Its partition.
            partition: u32,
        },
        /// The client is torn down and comes back as a new process.
        Crash = "crash" {},
    }
}

/// One line of a plan: who does what, not before when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Names it within its plan; stays when others are removed.
    pub id: u32,
    /// Who.
    pub client: ClientName,
    /// Not before this much of the safety phase has passed, in milliseconds.
    pub at_ms: u64,
    /// What.
    pub action: Action,
}

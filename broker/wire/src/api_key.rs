//! The keys of Kafka's APIs, those that are not implemented included, and where their flexible versions begin.
//!
//! Which keys are answered is decided by `RequestBody` and the listener, not here.

use std::fmt;

macro_rules! api_keys {
    ($($variant:ident = $code:literal, $name:literal, $flexible:tt;)*) => {
        /// An API of Kafka 4.3.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("`", $name, "`, key ", $code, ".")]
                $variant = $code,
            )*
        }

        impl ApiKey {
            /// Every key, in rising order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The API of a number, none if Kafka 4.3 has no such API.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name in capitals, as tools and logs print it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The first version whose request and response are flexible (KIP-482), none if there is no such
            /// version.
            pub const fn flexible_from(self) -> Option<i16> {
                match self {
                    $(Self::$variant => api_keys!(@$flexible),)*
                }
            }
        }
    };
    (@none) => { None };
    (@$first:literal) => { Some($first) };
}

api_keys! {
    Produce = 0, "PRODUCE", 9;
    Fetch = 1, "FETCH", 12;
    ListOffsets = 2, "LIST_OFFSETS", 6;
    Metadata = 3, "METADATA", 9;
    LeaderAndIsr = 4, "LEADER_AND_ISR", none;
    StopReplica = 5, "STOP_REPLICA", none;
    UpdateMetadata = 6, "UPDATE_METADATA", none;
    ControlledShutdown = 7, "CONTROLLED_SHUTDOWN", none;
    OffsetCommit = 8, "OFFSET_COMMIT", 8;
    OffsetFetch = 9, "OFFSET_FETCH", 6;
    FindCoordinator = 10, "FIND_COORDINATOR", 3;
    JoinGroup = 11, "JOIN_GROUP", 6;
    Heartbeat = 12, "HEARTBEAT", 4;
    LeaveGroup = 13, "LEAVE_GROUP", 4;
    SyncGroup = 14, "SYNC_GROUP", 4;
    DescribeGroups = 15, "DESCRIBE_GROUPS", 5;
    ListGroups = 16, "LIST_GROUPS", 3;
    SaslHandshake = 17, "SASL_HANDSHAKE", none;
    ApiVersions = 18, "API_VERSIONS", 3;
    CreateTopics = 19, "CREATE_TOPICS", 5;
    DeleteTopics = 20, "DELETE_TOPICS", 4;
    DeleteRecords = 21, "DELETE_RECORDS", 2;
    InitProducerId = 22, "INIT_PRODUCER_ID", 2;
    OffsetForLeaderEpoch = 23, "OFFSET_FOR_LEADER_EPOCH", 4;
    AddPartitionsToTxn = 24, "ADD_PARTITIONS_TO_TXN", 3;
    AddOffsetsToTxn = 25, "ADD_OFFSETS_TO_TXN", 3;
    EndTxn = 26, "END_TXN", 3;
    WriteTxnMarkers = 27, "WRITE_TXN_MARKERS", 1;
    TxnOffsetCommit = 28, "TXN_OFFSET_COMMIT", 3;
    DescribeAcls = 29, "DESCRIBE_ACLS", 2;
    CreateAcls = 30, "CREATE_ACLS", 2;
    DeleteAcls = 31, "DELETE_ACLS", 2;
    DescribeConfigs = 32, "DESCRIBE_CONFIGS", 4;
    AlterConfigs = 33, "ALTER_CONFIGS", 2;
    AlterReplicaLogDirs = 34, "ALTER_REPLICA_LOG_DIRS", 2;
    DescribeLogDirs = 35, "DESCRIBE_LOG_DIRS", 2;
    SaslAuthenticate = 36, "SASL_AUTHENTICATE", 2;
    CreatePartitions = 37, "CREATE_PARTITIONS", 2;
    CreateDelegationToken = 38, "CREATE_DELEGATION_TOKEN", 2;
    RenewDelegationToken = 39, "RENEW_DELEGATION_TOKEN", 2;
    ExpireDelegationToken = 40, "EXPIRE_DELEGATION_TOKEN", 2;
    DescribeDelegationToken = 41, "DESCRIBE_DELEGATION_TOKEN", 2;
    DeleteGroups = 42, "DELETE_GROUPS", 2;
    ElectLeaders = 43, "ELECT_LEADERS", 2;
    IncrementalAlterConfigs = 44, "INCREMENTAL_ALTER_CONFIGS", 1;
    AlterPartitionReassignments = 45, "ALTER_PARTITION_REASSIGNMENTS", 0;
    ListPartitionReassignments = 46, "LIST_PARTITION_REASSIGNMENTS", 0;
    OffsetDelete = 47, "OFFSET_DELETE", none;
    DescribeClientQuotas = 48, "DESCRIBE_CLIENT_QUOTAS", 1;
    AlterClientQuotas = 49, "ALTER_CLIENT_QUOTAS", 1;
    DescribeUserScramCredentials = 50, "DESCRIBE_USER_SCRAM_CREDENTIALS", 0;
    AlterUserScramCredentials = 51, "ALTER_USER_SCRAM_CREDENTIALS", 0;
    Vote = 52, "VOTE", 0;
    BeginQuorumEpoch = 53, "BEGIN_QUORUM_EPOCH", 1;
    EndQuorumEpoch = 54, "END_QUORUM_EPOCH", 1;
    DescribeQuorum = 55, "DESCRIBE_QUORUM", 0;
    AlterPartition = 56, "ALTER_PARTITION", 0;
    UpdateFeatures = 57, "UPDATE_FEATURES", 0;
    Envelope = 58, "ENVELOPE", 0;
    FetchSnapshot = 59, "FETCH_SNAPSHOT", 0;
    DescribeCluster = 60, "DESCRIBE_CLUSTER", 0;
    DescribeProducers = 61, "DESCRIBE_PRODUCERS", 0;
    BrokerRegistration = 62, "BROKER_REGISTRATION", 0;
    BrokerHeartbeat = 63, "BROKER_HEARTBEAT", 0;
    UnregisterBroker = 64, "UNREGISTER_BROKER", 0;
    DescribeTransactions = 65, "DESCRIBE_TRANSACTIONS", 0;
    ListTransactions = 66, "LIST_TRANSACTIONS", 0;
    AllocateProducerIds = 67, "ALLOCATE_PRODUCER_IDS", 0;
    ConsumerGroupHeartbeat = 68, "CONSUMER_GROUP_HEARTBEAT", 0;
    ConsumerGroupDescribe = 69, "CONSUMER_GROUP_DESCRIBE", 0;
    ControllerRegistration = 70, "CONTROLLER_REGISTRATION", 0;
    GetTelemetrySubscriptions = 71, "GET_TELEMETRY_SUBSCRIPTIONS", 0;
    PushTelemetry = 72, "PUSH_TELEMETRY", 0;
    AssignReplicasToDirs = 73, "ASSIGN_REPLICAS_TO_DIRS", 0;
    ListConfigResources = 74, "LIST_CONFIG_RESOURCES", 0;
    DescribeTopicPartitions = 75, "DESCRIBE_TOPIC_PARTITIONS", 0;
    ShareGroupHeartbeat = 76, "SHARE_GROUP_HEARTBEAT", 0;
    ShareGroupDescribe = 77, "SHARE_GROUP_DESCRIBE", 0;
    ShareFetch = 78, "SHARE_FETCH", 0;
    ShareAcknowledge = 79, "SHARE_ACKNOWLEDGE", 0;
    AddRaftVoter = 80, "ADD_RAFT_VOTER", 0;
    RemoveRaftVoter = 81, "REMOVE_RAFT_VOTER", 0;
    UpdateRaftVoter = 82, "UPDATE_RAFT_VOTER", 0;
    InitializeShareGroupState = 83, "INITIALIZE_SHARE_GROUP_STATE", 0;
    ReadShareGroupState = 84, "READ_SHARE_GROUP_STATE", 0;
    WriteShareGroupState = 85, "WRITE_SHARE_GROUP_STATE", 0;
    DeleteShareGroupState = 86, "DELETE_SHARE_GROUP_STATE", 0;
    ReadShareGroupStateSummary = 87, "READ_SHARE_GROUP_STATE_SUMMARY", 0;
    StreamsGroupHeartbeat = 88, "STREAMS_GROUP_HEARTBEAT", 0;
    StreamsGroupDescribe = 89, "STREAMS_GROUP_DESCRIBE", 0;
    DescribeShareGroupOffsets = 90, "DESCRIBE_SHARE_GROUP_OFFSETS", 0;
    AlterShareGroupOffsets = 91, "ALTER_SHARE_GROUP_OFFSETS", 0;
    DeleteShareGroupOffsets = 92, "DELETE_SHARE_GROUP_OFFSETS", 0;
}

impl ApiKey {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

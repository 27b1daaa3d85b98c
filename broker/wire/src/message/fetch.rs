//! Fetch: record batches from partitions, for consumers and followers (KIP-74, KIP-227).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use barnabas_base::Uuid;

use crate::{Message, Records};

/// A Fetch request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = Fetch, response = FetchResponse, versions = "4-18", flexible = "12+")]
pub struct FetchRequest {
    /// The cluster, if known.
    #[field(versions = "12+", nullable = "0+", tag = 0, tagged = "12+", ignorable)]
    pub cluster_id: Option<String>,
    /// The broker that follows; -1 for a consumer.
    #[field(versions = "4-14", default = -1)]
    pub replica_id: i32,
    /// The follower that fetches (KIP-903).
    #[field(versions = "15+", tag = 1, tagged = "15+")]
    pub replica_state: ReplicaState,
    /// How long to wait for the least bytes, in milliseconds.
    pub max_wait_ms: i32,
    /// The least bytes to wait for.
    pub min_bytes: i32,
    /// The most bytes to answer with; a first batch above it is sent whole (KIP-74).
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    /// 0 read_uncommitted, 1 read_committed.
    pub isolation_level: i8,
    /// The fetch session; 0 for none (KIP-227).
    #[field(versions = "7+", ignorable)]
    pub session_id: i32,
    /// The place of this request in its session: 0 begins one, -1 has none.
    #[field(versions = "7+", default = -1, ignorable)]
    pub session_epoch: i32,
    /// The topics.
    pub topics: Vec<FetchTopic>,
    /// Partitions that leave the fetch session.
    #[field(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The rack that the client is in.
    #[field(versions = "11+", ignorable)]
    pub rack_id: String,
}

/// The follower that fetches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct ReplicaState {
    /// The follower; -1 for a consumer.
    #[field(default = -1)]
    pub replica_id: i32,
    /// The follower's broker epoch; -1 if unknown (KIP-903).
    #[field(default = -1)]
    pub replica_epoch: i64,
}

/// Partitions of one topic to fetch.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct FetchTopic {
    /// The topic's name.
    #[field(versions = "4-12", ignorable)]
    pub topic: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<FetchPartition>,
}

/// A partition to fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct FetchPartition {
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the sender knows; -1 for no check (KIP-320).
    #[field(versions = "9+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The offset of the first record wanted.
    pub fetch_offset: i64,
    /// The leader epoch of the last record that the follower has; -1 if there is none.
    #[field(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    /// The follower's first offset; -1 for a consumer.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The most bytes of this partition; a first batch above it is sent whole (KIP-74).
    pub partition_max_bytes: i32,
    /// The log directory of the replica (KIP-853).
    #[field(versions = "17+", tag = 0, tagged = "17+", ignorable)]
    pub replica_directory_id: Uuid,
    /// The high watermark that the follower knows (KIP-1166); i64::MAX when it does not say.
    #[field(versions = "18+", tag = 1, tagged = "18+", default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// Partitions of one topic that leave the session.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct ForgottenTopic {
    /// The topic's name.
    #[field(versions = "7-12", ignorable)]
    pub topic: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The answer to a Fetch request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "4-18", flexible = "12+")]
pub struct FetchResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Zero, or what is wrong with the session as a whole.
    #[field(versions = "7+", ignorable)]
    pub error_code: i16,
    /// The session that was begun or goes on; 0 for none.
    #[field(versions = "7+")]
    pub session_id: i32,
    /// The topics fetched.
    pub responses: Vec<FetchableTopicResponse>,
    /// The addresses of the leaders named above (KIP-951).
    #[field(versions = "16+", tag = 0, tagged = "16+")]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct FetchableTopicResponse {
    /// The topic's name.
    #[field(versions = "4-12", ignorable)]
    pub topic: String,
    /// The topic's id; zero if unknown.
    #[field(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// The records of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The offset below which everything is committed; -1 if unknown.
    pub high_watermark: i64,
    /// The offset below which every transaction is decided; -1 on an error.
    #[field(default = -1)]
    pub last_stable_offset: i64,
    /// The first offset that the log still has; -1 if unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The leader's last epoch at or below the fetched one and its end, when the logs diverge.
    #[field(versions = "12+", tag = 0, tagged = "12+")]
    pub diverging_epoch: EpochEndOffset,
    /// The partition's leader when the request reached another broker (KIP-951).
    #[field(versions = "12+", tag = 1, tagged = "12+")]
    pub current_leader: LeaderIdAndEpoch,
    /// The snapshot to fetch instead, when the log no longer has the offset (KIP-630).
    #[field(versions = "12+", tag = 2, tagged = "12+")]
    pub snapshot_id: SnapshotId,
    /// Aborted transactions that overlap the records, by rising first offset; null for read_uncommitted.
    #[field(nullable = "0+", default = Some(Vec::new()))]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// The follower that the consumer should fetch from; -1 for the leader (KIP-392).
    #[field(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    /// Whole record batches from the one that contains the fetched offset; the last may be cut.
    pub records: Records,
}

/// An epoch and where it ends in the leader's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct EpochEndOffset {
    /// The epoch; -1 when the logs do not diverge.
    #[field(default = -1)]
    pub epoch: i32,
    /// The end offset of the epoch, exclusive; -1 if unknown.
    #[field(default = -1)]
    pub end_offset: i64,
}

/// A leader and its epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1 for none.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The leader epoch; -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
}

/// The end that names a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct SnapshotId {
    /// The offset after the snapshot's last record; -1 for no snapshot.
    #[field(default = -1)]
    pub end_offset: i64,
    /// The epoch of the snapshot's last record; -1 for no snapshot.
    #[field(default = -1)]
    pub epoch: i32,
}

/// A transaction that consumers skip.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct AbortedTransaction {
    /// The producer; -1 for none.
    pub producer_id: i64,
    /// The first offset of the transaction in this partition.
    pub first_offset: i64,
}

/// The address of a node.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct NodeEndpoint {
    /// The node.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// The rack; null if unknown.
    #[field(nullable = "0+")]
    pub rack: Option<String>,
}

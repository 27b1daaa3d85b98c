//! What an operator may set, under Kafka's names, and the bounds that nobody may set. Plain data.

/// How long a new member may wait in JoinGroup before it is taken for gone, in milliseconds. Its connection is parked
/// and it sends no heartbeats yet, so that nothing else would ever remove it (Kafka's fixed five minutes).
pub const NEW_MEMBER_JOIN_TIMEOUT_MS: i32 = 5 * 60 * 1000;

/// Most member ids of one group that were handed out (`MEMBER_ID_REQUIRED`) and not yet used. Beyond it
/// `GROUP_MAX_SIZE_REACHED`: a client that asks and never comes back must not fill the memory.
pub const PENDING_MEMBERS_PER_GROUP_MAX: usize = 10_000;

/// Most groups one coordinator holds. Beyond it a new group is refused with `POLICY_VIOLATION`.
pub const GROUPS_PER_COORDINATOR_MAX: usize = 1_000_000;

/// Most batches emitted and not yet settled. Beyond it requests that write are refused with
/// `COORDINATOR_LOAD_IN_PROGRESS`, which every client retries in place, and deadlines wait.
pub const APPENDS_IN_FLIGHT_MAX: usize = 3_000;

/// From this many on also those requests are refused that write now and then, and go on with what was begun. The log
/// queues no fewer.
pub const APPENDS_IN_FLIGHT_LIMIT: usize = 4_000;

/// Most records in one emitted batch of tombstones; more of them become several batches.
pub const RECORDS_PER_APPEND_MAX: usize = 1_000;

/// Bytes of one emitted batch of tombstones, well below Kafka's default of `max.message.bytes`. A topic configured for
/// less refuses such a batch, and the coordinator learns of it.
pub const TOMBSTONE_BATCH_BYTES_MAX: usize = 128 * 1024;

/// Bytes of the records of one OffsetCommit, sixteen times Kafka's default of `max.message.bytes`. Each record repeats
/// the names of group and topic, so that a request of a megabyte can stand for gigabytes of them. Beyond it the commit is
/// refused as the log would refuse its batch.
pub const COMMIT_BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most batches that one step of the sweep emits. What is left over waits for the next sweep.
pub(crate) const SWEEP_STEP_BATCHES_MAX: usize = 100;

/// Most groups examined for expired offsets before other work gets its turn.
pub const GROUPS_PER_SWEEP_STEP_MAX: usize = 1_000;

/// Settings of one coordinator; the defaults are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: most members of one group.
    pub group_size_max: usize,
    /// `offset.metadata.max.bytes`, which Kafka counts in UTF-16 units.
    pub offset_metadata_size_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 30 * 60 * 1000,
            initial_rebalance_delay_ms: 3_000,
            group_size_max: usize::MAX,
            offset_metadata_size_max: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 10 * 60 * 1000,
        }
    }
}

//! What a node did, as typed facts: cores return them with their outputs, the seam's `observe` consumes them.
//!
//! In production they become counters and trace lines, in simulation the trace hash, the white-box checks and the
//! diagram. Checkers read observations, never a broker's fields.

use crate::{Account, BrokerId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};

/// How a node or a log came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RestartKind {
    /// The clean-shutdown marker was there.
    Clean,
    /// No marker: everything past the recovery point was scanned.
    Unclean,
    /// The directory was empty and has been formatted.
    Fresh,
}

/// One fact about one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observation {
    /// A node began to run.
    Restarted {
        /// The node.
        broker: BrokerId,
        /// How it had stopped.
        kind: RestartKind,
    },
    /// A batch was written to a log; not durable by that.
    Appended {
        /// The log.
        partition: TopicPartition,
        /// First offset of the batch.
        base_offset: Offset,
        /// Log end offset after it.
        end_offset: Offset,
        /// Epoch the batch carries.
        leader_epoch: LeaderEpoch,
        /// CRC-32C as the batch header carries it.
        crc: u32,
        /// Bytes of the batch.
        size_bytes: u32,
        /// Producer id, epoch and first sequence, when idempotent.
        producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
    },
    /// Everything below `offset` is durable.
    Synced {
        /// The log.
        partition: TopicPartition,
        /// Exclusive end of the durable prefix.
        offset: Offset,
    },
    /// The log was cut: records at and above `offset` are gone.
    Truncated {
        /// The log.
        partition: TopicPartition,
        /// New log end offset.
        offset: Offset,
    },
    /// The high watermark was set.
    HighWatermarkSet {
        /// The log.
        partition: TopicPartition,
        /// Exclusive end of what consumers may read.
        offset: Offset,
    },
    /// The log start offset moved.
    LogStartSet {
        /// The log.
        partition: TopicPartition,
        /// First offset that may be read.
        offset: Offset,
    },
    /// A leader epoch began on this replica.
    EpochSet {
        /// The log.
        partition: TopicPartition,
        /// The epoch.
        epoch: LeaderEpoch,
        /// Offset at which it starts.
        start_offset: Offset,
    },
    /// A Produce answer without error left for a batch.
    Acked {
        /// The log.
        partition: TopicPartition,
        /// First offset answered.
        base_offset: Offset,
        /// Exclusive end of the batch.
        end_offset: Offset,
        /// `acks` of the request.
        acks: i16,
        /// Whether the batch was recognised as a duplicate.
        duplicate: bool,
    },
    /// Records were handed to a reader.
    Served {
        /// The log.
        partition: TopicPartition,
        /// Offset asked for.
        fetch_offset: Offset,
        /// Exclusive bound up to which records were given.
        bound: Offset,
        /// Bytes given.
        size_bytes: u64,
    },
    /// A metadata batch was applied to the image.
    MetadataApplied {
        /// Offset of the last record applied.
        offset: Offset,
        /// Epoch of that record.
        epoch: LeaderEpoch,
    },
    /// A committed offset of a group became visible.
    OffsetCommitted {
        /// The `__consumer_offsets` partition.
        partition: TopicPartition,
        /// The committed position.
        offset: Offset,
    },
    /// A log came up.
    LogLoaded {
        /// The log.
        partition: TopicPartition,
        /// How it had been closed.
        kind: RestartKind,
        /// First readable offset.
        start_offset: Offset,
        /// Log end offset.
        end_offset: Offset,
        /// Bytes of torn tail that were cut.
        cut_bytes: u64,
    },
    /// Bytes below the durable point do not read back as written.
    Damaged {
        /// The log.
        partition: TopicPartition,
        /// First offset that is not served.
        from: Offset,
        /// Exclusive end of what is not served.
        to: Offset,
    },
    /// A log directory failed and is not used any more.
    DirectoryFailed {
        /// Position of the directory in `log.dirs`.
        index: u16,
    },
    /// A request was read from a connection.
    RequestReceived {
        /// API key.
        api_key: i16,
        /// Bytes of the frame.
        size_bytes: u32,
    },
    /// A response left for a connection.
    ResponseSent {
        /// API key.
        api_key: i16,
        /// Bytes of the frame.
        size_bytes: u64,
    },
    /// An error code was put in a response.
    ErrorReturned {
        /// API key.
        api_key: i16,
        /// Kafka's error code.
        code: i16,
    },
    /// A connection was accepted.
    ConnectionOpened,
    /// A connection ended.
    ConnectionClosed,
    /// A shard that serves nobody any more holds this much memory of an account of clients.
    MemoryLeft {
        /// One of [`Account::OF_CLIENTS`].
        account: Account,
        /// Bytes.
        bytes: u64,
    },
    /// A branch ran that runs seldom.
    Mark {
        /// Name of a [`Mark`](crate::Mark).
        name: &'static str,
    },
}

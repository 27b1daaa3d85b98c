//! Schemas of small files: producer snapshots, and the quorum state, which its file holds as JSON.
//!
//! Structs only; checksums, JSON and the files themselves are the business of those who own them.

use barnabas_base::Uuid;

use crate::Message;

/// The content of a producer snapshot file.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1")]
pub struct ProducerSnapshot {
    /// CRC-32C of all that follows.
    pub crc: u32,
    /// The producers with state.
    pub producer_entries: Vec<ProducerEntry>,
}

/// The state of one producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct ProducerEntry {
    /// The producer; -1 for none.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// The last sequence number of the last batch.
    pub last_sequence: i32,
    /// The last offset written; -1 for none.
    pub last_offset: i64,
    /// The last offset of the last batch less its first.
    pub offset_delta: i32,
    /// The largest timestamp of the last batch, in milliseconds since 1970.
    pub timestamp: i64,
    /// The epoch of the transaction coordinator that wrote the last marker; -1 for none.
    pub coordinator_epoch: i32,
    /// The first offset of the open transaction; -1 for none.
    pub current_txn_first_offset: i64,
}

/// What a voter must not forget of its quorum.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct QuorumStateData {
    /// Not used since version 1.
    #[field(versions = "0")]
    pub cluster_id: String,
    /// The leader; -1 for none.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The epoch of the quorum.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The candidate voted for in this epoch; -1 for none.
    #[field(default = -1)]
    pub voted_id: i32,
    /// The log directory of the candidate voted for in this epoch (KIP-853).
    #[field(versions = "1+")]
    pub voted_directory_id: Uuid,
    /// Not used since version 1.
    #[field(versions = "0")]
    pub applied_offset: i64,
    /// The voters; null since version 1, where the log says it.
    #[field(versions = "0", nullable = "0+", default = Some(Vec::new()))]
    pub current_voters: Option<Vec<Voter>>,
}

/// A voter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct Voter {
    /// The voter.
    pub voter_id: i32,
}

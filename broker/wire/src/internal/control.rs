//! Keys and values of control batches: transaction markers, leader changes, snapshot ends, voters.
//!
//! Structs only; control batches are built and parsed in `record`.

use barnabas_base::Uuid;

use crate::{Message, ToJson};

/// Key of a control record, behind an `i16` version.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct ControlRecordTypeSchema {
    /// 0 abort, 1 commit, 2 leader change, 3 snapshot header, 4 snapshot footer, 5 KRaft version, 6 voters.
    #[field(json = "type")]
    pub kind: i16,
}

/// Value of a commit or abort marker, behind an `i16` version.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0")]
pub struct EndTxnMarker {
    /// The epoch of the transaction coordinator that decided; an older one is refused.
    pub coordinator_epoch: i32,
}

/// Value of the first record that a leader of the quorum writes in its epoch.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0-1", flexible = "0+")]
pub struct LeaderChangeMessage {
    /// The version that the value was written in.
    pub version: i16,
    /// The leader of the new epoch.
    pub leader_id: i32,
    /// The voters.
    pub voters: Vec<LeaderChangeVoter>,
    /// The voters that voted for the leader.
    pub granting_voters: Vec<LeaderChangeVoter>,
}

/// A voter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message, ToJson)]
pub struct LeaderChangeVoter {
    /// The voter.
    pub voter_id: i32,
    /// The log directory that holds the voter's log (KIP-853).
    #[field(versions = "1+")]
    pub voter_directory_id: Uuid,
}

/// Value of the first record of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct SnapshotHeaderRecord {
    /// The version that the value was written in.
    pub version: i16,
    /// The append time of the last record in the snapshot, in milliseconds since 1970.
    pub last_contained_log_timestamp: i64,
}

/// Value of the last record of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct SnapshotFooterRecord {
    /// The version that the value was written in.
    pub version: i16,
}

/// Value that says which `kraft.version` holds from here on (KIP-853).
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct KRaftVersionRecord {
    /// The version that the value was written in.
    pub version: i16,
    /// The level of the feature `kraft.version` from here on.
    #[field(json = "kRaftVersion")]
    pub kraft_version: i16,
}

/// Value that says who votes from here on (KIP-853).
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct VotersRecord {
    /// The version that the value was written in.
    pub version: i16,
    /// The voters.
    pub voters: Vec<Voter>,
}

/// A voter with its addresses.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct Voter {
    /// The voter.
    pub voter_id: i32,
    /// The log directory that holds the voter's log (KIP-853).
    pub voter_directory_id: Uuid,
    /// The voter's listeners.
    pub endpoints: Vec<Endpoint>,
    /// The levels of `kraft.version` that the voter supports.
    #[field(json = "kRaftVersionFeature")]
    pub kraft_version_feature: KRaftVersionFeature,
}

/// A listener of a voter.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
}

/// The levels of `kraft.version` that a voter supports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message, ToJson)]
pub struct KRaftVersionFeature {
    /// The lowest level supported.
    pub min_supported_version: i16,
    /// The highest level supported.
    pub max_supported_version: i16,
}

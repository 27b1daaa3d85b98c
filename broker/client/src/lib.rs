//! A small Kafka client without I/O, for the command line and the workloads: connections, cluster metadata, a
//! producer, a consumer and a group member, each a state machine.
//!
//! Pure: no sockets, no clock, no tasks. A driver owns a [`Client`], does what [`Client::poll_transmit`] asks (connect,
//! send, close), tells it what came back, and wakes it at [`Client::next_wakeup`]; [`Producer`], [`Consumer`] and
//! [`Membership`] make their requests through it and take their replies from [`Client::poll_event`]. They are polled
//! after anything the client was told: what they wait for may be metadata, which is nobody's event.
//!
//! It is no client for everybody: no TLS, no transactions, no interceptors.

mod assignor;
mod client;
mod cluster;
mod connection;
mod consumer;
mod lane;
mod limits;
mod membership;
mod partitioner;
mod producer;
mod protocol;

pub use assignor::{Assignment, range_assign};
pub use client::{Client, ClientConfig, Destination, Event, LinkId, Tag, Transmit};
pub use cluster::{Address, Broker, Cluster, ParseAddressError, Partition, Topic};
pub use connection::{Connection, ConnectionError};
pub use consumer::{Consumer, ConsumerConfig, ConsumerError, Received, StartAt};
pub use limits::{
    BATCHES_IN_FLIGHT_MAX, CALLS_MAX, CALLS_PER_CONNECTION_MAX, MEMBERSHIP_TOPICS_MAX, QUEUED_RECORDS_MAX,
    RESPONSE_BYTES_MAX, RETRY_BACKOFF_MAX_MS, RETRY_BACKOFF_MS, UNREAD_RECORDS_MAX,
};
pub use membership::{MemberConfig, MemberEvent, Membership};
pub use producer::{Attempts, Delivery, DeliveryError, Producer, ProducerConfig, RecordToSend};
pub use protocol::{Subscription, decode_assignment, decode_subscription, encode_assignment, encode_subscription};

use std::fmt;

use barnabas_wire::{EncodeError, ErrorCode};

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No answer came in time. The broker may or may not have done what was asked.
    TimedOut,
    /// The connection ended while the call was under way; the same doubt.
    Disconnected,
    /// The broker speaks no version of this API that we do, or none that can carry the request.
    Unsupported,
    /// The request has no bytes in the version agreed on.
    Encode(EncodeError),
    /// The cluster says that it cannot be done: the coordinator's or the topic's error.
    Refused(ErrorCode),
    /// More calls are under way than the client keeps.
    Overloaded,
}

/// Whether a broker that answers with this error may have done what was asked all the same.
///
/// A leader that steps down after an append answers NOT_LEADER_OR_FOLLOWER (KAFKA-13574), a failed sync leaves a record
/// on the disk that was never acknowledged, and a coordinator translates both into errors of its own.
#[must_use]
pub const fn leaves_open(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::RequestTimedOut
            | ErrorCode::UnknownServerError
            | ErrorCode::NetworkException
            | ErrorCode::KafkaStorageError
            | ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
    )
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Disconnected => f.write_str("the connection ended before the answer"),
            Self::Unsupported => f.write_str("the broker does not know this request"),
            Self::Encode(error) => write!(f, "the request cannot be sent: {error}"),
            Self::Refused(code) => f.write_str(code.name()),
            Self::Overloaded => f.write_str("too many requests under way"),
        }
    }
}

impl std::error::Error for CallError {}

//! Consumer groups and committed offsets: the classic protocol as a fold over one partition of `__consumer_offsets`.
//!
//! Pure: no clock, no sockets, no log. A broker's shell owns one [`Coordinator`] per partition it leads, hands it
//! requests with the time, appends the records it emits, tells it when the high watermark passed them, and sends the
//! replies it gives back. It knows neither connections nor disks, and it does not read the cluster image: names of
//! topics are resolved before ([`resolve`]).
//!
//! Two views (design: controller, group and transaction coordinators are folds): *pending* is what all emitted records
//! amount to and decides the next one; *committed* is what the high watermark has passed and answers reads. A reply
//! that promises something leaves when its record is committed; a failed append drops its part of the pending view.
//!
//! Invariants: every token is answered exactly once. Members, parked requests and timers are soft state, as in Kafka:
//! after a reload, members are known only as the last committed record names them.

mod appends;
mod classic;
mod commit;
mod config;
mod coordinator;
mod delete;
mod describe;
mod expiry;
mod fetch;
mod fold;
mod id;
mod input;
mod partition;
mod record;
pub mod resolve;
mod settle;
mod subscription;
mod timers;
mod tombstones;
mod weight;

pub use classic::GroupState;
pub use config::{
    APPENDS_IN_FLIGHT_LIMIT, APPENDS_IN_FLIGHT_MAX, COMMIT_BATCH_BYTES_MAX, Config, GROUPS_PER_COORDINATOR_MAX,
    GROUPS_PER_SWEEP_STEP_MAX, NEW_MEMBER_JOIN_TIMEOUT_MS, PENDING_MEMBERS_PER_GROUP_MAX, RECORDS_PER_APPEND_MAX,
    TOMBSTONE_BATCH_BYTES_MAX,
};
pub use coordinator::Coordinator;
pub use fold::{CommittedOffset, Image};
pub use id::{AppendId, GroupId, InstanceId, MemberId, Token, TopicName};
pub use input::{ClientInfo, Input, Output, Response};
pub use partition::{java_string_hash, partition_for};
pub use record::{Record, ReplayError, Replayed};

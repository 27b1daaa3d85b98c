//! Words shared by every room of the house: typed ids, offsets, epochs, time, limits, keyed randomness, observations,
//! marks.
//!
//! Pure data and arithmetic. Depends on nothing but `std`, performs no I/O and reads no clock; everybody uses it,
//! nobody drives it.

mod cluster_id;
mod id;
mod keyed;
pub mod limits;
pub mod mark;
mod memory;
mod observation;
mod offset;
mod time;
mod uuid;

pub use cluster_id::{ClusterId, ParseClusterIdError};
pub use id::{
    BrokerId, CorrelationId, DirectoryId, GenerationId, Incarnation, PartitionIndex, ProducerEpoch, ProducerId,
    Sequence, ShardId, TopicId, TopicPartition,
};
pub use keyed::{Keyed, keyed_hash};
pub use mark::Mark;
pub use memory::{Account, Budget, Charge};
pub use observation::{Observation, RestartKind};
pub use offset::{LeaderEpoch, Offset};
pub use time::{Monotonic, TimestampMs};
pub use uuid::{ParseUuidError, Uuid};

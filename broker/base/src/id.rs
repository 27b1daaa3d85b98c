//! Typed identifiers of brokers, topics, partitions, producers and shards. Plain data, named as Kafka names them.

use std::fmt;

use crate::Uuid;

/// Declares a transparent integer newtype with the conversions the wire needs.
macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The raw value, as it stands on the wire.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(crate) use integer_id;

integer_id! {
    /// `node.id` of a broker or controller; −1 means none.
    BrokerId(i32)
}
integer_id! {
    /// Index of a partition within its topic, from 0.
    PartitionIndex(i32)
}
integer_id! {
    /// Producer id handed out by InitProducerId; −1 means a producer without idempotence.
    ProducerId(i64)
}
integer_id! {
    /// Epoch of a producer id; −1 means none.
    ProducerEpoch(i16)
}
integer_id! {
    /// Sequence number of a record within (producer id, epoch, partition); −1 means none.
    Sequence(i32)
}
integer_id! {
    /// Generation of a classic consumer group; −1 means a simple consumer.
    GenerationId(i32)
}
integer_id! {
    /// Correlation id of a request on one connection.
    CorrelationId(i32)
}
integer_id! {
    /// Index of a shard within its broker process.
    ShardId(u16)
}
integer_id! {
    /// Counts the starts of one node; handles of an earlier incarnation touch nothing.
    Incarnation(u64)
}

impl BrokerId {
    /// No broker.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// The id of batches written without idempotence.
    pub const NONE: Self = Self(-1);

    /// Whether this is the id of a real producer.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }
}

impl ProducerEpoch {
    /// The epoch of batches written without idempotence.
    pub const NONE: Self = Self(-1);
}

impl Sequence {
    /// The sequence of batches written without idempotence.
    pub const NONE: Self = Self(-1);

    /// The sequence `delta` records later. Sequences are 31 bits wide and wrap from 2³¹−1 to 0 (Kafka's
    /// `DefaultRecordBatch.incrementSequence`).
    #[must_use]
    pub const fn plus(self, delta: i32) -> Self {
        assert!(self.0 >= 0, "only real sequences advance");
        assert!(delta >= 0, "sequences only move forward");
        if self.0 > i32::MAX - delta { Self(delta - (i32::MAX - self.0) - 1) } else { Self(self.0 + delta) }
    }
}

/// Declares a newtype over [`Uuid`].
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(value: Uuid) -> Self {
                Self(value)
            }
        }
    };
}

uuid_id! {
    /// Identity of a topic for ever: a re-created topic has another one (KIP-516).
    TopicId
}
uuid_id! {
    /// Identity of a log directory (KIP-858).
    DirectoryId
}

/// One partition of one topic, by the topic's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition within it.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

impl TopicPartition {
    /// The shard that owns this partition on a broker with `shards` data shards. Never stored on disk: the number
    /// of shards may change at a restart.
    ///
    /// Consecutive partitions of one topic go to consecutive shards, so that a topic of N partitions loads N shards
    /// evenly; the topic's id decides where it starts.
    #[must_use]
    pub fn shard(self, shards: u16) -> ShardId {
        assert!(shards > 0, "a broker has at least one data shard");
        let start = crate::keyed_hash(0, self.topic_id.0.as_bytes());
        let index = u64::from(self.partition.0.unsigned_abs());
        let shard = start.wrapping_add(index) % u64::from(shards);
        ShardId(u16::try_from(shard).expect("a remainder of a u16 is a u16"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_wraps_after_31_bits() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(4), Sequence(2));
        assert_eq!(Sequence(5).plus(0), Sequence(5));
    }

    #[test]
    fn partitions_of_a_topic_spread_evenly() {
        let topic_id = TopicId(Uuid([7; 16]));
        let mut counts = [0; 4];
        for partition in 0..40 {
            let owner = TopicPartition { topic_id, partition: PartitionIndex(partition) }.shard(4);
            counts[usize::from(owner.0)] += 1;
        }
        assert_eq!(counts, [10; 4]);
    }
}

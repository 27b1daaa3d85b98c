//! What members of type `consumer` tell each other through JoinGroup and SyncGroup: subscriptions and assignments,
//! each behind its version. Codec only.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_wire::internal::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use barnabas_wire::{DecodeError, EncodeError, Message};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::assignor::Assignment;

/// The version we write: with owned partitions and generation, which every client since Kafka 2.4 reads.
const VERSION: i16 = 2;

/// What a member wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics it subscribes to.
    pub topics: BTreeSet<String>,
    /// What it owned in `generation`.
    pub owned: Assignment,
    /// The generation in which it owned them; −1 when none.
    pub generation: i32,
}

/// The bytes of a subscription.
pub fn encode_subscription(subscription: &Subscription) -> Result<Bytes, EncodeError> {
    let body = ConsumerProtocolSubscription {
        topics: subscription.topics.iter().cloned().collect(),
        owned_partitions: to_wire(&subscription.owned),
        generation_id: subscription.generation,
        ..Default::default()
    };
    framed(&body)
}

/// Reads a subscription of any version.
pub fn decode_subscription(bytes: Bytes) -> Result<Subscription, DecodeError> {
    let body: ConsumerProtocolSubscription = unframed(bytes)?;
    Ok(Subscription {
        topics: body.topics.into_iter().collect(),
        owned: from_wire(body.owned_partitions),
        generation: body.generation_id,
    })
}

/// The bytes of an assignment.
pub fn encode_assignment(assignment: &Assignment) -> Result<Bytes, EncodeError> {
    framed(&ConsumerProtocolAssignment { assigned_partitions: to_wire(assignment), ..Default::default() })
}

/// Reads an assignment of any version. No bytes at all are an empty one: the leader forgot this member.
pub fn decode_assignment(bytes: Bytes) -> Result<Assignment, DecodeError> {
    if bytes.is_empty() {
        return Ok(Assignment::new());
    }
    let body: ConsumerProtocolAssignment = unframed(bytes)?;
    Ok(from_wire(body.assigned_partitions))
}

fn to_wire(assignment: &Assignment) -> Vec<TopicPartition> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in assignment {
        topics.entry(topic).or_default().push(*partition);
    }
    let topics = topics.into_iter();
    topics.map(|(topic, partitions)| TopicPartition { topic: topic.to_owned(), partitions }).collect()
}

fn from_wire(topics: Vec<TopicPartition>) -> Assignment {
    let partitions = topics.into_iter().flat_map(|topic| {
        let name = topic.topic;
        topic.partitions.into_iter().map(move |partition| (name.clone(), partition))
    });
    partitions.collect()
}

fn framed<M: Message>(body: &M) -> Result<Bytes, EncodeError> {
    let body = body.to_bytes(VERSION)?;
    let mut bytes = BytesMut::with_capacity(2 + body.len());
    bytes.put_i16(VERSION);
    bytes.put_slice(&body);
    Ok(bytes.freeze())
}

/// Reads a body of the version that stands in front. Of versions to come the known part is read, as KIP-429 asks.
fn unframed<M: Message>(mut bytes: Bytes) -> Result<M, DecodeError> {
    if bytes.len() < 2 {
        return Err(DecodeError::Truncated { needed: 2, left: bytes.len() });
    }
    let version = bytes.get_i16().min(*M::VERSIONS.end());
    M::decode(version, &mut barnabas_wire::Decoder::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_come_back_as_they_were() {
        let owned: Assignment = [("t".to_owned(), 0), ("t".to_owned(), 2), ("u".to_owned(), 1)].into();
        let topics = ["t".to_owned(), "u".to_owned()].into();
        let subscription = Subscription { topics, owned: owned.clone(), generation: 4 };
        let bytes = encode_subscription(&subscription).expect("encodes");
        assert_eq!(decode_subscription(bytes), Ok(subscription));
        let bytes = encode_assignment(&owned).expect("encodes");
        assert_eq!(decode_assignment(bytes), Ok(owned));
    }

    #[test]
    fn versions_to_come_are_read_as_far_as_known() {
        let newer = Bytes::from_static(
            b"\x00\x63\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x05\xff\xff\xff\xffmore",
        );
        assert_eq!(decode_assignment(newer), Ok([("t".to_owned(), 5)].into()));
        assert_eq!(decode_assignment(Bytes::new()), Ok(Assignment::new()));
        assert!(decode_assignment(Bytes::from_static(b"\x00")).is_err());
    }
}

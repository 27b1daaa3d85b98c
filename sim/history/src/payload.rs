//! Payloads: bytes that say who wrote them, where they were meant to go and whether they are whole. Written by workloads,
//! read by checkers and by the log scanner; shares nothing with the broker's codecs.

use barnabas_base::keyed_hash;
use barnabas_plan::TopicName;

use crate::Value;

/// Payloads begin with this.
const MAGIC: [u8; 4] = *b"BNB1";
/// Magic, value, topic, partition, length, and the hash at the end.
pub const PAYLOAD_BYTES_MIN: usize = 4 + 8 + 2 + 4 + 4 + 8;
/// Key of the hash.
const HASH_KEY: u64 = 0x7061_796c_6f61_6421;

/// What a payload says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Payload {
    /// The value, unique within a run.
    pub value: Value,
    /// Where it was sent to.
    pub topic: TopicName,
    /// Where it was sent to.
    pub partition: u32,
}

impl Payload {
    /// The bytes, `len` of them or as many as it takes. The filling follows from the value, so that every byte is checked.
    #[must_use]
    pub fn encode(&self, len: usize) -> Vec<u8> {
        let len = len.max(PAYLOAD_BYTES_MIN);
        let mut bytes = Vec::with_capacity(len);
        bytes.extend(MAGIC);
        bytes.extend(self.value.0.to_be_bytes());
        bytes.extend(self.topic.0.to_be_bytes());
        bytes.extend(self.partition.to_be_bytes());
        bytes.extend(u32::try_from(len).expect("payloads are small").to_be_bytes());
        let mut filling = self.value.0 | 1;
        while bytes.len() < len - 8 {
            // A step of xorshift: cheap, and no two values are filled alike.
            filling ^= filling << 13;
            filling ^= filling >> 7;
            filling ^= filling << 17;
            let left = (len - 8 - bytes.len()).min(8);
            bytes.extend(&filling.to_be_bytes()[..left]);
        }
        bytes.extend(keyed_hash(HASH_KEY, &bytes).to_be_bytes());
        bytes
    }

    /// Reads a payload; `None` when a byte of it is not as it was written.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < PAYLOAD_BYTES_MIN || bytes[..4] != MAGIC {
            return None;
        }
        let (body, hash) = bytes.split_at(bytes.len() - 8);
        if keyed_hash(HASH_KEY, body).to_be_bytes() != hash {
            return None;
        }
        let len = u32::from_be_bytes(*body.get(18..)?.first_chunk()?);
        let payload = Self {
            value: Value(u64::from_be_bytes(*body.get(4..)?.first_chunk()?)),
            topic: TopicName(u16::from_be_bytes(*body.get(12..)?.first_chunk()?)),
            partition: u32::from_be_bytes(*body.get(14..)?.first_chunk()?),
        };
        (usize::try_from(len) == Ok(bytes.len())).then_some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: Payload = Payload { value: Value(77), topic: TopicName(3), partition: 9 };

    #[test]
    fn a_payload_reads_back() {
        for len in [0, PAYLOAD_BYTES_MIN, 31, 100, 5_000] {
            let bytes = PAYLOAD.encode(len);
            assert_eq!(bytes.len(), len.max(PAYLOAD_BYTES_MIN));
            assert_eq!(Payload::decode(&bytes), Some(PAYLOAD));
        }
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let bytes = PAYLOAD.encode(64);
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert_eq!(Payload::decode(&changed), None, "byte {index}");
        }
        assert_eq!(Payload::decode(&bytes[..63]), None);
    }
}
